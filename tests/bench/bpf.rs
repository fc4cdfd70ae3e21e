//! What the kernel says of the agent's programs: how often each ran and for how long.
//!
//! The kernel measures only while somebody asks for it, and measuring costs every run some 50 ns: so this is done in
//! passes of their own, never in those whose figures are compared.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use tests::kernel::programs_of;

/// Commands of `enum bpf_cmd`.
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const ENABLE_STATS: libc::c_long = 32;

/// Words of `struct bpf_prog_info` up to its `recursion_misses`, and where in it is what we read.
const INFO_WORDS: usize = 27;
const NAME: std::ops::Range<usize> = 8..10;
const RUN_TIME: usize = 24;
const RUNS: usize = 25;
const MISSED: usize = 26;

/// While it lives, the kernel measures.
pub(crate) struct Measuring {
    _asked: OwnedFd,
}

impl Measuring {
    /// Asks for it (`BPF_STATS_RUN_TIME`).
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self { _asked: descriptor(ENABLE_STATS, [0, 0])? })
    }
}

/// What one program did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    /// How often it ran.
    pub(crate) count: u64,
    /// For how long in all, ns. One reading of the clock is part of each run.
    pub(crate) nanos: u64,
    /// How often it was skipped because it or another ran on that CPU already.
    pub(crate) missed: u64,
}

/// The programs of a process by name, as they are now.
pub(crate) fn programs(pid: u32) -> anyhow::Result<BTreeMap<String, Runs>> {
    let mut found = BTreeMap::<String, Runs>::new();
    for id in programs_of(pid)? {
        let program = descriptor(PROG_GET_FD_BY_ID, [u64::from(id), 0])?;
        let info = info(&program)?;
        let name: Vec<u8> = info[NAME].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        let runs = found.entry(name).or_default();
        runs.count += info[RUNS];
        runs.nanos += info[RUN_TIME];
        runs.missed += info[MISSED];
    }
    Ok(found)
}

/// What happened between two looks, for programs that ran at all.
pub(crate) fn since(
    before: &BTreeMap<String, Runs>,
    after: &BTreeMap<String, Runs>,
) -> BTreeMap<String, Runs> {
    let difference = |name: &str, after: &Runs| {
        let before = before.get(name).copied().unwrap_or_default();
        Runs {
            count: after.count - before.count,
            nanos: after.nanos - before.nanos,
            missed: after.missed - before.missed,
        }
    };
    after
        .iter()
        .map(|(name, runs)| (name.clone(), difference(name, runs)))
        .filter(|(_, runs)| runs.count + runs.missed > 0)
        .collect()
}

/// A command that answers with a descriptor. `union bpf_attr` is two words here: the kernel takes the rest as zeros.
fn descriptor(command: libc::c_long, attributes: [u64; 2]) -> anyhow::Result<OwnedFd> {
    // SAFETY: the command reads `size` bytes at the pointer, which `attributes` has and outlives the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes))
    };
    let error = std::io::Error::last_os_error();
    anyhow::ensure!(fd >= 0, "bpf command {command}: {error}");
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) })
}

fn info(program: &OwnedFd) -> anyhow::Result<[u64; INFO_WORDS]> {
    let mut info = [0_u64; INFO_WORDS];
    // The descriptor, the buffer's length in bytes, its address.
    let attributes = [
        u64::try_from(program.as_raw_fd())? | (size_of_val(&info) as u64) << 32,
        info.as_mut_ptr() as u64,
    ];
    // SAFETY: the command reads the attributes and writes at most the stated length at the stated address, which is
    // `info`; both outlive the call.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    let error = std::io::Error::last_os_error();
    anyhow::ensure!(failed == 0, "what a BPF program did cannot be read: {error}");
    Ok(info)
}
