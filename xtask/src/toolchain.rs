//! Everything the eBPF build needs beside the installed toolchain, prepared once per machine in the cache.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{cargo, linker, places, rust_src, sysroot};

/// The one release this repository is built with: the source of `core` and the LLVM below bpf-linker are pinned to it.
/// `rust-toolchain.toml` says the same.
pub(crate) const RUST_VERSION: &str = "1.95.0";

/// What an eBPF build is started with.
pub(crate) struct Toolchain {
    /// The sysroot of links to use; none when the installed one has the source of `core` by itself.
    sysroot: Option<PathBuf>,
    /// The folder that holds `bpf-linker`.
    linker: PathBuf,
}

/// Looks what is there and fetches or builds the rest. Two checkouts that do so at once wait for each other.
pub(crate) fn prepare() -> Result<Toolchain> {
    let installed = installed_sysroot()?;
    let cache = places::cache()?;
    let lock = File::create(cache.join("lock"))
        .context("cannot write to the cache: set XDG_CACHE_HOME")?;
    lock.lock().context(
        "cannot lock the cache: is it on a file system without locks? Set XDG_CACHE_HOME",
    )?;

    let source = rust_src::prepare(&installed, &cache)?;
    let sysroot = if source.starts_with(&installed) {
        None
    } else {
        let folder = cache.join(format!("sysroot-{RUST_VERSION}"));
        sysroot::prepare(&installed, &source, &folder)?;
        Some(folder)
    };
    Ok(Toolchain { sysroot, linker: linker::prepare(&installed, &cache)? })
}

impl Toolchain {
    /// Makes a cargo command one for eBPF. Only for the probes: none of this may reach the host's crates.
    pub(crate) fn apply(&self, command: &mut Command) -> Result<()> {
        let mut path = vec![self.linker.clone()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.env(
            "PATH",
            std::env::join_paths(path)
                .context("PATH cannot be extended: look for a colon in XDG_CACHE_HOME")?,
        );
        command.env("RUSTC_BOOTSTRAP", "1"); // build-std on a stable toolchain
        // RUSTFLAGS is the caller's; all else that changes a compilation goes.
        for inherited in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(inherited);
        }
        if let Some(sysroot) = &self.sysroot {
            command.env("RUSTC", sysroot.join("bin/rustc"));
            command.env("SYSROOT", sysroot); // clippy never starts that rustc: this is its way of being told
        }
        Ok(())
    }
}

/// The installed toolchain's folder, by its real name: rustup knows the same one under several.
fn installed_sysroot() -> Result<PathBuf> {
    let rustc = || {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(places::workspace());
        rustc
    };
    let install = "install Rust from https://rustup.rs";
    let version = cargo::output(rustc().arg("--version"), install)?;
    if !version.starts_with(&format!("rustc {RUST_VERSION} ")) {
        bail!(
            "spanwire is built with rustc {RUST_VERSION}, and this is {version}: run `rustup toolchain install {RUST_VERSION}` and unset RUSTUP_TOOLCHAIN"
        );
    }
    let sysroot = cargo::output(rustc().args(["--print", "sysroot"]), install)?;
    fs::canonicalize(Path::new(&sysroot))
        .with_context(|| format!("{sysroot} cannot be read: {install}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_release_is_the_same_everywhere() {
        let pinned = fs::read_to_string(places::workspace().join("rust-toolchain.toml")).unwrap();
        assert!(pinned.contains(&format!("\nchannel = \"{RUST_VERSION}\"\n")));
    }
}
