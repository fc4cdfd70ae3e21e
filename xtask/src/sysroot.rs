//! A sysroot made of links: the installed toolchain plus the source of `core`.
//!
//! Cargo's `build-std` looks for the source in the sysroot that rustc reports, and `--sysroot` in RUSTFLAGS does not
//! change that report. So the eBPF build gets a rustc of its own: a script that starts the real one with our sysroot.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use anyhow::{Context, Result};

/// Makes the sysroot below `folder`, with `bin/rustc` in it.
pub(crate) fn prepare(installed: &Path, source: &Path, folder: &Path) -> Result<()> {
    let rustlib = Path::new("lib/rustlib");
    link_all_but(&installed.join("lib"), "rustlib", &folder.join("lib"))?;
    link_all_but(&installed.join(rustlib), "src", &folder.join(rustlib))?;
    link(source, &folder.join(rustlib).join("src/rust"))?;

    let rustc = folder.join("bin/rustc");
    let script = format!(
        "#!/bin/sh\nexec '{}' --sysroot '{}' \"$@\"\n",
        installed.join("bin/rustc").display(),
        folder.display()
    );
    // Cargo keeps what it knows of a rustc by the file's time: write it only when it changes.
    if fs::read_to_string(&rustc).ok().as_deref() != Some(&script) {
        fs::create_dir_all(folder.join("bin"))?;
        fs::write(&rustc, script)?;
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Links every entry of a folder into another one, the named entry excepted.
fn link_all_but(from: &Path, but: &str, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| {
        format!("cannot read {}: is the Rust toolchain complete?", from.display())
    })?;
    for entry in entries {
        let name = entry?.file_name();
        if name != but {
            link(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// Makes `at` a link to `target`, whatever it was before.
pub(crate) fn link(target: &Path, at: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let _ = fs::remove_file(at);
    if let Some(folder) = at.parent() {
        fs::create_dir_all(folder).with_context(|| {
            format!(
                "cannot make {}: set XDG_CACHE_HOME to a folder you may write",
                folder.display()
            )
        })?;
    }
    symlink(target, at)
        .with_context(|| format!("cannot make the link {}: delete what is there", at.display()))
}
