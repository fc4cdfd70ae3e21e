//! bpf-linker, built against the LLVM that rustc itself ships: its bitcode then always matches, and no LLVM has to be
//! installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{cargo, say, sysroot::link};

/// 0.13 links against LLVM 22, which rustc 1.95 ships.
const VERSION: &str = "0.13.0";
const LLVM_FEATURE: &str = "llvm-22";

/// The folder that holds the program `bpf-linker`.
pub(crate) fn prepare(sysroot: &Path, cache: &Path) -> Result<PathBuf> {
    // The program finds LLVM at run time through this folder of links, so they follow a toolchain that has moved.
    let llvm = cache.join("llvm");
    let library = llvm_library(sysroot)?;
    let name = library.file_name().expect("a file has a name");
    link(&library, &llvm.join("lib").join(name))?;
    link(&library, &llvm.join("lib/libLLVM.so"))?;

    let root = cache.join(format!("bpf-linker-{VERSION}"));
    let bin = root.join("bin");
    if works(&bin.join("bpf-linker")) {
        return Ok(bin);
    }
    say::step(
        format!("building bpf-linker {VERSION} against rustc's own LLVM (about 60 s, once)"),
        || {
            let options = ["--no-default-features", "--features", LLVM_FEATURE];
            cargo::install("bpf-linker", VERSION, &root, cache, &options, &[("LLVM_PREFIX", &llvm)])
        },
    )?;
    Ok(bin)
}

fn works(program: &Path) -> bool {
    let version = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    version
        .is_ok_and(|v| v.status.success() && String::from_utf8_lossy(&v.stdout).contains(VERSION))
}

/// rustc's LLVM, a file like `libLLVM.so.22.1-rust-1.95.0-stable`.
fn llvm_library(sysroot: &Path) -> Result<PathBuf> {
    let lib = sysroot.join("lib");
    fs::read_dir(&lib)
        .with_context(|| format!("cannot read {}: is the Rust toolchain complete?", lib.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|file| {
            file.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("libLLVM.so.") && name.contains("-rust-"))
        })
        .with_context(|| {
            format!(
                "no libLLVM.so.*-rust-* in {}: use the Rust project's own toolchain (https://rustup.rs), not a distribution's",
                lib.display()
            )
        })
}
