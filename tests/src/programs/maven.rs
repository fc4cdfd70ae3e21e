//! Jars from Maven, fetched once into the cache: they must be the bytes that were pinned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use super::{cache, fingerprint, installed};
use crate::hex::hex;
use crate::process;

/// The folder of the jars of a project, filled if it is not yet. The project's folder has its `pom.xml`, and their
/// `SHA256SUMS`; `name` is what they are kept under.
///
/// # Errors
/// A skip when Maven is missing; or a jar is not to be had, or is another one.
pub fn jars(name: &str, project: &Path) -> anyhow::Result<PathBuf> {
    let maven = installed("mvn")?;
    let (pom, sums) = (project.join("pom.xml"), project.join("SHA256SUMS"));
    let folder = cache(&format!("{name}-{}", fingerprint(&[pom.clone(), sums.clone()])?))?;
    let jars = folder.join("jars");
    if !jars.exists() {
        // Maven writes beside the file it is given.
        let own = folder.join("pom.xml");
        std::fs::copy(pom, &own)?;
        let part = folder.join("jars.part");
        let mut fetch = Command::new(maven);
        fetch.args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "--file"]).arg(own);
        fetch.arg(format!("-DoutputDirectory={}", part.display()));
        process::output(fetch.arg("-DincludeScope=runtime"))?;
        check(&part, &std::fs::read_to_string(sums)?)?;
        std::fs::rename(part, &jars)?;
    }
    Ok(jars)
}

/// The folder holds exactly the files of the list, which is in the form of `sha256sum`.
fn check(folder: &Path, sums: &str) -> anyhow::Result<()> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let hash = hex(&Sha256::digest(std::fs::read(file.path())?));
        found.insert(file.file_name().to_string_lossy().into_owned(), hash);
    }
    let pinned = sums.lines().map(|line| {
        let (hash, name) = line.split_once("  ").context("a line without a name")?;
        Ok((name.to_owned(), hash.to_owned()))
    });
    let pinned: BTreeMap<_, _> = pinned.collect::<anyhow::Result<_>>()?;
    ensure!(found == pinned, "Maven fetched {found:#?}, not what is pinned: {pinned:#?}");
    Ok(())
}
