//! What a process may do, as the kernel tells it.

use anyhow::Context as _;

/// `CAP_SYS_NICE` (include/uapi/linux/capability.h), as a bit.
pub const SYS_NICE: u64 = 1 << 23;

/// A process's user and effective capabilities (proc_pid_status(5)).
///
/// # Errors
/// When the process is gone.
pub fn of(pid: u32) -> anyhow::Result<(u32, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).with_context(|| format!("no {name}"))
    };
    Ok((field("Uid:")?.parse()?, u64::from_str_radix(field("CapEff:")?, 16)?))
}
