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
    .union(CapabilitySet::SYS_NICE) // to go first while the rings fill, where `RLIMIT_NICE` does not allow it
    .union(CapabilitySet::SYS_RESOURCE); // locked memory, before Linux 5.11

/// What only the thread needs that puts probes into programs: kernels of today let nobody else do that by `perf_event_open`
/// (`perf_uprobe_event_init`; seen on 6.18, where `CAP_PERFMON` alone is refused).
const OF_RUNTIMES: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// Gives up the rest: what loading alone needed (networks' options, mounts, other namespaces), and what nothing needs. Then starts
/// what puts probes into programs, and gives up what that alone needs as well.
///
/// Also says when that was not possible, because there is more than one thread, or the kernel refuses: then nothing has changed.
pub(super) fn keep_needed<T>(start_runtimes: impl FnOnce() -> T) -> (T, io::Result<()>) {
    let first = alone().and_then(|()| keep(NEEDED.union(OF_RUNTIMES)));
    let runtimes = start_runtimes();
    // Threads have what the one had that started them: all later ones are without it.
    let second = if first.is_ok() { keep(NEEDED) } else { first };
    (runtimes, second)
}

/// Whether there is one thread: the kernel keeps capabilities per thread.
fn alone() -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("other threads run already"));
    }
    Ok(())
}

fn keep(needed: CapabilitySet) -> io::Result<()> {
    let kept = capabilities(None)?.permitted.intersection(needed);
    let none = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: none },
    )?)
}
