//! Files from elsewhere: none is used before its SHA-256 is the one written in this repository.

use std::{fs::File, io, io::Read, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cargo;

/// Fetches `url` to `file` with curl, over TLS, and checks it.
pub(crate) fn fetch(url: &str, file: &Path, sha256: &str) -> Result<()> {
    cargo::run(
        Command::new("curl")
            .args(["--fail", "--location", "--silent", "--show-error", "--proto", "=https"])
            .args(["--connect-timeout", "15", "--retry", "2", "--output"])
            .arg(file)
            .arg(url),
        &format!("install curl and see that {url} can be reached"),
    )?;
    verify(file, sha256)
}

/// Compares a file with its pinned SHA-256; a file that differs is deleted.
pub(crate) fn verify(file: &Path, sha256: &str) -> Result<()> {
    let found = digest(file).with_context(|| format!("cannot read {}", file.display()))?;
    if found != sha256 {
        let _ = std::fs::remove_file(file);
        bail!(
            "{} is not the file this repository names (SHA-256 {found}, pinned {sha256}): it was deleted; try again, and report it if it stays so",
            file.display()
        );
    }
    Ok(())
}

/// The SHA-256 of a file, in hex.
pub(crate) fn digest(file: &Path) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut file = File::open(file)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => sha256.update(&piece[..length]),
        }
    }
    Ok(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_refused_and_deleted() {
        let file = std::env::temp_dir().join(format!("xtask-verify-{}", std::process::id()));
        std::fs::write(&file, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, B.1
        verify(&file, abc).unwrap();
        std::fs::write(&file, "abd").unwrap();
        assert!(verify(&file, abc).is_err());
        assert!(!file.exists());
    }
}
