//! The two ends of one request over unix sockets, both on this host (D6.2).
//!
//! The kernel says which socket is whose peer, by addresses that are used again after a close: only the newest
//! generation at an address counts. Positions are our own counts from where each end was first seen, so the two ends
//! differ by a constant: nothing for connections seen from their beginning, and something else for one that had bytes
//! under way when we came. The difference is believed only after a request has shown it, and never again once a
//! request has contradicted it.

use std::collections::{BTreeMap, VecDeque};

use crate::conn::{Address, Connection};
use crate::exchange::{Finished, Role};
use crate::hash::Map;
use crate::input::{ConnId, Nanos};
use crate::trace::context::{Context, SpanId};

/// Ends remembered.
const ENDS: usize = 16_384;
/// Requests of one end that wait for the other.
const WAITING: usize = 32;
/// How long a closed end is remembered: its last reports may come late. Ns.
const AFTERLIFE: u64 = 10_000_000_000;

/// One end of a unix connection.
#[derive(Debug)]
struct End {
    socket: u64,
    peer_socket: u64,
    /// When it was first seen.
    opened: Nanos,
    /// When its closing was reported: that may overtake its last data.
    closed: Option<Nanos>,
    /// Its other end, once found: for life.
    other: Option<ConnId>,
    /// Kept on the client's end: how positions compare.
    offset: Offset,
    /// Requests not joined yet.
    waiting: VecDeque<Request>,
}

/// Position at the server minus position at the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offset {
    /// Not shown yet; 0 is likely.
    Unknown,
    /// Shown by a request.
    Known(u64),
    /// Shown and contradicted.
    Doubted,
}

/// A request at one end.
#[derive(Clone, Copy, Debug)]
struct Request {
    span: SpanId,
    role: Role,
    position: u64,
    at: Nanos,
    end: Option<Ended>,
}

/// A request's end.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at: Nanos,
    /// Bytes of the request.
    bytes: u64,
    /// Something came back.
    answered: bool,
}

/// What [`UnixPairs::started`] and [`UnixPairs::finished`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::trace) struct Found {
    /// Client and server of one request each.
    pub joins: Vec<(SpanId, SpanId)>,
    /// The pair's positions were found not to fit: nothing more of it is joined.
    pub doubted: bool,
}

/// Unix connections with both ends on this host, as all of them are.
#[derive(Debug, Default)]
pub(in crate::trace) struct UnixPairs {
    ends: BTreeMap<ConnId, End>,
    by_socket: Map<u64, ConnId>,
    by_peer: Map<u64, ConnId>,
    closed: VecDeque<(Nanos, ConnId)>,
}

impl UnixPairs {
    /// An end is seen for the first time: whoever had its addresses before is gone.
    pub(in crate::trace) fn opened(
        &mut self,
        id: ConnId,
        socket: u64,
        peer_socket: u64,
        at: Nanos,
    ) {
        if self.ends.contains_key(&id) || socket == 0 {
            return;
        }
        if self.ends.len() >= ENDS
            && let Some((oldest, end)) = self.ends.pop_first()
        {
            self.unlist(oldest, &end);
        }
        self.by_socket.insert(socket, id);
        if peer_socket != 0 {
            self.by_peer.insert(peer_socket, id);
        }
        let end = End {
            socket,
            peer_socket,
            opened: at,
            closed: None,
            other: None,
            offset: Offset::Unknown,
            waiting: VecDeque::new(),
        };
        self.ends.insert(id, end);
    }

    /// An end is gone.
    pub(in crate::trace) fn closed(&mut self, id: ConnId, now: Nanos) {
        if let Some(end) = self.ends.get_mut(&id)
            && end.closed.is_none()
        {
            end.closed = Some(now);
            self.closed.push_back((now.plus(AFTERLIFE), id));
        }
    }

    /// Forgets ends that closed long ago.
    pub(in crate::trace) fn tick(&mut self, now: Nanos) {
        while let Some((_, id)) = self.closed.pop_front_if(|(at, _)| *at <= now) {
            if let Some(end) = self.ends.remove(&id) {
                self.unlist(id, &end);
            }
        }
    }

    /// A request began at one end.
    pub(in crate::trace) fn started(&mut self, span: SpanId, context: &Context) -> Found {
        let conn: &Connection = &context.conn;
        if !matches!(conn.local, Address::Unix(_)) {
            return Found::default();
        }
        self.opened(conn.id, conn.socket, conn.peer_socket, context.at);
        let Some(end) = self.ends.get_mut(&conn.id) else { return Found::default() };
        if end.waiting.len() >= WAITING {
            end.waiting.pop_front();
        }
        let Context { role, at, id, .. } = *context;
        end.waiting.push_back(Request { span, role, position: id.position, at, end: None });
        self.match_up(conn.id)
    }

    /// A request ended at one end.
    pub(in crate::trace) fn finished(&mut self, span: SpanId, finished: &Finished) -> Found {
        let conn = finished.id.conn;
        let waiting = self
            .ends
            .get_mut(&conn)
            .and_then(|end| end.waiting.iter_mut().find(|known| known.span == span));
        let Some(request) = waiting else { return Found::default() };
        request.end = Some(Ended {
            at: finished.end,
            bytes: finished.bytes.request,
            answered: finished.first_answer.is_some(),
        });
        self.match_up(conn)
    }

    /// A context is forgotten.
    pub(in crate::trace) fn forget(&mut self, span: SpanId, conn: ConnId) {
        if let Some(end) = self.ends.get_mut(&conn) {
            end.waiting.retain(|request| request.span != span);
        }
    }

