//! The programs that put contexts into the headers of requests (D6.4), and what they are told.
//!
//! Nothing of this is in the kernel unless programs were named. Must never leave a socket enrolled that nobody asks for: what goes
//! takes its sockets with it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
    sync::{Mutex, PoisonError, Weak},
};

use abi::{Config, SOCKETS, config_flag};
use aya::{
    Btf, Ebpf,
    maps::{HashMap, MapData, SockHash},
    programs::{CgroupAttachMode, Iter, SkMsg, SockOps},
};
use rustix::fs::{OFlags, fcntl_getfl};

use super::{features::Kernel, hooks::HookSet, refusal::one_line, walk, wire};

/// Contexts go in a header of requests that are sent.
pub const FEATURE: &str = "contexts in headers";
/// Why it is off where nobody asks for it.
pub const NOT_ASKED: &str = "no programs are named by propagation.headers";

/// The program that marks sockets which are older than the agent.
const OLDER: &str = "insert_older";
/// `BPF_NOEXIST` (include/uapi/linux/bpf.h): a socket that somebody has put there is not replaced.
const NEW: u64 = 1;

/// Linux release since which functions that are verified by themselves may be called where that is forbidden.
const UNINTERRUPTED: (u32, u32) = (6, 15);

/// What may be given a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert {
    /// To public addresses, too.
    pub anywhere: bool,
    /// Cookie of the one network namespace, if there is one; `Err` if it cannot be known.
    pub namespace: Result<u64, &'static str>,
}

impl Insert {
    /// Why it cannot be had with a set of hooks on a kernel.
    pub(super) fn refusal(self, kernel: &Kernel, set: HookSet) -> Option<String> {
        if set == HookSet::Syscall {
            return Some("it needs the hooks at sock_*_length, which came with Linux 6.3".into());
        }
        // What looks at messages can be interrupted, by others that use what belongs to the CPU. Where that can be forbidden, it
        // could not be for programs as large before.
        let can_forbid = kernel.types.function("bpf_preempt_disable").is_some();
        if kernel.version < UNINTERRUPTED || !can_forbid {
            let (major, minor) = UNINTERRUPTED;
            return Some(format!(
                "its program could be interrupted by others, which can be forbidden since Linux {major}.{minor}"
            ));
        }
        if let Err(why) = self.namespace {
            return Some(why.into());
        }
        // Where writing stops when so much is not sent yet, it may stop within what was inserted.
        let unsent = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_notsent_lowat");
        match unsent.ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            Some(u32::MAX) => None,
            _ => Some("net.ipv4.tcp_notsent_lowat is set on this host".into()),
        }
    }

    /// The probes' configuration with it.
    pub(super) fn config(self, config: Config, set: HookSet) -> Config {
        let Ok(namespace) = self.namespace else { return config };
        let mut flags = config.flags | config_flag::WIRE | config_flag::INSERT;
        if set == HookSet::Length {
            flags |= config_flag::WIRE_LATE;
        }
        if self.anywhere {
            flags |= config_flag::INSERT_ANYWHERE;
        }
        Config { flags, network_namespace_cookie: namespace, ..config }
    }
}

/// The sockets that are enrolled, and the processes whose sockets may be.
pub struct Enrolment {
    sockets: SockHash<MapData, u64>,
    named: HashMap<MapData, u32, u32>,
    boundaries: HashMap<MapData, u64, u64>,
    older: HashMap<MapData, u64, u32>,
    /// Whether the kernel has the program that marks what is older;
    marks: bool,
    /// where it is.
    probes: Weak<Mutex<Ebpf>>,
}

impl Enrolment {
    /// The sockets of a process are enrolled from now on as they connect.
    pub fn name(&mut self, pid: u32) {
        if let Err(error) = self.named.insert(pid, 1, 0) {
            log::warn!("no header is put into requests of process {pid}: {error}");
        }
    }

    /// They are no more, but those that are stay so.
    pub fn forget(&mut self, pid: u32) {
        // It may be gone already.
        let _ = self.named.remove(&pid);
    }

    /// Here the programs are.
    pub(super) fn belongs_to(&mut self, probes: Weak<Mutex<Ebpf>>) {
        self.probes = probes;
    }

