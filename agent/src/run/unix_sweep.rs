//! The kernel does not say when a unix socket ends: a look once a second at which inodes are still there.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufRead, BufReader},
};

use abi::Family;

use crate::input::{ConnId, Input, Nanos};

/// Time between two looks, ns.
const EVERY: u64 = 1_000_000_000;

/// Unix connections that are thought to be open.
#[derive(Default)]
pub(super) struct UnixSweep {
    open: HashMap<ConnId, Socket>,
    last: Nanos,
}

struct Socket {
    inode: u64,
    netns: u32,
    /// A process through which its namespace can be looked into.
    pid: u32,
}

impl UnixSweep {
    pub(super) fn note(&mut self, input: &Input) {
        if let Input::Opened(event) = input
            && Family::from_abi(event.family) == Some(Family::Unix)
            && event.inode != 0
        {
            let socket = Socket { inode: event.inode, netns: event.netns, pid: event.tgid };
            self.open.insert(ConnId(event.connection), socket);
        }
    }

    /// The connections that have gone, when a look is due and any have.
    pub(super) fn look(&mut self, now: Nanos) -> Option<Input> {
        if self.open.is_empty() || now.since(self.last) < EVERY {
            return None;
        }
        self.last = now;
        let mut namespaces: HashMap<u32, Option<HashSet<u64>>> = HashMap::new();
        for socket in self.open.values() {
            let inodes = namespaces.entry(socket.netns).or_default();
            if inodes.is_none() {
                *inodes = inodes_of(socket.pid);
            }
        }
        let mut gone: Vec<ConnId> = self
            .open
            .iter()
            // A namespace into which nobody leads any more has no processes: its sockets are gone.
            .filter(|(_, socket)| {
                namespaces[&socket.netns]
                    .as_ref()
                    .is_none_or(|there| !there.contains(&socket.inode))
            })
            .map(|(id, _)| *id)
            .collect();
        gone.sort_unstable();
        for id in &gone {
            self.open.remove(id);
        }
        (!gone.is_empty()).then_some(Input::UnixGone(gone))
    }
}

/// Inodes of the unix sockets in a process's network namespace (`proc_net(5)`: the seventh column).
fn inodes_of(pid: u32) -> Option<HashSet<u64>> {
    let file = File::open(format!("/proc/{pid}/net/unix")).ok()?;
    let inodes = BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(6)?.parse().ok())
        .collect();
    Some(inodes)
}
