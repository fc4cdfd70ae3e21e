//! Ourselves and whoever talks to us (D12): never a span.
//!
//! The kernel half leaves out our own calls; what is left is the other end of our connections, which is some other
//! process's: a collector that receives our export, a browser that reads our viewer. It is known by the address pair.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use abi::{Family, Opened};

use crate::conn::{Address, Connection};
use crate::hash::Set;
use crate::input::ConnId;

/// Own connections remembered. We hold a handful.
const KEPT: usize = 4096;

/// The two addresses of a connection's end, own first; or the addresses of the two unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ends {
    Inet((IpAddr, u16), (IpAddr, u16)),
    Unix(u64, u64),
}

impl Ends {
    const fn reversed(self) -> Self {
        match self {
            Self::Inet(local, remote) => Self::Inet(remote, local),
            Self::Unix(socket, peer) => Self::Unix(peer, socket),
        }
    }

    fn of_opened(opened: &Opened) -> Option<Self> {
        let ip = |bytes: [u8; 16], v4: bool| {
            let [a, b, c, d, ..] = bytes;
            if v4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(bytes).to_canonical() }
        };
        Some(match Family::from_abi(opened.family)? {
            Family::Unix => Self::Unix(opened.socket, opened.peer_socket),
            family => {
                let v4 = family == Family::Inet;
                Self::Inet(
                    (ip(opened.local_address, v4), opened.local_port),
                    (ip(opened.remote_address, v4), opened.remote_port),
                )
            }
        })
    }

    const fn of_connection(conn: &Connection) -> Option<Self> {
        match (&conn.local, &conn.remote) {
            (Address::Inet(local, local_port), Address::Inet(remote, remote_port)) => {
                Some(Self::Inet(
                    (local.to_canonical(), *local_port),
                    (remote.to_canonical(), *remote_port),
                ))
            }
            (Address::Unix(_), _) => Some(Self::Unix(conn.socket, conn.peer_socket)),
            _ => None,
        }
    }
}

/// What is ours.
#[derive(Debug)]
pub(in crate::trace) struct Own {
    pids: Vec<u32>,
    /// Peers' ends of our connections.
    peers: Set<Ends>,
    /// The same, oldest first.
    order: VecDeque<Ends>,
    /// Our unix sockets: a peer may be known by no more than whose peer it is.
    sockets: Set<u64>,
    /// Connections whose requests were left out: their ends are left out, too. The oldest go first.
    left_out: BTreeSet<ConnId>,
}

impl Own {
    /// Nothing but the processes.
    pub(in crate::trace) fn new(pids: Vec<u32>) -> Self {
        Self {
            pids,
            peers: Set::default(),
            order: VecDeque::new(),
            sockets: Set::default(),
            left_out: BTreeSet::new(),
        }
    }

    /// A connection was opened: by us, or by somebody who uses such addresses again.
    pub(in crate::trace) fn opened(&mut self, opened: &Opened) {
        let Some(ends) = Ends::of_opened(opened) else { return };
        let peer = ends.reversed();
        if !self.pids.contains(&opened.tgid) {
            // Our own end's addresses in other hands: the connection is ours no more.
            self.forget(peer);
            self.sockets.remove(&opened.socket);
            return;
        }
        if let Ends::Unix(socket, _) = ends {
            self.sockets.insert(socket);
        }
        if self.peers.insert(peer) {
            self.order.push_back(peer);
        }
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
    }

    /// Whether a process is one of ours.
    pub(in crate::trace) fn is_own(&self, pid: u32) -> bool {
        self.pids.contains(&pid)
    }

    /// Whether a request of process `pid` on this connection is our own or is said to us: then it is left out.
    pub(in crate::trace) fn leaves_out(&mut self, pid: u32, conn: &Connection) -> bool {
        let own = self.is_own(pid) || (!self.peers.is_empty() && self.is_peer(conn));
        if own {
            self.leave_out(conn.id);
        }
        own
    }

    /// Requests of that connection are left out, for whatever reason.
    pub(in crate::trace) fn leave_out(&mut self, conn: ConnId) {
        if self.left_out.insert(conn) && self.left_out.len() > KEPT {
            self.left_out.pop_first();
        }
    }

    /// Whether requests of that connection were left out.
    pub(in crate::trace) fn left_out(&self, conn: ConnId) -> bool {
        self.left_out.contains(&conn)
    }

    fn is_peer(&self, conn: &Connection) -> bool {
        Ends::of_connection(conn).is_some_and(|ends| match ends {
            Ends::Unix(_, peer) if self.sockets.contains(&peer) => true,
            _ => self.peers.contains(&ends),
        })
    }

    fn forget(&mut self, peer: Ends) {
        if self.peers.remove(&peer)
            && let Ends::Unix(_, ours) = peer
        {
            self.sockets.remove(&ours);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(pid: u32, local_port: u16, remote_port: u16) -> Opened {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[127, 0, 0, 1]);
        Opened {
            local_address: address,
            remote_address: address,
            local_port,
            remote_port,
            family: Family::Inet as u16,
            tgid: pid,
            ..Opened::default()
        }
    }

    fn conn(local: u16, remote: u16) -> Connection {
        let at = |port| Address::Inet(IpAddr::from([127, 0, 0, 1]), port);
        Connection {
            id: ConnId(1),
            local: at(local),
            remote: at(remote),
            socket: 0,
            peer_socket: 0,
            inode: 0,
            netns: 0,
            origins: [0; 2],
            pid: 9,
        }
    }

    fn unix(socket: u64, peer_socket: u64) -> Connection {
        Connection {
            local: Address::Unix(None),
            remote: Address::Unix(None),
            socket,
            peer_socket,
            ..conn(0, 0)
        }
    }

    #[test]
    fn whoever_talks_to_us_is_known_by_the_reversed_pair() {
        let mut own = Own::new(vec![7]);
        own.opened(&opened(7, 40_000, 4317));
        assert!(own.leaves_out(9, &conn(4317, 40_000)));
        assert!(!own.leaves_out(9, &conn(40_000, 4317)));
        assert!(!own.leaves_out(9, &conn(4317, 40_001)));
        assert!(own.leaves_out(7, &conn(1, 2)));
    }

    #[test]
    fn addresses_used_again_by_others_are_theirs() {
        let mut own = Own::new(vec![7]);
        own.opened(&opened(7, 40_000, 4317));
        // The peer opens its own end of our connection: still ours.
        own.opened(&opened(9, 4317, 40_000));
        assert!(own.leaves_out(9, &conn(4317, 40_000)));
        own.opened(&opened(8, 40_000, 4317));
        assert!(!own.leaves_out(9, &conn(4317, 40_000)));
    }

    #[test]
    fn unix_peers_are_known_by_either_address() {
        let mut own = Own::new(vec![7]);
        let ours = Opened { family: Family::Unix as u16, socket: 10, tgid: 7, ..Opened::default() };
        own.opened(&ours);
        assert!(own.leaves_out(9, &unix(20, 10)));
        assert!(!own.leaves_out(9, &unix(20, 11)));
        own.opened(&Opened { tgid: 9, ..ours });
        assert!(!own.leaves_out(9, &unix(20, 10)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut own = Own::new(vec![7]);
        for port in 0..20_000 {
            own.opened(&opened(7, port, 4317));
        }
        assert_eq!(own.peers.len(), KEPT);
        assert_eq!(own.order.len(), KEPT);
        assert!(own.leaves_out(9, &conn(4317, 19_999)));
    }
}
