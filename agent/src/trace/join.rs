//! The two ends of one request over TCP, both on this host (D6.2).
//!
//! The sequence number of a request's first byte is the same at both ends, through network namespaces and through NAT, and
//! so is the number at which the server's own direction began, which the server drew at random when it was connected to.
//! Together they name the request; nothing is guessed, and nothing is put on the wire. Where the second is not known, the
//! address pair takes its place.

use std::collections::hash_map::Entry;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use abi::Direction;
use foldhash::fast::RandomState;

use crate::conn::Address;
use crate::exchange::Role;
use crate::hash::Map;
use crate::trace::context::{Context, Contexts, SpanId};

/// What both ends of a request have in common, wherever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin {
    /// Low half of the position: each end's kernel half extends the 32 bits of the wire on its own.
    position: u32,
    /// Where the server's direction began.
    origin: u32,
}

/// The same where no address is changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Addresses {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    /// As above.
    position: u32,
    /// Loopback addresses say nothing outside their network namespace; 0 for all others.
    netns: u32,
}

/// The names of one end's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Names {
    by_origin: Option<Origin>,
    by_addresses: Option<Addresses>,
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
        let by_origin = (origin != 0).then_some(Origin { position, origin });
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
        Self { by_origin, by_addresses: Some(Addresses { client, server, position, netns }) }
    }

    /// The origins that the other end may have. A server that had opened its connection itself knows its direction's as one
    /// less than its client does.
    fn sought(self) -> impl Iterator<Item = Origin> {
        let beside =
            |by: u32| move |it: Origin| Origin { origin: it.origin.wrapping_add(by), ..it };
        let it = self.by_origin;
        [it, it.map(beside(1)), it.map(beside(u32::MAX))].into_iter().flatten()
    }

    /// Whether two ends with the same addresses and positions are two requests all the same: of hosts on one kernel that have
    /// the same addresses.
    fn contradicts(self, other: Self) -> bool {
        match (self.by_origin, other.by_origin) {
            (Some(one), Some(other)) => one.origin.wrapping_sub(other.origin).wrapping_add(1) > 2,
            _ => false,
        }
    }
}

/// Ends of one kind that wait for the other: each name leads to a span, whose context has the names themselves.
///
/// A host that serves others keeps tens of thousands whose other end is never seen, and looks with every request: so there is as
/// little of each as can be.
#[derive(Debug, Default)]
struct Waiting {
    by_origin: Map<Origin, SpanId>,
    /// By a hash of the addresses, which are many times as long. Two that have the same take each other's place, once in more requests
    /// than are ever seen; whose it is is looked at when it is found.
    by_addresses: Map<u64, SpanId>,
}

impl Waiting {
    /// Who waits under one of these names, by `hash` of the addresses.
    fn find(
        &self,
        names: Names,
        hash: Option<u64>,
        contexts: &Contexts,
    ) -> Option<(SpanId, Names)> {
        let is_meant = |span: SpanId| {
            let found = Names::of(contexts.of(span)?);
            (!found.contradicts(names)).then_some((span, found))
        };
        let mut by_origin =
            names.sought().filter_map(|origin| self.by_origin.get(&origin).copied());
        by_origin.find_map(is_meant).or_else(|| {
            let found = is_meant(*self.by_addresses.get(&hash?)?)?;
            (found.1.by_addresses == names.by_addresses).then_some(found)
        })
    }

    fn insert(&mut self, span: SpanId, names: Names, hash: Option<u64>) {
        // The same end again: 4 GiB later, or a pair of addresses used again. The newer one it is.
        if let Some(origin) = names.by_origin {
            self.by_origin.insert(origin, span);
        }
        if let Some(hash) = hash {
            self.by_addresses.insert(hash, span);
        }
    }

    fn remove(&mut self, span: SpanId, names: Names, hash: Option<u64>) {
        if let Some(origin) = names.by_origin
            && let Entry::Occupied(known) = self.by_origin.entry(origin)
            && *known.get() == span
        {
            known.remove();
        }
        if let Some(hash) = hash
            && let Entry::Occupied(known) = self.by_addresses.entry(hash)
            && *known.get() == span
        {
            known.remove();
        }
    }
}

/// Requests whose other end has not been seen yet. Never more than two names for each context, which takes them along when it
/// goes.
#[derive(Debug, Default)]
pub(in crate::trace) struct Joins {
    clients: Waiting,
    servers: Waiting,
    hashes: RandomState,
}

impl Joins {
    /// A request began at one end: its other end, if that is known.
    pub(in crate::trace) fn started(
        &mut self,
        span: SpanId,
        context: &Context,
        contexts: &Contexts,
    ) -> Option<SpanId> {
        let names = Names::of(context);
        let hash = self.hash(names);
        let (own, others) = match context.role {
            Role::Client => (&mut self.clients, &mut self.servers),
            Role::Server => (&mut self.servers, &mut self.clients),
        };
        let Some((other, known_as)) = others.find(names, hash, contexts) else {
            own.insert(span, names, hash);
            return None;
        };
        let hash = known_as.by_addresses.map(|addresses| self.hashes.hash_one(addresses));
        others.remove(other, known_as, hash);
        Some(other)
    }

    /// A context is forgotten.
    pub(in crate::trace) fn forget(&mut self, span: SpanId, context: &Context) {
        let names = Names::of(context);
        let hash = self.hash(names);
        let own = match context.role {
            Role::Client => &mut self.clients,
            Role::Server => &mut self.servers,
        };
        own.remove(span, names, hash);
    }

    fn hash(&self, names: Names) -> Option<u64> {
        names.by_addresses.map(|addresses| self.hashes.hash_one(addresses))
    }

    #[cfg(test)]
    pub(in crate::trace) fn len(&self) -> usize {
        [&self.clients, &self.servers]
            .map(|of| of.by_origin.len() + of.by_addresses.len())
            .iter()
            .sum()
    }
}
