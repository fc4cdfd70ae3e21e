//! What this kernel lets the agent do, found out before anything is loaded; each refusal is one sentence.
#![forbid(unsafe_code)]

use std::{fs, io, path::Path};

use abi::{Config, OFFSETS, Offset, STRUCTS, Struct, config_flag};
use thiserror::Error;

use super::{btf::KernelTypes, hooks::HookSet, mounts};

/// Linux release since which tracepoints leave preemption on.
const PREEMPTIBLE: (u32, u32) = (7, 0);

/// Where the kernel keeps its type information.
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Oldest kernel the probes are made for: the ring buffer came with 5.8, and 5.10 is the oldest that is tested.
const OLDEST: (u32, u32) = (5, 10);
/// What an older one must have all the same, if its vendor has brought it up to that (RHEL 8's later 4.18).
const RING_BUFFER: &str = "bpf_ringbuf_output";

/// Why this host cannot be traced.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Not enough privileges.
    #[error("spanwire must run as root: try again with sudo")]
    NotRoot,
    /// Too old.
    #[error("this kernel is {0}.{1}; spanwire needs {major}.{minor} or newer", major = OLDEST.0, minor = OLDEST.1)]
    TooOld(u32, u32),
    /// No BTF.
    #[error(
        "this kernel offers no type information ({BTF} is missing): it must be built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    NoTypes,
    /// Damaged BTF.
    #[error("{0}")]
    DamagedTypes(#[from] super::btf::Damaged),
    /// Lockdown.
    #[error(
        "kernel lockdown is in confidentiality mode, which forbids reading what applications send; spanwire can run in integrity mode (boot with lockdown=integrity)"
    )]
    Confidentiality,
    /// A member that every set of hooks needs is missing.
    #[error(
        "this kernel's `struct {0}` has no `{1}`, which spanwire must read; please report it with the kernel's version"
    )]
    Unlike(&'static str, &'static str),
    /// Something else.
    #[error("cannot find out what this kernel allows: {0}")]
    Io(#[from] io::Error),
}

/// What the kernel offers.
pub struct Kernel {
    /// Its type information.
    pub types: KernelTypes,
    /// Version, first two numbers.
    pub version: (u32, u32),
    /// Lockdown mode, if known.
    pub lockdown: Option<String>,
}

impl Kernel {
    /// Looks at the running kernel.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] that a user must be told.
    pub fn examine() -> Result<Self, Refusal> {
        if !rustix::process::geteuid().is_root() {
            return Err(Refusal::NotRoot);
        }
        let version = version()?;
        let lockdown = mounts::lockdown();
        if lockdown.as_deref() == Some("confidentiality") {
            return Err(Refusal::Confidentiality);
        }
        let bytes = match fs::read(BTF) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(if version < OLDEST {
                    Refusal::TooOld(version.0, version.1)
                } else {
                    Refusal::NoTypes
                });
            }
            Err(error) => return Err(error.into()),
        };
        let types = KernelTypes::parse(bytes)?;
        if version < OLDEST && !types.has_function(RING_BUFFER) {
            return Err(Refusal::TooOld(version.0, version.1));
        }
        Ok(Self { types, version, lockdown })
    }

    /// Whether it may take a task off its CPU in the middle of a tracepoint's program.
    #[must_use]
    pub fn is_preemptible(&self) -> bool {
        self.version >= PREEMPTIBLE
    }

    /// The sets of hooks this kernel has the tracepoints for, best first.
    #[must_use]
    pub fn hook_sets(&self) -> Vec<HookSet> {
        HookSet::ALL.into_iter().filter(|set| set.exists(&self.types)).collect()
    }

    /// What newer kernels offer beyond what the probes are built on, with whether this one does: nothing needs it, and
    /// features that come to use it are off without it.
    #[must_use]
    pub fn offers(&self) -> [(&'static str, bool, &'static str); 4] {
        let lsm = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        [
            ("bpf_loop", self.types.has_function("bpf_loop"), "came with Linux 5.17"),
            (
                "uprobe_multi",
                self.types.has_function("bpf_uprobe_multi_link_attach"),
                "came with Linux 6.6",
            ),
            (
                "BPF LSM",
                lsm.split(',').any(|lsm| lsm.trim() == "bpf"),
                "not in the boot option lsm=",
            ),
            (
                "kprobes",
                Path::new("/sys/bus/event_source/devices/kprobe").exists(),
                "built without CONFIG_KPROBES",
            ),
        ]
    }

    /// The probes' configuration for a set of hooks.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unlike`] when a member is missing that the set cannot do without.
    pub fn config(&self, set: HookSet) -> Result<Config, Refusal> {
        let mut offsets = [u32::MAX; OFFSETS];
        for (offset, of, member) in Offset::ALL {
            match self.types.member(of, member) {
                Some(at) => offsets[offset as usize] = at,
                None if needed(offset, set) => return Err(Refusal::Unlike(of, member)),
                None => {}
            }
        }
        let mut structs = [0; STRUCTS];
        for (number, name) in Struct::ALL {
            structs[number as usize] = self.types.structure(name).unwrap_or(0);
        }
        let mut flags = 0;
        // By what is there, not by version: vendors bring such things to older kernels.
        if self.types.has_function("bpf_task_pt_regs") {
            flags |= config_flag::TASK_PT_REGS;
        }
        if set.by_address() {
            flags |= config_flag::BY_ADDRESS;
        }
        if self.is_preemptible() {
            flags |= config_flag::TWICE;
        }
        // Socket, packet, and the error.
        if self.types.tracepoint_arguments("tcp_retransmit_skb").is_some_and(|words| words > 2) {
            flags |= config_flag::RETRANSMIT_FAILS;
        }
        Ok(Config { flags, offsets, structs, ..Config::EMPTY })
    }
}

/// Whether a set of hooks cannot do without a member.
fn needed(offset: Offset, set: HookSet) -> bool {
    match offset {
        Offset::TaskIoUring
        | Offset::FileEp
        | Offset::FileEpLinks
        | Offset::SkState
        | Offset::TaskQueue
        | Offset::QueueRunQueue
        // Of x86-64 only: elsewhere no runtime is known yet.
        | Offset::TaskThreadBase => false,
        Offset::MsgIter
        | Offset::IterType
        | Offset::IterUbuf
        | Offset::IterIov
        | Offset::IterOffset
        | Offset::IterSegments
        | Offset::IterCount => set == HookSet::Locked,
        _ => true,
    }
}

fn version() -> io::Result<(u32, u32)> {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}
