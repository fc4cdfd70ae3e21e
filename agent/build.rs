//! Packs the viewer's page, and puts the kernel probes, built beforehand by `cargo xtask build`, where `kernel::object` embeds them.
//!
//! The object is found at `$SPANWIRE_PROBES`, else at `target/probes.o` of the workspace. It is never built from here:
//! it needs another target, another linker and a `core` of its own, and a build script that starts cargo waits for
//! itself. `SPANWIRE_NO_PROBES=1` embeds nothing, for `cargo check` and documentation without the eBPF toolchain.

#[path = "build/bare.rs"]
mod bare;
#[path = "build/page.rs"]
mod page;

use std::{env, fs, path::PathBuf};

/// Where `cargo xtask build` leaves the object, seen from this package's folder. Relative, so that a build folder
/// shared by several checkouts never looks at the object of another one.
const DEFAULT: &str = "../target/probes.o";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/bare.rs");
    println!("cargo::rerun-if-changed=build/page.rs");
    println!("cargo::rerun-if-env-changed=SPANWIRE_PROBES");
    println!("cargo::rerun-if-env-changed=SPANWIRE_NO_PROBES");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    if let Err(error) = page::pack(&out) {
        println!("cargo::error=cannot pack the viewer's page: {error}");
    }
    let out = out.join("probes.o");

    let embedded = if env::var("SPANWIRE_NO_PROBES").is_ok_and(|v| v == "1") {
        fs::write(&out, [])
    } else {
        let object = env::var_os("SPANWIRE_PROBES").unwrap_or_else(|| DEFAULT.into());
        let object = PathBuf::from(object);
        println!("cargo::rerun-if-changed={}", object.display());
        if !object.is_file() {
            println!(
                "cargo::error=the kernel probes are not built yet ({} is missing): run `cargo xtask build` once, or set SPANWIRE_NO_PROBES=1 to compile without them",
                object.display()
            );
            return;
        }
        fs::copy(&object, &out).map(drop)
    };
    if let Err(error) = embedded {
        println!("cargo::error=cannot put the kernel probes at {}: {error}", out.display());
    }
}
