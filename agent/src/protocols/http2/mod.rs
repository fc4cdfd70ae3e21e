//! HTTP/2 (RFC 9113): a connection's two streams of frames as exchanges, one for each stream a client opens.
//!
//! Each direction is cut into frames (`framer`), its header blocks are put together and decoded in wire order whether
//! anybody wants them or not (`direction`), and what they say goes to the stream they belong to (`streams`, `stream`).
//!
//! What is missing costs as little as can be shown to be right. Octets missing inside a frame: its length is known, so
//! only what it held is lost. If that was a header block, the direction's table is unknown from then on, and so are the
//! fields that refer to it. Octets missing where a frame begins: framing and table of that direction are unknown until
//! frames prove themselves (`resume`); exchanges that wait for an answer in that stretch are told as unseen.
//!
//! SETTINGS are not read: a table's size is what its encoder says in its blocks, and enforcing limits is the peer's.
#![forbid(unsafe_code)]

mod content;
mod detect;
mod direction;
#[cfg(test)]
mod fixtures;
mod frame;
mod framer;
mod head;
pub mod hpack;
mod messages;
#[cfg(test)]
pub(super) mod notation;
mod resume;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use abi::Direction;

use super::contract::{Before, Ending, Outlet, Protocol};
use super::piece::{Kept, Piece};
use crate::exchange::{Failure, Role};
use crate::input::Nanos;
use direction::{HalfDuplex, Heard};
use stream::Part;
use streams::Streams;

pub(super) use detect::detect;
pub(super) use stream::Upgraded;

/// The reader of one connection.
#[derive(Debug)]
pub(super) struct Http2 {
    /// The direction requests go.
    requests_go: Direction,
    requests: HalfDuplex,
    answers: HalfDuplex,
    streams: Streams,
    /// Pieces whose frames have proven themselves, to be read.
    found: VecDeque<Kept>,
    /// The connection has ended.
    over: bool,
}

impl Http2 {
    /// A connection that begins here, its client with the preface.
    fn born(requests_go: Direction, before: Before) -> Self {
        let answers = if before.lost[requests_go.opposite() as usize] {
            HalfDuplex::somewhere(Part::Answer)
        } else {
            HalfDuplex::beginning(Part::Answer)
        };
        let streams = Streams::new(role(requests_go), true);
        Self::new(requests_go, HalfDuplex::beginning(Part::Request), answers, streams)
    }

    /// A connection that is older than us: frames begin here in the direction `known`.
    fn met(requests_go: Direction, known: Direction) -> Self {
        let side = |part, direction: Direction| {
            if direction == known {
                HalfDuplex::at_frame(part)
            } else {
                HalfDuplex::somewhere(part)
            }
        };
        let requests = side(Part::Request, requests_go);
        let answers = side(Part::Answer, requests_go.opposite());
        Self::new(requests_go, requests, answers, Streams::new(role(requests_go), false))
    }

    /// A connection that HTTP/1 has made one of HTTP/2 (RFC 7540 §3.2): both sides begin with a preface.
    pub(super) fn upgraded(requests_go: Direction, exchange: Upgraded) -> Self {
        let requests = HalfDuplex::beginning(Part::Request);
        let answers = HalfDuplex::beginning(Part::Answer);
        Self::new(requests_go, requests, answers, Streams::upgraded(exchange))
    }

    const fn new(
        requests_go: Direction,
        requests: HalfDuplex,
        answers: HalfDuplex,
        streams: Streams,
    ) -> Self {
        Self { requests_go, requests, answers, streams, found: VecDeque::new(), over: false }
    }

    /// Reads a piece; what is found of frames in it and before it is left in `found`.
    fn read(&mut self, mut piece: Piece<'_>, out: &mut Outlet<'_>) {
        let part = if piece.direction == self.requests_go { Part::Request } else { Part::Answer };
        let mut start = true;
        while !piece.is_empty() {
            let side = match part {
                Part::Request => &mut self.requests,
                Part::Answer => &mut self.answers,
            };
            let (used, heard) = side.read(&piece, start, &self.streams, out);
            start &= used == 0;
            if let Some(heard) = heard {
                self.hear(part, heard, &piece, out);
            }
            piece = piece.after(used);
        }
    }

    fn hear(&mut self, part: Part, heard: Heard<'_>, piece: &Piece<'_>, out: &mut Outlet<'_>) {
        match heard {
            Heard::Block(block) if part == Part::Request => self.streams.request_block(block, out),
            Heard::Block(block) => self.streams.answer_block(block, out),
            Heard::Data(data) => self.streams.data(part, data, out),
            Heard::Reset(stream, code) => {
                self.streams.reset(part, stream, code, piece.ended, out);
            }
            // A client's concerns what is pushed.
            Heard::GoAway(last) if part == Part::Answer => {
                self.streams.go_away(last, piece.ended, out);
            }
            Heard::GoAway(_) => {}
            Heard::Unread(at) => self.unread(part, at, out),
            Heard::Found(kept, unread) => {
                if let Some(at) = unread {
                    self.unread(part, at, out);
                }
                for kept in kept.into_iter().rev() {
                    self.found.push_front(kept);
                }
            }
        }
    }

    /// Frames of a direction that moved until `at` have not been read.
    fn unread(&mut self, part: Part, at: Nanos, out: &mut Outlet<'_>) {
        match part {
            Part::Request => self.streams.lose_requests(),
            Part::Answer => self.streams.lose_answers(at, out),
        }
    }

    /// What is open is told, the rest is not read any more.
    fn finish(&mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        // What never was proven to be frames may have held answers.
        if let Some(last) = self.answers.waits_since() {
            self.streams.lose_answers(last, out);
        }
        self.streams.end(failure, at, out);
        self.requests = HalfDuplex::somewhere(Part::Request);
        self.answers = HalfDuplex::somewhere(Part::Answer);
        self.over = true;
    }
}

/// Who sends requests is the client.
const fn role(requests_go: Direction) -> Role {
    match requests_go {
        Direction::Sent => Role::Client,
        Direction::Received => Role::Server,
    }
}

impl Protocol for Http2 {
    fn piece(&mut self, piece: Piece<'_>, out: &mut Outlet<'_>) {
        if self.over {
            return;
        }
        self.read(piece, out);
        while let Some(kept) = self.found.pop_front() {
            self.read(kept.piece(), out);
        }
    }

    fn end(&mut self, how: Ending, at: Nanos, out: &mut Outlet<'_>) {
        match how {
            _ if self.over => {}
            Ending::Gone(failure) => self.finish(failure, at, out),
            // A client that will send no more still waits for its answers.
            Ending::Finished(direction) if direction == self.requests_go => {}
            Ending::Finished(_) => self.finish(Failure::ConnectionClosed, at, out),
        }
    }

    fn held(&self) -> usize {
        size_of::<Self>() + self.requests.held() + self.answers.held() + self.streams.held()
    }
}
