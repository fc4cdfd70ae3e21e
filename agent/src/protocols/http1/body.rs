//! Bodies: how long one is (RFC 9112 §6.3), and following it to its end by position.
//!
//! Body bytes are counted and forgotten. A body of known length is followed through bytes that are missing.
#![forbid(unsafe_code)]

use super::chunked::Chunked;
use super::head::{Coding, Framing, Length};
use super::last_chunk::LastChunk;
use crate::conn::Loss;
use crate::protocols::{Body, Piece};

/// How a message goes on after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is over.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
    /// Not HTTP any more (101, or 2xx to CONNECT).
    Tunnel,
    /// Not known.
    Unknown,
}

/// A request's, RFC 9112 §6.3 points 3 to 7.
pub(super) fn of_request(method: &str, framing: Framing) -> Kind {
    match (framing.coding, framing.length) {
        (_, _) if !framing.ended => Kind::Unknown,
        (Coding::Chunked, _) => Kind::Chunked,
        // The server answers 400 and closes: nothing tells where the body ends.
        (Coding::Other, _) | (_, Length::Invalid) => Kind::Unknown,
        // What follows a CONNECT belongs to the tunnel (RFC 9110 §9.3.6).
        (_, Length::Of(0)) => Kind::None,
        (_, Length::Of(_)) if method == "CONNECT" => Kind::None,
        (_, Length::Of(n)) => Kind::Length(n),
        (_, Length::Absent) if framing.whole => Kind::None,
        (_, Length::Absent) => Kind::Unknown,
    }
}

/// An answer's to a request with `method` (`None`: not known), RFC 9112 §6.3 points 1 to 8.
pub(super) fn of_answer(method: Option<&str>, status: u16, framing: Framing) -> Kind {
    match (framing.coding, framing.length) {
        (_, _) if status == 101 => Kind::Tunnel,
        (_, _) if method == Some("CONNECT") && (200..300).contains(&status) => Kind::Tunnel,
        (_, _) if !framing.ended => Kind::Unknown,
        (_, _) if status < 200 || status == 204 || status == 304 => Kind::None,
        (_, _) if method == Some("HEAD") => Kind::None,
        (Coding::Chunked, _) => Kind::Chunked,
        (_, Length::Absent) if !framing.whole => Kind::Unknown,
        // Its client gives it up (point 5): nothing tells where it ends.
        (Coding::Absent, Length::Invalid) => Kind::Unknown,
        (Coding::Other, _) | (_, Length::Absent) => Kind::UntilClose,
        (_, Length::Of(0)) => Kind::None,
        (_, Length::Of(n)) => Kind::Length(n),
    }
}

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    /// Body bytes so far, framing not counted.
    counted: u64,
    /// Nothing of it has been read yet.
    untouched: bool,
    /// Its framing was lost in bytes that were left out on purpose.
    left_out: bool,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Lost(LastChunk),
}

impl Reader {
    /// A body of this kind; `None` if there is none to read.
    pub(super) fn new(kind: Kind) -> Option<Self> {
        let state = match kind {
            Kind::None | Kind::Tunnel => return None,
            Kind::Length(n) => State::Length(n),
            Kind::Chunked => State::Chunked(Chunked::default()),
            Kind::UntilClose => State::UntilClose,
            Kind::Unknown => State::Lost(LastChunk::default()),
        };
        Some(Self { state, counted: 0, untouched: true, left_out: false })
    }

    /// Reads what belongs to it: how many bytes of the piece, and whether it is complete now.
    pub(super) fn read(&mut self, piece: &Piece<'_>) -> (u64, bool) {
        self.untouched = false;
        match &mut self.state {
            State::Length(left) => {
                let used = piece.len().min(*left);
                *left -= used;
                self.counted += used;
                (used, *left == 0)
            }
            State::Chunked(chunked) => {
                let (used, data, done) = chunked.read(piece.body);
                self.counted = self.counted.saturating_add(data);
                if chunked.is_lost() {
                    self.left_out = matches!(piece.body, Body::Skip(_));
                    let mut end = LastChunk::default();
                    let rest = piece.after(used);
                    let done = end.read(rest.body);
                    self.state = State::Lost(end);
                    return (piece.len(), done);
                }
                (used, done)
            }
            State::UntilClose => {
                self.counted = self.counted.saturating_add(piece.len());
                (piece.len(), false)
            }
            State::Lost(end) => (piece.len(), end.read(piece.body)),
        }
    }

    /// Whether its framing was lost: its end may be recognised, its length will not be known.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost(_))
    }

    /// Whether its framing was lost in bytes that were left out on purpose. Such a body's end is at the end of a call, as
    /// long as the client waits for its answer; if that was not seen, further messages were in those bytes, and what
    /// begins a later call may be the middle of one.
    pub(super) const fn is_left_out(&self) -> bool {
        self.left_out
    }

    /// How many losses it is that something else begins and its end was not seen: none, if that was counted already.
    pub(super) const fn unseen_end(&self) -> u64 {
        self.left_out as u64
    }

    /// Whether only the end of the connection ends it.
    pub(super) const fn until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Whether nothing of it has been read.
    pub(super) const fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Its bytes; `None` when not known.
    pub(super) const fn counted(&self) -> Option<u64> {
        if self.is_lost() { None } else { Some(self.counted) }
    }

    /// What it is to have lost the framing just now. That a size was left out is no accident, and costs the length alone.
    pub(super) const fn loss(&self) -> Loss {
        if self.left_out { Loss::Unmeasured } else { Loss::Unframed }
    }
}
