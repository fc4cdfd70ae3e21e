//! The kernel probes: the `probes` binary of the crate `spanwire-ebpf`, built for BPF.
//!
//! `AYA_BPF_TARGET_ARCH` (x86_64, aarch64, …) in the environment chooses another CPU's register layout than this
//! machine's; the instruction set is the same little-endian BPF for all of them.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{cargo, places, say, toolchain};

const TARGET: &str = "bpfel-unknown-none";

/// BTF is made from debug information, so this stays on.
const RUSTFLAGS: &str = "-C debuginfo=2 -C link-arg=--btf";

/// The workspace's release profile is for the host. The verifier counts instructions: full optimisation across crates,
/// and no unwinding, which BPF does not have.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.debug=2",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"none\"",
];

/// Builds the object and puts it where `agent/build.rs` looks; gives that place.
pub(crate) fn build() -> Result<PathBuf> {
    let mut cargo = command("build")?;
    let built = target_dir()?.join(TARGET).join("release/probes");
    let hint = if built.exists() { "" } else { " (about 40 s the first time)" };
    say::step(format!("building the kernel probes{hint}"), || {
        cargo::run(
            cargo.arg("--quiet"),
            "see the compiler's message; the probes' source is ebpf/src/probes",
        )
    })?;

    let object = places::probes_object();
    let bytes = fs::read(&built)
        .with_context(|| format!("cargo left no {}: report this", built.display()))?;
    // The time of an unchanged object stays, or the agent would be built again for nothing.
    if fs::read(&object).ok().as_deref() != Some(&bytes) {
        fs::create_dir_all(places::workspace().join("target"))?;
        fs::write(&object, bytes)
            .with_context(|| format!("cannot write {}: free it", object.display()))?;
    }
    Ok(object)
}

/// Builds the object with arm64's register layout, in a folder of its own; gives the object.
pub(crate) fn build_for_arm64() -> Result<PathBuf> {
    let folder = places::target()?.join("probes-arm64");
    let mut cargo = command("build")?;
    cargo.arg("--quiet").arg("--target-dir").arg(&folder).env("AYA_BPF_TARGET_ARCH", "aarch64");
    cargo::run(&mut cargo, "see the compiler's message; the probes' source is ebpf/src/probes")?;
    Ok(folder.join(TARGET).join("release/probes"))
}

/// A cargo command (`build`, `clippy`) for the probes alone, with the toolchain prepared.
pub(crate) fn command(task: &str) -> Result<Command> {
    let toolchain = toolchain::prepare()?;
    let mut cargo = cargo::command();
    cargo.args([task, "--release", "--package", "spanwire-ebpf", "--bin", "probes"]);
    cargo.args(["--features", "probes", "--target", TARGET, "-Z", "build-std=core"]);
    cargo.env("CARGO_TARGET_DIR", target_dir()?);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    cargo.env("RUSTFLAGS", RUSTFLAGS);
    toolchain.apply(&mut cargo)?;
    Ok(cargo)
}

/// Beside the host's build, not in it: nothing of the two can be shared.
fn target_dir() -> Result<PathBuf> {
    Ok(places::target()?.join("probes"))
}
