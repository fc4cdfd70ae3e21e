//! HTTP/1.x (RFC 9112): a connection's two streams as exchanges.
//!
//! Each direction is read by itself (`requests`, `answers`): message boundaries, heads, bodies followed by position.
//! `stitch` pairs them. An answer that is seen before its request (two threads of a client) waits, unread, because
//! only the request's method says how long the answer is; see [`Early`].
//!
//! | state of a direction | bytes | skip | gap |
//! |---|---|---|---|
//! | at a boundary | a first line: in a head. Else: lost | lost | lost |
//! | in a head | to its blank line, then: in a body, or at a boundary | the head so far counts, lost | the same for an answer; a request is dropped |
//! | in a body | to its end: at a boundary | followed by position if that is possible, else lost | likewise |
//! | lost | a first line at a piece's beginning, when `stitch` allows it, or the last chunk: at a boundary | lost | lost |
//!
//! After 101, or 2xx to CONNECT, both directions are a tunnel: its bytes are counted, and its end is the connection's.
#![forbid(unsafe_code)]

mod answers;
mod body;
mod chunked;
mod early;
#[cfg(test)]
mod fixtures;
mod head;
mod last_chunk;
mod line;
mod open;
mod requests;
mod stitch;

use abi::Direction;

use super::contract::{Before, Detection, Ending, Outlet, Protocol};
use super::http2::Http2;
use super::piece::Piece;
use crate::exchange::{ExchangeId, Failure, Role};
use crate::input::Nanos;
use early::Early;
use head::Collected;
use line::Line;
pub(crate) use line::is_token;
use stitch::Stitch;

/// Whether a direction that begins with `bytes` speaks HTTP/1: by a whole request or status line, and unless they are
/// the connection's first by what follows the line, too. Who sends requests is the client. After a loss what looks like
/// a message may lie in a lost one's body: then the other direction tells.
pub(super) fn detect(bytes: &[u8], direction: Direction, before: Before) -> Detection {
    let found = |requests_go| {
        let found = || Detection::Found(Box::new(Http1::new(requests_go, before)));
        match line::goes_on_as_head(bytes) {
            _ if before.from_birth => found(),
            Line::Yes(()) => found(),
            Line::More => Detection::More,
            Line::No => Detection::No,
        }
    };
    match (line::request_line(bytes), line::status_line(bytes)) {
        _ if before.lost[direction as usize] => Detection::No,
        (Line::Yes(line), _) if !line.is_usual() && !before.from_birth => Detection::No,
        (Line::Yes(_), _) => found(direction),
        (_, Line::Yes(_)) => found(direction.opposite()),
        (Line::More, _) | (_, Line::More) => Detection::More,
        (Line::No, Line::No) => Detection::No,
    }
}

/// The reader of one connection.
#[derive(Debug)]
pub(super) struct Http1 {
    /// The direction requests go.
    requests_go: Direction,
    role: Role,
    requests: State,
    answers: State,
    /// The exchange whose request is read.
    current: Option<ExchangeId>,
    stitch: Stitch,
    early: Early,
    /// The framing of the answers was lost, and where the last one ended was found by its look: what comes now may still stand
    /// in its body.
    found: bool,
    /// When the last byte of the answers' direction moved that was read.
    last_answer: Nanos,
    /// When the last byte of the requests' direction moved.
    last_request: Nanos,
    /// HTTP/1 has ended on this connection (101, CONNECT), or the connection has.
    over: bool,
    /// The exchange that turned it into a tunnel: told when the tunnel closes.
    tunnel: Option<Box<open::Open>>,
    /// Who reads on, if it ended in HTTP/2.
    next: Option<Box<Http2>>,
}

/// Where one direction is.
#[derive(Debug)]
enum State {
    /// Between messages.
    Boundary,
    /// In a message's head.
    Head(Box<Collected>),
    /// In a message's body.
    Body(Box<body::Reader>),
    /// Somewhere.
    Lost,
}

impl State {
    /// Whether no message is half read.
    const fn is_idle(&self) -> bool {
        matches!(self, Self::Boundary | Self::Lost)
    }

    fn held(&self) -> usize {
        match self {
            Self::Head(head) => size_of::<Collected>() + head.held(),
            Self::Body(_) => size_of::<body::Reader>() + last_chunk::WINDOW,
            Self::Boundary | Self::Lost => 0,
        }
    }
}

