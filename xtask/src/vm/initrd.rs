//! The file system of a virtual machine: the tests, the agent, and the programs they start, each with the libraries it
//! is linked against, at the paths they have on this machine. It is unpacked into memory by the kernel.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Files to be put into an archive, by the path they will have.
#[derive(Default)]
pub(crate) struct Initrd {
    entries: Vec<Entry>,
    paths: BTreeSet<PathBuf>,
}

struct Entry {
    path: PathBuf,
    content: Content,
}

enum Content {
    Folder,
    File(PathBuf),
    Text(String),
    Link(PathBuf),
}

impl Initrd {
    /// An executable and what it is linked against, at another path than it has here.
    pub(crate) fn program_at(&mut self, path: &Path, file: &Path) -> Result<()> {
        self.put_file(path, file);
        self.libraries_of(file)
    }

    /// An executable and what it is linked against.
    pub(crate) fn program(&mut self, file: &Path) -> Result<()> {
        self.file(file)?;
        self.libraries_of(file)
    }

    /// A file, and where it is a link, what it leads to.
    pub(crate) fn file(&mut self, file: &Path) -> Result<()> {
        let kind = fs::symlink_metadata(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        // A library may lie in a folder that is a link itself (/lib).
        let folder = file.parent().context("a path without a folder")?;
        let real_folder = folder.canonicalize()?;
        if real_folder != folder {
            self.put(folder, Content::Link(real_folder.clone()));
            return self
                .file(&real_folder.join(file.file_name().context("a path without a name")?));
        }
        if kind.is_symlink() {
            self.put(file, Content::Link(fs::read_link(file)?));
            return self.file(&file.canonicalize()?);
        }
        self.put(file, Content::File(file.to_owned()));
        Ok(())
    }

    /// A file as it is, at another path.
    pub(crate) fn put_file(&mut self, path: &Path, file: &Path) {
        self.put(path, Content::File(file.to_owned()));
    }

    /// A folder with everything below it that `wanted` accepts, where it really is; a link leads there.
    pub(crate) fn tree(&mut self, folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
        let real =
            folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?;
        if real != folder {
            self.put(folder, Content::Link(real.clone()));
            return self.tree(&real, wanted);
        }
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| wanted(path))
            .collect();
        entries.sort();
        for path in entries {
            if fs::symlink_metadata(&path)?.is_dir() {
                self.tree(&path, wanted)?;
            } else if path.exists() {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    /// A file with this text.
    pub(crate) fn text(&mut self, path: &str, text: impl Into<String>) {
        self.put(Path::new(path), Content::Text(text.into()));
    }

    /// An empty folder.
    pub(crate) fn folder(&mut self, path: &str) {
        self.put(Path::new(path), Content::Folder);
    }

    /// What the dynamic loader would load for a file; nothing for a static one.
    pub(crate) fn libraries_of(&mut self, file: &Path) -> Result<()> {
        let output =
            Command::new("ldd").arg(file).output().context("cannot start ldd: install libc-bin")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for library in libraries(&text) {
            self.file(Path::new(library))?;
        }
        Ok(())
    }

    fn put(&mut self, path: &Path, content: Content) {
        if let Some(folder) = path.parent()
            && folder.parent().is_some()
            && !self.paths.contains(folder)
        {
            self.put(folder, Content::Folder);
        }
        if self.paths.insert(path.to_owned()) {
            self.entries.push(Entry { path: path.to_owned(), content });
        }
    }

    /// Writes the archive, in the form the kernel reads (Documentation/driver-api/early-userspace/buffer-format.rst).
    pub(crate) fn write(&self, archive: &Path) -> Result<()> {
        let mut out = io::BufWriter::new(
            fs::File::create(archive)
                .with_context(|| format!("cannot write {}", archive.display()))?,
        );
        for (number, entry) in (1..).zip(&self.entries) {
            let name = entry.path.strip_prefix("/").unwrap_or(&entry.path);
            let mut time = 0;
            let (mode, bytes) = match &entry.content {
                Content::Folder => (0o040_755, Vec::new()),
                Content::File(file) => {
                    let found = fs::metadata(file)?;
                    // Python compiles again what is not as old as its source.
                    time = u32::try_from(found.mtime()).unwrap_or(0);
                    (0o100_000 | (found.mode() & 0o777), fs::read(file)?)
                }
                Content::Text(text) => (0o100_644, text.clone().into_bytes()),
                Content::Link(to) => (0o120_777, to.to_string_lossy().into_owned().into_bytes()),
            };
            let length = u32::try_from(bytes.len()).context("a file is too large for an initrd")?;
            let mut file = cpio::NewcBuilder::new(&name.to_string_lossy())
                .ino(number)
                .mode(mode)
                .mtime(time)
                .nlink(1)
                .write(&mut out, length);
            file.write_all(&bytes)?;
            file.finish()?;
        }
        cpio::newc::trailer(&mut out)?.flush()?;
        Ok(())
    }
}

/// The paths in what ldd prints: `libc.so.6 => /lib/x/libc.so.6 (0x…)`, or the loader alone.
fn libraries(ldd: &str) -> impl Iterator<Item = &str> {
    ldd.lines().filter_map(|line| {
        let path = line.split_once("=> ").map_or(line, |(_, path)| path).trim();
        let path = path.split(" (0x").next()?;
        path.starts_with('/').then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_ldds_output() {
        let text = "\tlinux-vdso.so.1 (0x7ffe)\n\tlibz.so.1 => /lib/x/libz.so.1 (0x7f)\n\tlibno.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let found: Vec<&str> = libraries(text).collect();
        assert_eq!(found, ["/lib/x/libz.so.1", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut initrd = Initrd::default();
        initrd.text("/a/b/c", "text");
        initrd.folder("/a/b");
        let paths: Vec<_> =
            initrd.entries.iter().map(|entry| entry.path.display().to_string()).collect();
        assert_eq!(paths, ["/a", "/a/b", "/a/b/c"]);
    }
}