    /// Joins what can be joined between an end and its other end.
    fn match_up(&mut self, id: ConnId) -> Found {
        let mut found = Found::default();
        let Some(other) = self.other_end(id) else { return found };
        let (Some(mut one), Some(mut two)) = (self.ends.remove(&id), self.ends.remove(&other))
        else {
            return found;
        };
        one.other = Some(other);
        two.other = Some(id);
        let asks = |end: &End| end.waiting.iter().any(|request| request.role == Role::Client);
        if asks(&one) {
            join(&mut one, &mut two, &mut found);
        } else if asks(&two) {
            join(&mut two, &mut one, &mut found);
        }
        self.ends.insert(id, one);
        self.ends.insert(other, two);
        found
    }

    /// The end that is `id`'s peer: the newest at that address, and one that says nothing else.
    fn other_end(&self, id: ConnId) -> Option<ConnId> {
        let end = self.ends.get(&id)?;
        if let Some(other) = end.other {
            return self.ends.contains_key(&other).then_some(other);
        }
        // Somebody newer has this end's address: it is dead, and so was its peer.
        if self.by_socket.get(&end.socket) != Some(&id) {
            return None;
        }
        let by_its_word = self.by_peer.get(&end.socket);
        let by_ours = self.by_socket.get(&end.peer_socket).filter(|_| end.peer_socket != 0);
        let candidate = *by_ours.or(by_its_word).filter(|candidate| **candidate != id)?;
        let other = self.ends.get(&candidate)?;
        let agree = |says: u64, socket: u64| says == 0 || says == socket;
        let newest = self.by_socket.get(&other.socket) == Some(&candidate);
        let free = other.other.is_none_or(|known| known == id);
        let alive = outlived(end, other) && outlived(other, end);
        (newest
            && free
            && alive
            && agree(end.peer_socket, other.socket)
            && agree(other.peer_socket, end.socket))
        .then_some(candidate)
    }

    /// Takes an end out of the address tables, unless somebody newer has its places.
    fn unlist(&mut self, id: ConnId, end: &End) {
        if self.by_socket.get(&end.socket) == Some(&id) {
            self.by_socket.remove(&end.socket);
        }
        if self.by_peer.get(&end.peer_socket) == Some(&id) {
            self.by_peer.remove(&end.peer_socket);
        }
    }
}

/// Whether `one` was not closed before `two` was there.
fn outlived(one: &End, two: &End) -> bool {
    one.closed.is_none_or(|closed| closed >= two.opened)
}

/// Joins requests of a client's end with requests of its server's.
fn join(client: &mut End, server: &mut End, found: &mut Found) {
    let mut progress = true;
    while progress {
        progress = false;
        let pair = match client.offset {
            Offset::Doubted => None,
            Offset::Known(offset) => at_offset(client, server, offset),
            Offset::Unknown => shown(client, server),
        };
        let Some((asked, served)) = pair else { continue };
        let (Some(a), Some(b)) =
            (client.waiting.get(asked).copied(), server.waiting.get(served).copied())
        else {
            continue;
        };
        if is_impossible(&a, &b) {
            client.offset = Offset::Doubted;
            found.doubted = true;
            continue;
        }
        client.offset = Offset::Known(b.position.wrapping_sub(a.position));
        client.waiting.remove(asked);
        server.waiting.remove(served);
        found.joins.push((a.span, b.span));
        progress = true;
    }
}

/// The first pair that is `offset` apart.
fn at_offset(client: &End, server: &End, offset: u64) -> Option<(usize, usize)> {
    client.waiting.iter().enumerate().find_map(|(asked, a)| {
        let fits =
            |b: &Request| b.role == Role::Server && b.position.wrapping_sub(a.position) == offset;
        (a.role == Role::Client)
            .then(|| server.waiting.iter().position(fits))?
            .map(|served| (asked, served))
    })
}

/// A pair that shows the offset: at equal positions and in the order of cause and effect, or at any positions where
/// no other pair is possible.
fn shown(client: &End, server: &End) -> Option<(usize, usize)> {
    for (asked, a) in client.waiting.iter().enumerate().filter(|(_, a)| a.role == Role::Client) {
        for (served, b) in server.waiting.iter().enumerate().filter(|(_, b)| b.role == Role::Server)
        {
            if (a.position == b.position && is_causal(a, b)) || is_only(client, a, server, b) {
                return Some((asked, served));
            }
        }
    }
    None
}

/// Read after it was sent, and before the client had its answer. A request that was under way when we came was read
/// before the client's first request in our sight was sent: it never passes.
fn is_causal(a: &Request, b: &Request) -> bool {
    a.at <= b.at && a.end.is_none_or(|end| b.at <= end.at)
}

/// Both are over, the same number of bytes was said, nothing else was asked meanwhile, and `b` is the last that the
/// server read before the client had its answer. (This does not look at when the request was sent: that is stamped
/// when the call returns, and the peer may have answered by then.)
fn is_only(client: &End, a: &Request, server: &End, b: &Request) -> bool {
    let (Some(a_end), Some(b_end)) = (a.end, b.end) else { return false };
    let alone = client
        .waiting
        .iter()
        .filter(|other| other.span != a.span)
        .all(|other| other.at > a_end.at || other.end.is_some_and(|end| end.at < b.at));
    let last = server.waiting.iter().all(|other| other.at <= b.at || other.at > a_end.at);
    a_end.answered
        && a_end.bytes == b_end.bytes
        && alone
        && last
        && b.at <= a_end.at
        && a.at <= a_end.at
}

/// Read after the client had its answer: these are two requests.
fn is_impossible(a: &Request, b: &Request) -> bool {
    a.end.is_some_and(|end| end.answered && b.at > end.at)
}
