//! Overwriting what must not leave the host, byte for byte of the same length, so that a replay gives the same spans
//! apart from the values that were hidden.
//!
//! What is kept of a connection: start lines, header lines whose names are not secret, and the framing of bodies
//! (Content-Length, chunk sizes). What is hidden with `x`: values of secret headers, secret values in queries, bodies,
//! trailers, chunk extensions. Whatever cannot be placed (mid-stream before a message begins, after a loss inside a
//! head, not HTTP/1 at all) becomes zeros: it is hidden rather than understood.
//!
//! Limits, known: a secret in a path or in a header of an innocent name stays; so does user information of a URL that
//! two calls cut in the middle. A start line with an unknown method that two calls cut is hidden, and a replay
//! lacks its span; so is what comes when the calls of one direction are recorded in another order than their bytes.
//! Messages that contradict themselves about their length may replay otherwise. A body whose framing the kernel lost may begin a call with the text of a message head, which is
//! then kept, as the reader of the live stream would have taken it for one.

mod chunks;
mod direction;
mod facts;
mod head;
mod names;
mod start_line;

use std::collections::{HashMap, VecDeque};

use abi::{DataHeader, Direction};

use self::direction::Stream;

pub(super) use self::facts::scrubbed_facts;

/// What hides a byte of a value or of a body.
const HIDDEN: u8 = b'x';

/// Connections whose state is kept: about 300 bytes each, 20 MB in all. Data of others is taken event by event.
const MOST_CONNECTIONS: usize = 65_536;

/// Requests on one connection that wait for an answer; deeper pipelines do not exist.
const MOST_ASKED: usize = 256;

/// An answer may be recorded before its request by so long, ns: two threads of a client.
const EARLY: u64 = 100_000_000;

/// The state of all connections.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    connections: HashMap<u64, Connection>,
    blind: u64,
}

/// The state of one.
#[derive(Debug, Default)]
struct Connection {
    /// By [`Direction`].
    streams: [Stream; 2],
    asked: Asked,
}

/// What the two directions need to know of each other.
#[derive(Debug, Default)]
struct Asked {
    /// Which way requests go (a [`Direction`]), since the first whole start line.
    requests_go: Option<u8>,
    /// Requests without an answer, in the order they were sent.
    waiting: VecDeque<Request>,
    /// Answers that came when no request waited.
    early: u32,
    /// When the last of those came, ns.
    early_at: u64,
}

/// A request, as far as its answer's framing depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Request {
    /// Any other, or one that was not seen.
    #[default]
    Other,
    /// HEAD: the answer has no body whatever it says (RFC 9112 §6.3).
    Head,
    /// CONNECT: a good answer begins a tunnel.
    Connect,
}

impl Asked {
    /// A message of the kind that goes this way begins with `bytes`.
    fn is_start(&self, direction: u8, bytes: &[u8]) -> bool {
        let fits = match (self.requests_go, start_line::is_answer(bytes)) {
            (Some(requests), Some(is_answer)) if bytes.contains(&b'\n') => {
                (requests == direction) != is_answer
            }
            // A line that is not whole is kept in doubt.
            _ => true,
        };
        fits && start_line::is_start(bytes)
    }

    /// A whole start line has gone this way.
    fn is_known(&mut self, direction: u8, is_answer: bool) {
        self.requests_go.get_or_insert(direction ^ u8::from(is_answer));
    }

    /// A stretch begins where nothing is known. A whole start line of the other kind says that the first one was part
    /// of a body.
    fn reconsider(&mut self, direction: u8, bytes: &[u8]) {
        if bytes.contains(&b'\n') && start_line::is_start(bytes) {
            let is_answer = start_line::is_answer(bytes) == Some(true);
            self.requests_go = Some(direction ^ u8::from(is_answer));
        }
    }

    /// A message may have been missed: who answers whom is not known any more.
    fn lose(&mut self) {
        self.waiting.clear();
        self.early = 0;
    }

    fn push(&mut self, request: Request, time: u64) {
        if self.early > 0 {
            self.early -= 1;
            if time < self.early_at.saturating_add(EARLY) {
                return;
            }
            self.early = 0;
        }
        if self.waiting.len() == MOST_ASKED {
            self.waiting.clear();
        }
        self.waiting.push_back(request);
    }

    /// The request of the answer that has come, if it is known.
    fn answered(&mut self, time: u64) -> Option<Request> {
        let request = self.waiting.pop_front();
        if request.is_none() {
            self.early = self.early.saturating_add(1);
            self.early_at = time;
        }
        request
    }
}

impl Scrubber {
    /// Hides what must be hidden in the bytes of one data event: exactly `head` and then `tail` of them.
    pub(super) fn data(&mut self, header: &DataHeader, bytes: &mut [u8]) {
        let Some(direction) = Direction::from_abi(header.direction) else {
            bytes.fill(0);
            return;
        };
        let known = self.connections.contains_key(&header.connection);
        if !known && self.connections.len() >= MOST_CONNECTIONS {
            self.blind += 1;
            let mut alone = Connection::default();
            alone.streams[0].event(header, bytes, &mut alone.asked);
            return;
        }
        let connection = self.connections.entry(header.connection).or_default();
        connection.streams[direction as usize].event(header, bytes, &mut connection.asked);
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// Events whose connection's state was not kept.
    pub(super) const fn blind(&self) -> u64 {
        self.blind
    }
}

#[cfg(test)]
mod tests;
