//! The programs that let contexts go by the wire: TCP options (D6.3).
//!
//! Whatever is missing for them turns off this one feature, with its reason. Nothing here changes what is traced.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use abi::{Config, config_flag};
use aya::{
    Btf, Ebpf,
    programs::{CgroupAttachMode, Iter, SockOps, TracePoint},
};

use super::{features::Kernel, hooks::HookSet, netns, refusal::one_line, walk};

/// Contexts go beside requests in a TCP option.
pub const OPTION: &str = "contexts in TCP options";
/// The same for listeners that were there before us.
pub const LISTENERS: &str = "contexts to listeners older than the agent";
/// What can be off.
pub const FEATURES: [&str; 2] = [OPTION, LISTENERS];

/// Calls that send a request's first byte.
const SENDING: [&str; 5] = ["write", "writev", "pwritev2", "sendto", "sendmsg"];

/// What the probes must know of sampling: they decide on a trace when its context goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// See [`abi::wire::is_sampled`].
    pub threshold: u64,
    /// What the caller has decided holds.
    pub caller_decides: bool,
}

impl Sampling {
    /// As it lies in the probes' map.
    pub(super) const fn words(self) -> [u64; 2] {
        [self.threshold, self.caller_decides as u64]
    }
}

/// To whom contexts may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// To public addresses, too.
    pub anywhere: bool,
    /// Cookie of the one network namespace, if there is one; `Err` if it cannot be known.
    pub namespace: Result<u64, &'static str>,
}

impl Default for Wire {
    /// As it is where nothing is set.
    fn default() -> Self {
        Self { anywhere: false, namespace: Ok(0) }
    }
}

impl Wire {
    /// The probes' configuration with it.
    pub(super) fn config(self, config: Config, set: HookSet) -> Config {
        let Ok(namespace) = self.namespace else { return config };
        let mut flags = config.flags | config_flag::WIRE;
        if set == HookSet::Length {
            flags |= config_flag::WIRE_LATE;
        }
        if self.anywhere {
            flags |= config_flag::WIRE_ANYWHERE;
        }
        Config { flags, network_namespace_cookie: namespace, ..config }
    }
}

/// Attaches them; what is off, and why.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &Kernel,
    set: HookSet,
    wire: Option<&Wire>,
) -> Vec<(&'static str, String)> {
    let both = |why: String| vec![(OPTION, why.clone()), (LISTENERS, why)];
    let Some(wire) = wire else { return both("switched off by propagation.tcp_option".into()) };
    if let Err(why) = wire.namespace {
        return both(why.into());
    }
    if let Err(why) = options(ebpf) {
        return both(why);
    }
    let mut off = Vec::new();
    if set == HookSet::Syscall
        && let Err(why) = senders(ebpf)
    {
        off.push((OPTION, format!("only received: {why}")));
    }
    if let Err(why) = listeners(ebpf, btf, kernel) {
        off.push((LISTENERS, why));
    }
    off
}

fn options(ebpf: &mut Ebpf) -> Result<(), String> {
    let root = hierarchy()?;
    let group = File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let program: &mut SockOps = ebpf
        .program_mut("wire_options")
        .and_then(|program| program.try_into().ok())
        .ok_or("it is not in the object")?;
    program.load().map_err(|error| one_line(&error))?;
    // As a link it stands beside those of others, whatever the mode is called.
    program.attach(group, CgroupAttachMode::Single).map_err(|error| one_line(&error))?;
    Ok(())
}

/// Looks at what is sent before it is.
fn senders(ebpf: &mut Ebpf) -> Result<(), String> {
    let program: &mut TracePoint = ebpf
        .program_mut("enter_call")
        .and_then(|program| program.try_into().ok())
        .ok_or("it is not in the object")?;
    program.load().map_err(|error| one_line(&error))?;
    for call in SENDING {
        program
            .attach("syscalls", &format!("sys_enter_{call}"))
            .map_err(|error| one_line(&error))?;
    }
    Ok(())
}

/// Sets the listeners' flags, namespace by namespace: an iterator sees those of its reader.
fn listeners(ebpf: &mut Ebpf, btf: &Btf, kernel: &Kernel) -> Result<(), String> {
    if !kernel.types.has_enumerator("TCP_BPF_SOCK_OPS_CB_FLAGS") {
        return Err("this kernel cannot change them, which came with Linux 6.13".into());
    }
    let program: &mut Iter = ebpf
        .program_mut("wire_listeners")
        .and_then(|program| program.try_into().ok())
        .ok_or("it is not in the object")?;
    program.load("tcp", btf).map_err(|error| one_line(&error))?;
    for namespace in netns::all() {
        // A process that has ended since takes its namespace with it.
        if let Err(error) = walk::over_sockets(program, &namespace) {
            log::debug!("the listeners of {} are left as they are: {error}", namespace.display());
        }
    }
    Ok(())
}

/// Where the whole cgroup v2 hierarchy is mounted: `/sys/fs/cgroup`, below it beside those of v1, or where a container was
/// given the host's.
pub(super) fn hierarchy() -> Result<PathBuf, &'static str> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut any = false;
    let is_whole = |mount: &PathBuf| {
        any = true;
        fs::metadata(mount).is_ok_and(|root| root.ino() == ROOT)
    };
    let whole = mounts_of(&mounts).find(is_whole);
    whole.ok_or(if any {
        "of the cgroup v2 hierarchy only the container's own part is mounted: mount the host's /sys/fs/cgroup"
    } else {
        "no cgroup v2 hierarchy is mounted"
    })
}

/// Inode number of the whole hierarchy's root, on every kernel (`cgroup_setup_root` in kernel/cgroup/cgroup.c warns of any other).
const ROOT: u64 = 1;

/// The mount points in the fields of proc_pid_mountinfo(5).
fn mounts_of(mounts: &str) -> impl Iterator<Item = PathBuf> {
    mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2")
            .then(|| before.split(' ').nth(4))?
            .map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_wherever_they_are() {
        let v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
        let v2 = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        let host = "61 31 0:38 /../.. /host/cgroup ro,relatime - cgroup2 cgroup2 rw";
        let all: Vec<PathBuf> = mounts_of(&format!("{v1}\n{v2}\n{host}\n")).collect();
        assert_eq!(all, [PathBuf::from("/sys/fs/cgroup/unified"), "/host/cgroup".into()]);
    }
}
