//! The two ends of one request over TCP, both on this host (D6.2).
//!
//! The sequence number of a request's first byte is the same at both ends, through network namespaces and through NAT, and
//! so is the number at which the server's own direction began, which the server drew at random when it was connected to.
//! Together they name the request; nothing is guessed, and nothing is put on the wire. Where the second is not known, the
//! address pair takes its place.

use std::net::IpAddr;

use abi::Direction;

use crate::conn::Address;
use crate::exchange::Role;
use crate::hash::Map;
use crate::trace::context::{Context, SpanId};

/// What both ends of a request have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Wherever the two ends are.
    Origin {
        /// Low half of the position: each end's kernel half extends the 32 bits of the wire on its own.
        position: u32,
        /// Where the server's direction began.
        origin: u32,
    },
    /// Where no address is changed on the way.
    Addresses {
        client: (IpAddr, u16),
        server: (IpAddr, u16),
        /// As above.
        position: u32,
        /// Loopback addresses say nothing outside their network namespace; 0 for all others.
        netns: u32,
    },
}

/// The names of one end's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Names {
    by_origin: Option<Key>,
    by_addresses: Option<Key>,
}

impl Names {
    fn of(context: &Context) -> Self {
        let conn = &*context.conn;
        #[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
        let position = context.id.position as u32;
        let own = match context.role {
            Role::Client => Direction::Received,
            Role::Server => Direction::Sent,
        };
        let origin = conn.origins[own as usize];
        let by_origin = (origin != 0).then_some(Key::Origin { position, origin });
        let (Address::Inet(local, local_port), Address::Inet(remote, remote_port)) =
            (&conn.local, &conn.remote)
        else {
            return Self { by_origin, by_addresses: None };
        };
        // One side may see an IPv4 connection through an IPv6 socket.
        let local = (local.to_canonical(), *local_port);
        let remote = (remote.to_canonical(), *remote_port);
        let (client, server) = match context.role {
            Role::Client => (local, remote),
            Role::Server => (remote, local),
        };
        let netns = if local.0.is_loopback() { conn.netns } else { 0 };
        let by_addresses = Some(Key::Addresses { client, server, position, netns });
        Self { by_origin, by_addresses }
    }

    fn each(self) -> impl Iterator<Item = Key> {
        [self.by_origin, self.by_addresses].into_iter().flatten()
    }

    /// Where the other end may be found. A server that had opened its connection itself knows its direction's origin as one
    /// less than its client does.
    fn sought(self) -> impl Iterator<Item = Key> {
        let beside = match self.by_origin {
            Some(Key::Origin { position, origin }) => {
                [origin.wrapping_add(1), origin.wrapping_sub(1)]
                    .map(|origin| Some(Key::Origin { position, origin }))
            }
            _ => [None; 2],
        };
        let [above, below] = beside;
        [self.by_origin, above, below, self.by_addresses].into_iter().flatten()
    }

    /// Whether two ends with the same addresses and positions are two requests all the same: of hosts on one kernel that have
    /// the same addresses.
    fn contradicts(self, other: Self) -> bool {
        match (self.by_origin, other.by_origin) {
            (Some(Key::Origin { origin: one, .. }), Some(Key::Origin { origin: other, .. })) => {
                one.wrapping_sub(other).wrapping_add(1) > 2
            }
            _ => false,
        }
    }
}

/// One end that waits for the other.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    role: Role,
    span: SpanId,
    names: Names,
}

/// Requests whose other end has not been seen yet. Never more than two for each context, which takes them along when it
/// goes.
#[derive(Debug, Default)]
pub(in crate::trace) struct Joins {
    waiting: Map<Key, Waiting>,
}

impl Joins {
    /// A request began at one end: its other end, if that is known.
    pub(in crate::trace) fn started(&mut self, span: SpanId, context: &Context) -> Option<SpanId> {
        let names = Names::of(context);
        let is_other =
            |other: &&Waiting| other.role != context.role && !other.names.contradicts(names);
        let found = names.sought().find_map(|key| self.waiting.get(&key).filter(is_other).copied());
        if let Some(other) = found {
            self.remove(other.span, other.names);
            return Some(other.span);
        }
        for key in names.each() {
            // The same end again: 4 GiB later, or a pair of addresses used again. The newer one it is.
            self.waiting.insert(key, Waiting { role: context.role, span, names });
        }
        None
    }

    /// A context is forgotten.
    pub(in crate::trace) fn forget(&mut self, span: SpanId, context: &Context) {
        self.remove(span, Names::of(context));
    }

    fn remove(&mut self, span: SpanId, names: Names) {
        for key in names.each() {
            if self.waiting.get(&key).is_some_and(|waiting| waiting.span == span) {
                self.waiting.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub(in crate::trace) fn len(&self) -> usize {
        self.waiting.len()
    }
}
