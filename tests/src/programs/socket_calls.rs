//! The C programs, compiled into the cache: the generator of random socket calls, and a receive by `io_uring`.

use std::path::PathBuf;

use super::c::compiled;

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