impl Http1 {
    fn new(requests_go: Direction, before: Before) -> Self {
        let role = match requests_go {
            Direction::Sent => Role::Client,
            Direction::Received => Role::Server,
        };
        let (stitch, requests) = if before.lost[requests_go as usize] {
            (Stitch::after_loss(1), State::Lost)
        } else if before.lost[requests_go.opposite() as usize] {
            // The lost answer may be that to the request which is seen only now.
            (Stitch::after_loss(1), State::Boundary)
        } else if before.from_birth {
            (Stitch::default(), State::Boundary)
        } else {
            (Stitch::in_the_middle(), State::Boundary)
        };
        Self {
            requests_go,
            role,
            requests,
            answers: State::Boundary,
            current: None,
            stitch,
            early: Early::default(),
            found: false,
            last_answer: Nanos(0),
            last_request: Nanos(0),
            over: false,
            tunnel: None,
            next: None,
        }
    }

    /// The answer that is complete at `at` ends HTTP here (101, or 2xx to CONNECT): what its exchange becomes is followed
    /// by its bytes alone, until it closes.
    fn become_tunnel(&mut self, at: Nanos, out: &mut Outlet<'_>) {
        self.tunnel = self.stitch.take_front();
        self.finish(Failure::Unseen, at, out);
    }

    /// The connection goes on in HTTP/2, and with it the exchange whose answer this is (RFC 7540 §3.2).
    fn upgrade(&mut self, at: Nanos, out: &mut Outlet<'_>) {
        let Some(open) = self.stitch.take_front() else { return };
        let next = Http2::upgraded(self.requests_go, open.upgraded());
        self.finish(Failure::Unseen, at, out);
        self.next = Some(Box::new(next));
    }

    /// HTTP ends here: what is open is told, the rest is not ours.
    fn finish(&mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        if let State::Body(body) = &self.answers {
            let in_order = matches!(failure, Failure::ConnectionClosed | Failure::Cancelled);
            if body.until_close() && in_order {
                let counted = body.counted();
                let last = self.stitch.front().map(|open| open.last());
                self.stitch.answer_complete(counted, last.unwrap_or(at), out);
            } else if body.is_lost()
                && !self.stitch.front().is_some_and(|open| open.is_event_stream())
            {
                self.stitch.finish_front(out);
            }
        }
        self.stitch.end(failure, at, out);
        self.early = Early::default();
        self.requests = State::Lost;
        self.answers = State::Lost;
        self.over = true;
    }
}

impl Protocol for Http1 {
    fn piece(&mut self, piece: Piece<'_>, out: &mut Outlet<'_>) {
        if let Some(next) = &mut self.next {
            next.piece(piece, out);
        } else if let Some(open) = &mut self.tunnel {
            if piece.direction == self.requests_go {
                open.request_moved(piece.len(), piece.ended);
            } else {
                open.answer_moved(piece.len(), &piece);
            }
        } else if self.over {
        } else if piece.direction == self.requests_go {
            self.request_piece(piece, out);
        } else {
            self.answer_piece(piece, out);
        }
    }

    fn end(&mut self, how: Ending, at: Nanos, out: &mut Outlet<'_>) {
        if let Some(next) = &mut self.next {
            return next.end(how, at, out);
        }
        match how {
            Ending::Gone(failure) if self.tunnel.is_some() => {
                if let Some(open) = self.tunnel.take() {
                    open.tunnel_closed(failure, at, out);
                }
            }
            _ if self.over => {}
            Ending::Gone(failure) => self.finish(failure, at, out),
            // A client that will send no more still waits for its answers.
            Ending::Finished(direction) if direction == self.requests_go => {}
            Ending::Finished(_) => self.finish(Failure::ConnectionClosed, at, out),
        }
    }

    fn rests(&self) -> bool {
        self.role == Role::Client
            && !self.over
            && self.tunnel.is_none()
            && self.next.is_none()
            && matches!((&self.requests, &self.answers), (State::Boundary, State::Boundary))
            && self.early.is_empty()
            && self.stitch.rests()
    }

    fn held(&self) -> usize {
        size_of::<Self>()
            + self.requests.held()
            + self.answers.held()
            + self.stitch.held()
            + self.tunnel.as_ref().map_or(0, |open| open.held)
            + self.early.held()
            + self.next.as_ref().map_or(0, |next| next.held())
    }
}