    /// Takes in sockets of one namespace that are connected already, by their cookies; how many. Such as block meanwhile are not.
    ///
    /// # Errors
    ///
    /// When the kernel cannot mark them: then none is taken in.
    pub fn adopt(&mut self, namespace: &Path, sockets: &[(u64, OwnedFd)]) -> io::Result<usize> {
        let Some(probes) = self.probes.upgrade().filter(|_| self.marks) else { return Ok(0) };
        let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
        let program: &mut Iter = probes
            .program_mut(OLDER)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| io::Error::other("it is not in the object"))?;
        for (cookie, _) in sockets {
            // One that finds no room is not marked.
            let _ = self.older.insert(cookie, 0, 0);
        }
        // Marked before they are members: from then on it is known that they send by another function. And once more, because the
        // mark is lost on one that blocks in between.
        walk::over_sockets(program, namespace)?;
        let mut taken = Vec::new();
        for (cookie, socket) in sockets {
            let is_marked = self.older.get(cookie, 0).is_ok_and(|marked| marked != 0);
            if is_marked && self.sockets.insert(cookie, socket.as_raw_fd(), NEW).is_ok() {
                taken.push((cookie, socket));
            }
        }
        let marked = walk::over_sockets(program, namespace);
        taken.retain(|(cookie, socket)| {
            let stays = marked.is_ok() && !blocks(socket);
            if !stays {
                let _ = self.sockets.remove(*cookie);
            }
            stays
        });
        for (cookie, _) in sockets {
            let _ = self.older.remove(cookie);
        }
        Ok(taken.len())
    }

    /// The next request of a connection begins at that position.
    pub fn begins(&mut self, connection: u64, position: u64) {
        if let Err(error) = self.boundaries.insert(connection, position, 0) {
            log::debug!("the kernel is not told where connection {connection} goes on: {error}");
        }
    }

    /// A connection is gone.
    pub fn ends(&mut self, connection: u64) {
        // Mostly nothing was said of it, or it was taken up.
        let _ = self.boundaries.remove(&connection);
    }

    /// Takes every socket out, at once; how many there were.
    pub fn release(&mut self) -> usize {
        let keys: Vec<u64> = self.sockets.keys().filter_map(Result::ok).collect();
        keys.iter().filter(|key| self.sockets.remove(key).is_ok()).count()
    }

    /// How many sockets are enrolled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sockets.keys().filter(Result::is_ok).count()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Loads and attaches them.
pub(super) fn attach(ebpf: &mut Ebpf, btf: &Btf) -> Result<Enrolment, String> {
    let root = wire::hierarchy()?;
    let group =
        std::fs::File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let map = |ebpf: &mut Ebpf, name| ebpf.take_map(name).ok_or("it is not in the object");
    let sockets: SockHash<_, u64> =
        map(ebpf, "SOCKETS")?.try_into().map_err(|error| one_line(&error))?;
    let named = map(ebpf, "NAMED")?.try_into().map_err(|error| one_line(&error))?;
    let boundaries = map(ebpf, "BOUNDARIES")?.try_into().map_err(|error| one_line(&error))?;
    let older = map(ebpf, "OLDER")?.try_into().map_err(|error| one_line(&error))?;
    let looks: &mut SkMsg = ebpf
        .program_mut("insert_context")
        .and_then(|program| program.try_into().ok())
        .ok_or("it is not in the object")?;
    looks.load().map_err(|error| one_line(&error))?;
    looks.attach(sockets.fd()).map_err(|error| one_line(&error))?;
    let enrols: &mut SockOps = ebpf
        .program_mut("insert_enrol")
        .and_then(|program| program.try_into().ok())
        .ok_or("it is not in the object")?;
    enrols.load().map_err(|error| one_line(&error))?;
    enrols.attach(group, CgroupAttachMode::Single).map_err(|error| one_line(&error))?;
    let marks: &mut Iter = ebpf
        .program_mut(OLDER)
        .and_then(|program| program.try_into().ok())
        .ok_or("it is not in the object")?;
    let marks = marks.load("tcp", btf);
    if let Err(error) = &marks {
        log::warn!("{FEATURE}: not on older connections, {}", one_line(error));
    }
    let marks = marks.is_ok();
    Ok(Enrolment { sockets, named, boundaries, older, marks, probes: Weak::new() })
}

/// Whether calls on a socket wait; also where that cannot be known.
#[must_use]
pub fn blocks(socket: impl AsFd) -> bool {
    !fcntl_getfl(socket).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

/// `BPF_MAP_TYPE_HASH`, `BPF_MAP_TYPE_SOCKHASH` (include/uapi/linux/bpf.h).
const HASH: u32 = 1;
const SOCKET_HASH: u32 = 18;

/// Makes the map of sockets an ordinary one of the least size, where it is not needed: no kernel has to have the other kind for it.
/// Whether there was one.
pub(super) fn leave_out_sockets(object: &mut [u8]) -> bool {
    let definition = |kind: u32, entries: u32| {
        // Key and value, as `bpf_map_def` has them.
        [kind, 8, 4, entries].map(u32::to_le_bytes).concat()
    };
    let known = definition(SOCKET_HASH, SOCKETS);
    let Some(at) = object.windows(known.len()).position(|bytes| bytes == known) else {
        return false;
    };
    object[at..at + known.len()].copy_from_slice(&definition(HASH, 1));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_sockets_is_found_where_it_is() {
        let mut object = vec![7; 9];
        object.extend([18, 8, 4, SOCKETS].map(u32::to_le_bytes).concat());
        object.extend([7; 5]);
        assert!(leave_out_sockets(&mut object));
        assert_eq!(object[9..25], [1, 8, 4, 1].map(u32::to_le_bytes).concat());
        assert!(!leave_out_sockets(&mut object));
        assert_eq!((&object[..9], &object[25..]), (&[7; 9][..], &[7; 5][..]));
    }
}
