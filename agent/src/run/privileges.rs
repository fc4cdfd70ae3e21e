//! What the agent may still do once its probes are loaded: what it needs from then on, and nothing else that root may.
//!
//! The kernel keeps capabilities per thread, so they are given up while there is one thread; those that it starts have no more.
//! Must never take what a setting can still ask for: files of other users, another user for the child.
#![forbid(unsafe_code)]

use std::{fs, io};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// What is needed as long as it runs; capabilities(7).
const NEEDED: CapabilitySet = CapabilitySet::BPF // probes of runtimes, and all maps
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE) // /proc of other users
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::DAC_OVERRIDE) // a spool or a store in somebody else's folder
    .union(CapabilitySet::SETUID) // the unprivileged child
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::KILL) // that child's end
    .union(CapabilitySet::SYS_RESOURCE); // locked memory, before Linux 5.11

/// Gives up the rest: what loading alone needed (networks' options, mounts, other namespaces), and what nothing needs.
///
/// # Errors
/// When there is more than one thread, or the kernel refuses; nothing has changed then.
pub(super) fn keep_needed() -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("other threads run already"));
    }
    let kept = capabilities(None)?.permitted.intersection(NEEDED);
    let none = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: none },
    )?)
}
