//! The kernel's file systems that the agent reads: found where they are, or mounted where they belong.
#![forbid(unsafe_code)]

use std::{fs, io, path::Path};

use rustix::mount::{MountFlags, mount};

/// Makes sure that tracepoints can be named: their ids are files of tracefs.
///
/// # Errors
///
/// When tracefs is nowhere and cannot be mounted.
pub fn tracefs() -> io::Result<()> {
    const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    if PLACES.iter().any(|place| Path::new(place).join("events").is_dir()) {
        return Ok(());
    }
    mount(
        "tracefs",
        PLACES[0],
        "tracefs",
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        None,
    )?;
    log::info!("mounted tracefs at {}", PLACES[0]);
    Ok(())
}

/// The kernel's lockdown mode (`none`, `integrity`, `confidentiality`), if the kernel has one.
#[must_use]
pub fn lockdown() -> Option<String> {
    const SECURITY: &str = "/sys/kernel/security";
    let mode = Path::new(SECURITY).join("lockdown");
    if !mode.exists() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        match mount("securityfs", SECURITY, "securityfs", flags, None) {
            Ok(()) => log::info!("mounted securityfs at {SECURITY}"),
            Err(error) => log::debug!("securityfs cannot be mounted: {error}"),
        }
    }
    let modes = fs::read_to_string(mode).ok()?;
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}
