//! Packages from npm, installed once into the cache exactly as their lock file says; and the clients that stand on them.

use std::path::PathBuf;
use std::process::Command;

use super::{cache, fingerprint, installed, workload};
use crate::process;

/// The tour's client on `axios` or `undici`, without its further arguments.
///
/// # Errors
/// A skip when Node or npm is missing; or a package is not to be had.
pub fn tour_client(way: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("node")?);
    command.env("NODE_PATH", packages("npm")?);
    command.arg(workload("npm/tour_client.js")).arg(way);
    Ok(command)
}

/// The folder of the packages that a folder below `workloads` asks for, filled if it is not yet.
///
/// # Errors
/// A skip when npm is missing; or a package is not to be had.
pub fn packages(project: &str) -> anyhow::Result<PathBuf> {
    let npm = installed("npm")?;
    let files = ["package.json", "package-lock.json"].map(|file| workload(project).join(file));
    let name = format!("{}-{}", project.replace('/', "-"), fingerprint(&files)?);
    let folder = cache(&name)?;
    // npm empties the folder itself before it begins; a mark tells that it came to the end.
    let mark = folder.join("complete");
    if !mark.exists() {
        for file in &files {
            std::fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let mut install = Command::new(npm);
        install.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        process::output(&mut install)?;
        std::fs::write(mark, "")?;
    }
    Ok(folder.join("node_modules"))
}
