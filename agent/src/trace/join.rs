//! The two ends of one request over TCP, both on this host (D6.2).
//!
//! The sequence number of a request's first byte is the same at both ends, and so is the address pair, reversed. That
//! names the request: nothing is guessed, and nothing is put on the wire. (Under NAT the pair differs: no join here.)

use std::net::IpAddr;

use crate::conn::Address;
use crate::exchange::Role;
use crate::hash::Map;
use crate::trace::context::{Context, SpanId};

/// What both ends of a request have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    /// Low half of the position: each end's kernel half extends the 32 bits of the wire on its own.
    position: u32,
    /// Loopback addresses say nothing outside their network namespace; 0 for all others.
    netns: u32,
}

impl Key {
    fn of(context: &Context) -> Option<Self> {
        let conn = &*context.conn;
        let (Address::Inet(local, local_port), Address::Inet(remote, remote_port)) =
            (&conn.local, &conn.remote)
        else {
            return None;
        };
        // One side may see an IPv4 connection through an IPv6 socket.
        let local = (local.to_canonical(), *local_port);
        let remote = (remote.to_canonical(), *remote_port);
        let (client, server) = match context.role {
            Role::Client => (local, remote),
            Role::Server => (remote, local),
        };
        #[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
        let position = context.id.position as u32;
        let netns = if local.0.is_loopback() { conn.netns } else { 0 };
        Some(Self { client, server, position, netns })
    }
}

/// Requests whose other end has not been seen yet. Never more than there are contexts: each has at most one entry,
/// and takes it along when it goes.
#[derive(Debug, Default)]
pub(in crate::trace) struct Joins {
    waiting: Map<Key, (Role, SpanId)>,
}

impl Joins {
    /// A request began at one end: its other end, if that is known.
    pub(in crate::trace) fn started(&mut self, span: SpanId, context: &Context) -> Option<SpanId> {
        let key = Key::of(context)?;
        match self.waiting.get(&key) {
            Some((role, other)) if *role != context.role => {
                let other = *other;
                self.waiting.remove(&key);
                Some(other)
            }
            // The same end again: 4 GiB later, or a pair of addresses used again. The newer one it is.
            _ => {
                self.waiting.insert(key, (context.role, span));
                None
            }
        }
    }

    /// A context is forgotten.
    pub(in crate::trace) fn forget(&mut self, span: SpanId, context: &Context) {
        if let Some(key) = Key::of(context)
            && self.waiting.get(&key).is_some_and(|(_, waiting)| *waiting == span)
        {
            self.waiting.remove(&key);
        }
    }

    #[cfg(test)]
    pub(in crate::trace) fn len(&self) -> usize {
        self.waiting.len()
    }
}
