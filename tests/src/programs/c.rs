//! Programs in C, compiled into the cache.

use std::path::PathBuf;
use std::process::Command;

use super::{cache, fingerprint, installed, workload};
use crate::process;

/// The program of a folder below `workloads`, made of these files of it, compiled if it is not yet.
///
/// # Errors
/// When there is no C compiler, or it does not compile.
pub fn compiled(folder: &str, files: &[&str]) -> anyhow::Result<PathBuf> {
    let files: Vec<PathBuf> = files.iter().map(|file| workload(folder).join(file)).collect();
    let name = format!("{}-{}", folder.replace('/', "-"), fingerprint(&files)?);
    let built = cache("workloads")?.join(name);
    if !built.exists() {
        let compiler = installed("cc")?;
        let part = built.with_extension("part");
        process::output(
            Command::new(compiler)
                .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
                .arg(&part)
                .args(files.iter().filter(|file| file.extension().is_some_and(|e| e == "c"))),
        )?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}
