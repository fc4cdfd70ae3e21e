//! Builds the agent as one file that needs nothing of the host, as in the container image: linked statically, against musl.
//!
//! What it says of this kernel is looked at, too: what is linked statically finds hosts, users and files in other ways.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, places, probes, say};

/// The C compiler; some crates bring C.
pub(crate) const COMPILER: &str = "musl-gcc";

/// The task.
pub(crate) fn task(release: bool) -> Result<ExitCode> {
    probes::build()?;
    let made =
        say::step("building the static agent (about 3 minutes the first time)", || build(release))?;
    say::note(format!("{} is ready", made.display()));
    Ok(ExitCode::SUCCESS)
}

/// Builds it and looks at it, as far as this machine can; where it is.
pub(crate) fn check() -> Result<PathBuf> {
    let made = build(false)?;
    ensure!(is_static(&made)?, "{} needs libraries of the host", made.display());
    if !cargo::is_root() {
        return Ok(made);
    }
    let doctor = Command::new(&made).arg("doctor").env_clear().output()?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    ensure!(doctor.status.success(), "{} doctor: {}\n{said}", made.display(), doctor.status);
    Ok(made)
}

/// Whether it can be built here.
pub(crate) fn possible() -> bool {
    cargo::find(COMPILER).is_some() && target().is_some_and(|target| has_std(&target))
}

fn build(release: bool) -> Result<PathBuf> {
    let target = target().context("only for x86-64 and arm64")?;
    let compiler = cargo::find(COMPILER)
        .with_context(|| format!("{COMPILER} is missing: apt-get install musl-tools"))?;
    if !has_std(&target) {
        bail!("Rust's library for {target} is missing: rustup target add {target}");
    }
    let mut cargo = cargo::command();
    cargo.args(["build", "--quiet", "--package", "spanwire", "--target", &target]);
    if release {
        cargo.arg("--release");
    }
    cargo.env_remove("SPANWIRE_NO_PROBES").env_remove("RUSTFLAGS");
    cargo.env(format!("CC_{}", target.replace('-', "_")), &compiler);
    cargo::run(&mut cargo, "see the compiler's message")?;
    let profile = if release { "release" } else { "debug" };
    Ok(places::target()?.join(target).join(profile).join("spanwire"))
}

fn target() -> Option<String> {
    let arch = std::env::consts::ARCH;
    ["x86_64", "aarch64"].contains(&arch).then(|| format!("{arch}-unknown-linux-musl"))
}

/// Whether the toolchain can compile for it.
fn has_std(target: &str) -> bool {
    let asks = ["--print", "target-libdir", "--target", target];
    let told = Command::new("rustc").args(asks).output();
    told.is_ok_and(|told| {
        told.status.success() && Path::new(String::from_utf8_lossy(&told.stdout).trim()).exists()
    })
}

/// Whether no program loads it (elf(5), `PT_INTERP`).
fn is_static(file: &Path) -> Result<bool> {
    const INTERPRETER: u32 = 3;
    let bytes = std::fs::read(file)?;
    let number = |at: usize, len: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let interpreter = (|| {
        // ELF64, little-endian: e_phoff, e_phentsize, e_phnum.
        let (first, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        for header in 0..count {
            let at = usize::try_from(first + header * size).ok()?;
            if number(at, 4)? == u64::from(INTERPRETER) {
                return Some(true);
            }
        }
        Some(false)
    })();
    Ok(!interpreter.with_context(|| format!("{} is no program", file.display()))?)
}
