//! Where things are: the checkout, cargo's build folder, and the cache that outlives a checkout.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result};

use crate::cargo;

/// The checkout that cargo was started in; without cargo the one this xtask was built from, which may be another where checkouts
/// share a build folder.
pub(crate) fn workspace() -> &'static Path {
    static WORKSPACE: OnceLock<PathBuf> = OnceLock::new();
    WORKSPACE.get_or_init(|| {
        let own = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let own = own.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        own.parent().expect("xtask lies in the workspace's folder").to_owned()
    })
}

/// The folder cargo builds into; `target`, unless `CARGO_TARGET_DIR` or a cargo configuration says otherwise, so cargo
/// is asked.
pub(crate) fn target() -> Result<PathBuf> {
    let json = cargo::command()
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo: run this as `cargo xtask`")?
        .stdout;
    let metadata: serde_json::Value =
        serde_json::from_slice(&json).context("cargo metadata gave no JSON: see its message")?;
    let target = metadata["target_directory"].as_str();
    target.map(PathBuf::from).context("cargo metadata names no target_directory: report this")
}

/// The fixed place where `agent/build.rs` looks for the probes. It belongs to the checkout even when cargo's build
/// folder is shared by several of them.
pub(crate) fn probes_object() -> PathBuf {
    workspace().join("target/probes.o")
}

/// `$XDG_CACHE_HOME/spanwire`, made if missing: downloads and built tools, each under a name with its version.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute()) // the XDG rule: a relative path counts as unset
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .context("no folder for downloads: set XDG_CACHE_HOME or HOME")?;
    let cache = base.join("spanwire");
    fs::create_dir_all(&cache).with_context(|| {
        format!("cannot make {}: set XDG_CACHE_HOME to a folder you may write", cache.display())
    })?;
    Ok(cache)
}
