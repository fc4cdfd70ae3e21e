//! All connections of a capture: which a segment is of, and which end of it is the server.
#![forbid(unsafe_code)]

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::flow::Flow;
use super::packet::Segment;
use super::servers::Servers;
use super::way::Taken;
use crate::input::{Input, Nanos};

/// Connections followed at a time; the one that began first is forgotten first.
const CONNECTIONS: usize = 65_536;
/// Bytes that wait in all of them together.
const HELD: usize = 64 << 20;

/// The connections.
#[derive(Debug, Default)]
pub(super) struct Flows {
    table: HashMap<Ends, Flow>,
    /// In the order of their beginnings; some are gone.
    order: VecDeque<(u64, Ends)>,
    servers: Servers,
    held: usize,
    seen: Seen,
}

/// What was seen of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// How many there were.
    pub(super) connections: u64,
    /// Forgotten to make room.
    pub(super) evicted: u64,
    /// Segments that brought nothing new.
    pub(super) retransmitted: u64,
    /// Segments that fit no connection of theirs.
    pub(super) malformed: u64,
}

/// The two ends of a connection, the lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends(SocketAddr, SocketAddr);

impl Ends {
    fn of(segment: &Segment<'_>) -> Self {
        let (one, two) = (segment.from, segment.to);
        if one <= two { Self(one, two) } else { Self(two, one) }
    }
}

impl Flows {
    /// What was seen.
    pub(super) const fn seen(&self) -> Seen {
        self.seen
    }

    /// Takes a segment.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        now: Nanos,
        out: &mut impl Extend<Input>,
    ) {
        if !segment.ack && !segment.syn && !segment.rst {
            // Since a connection is there, every segment acknowledges (RFC 9293 §3.4).
            self.seen.malformed += 1;
            return;
        }
        let ends = Ends::of(segment);
        if let Some(flow) = self.table.get_mut(&ends)
            && flow.is_followed_by(segment)
        {
            self.held -= flow.held();
            flow.close(0, now, out);
            self.table.remove(&ends);
        }
        let flow = match self.table.entry(ends) {
            Entry::Occupied(known) => known.into_mut(),
            // What is left of a connection that says nothing any more is none.
            Entry::Vacant(_) if segment.rst || (!segment.syn && segment.len == 0) => return,
            Entry::Vacant(free) => {
                let server = server(segment);
                let pid = self.servers.id(server, out);
                self.seen.connections += 1;
                self.order.push_back((self.seen.connections, ends));
                free.insert(Flow::new(self.seen.connections, server, pid, segment))
            }
        };
        let before = flow.held();
        match flow.segment(segment, now, out) {
            Taken::New => {}
            Taken::Again => self.seen.retransmitted += u64::from(segment.len > 0),
            Taken::Stray => self.seen.malformed += 1,
        }
        self.held = self.held - before + flow.held();
        if self.held > HELD {
            self.held -= flow.held();
            flow.finish(now, out);
        }
        self.make_room(now, out);
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, now: Nanos, out: &mut impl Extend<Input>) {
        for (id, ends) in std::mem::take(&mut self.order) {
            if let Some(mut flow) = self.take(id, ends) {
                flow.finish(now, out);
            }
        }
    }

    /// Takes a connection out, unless another has taken its ends.
    fn take(&mut self, id: u64, ends: Ends) -> Option<Flow> {
        let is_same = self.table.get(&ends).is_some_and(|flow| flow.id() == id);
        if is_same { self.table.remove(&ends) } else { None }
    }

    fn make_room(&mut self, now: Nanos, out: &mut impl Extend<Input>) {
        while self.order.len() > CONNECTIONS
            && let Some((id, ends)) = self.order.pop_front()
        {
            if let Some(mut flow) = self.take(id, ends) {
                self.held -= flow.held();
                self.seen.evicted += u64::from(!flow.is_over());
                flow.finish(now, out);
            }
        }
    }
}

/// Which end serves: by the handshake, else by what is said first, else by the lower port.
fn server(segment: &Segment<'_>) -> SocketAddr {
    let (from, to) = (segment.from, segment.to);
    let is_answer = segment.bytes.starts_with(b"HTTP/1.");
    let is_request = || {
        let line = segment.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.windows(8).any(|text| text == b" HTTP/1.")
    };
    match segment {
        Segment { syn: true, ack: false, .. } => to,
        Segment { syn: true, ack: true, .. } => from,
        _ if is_answer => from,
        _ if is_request() => to,
        _ if from.port() < to.port() => from,
        _ => to,
    }
}
