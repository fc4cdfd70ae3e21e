//! The source of `core` for exactly our rustc: eBPF has no compiled one.
//!
//! Taken from the toolchain when it is there, else downloaded beside it, from Debian (a machine that reaches only its
//! package mirrors) or from the Rust project. The toolchain itself is never written to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo,
    debian::{self, Archive},
    download, say,
    toolchain::RUST_VERSION,
};

/// Debian's package of the same release. The version is pinned because the newest one is for a newer rustc.
const DEBIAN_PACKAGE: &str = "rust-src=1.95.0+dfsg1-2~bpo13+1";
const DEBIAN_SUITE: &str = "trixie-backports";
const DEBIAN_SHA256: &str = "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b";

/// The Rust project's own archive; the checksum is the one in the release's channel manifest (`pkg.rust-src`), which
/// every toolchain carries in `lib/rustlib/multirust-channel-manifest.toml`.
const OFFICIAL_URL: &str = "https://static.rust-lang.org/dist/2026-04-16/rust-src-1.95.0.tar.gz";
const OFFICIAL_SHA256: &str = "98548815569318eb60afe7189ace6bca4ba6e4ae59a54f111d276ab78d6ddd10";

/// The folder that `lib/rustlib/src/rust` of a sysroot has to be: the one that holds `library/`.
pub(crate) fn prepare(sysroot: &Path, cache: &Path) -> Result<PathBuf> {
    let own = sysroot.join("lib/rustlib/src/rust");
    if is_complete(&own) {
        return Ok(own);
    }
    let cached = cache.join(format!("rust-src-{RUST_VERSION}"));
    if is_complete(&cached) {
        return Ok(cached);
    }
    let unpacked = cache.join("rust-src.new");
    say::step(
        format!("downloading the source of Rust {RUST_VERSION}'s core (about 10 s, once)"),
        || {
            let library = from_debian(&unpacked).or_else(|debian| {
            say::note(format!("not from Debian: {debian:#}"));
            from_rust_project(&unpacked).with_context(|| {
                format!("no source of core for rustc {RUST_VERSION}: connect this machine to {OFFICIAL_URL} or to a Debian mirror, or run `rustup component add rust-src`")
            })
        })?;
            let _ = fs::remove_dir_all(&cached);
            fs::create_dir_all(&cached)?;
            fs::rename(library, cached.join("library"))?;
            fs::remove_dir_all(&unpacked)?;
            if !is_complete(&cached) {
                bail!("the downloaded source has no library/core: report this");
            }
            Ok(())
        },
    )?;
    Ok(cached)
}

/// Whether cargo's `build-std` finds what it reads first; an unpacking that was cut short never gets this name.
fn is_complete(source: &Path) -> bool {
    source.join("library/Cargo.lock").is_file() && source.join("library/core/src/lib.rs").is_file()
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).with_context(|| {
        format!("cannot make {}: set XDG_CACHE_HOME to a folder you may write", folder.display())
    })
}

/// Downloads Debian's package.
fn from_debian(folder: &Path) -> Result<PathBuf> {
    let package = Archive::open(folder, &[DEBIAN_SUITE])?.fetch(DEBIAN_PACKAGE)?;
    download::verify(&package, DEBIAN_SHA256)?;
    debian::unpack(&package, folder)?;
    Ok(folder.join(format!("usr/src/rustc-{RUST_VERSION}/library")))
}

/// Downloads the Rust project's archive.
fn from_rust_project(folder: &Path) -> Result<PathBuf> {
    fresh(folder)?;
    let archive = folder.join("rust-src.tar.gz");
    download::fetch(OFFICIAL_URL, &archive, OFFICIAL_SHA256)?;
    cargo::run(
        Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder),
        "install tar and gzip",
    )?;
    Ok(folder.join(format!("rust-src-{RUST_VERSION}/rust-src/lib/rustlib/src/rust/library")))
}
