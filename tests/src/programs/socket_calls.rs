//! The C programs, compiled into the cache: the generator of random socket calls, and a receive by `io_uring`.

use std::path::PathBuf;
use std::process::Command;

use super::{cache, fingerprint, installed, workload};
use crate::process;

/// Its source files; the headers come first.
const FILES: [&str; 7] =
    ["plan.h", "forms.h", "main.c", "plan.c", "send.c", "receive.c", "sides.c"];

/// The generator.
///
/// # Errors
/// When there is no C compiler, or it does not compile.
pub fn binary() -> anyhow::Result<PathBuf> {
    compiled("socket_calls", &FILES)
}

/// The receive by `io_uring`.
///
/// # Errors
/// As [`binary`].
pub fn io_uring() -> anyhow::Result<PathBuf> {
    compiled("io_uring", &["main.c"])
}

/// A program, compiled if it is not yet.
fn compiled(name: &str, files: &[&str]) -> anyhow::Result<PathBuf> {
    let files: Vec<PathBuf> = files.iter().map(|file| workload(name).join(file)).collect();
    let built = cache("workloads")?.join(format!("{name}-{}", fingerprint(&files)?));
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
