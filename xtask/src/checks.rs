//! Checks of the source: its format and clippy's warnings, on the host's crates and on the probes.

use std::process::ExitCode;

use anyhow::Result;

use crate::{cargo, probes};

/// Every file is as `cargo fmt` writes it.
pub(crate) fn format() -> Result<()> {
    cargo::run(cargo::command().args(["fmt", "--all", "--check"]), "run `cargo fmt --all`")
}

/// The task: all of them.
pub(crate) fn task() -> Result<ExitCode> {
    format()?;
    probes::build()?;
    clippy()?;
    clippy_probes()?;
    Ok(ExitCode::SUCCESS)
}

/// No warning in any host crate, tests included.
pub(crate) fn clippy() -> Result<()> {
    let mut clippy = cargo::command();
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    cargo::run(&mut clippy, "mend what clippy names")
}

/// No warning in the probes.
pub(crate) fn clippy_probes() -> Result<()> {
    let mut clippy = probes::command("clippy")?;
    clippy.args(["--quiet", "--", "-D", "warnings"]);
    // A program takes its context by value: the macros of aya-ebpf want it so.
    clippy.args(["-A", "clippy::needless_pass_by_value"]);
    cargo::run(&mut clippy, "mend what clippy names in ebpf/src/probes")
}
