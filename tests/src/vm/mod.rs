//! Tests inside a virtual machine: the end-to-end tests are its first process.
//!
//! `cargo xtask vm-test` packs this program, the agent, and what [`say_needs`] names; the kernel starts it, it makes the
//! machine one that programs can run on, runs the tests that are marked for every kernel, and switches the machine off.

mod init;
mod needs;

pub use init::{first_process, is_first};
pub use needs::{say_needs, say_needs_under_systemd};

use std::io::Write as _;

use crate::agent::Hooks;
use crate::wait::Deadline;

/// How much longer things may take where the CPU is emulated.
pub const SLOWER: u32 = 6;

/// Where the machine says which kernel series it was booted with.
const SERIES: &str = "/etc/kernel-series";

/// Where records go: the second serial port, which becomes a file outside.
const RECORDS: &str = "/dev/ttyS1";

/// Whether this is one of the virtual machines.
#[must_use]
pub fn is_here() -> bool {
    std::path::Path::new(SERIES).exists()
}

/// So many seconds from now, or as many times that as an emulated CPU is slower.
#[must_use]
pub fn deadline(seconds: u64) -> Deadline {
    Deadline::seconds(if is_here() { seconds * u64::from(SLOWER) } else { seconds })
}

/// Whether it has systemd as its first process.
#[must_use]
pub fn is_under_systemd() -> bool {
    is_here() && std::path::Path::new("/run/systemd/system").exists()
}

/// The kernel's series, such as `6.1`.
///
/// # Errors
/// Outside a virtual machine.
pub fn series() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(SERIES)?.trim().to_owned())
}

/// Series whose tracepoints may be preempted (7.0 and newer): the kernel passes over a probe on a CPU where another task was
/// interrupted in it, and counts that (`recursion_misses`).
const PREEMPTIBLE: [&str; 1] = ["7.2"];

/// Whether the kernel under test may pass over probes.
#[must_use]
pub fn passes_over_probes() -> bool {
    series().is_ok_and(|series| PREEMPTIBLE.contains(&&*series))
}

/// The sets of hooks each series must be able to use, best first.
const HOOKS: [(&str, &[Hooks]); 4] = [
    ("5.10", &[Hooks::Syscall]),
    ("6.1", &[Hooks::Syscall]),
    ("6.12", &[Hooks::Length, Hooks::Syscall]),
    ("7.2", &[Hooks::Locked, Hooks::Length, Hooks::Syscall]),
];

/// The hooks this kernel must be able to use, best first; `None` outside a virtual machine.
#[must_use]
pub fn hooks() -> Option<&'static [Hooks]> {
    let series = series().ok()?;
    let (_, hooks) =
        HOOKS.iter().find(|(name, _)| *name == series).expect("every series has a line in HOOKS");
    Some(hooks)
}

/// Writes something down that the repository keeps for each kernel.
///
/// # Errors
/// When the port cannot be written to.
pub fn record(name: &str, text: &str) -> anyhow::Result<()> {
    let mut port = std::fs::OpenOptions::new().write(true).open(RECORDS)?;
    write!(port, "== {name}\n{text}")?;
    Ok(rustix::termios::tcdrain(&port)?)
}
