//! Builds the agent as one file that needs nothing of the host, as in the container image: linked statically, against musl.
//!
//! What it says of this kernel is looked at, too: what is linked statically finds hosts, users and files in other ways.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{cargo, places, probes, say, toolchain};

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
    // An error looks back the way it came: whoever unwinds has to find the tables for that.
    let full = fs::File::options().write(true).open("/dev/full")?;
    let mut fails = Command::new(&made);
    fails.arg("doctor").env("RUST_BACKTRACE", "1").stdout(full);
    let failed = fails.output()?.status;
    ensure!(failed.code() == Some(1), "{} cannot unwind: {failed}", made.display());
    Ok(made)
}

/// Whether it can be built here.
pub(crate) fn possible() -> bool {
    cargo::find(COMPILER).is_some() && target().is_some()
}

fn build(release: bool) -> Result<PathBuf> {
    let target = target().context("only for x86-64 and arm64")?;
    let compiler = cargo::find(COMPILER)
        .with_context(|| format!("{COMPILER} is missing: apt-get install musl-tools"))?;
    let mut cargo = cargo::command();
    cargo.args(["build", "--quiet", "--package", "spanwire", "--target", &target]);
    // By a compiler that is called by another name: in the same folder each would build anew what the other has built for this host.
    let folder = places::target()?.join("static");
    cargo.arg("--target-dir").arg(&folder);
    if release {
        cargo.arg("--release");
    }
    cargo.env_remove("SPANWIRE_NO_PROBES").env_remove("RUSTFLAGS");
    cargo.env(format!("CC_{}", target.replace('-', "_")), &compiler);
    if !has_std(&target) {
        with_std_from_source(&mut cargo, &target, &compiler)?;
    }
    cargo::run(&mut cargo, "see the compiler's message")?;
    let profile = if release { "release" } else { "debug" };
    Ok(folder.join(target).join(profile).join("spanwire"))
}

/// Has Rust's library built as well, where the toolchain brings none for the target.
///
/// It would bring musl, too, and what unwinds. Both are the compiler's own then.
fn with_std_from_source(cargo: &mut Command, target: &str, compiler: &Path) -> Result<()> {
    let folder = places::target()?.join("musl-unwinder");
    unwinder(&folder, compiler)?;
    cargo.args(["-Z", "build-std=std,panic_unwind"]);
    let of_target =
        |what: &str| format!("CARGO_TARGET_{}_{what}", target.replace('-', "_").to_uppercase());
    cargo.env(of_target("LINKER"), compiler);
    let folder = format!("-Lnative={}", folder.display());
    let flags =
        ["-Clink-self-contained=no", "-Crelocation-model=static", "-Clink-arg=-lgcc", &folder];
    cargo.env(of_target("RUSTFLAGS"), flags.join(" "));
    toolchain::prepare()?.apply(cargo)
}

/// Makes what unwinds of gcc's, by the name that Rust's library asks for: LLVM's.
fn unwinder(folder: &Path, compiler: &Path) -> Result<()> {
    let theirs = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output()?;
    let theirs = PathBuf::from(String::from_utf8_lossy(&theirs.stdout).trim());
    ensure!(theirs.is_absolute(), "{} has no libgcc_eh.a: install gcc", compiler.display());
    fs::create_dir_all(folder)?;
    let (ours, both) = (folder.join("unwinder.o"), folder.join("libunwind.a"));
    let source = places::workspace().join("xtask/src/unwinder.c");
    let mut compile = Command::new(compiler);
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-c", "-o"]).arg(&ours).arg(source);
    ensure!(compile.status()?.success(), "unwinder.c does not compile: see above");
    fs::copy(&theirs, &both).with_context(|| format!("{} cannot be copied", theirs.display()))?;
    let added = Command::new("ar").arg("rs").arg(&both).arg(&ours).output()?;
    ensure!(added.status.success(), "ar: {}", String::from_utf8_lossy(&added.stderr));
    Ok(())
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
    let bytes = fs::read(file)?;
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
