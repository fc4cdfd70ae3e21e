//! Builds everything for arm64, where nothing is run: a build that breaks there is seen here.
//!
//! The toolchain has no standard library for it, so that is built from source too, by the same sysroot as the probes'.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::{cargo, places, probes, say, toolchain};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The C compiler and linker; some crates bring C.
pub(crate) const COMPILER: &str = "aarch64-linux-gnu-gcc";

/// The task.
pub(crate) fn task() -> Result<ExitCode> {
    say::step("building for arm64 (about 2 minutes the first time)", build)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the probes with arm64's registers, and the agent with them inside.
pub(crate) fn build() -> Result<()> {
    let compiler = cargo::find(COMPILER).with_context(|| {
        format!(
            "{COMPILER} is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        )
    })?;
    let object = probes::build_for_arm64()?;
    agent(&compiler, &object)
}

fn agent(compiler: &Path, object: &Path) -> Result<()> {
    let mut cargo = cargo::command();
    cargo.args(["build", "--quiet", "--package", "spanwire", "--target", TARGET]);
    cargo.args(["-Z", "build-std=std,panic_unwind"]);
    cargo.arg("--target-dir").arg(places::target()?.join("arm64"));
    cargo.env("SPANWIRE_PROBES", object).env_remove("RUSTFLAGS");
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", compiler);
    toolchain::prepare()?.apply(&mut cargo)?;
    cargo::run(&mut cargo, "see the compiler's message")
}
