//! The generator of random socket calls: a C program, compiled into the cache.

use std::path::PathBuf;
use std::process::Command;

use super::{cache, fingerprint, installed, workload};
use crate::process;

/// Its source files; the headers come first.
const FILES: [&str; 7] =
    ["plan.h", "forms.h", "main.c", "plan.c", "send.c", "receive.c", "sides.c"];

/// The program, compiled if it is not yet.
///
/// # Errors
/// When there is no C compiler, or it does not compile.
pub fn binary() -> anyhow::Result<PathBuf> {
    let files = FILES.map(|file| workload("socket_calls").join(file));
    let built = cache("workloads")?.join(format!("socket_calls-{}", fingerprint(&files)?));
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
