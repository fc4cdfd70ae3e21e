//! Packages from Debian's archive, unpacked into folders of our own, nothing of them installed.
//!
//! apt does the fetching, because it finds the mirror and checks its signatures, but with lists and a cache of its own:
//! the machine's stay as they are. What was pinned by checksum is checked again here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::cargo;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Some of Debian's suites, as this machine reaches them.
pub(crate) struct Archive {
    /// Holds apt's lists and what it fetches; the caller's to delete.
    folder: PathBuf,
}

impl Archive {
    /// Fetches the lists of `suites` (such as `trixie-backports`) into an emptied `folder`.
    ///
    /// # Errors
    ///
    /// On a machine that is no Debian, and when no mirror can be reached.
    pub(crate) fn open(folder: &Path, suites: &[&str]) -> Result<Self> {
        if !Path::new(KEYRING).is_file()
            || cargo::find("apt-get").is_none()
            || cargo::find("dpkg").is_none()
        {
            bail!("this is no Debian");
        }
        let _ = fs::remove_dir_all(folder);
        for needed in ["lists/partial", "cache/archives/partial"] {
            let needed = folder.join(needed);
            fs::create_dir_all(&needed).with_context(|| {
                format!(
                    "cannot make {}: set XDG_CACHE_HOME to a folder you may write",
                    needed.display()
                )
            })?;
        }
        let mirror = mirror();
        let lines = suites.iter().map(|suite| {
            let mirror = if suite.ends_with("-security") {
                format!("{mirror}-security")
            } else {
                mirror.clone()
            };
            format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        });
        fs::write(folder.join("sources.list"), lines.collect::<String>())?;
        let archive = Self { folder: folder.to_owned() };
        cargo::run(archive.apt("apt-get").arg("update"), "see apt's message")?;
        Ok(archive)
    }

    /// Fetches `package`, a name or `name=version`; gives the file.
    ///
    /// # Errors
    ///
    /// When the archive does not have it, or not any more.
    pub(crate) fn fetch(&self, package: &str) -> Result<PathBuf> {
        let before = self.packages()?;
        cargo::run(self.apt("apt-get").args(["download", package]), "see apt's message")?;
        let fetched = self.packages()?.into_iter().find(|file| !before.contains(file));
        fetched.with_context(|| format!("apt-get download {package} left no package"))
    }

    /// The versions of packages whose names match a regular expression: lines of `name | version | where`.
    ///
    /// # Errors
    ///
    /// When apt fails.
    pub(crate) fn versions(&self, names: &str) -> Result<Vec<(String, String)>> {
        let listed = cargo::output(
            self.apt("apt-cache").args(["search", "--names-only", names]),
            "see apt's message",
        )?;
        let names: Vec<&str> =
            listed.lines().filter_map(|line| line.split(" - ").next()).map(str::trim).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let table =
            cargo::output(self.apt("apt-cache").arg("madison").args(&names), "see apt's message")?;
        Ok(madison(&table))
    }

    fn packages(&self) -> Result<Vec<PathBuf>> {
        Ok(fs::read_dir(&self.folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|ending| ending == "deb"))
            .collect())
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.current_dir(&self.folder).arg("-qq");
        for (name, value) in [
            ("Dir::Etc::sourcelist", self.folder.join("sources.list").as_path()),
            ("Dir::Etc::sourceparts", Path::new("-")),
            ("Dir::State::Lists", &self.folder.join("lists")),
            ("Dir::Cache", &self.folder.join("cache")),
            ("Acquire::Languages", Path::new("none")),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", Path::new("false")),
            ("APT::Sandbox::User", Path::new("root")), // the folder may be closed to the user _apt
        ] {
            apt.arg(format!("-o{name}={}", value.display()));
        }
        apt
    }
}

/// Unpacks a package below a folder.
///
/// # Errors
///
/// When dpkg fails.
pub(crate) fn unpack(package: &Path, folder: &Path) -> Result<()> {
    cargo::run(Command::new("dpkg").arg("-x").arg(package).arg(folder), "see dpkg's message")
}

/// The mirror this machine's own package lists name, else Debian's.
fn mirror() -> String {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let texts = parts.map(|entry| entry.path()).chain(["/etc/apt/sources.list".into()]);
    texts
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| mirror_in(&text))
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

/// The first Debian archive in a sources file of either format.
fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

/// Names and versions in the table of `apt-cache madison`.
fn madison(table: &str) -> Vec<(String, String)> {
    let columns = table.lines().map(|line| line.split('|').map(str::trim));
    columns
        .filter_map(|mut columns| Some((columns.next()?.to_owned(), columns.next()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_both_formats() {
        let one_line =
            "# deb http://old/debian x main\ndeb https://mirror.example/debian/ trixie main\n";
        assert_eq!(mirror_in(one_line).as_deref(), Some("https://mirror.example/debian"));
        let deb822 = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\n";
        assert_eq!(mirror_in(deb822).as_deref(), Some("http://deb.debian.org/debian"));
        assert_eq!(mirror_in("deb http://archive.ubuntu.com/ubuntu noble main"), None);
    }

    #[test]
    fn versions_are_read_from_apts_table() {
        let table = "linux-image-x | 6.1.1-1 | http://m/debian bookworm/main amd64 Packages\n  y |  2 | z\n";
        let read = madison(table);
        assert_eq!(
            read,
            [("linux-image-x".to_owned(), "6.1.1-1".to_owned()), ("y".into(), "2".into())]
        );
    }
}
