//! Programs of the system that only tests need: the one list, and how they get here.
//!
//! As root with apt they are installed, without starting their daemons. Else the one command to type is said, and
//! tests that miss a program skip themselves.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{cargo, places, say};

/// What the end-to-end tests need: a line for each Debian package, followed by the program it brings, or by a whole
/// command that succeeds when it is there.
const LIST: &str = "tests/system-packages.txt";

/// What xtask itself needs to run tests, in the same form: libFuzzer is C++.
const OWN: &str = "g++ g++";

/// One line of a list.
struct Needed<'a> {
    package: &'a str,
    check: Vec<&'a str>,
}

/// Installs what is missing, or says how to.
pub(crate) fn prepare() -> Result<()> {
    let list = fs::read_to_string(places::workspace().join(LIST)).unwrap_or_default();
    let missing: Vec<&str> = needed(&list)
        .chain(needed(OWN))
        .filter(|needed| !is_there(&needed.check))
        .map(|needed| needed.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !cargo::is_root() || cargo::find("apt-get").is_none() {
        say::note(format!(
            "tests that need what is missing will be skipped; to have them all, type: sudo apt-get install -y --no-install-recommends {list}"
        ));
        return Ok(());
    }
    say::step(format!("installing what tests need: {list}"), || {
        let _no_daemons = NoDaemons::new(Path::new("/usr/sbin/policy-rc.d"))?;
        cargo::run(apt().arg("update"), "see apt's message")?;
        cargo::run(
            apt().args(["install", "-y", "--no-install-recommends"]).args(&missing),
            "see apt's message",
        )
    })
}

/// The lines of a list, without its remarks.
fn needed(list: &str) -> impl Iterator<Item = Needed<'_>> {
    let lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(Needed { package: words.next()?, check: words.collect() })
    })
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    apt
}

fn is_there(check: &[&str]) -> bool {
    let [program, arguments @ ..] = check else { return false };
    let Some(program) = cargo::find(program) else { return false };
    arguments.is_empty()
        || Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// While it lives, installed packages do not start their daemons (Debian's policy-rc.d: 101 is "forbidden").
struct NoDaemons<'a> {
    /// Ours to remove again; none when the machine has a policy of its own.
    written: Option<&'a Path>,
}

/// Written into the file, so that one left behind by a killed run is known as ours.
const POLICY: &str = "#!/bin/sh\n# Put here by `cargo xtask test` of spanwire while it installs packages.\nexit 101\n";

impl<'a> NoDaemons<'a> {
    fn new(policy: &'a Path) -> Result<Self> {
        let ours = fs::read_to_string(policy).is_ok_and(|text| text == POLICY);
        if policy.exists() && !ours {
            return Ok(Self { written: None });
        }
        fs::write(policy, POLICY)
            .and_then(|()| fs::set_permissions(policy, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}: see who forbids it", policy.display()))?;
        Ok(Self { written: Some(policy) })
    }
}

impl Drop for NoDaemons<'_> {
    fn drop(&mut self) {
        if let Some(policy) = self.written {
            let _ = fs::remove_file(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_packages_and_how_to_see_them() {
        let list = "# remark\n\nnginx-light nginx\npython3-venv python3 -m ensurepip --version\n";
        let read: Vec<_> = needed(list).map(|needed| (needed.package, needed.check)).collect();
        let venv = vec!["python3", "-m", "ensurepip", "--version"];
        assert_eq!(read, [("nginx-light", vec!["nginx"]), ("python3-venv", venv)]);
    }

    #[test]
    fn programs_and_commands_are_checked() {
        assert!(is_there(&["sh"]));
        assert!(is_there(&["sh", "-c", "exit 0"]));
        assert!(!is_there(&["sh", "-c", "exit 1"]));
        assert!(!is_there(&["no-such-program"]));
    }

    #[test]
    fn the_policy_is_removed_again_and_a_foreign_one_kept() {
        let file = std::env::temp_dir().join(format!("xtask-policy-{}", std::process::id()));
        drop(NoDaemons::new(&file).unwrap());
        assert!(!file.exists());
        fs::write(&file, POLICY).unwrap(); // left behind by a killed run
        drop(NoDaemons::new(&file).unwrap());
        assert!(!file.exists());
        fs::write(&file, "#!/bin/sh\nexit 0\n").unwrap();
        drop(NoDaemons::new(&file).unwrap());
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
    }
}
