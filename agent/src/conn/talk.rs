//! What a connection speaks: not known yet, a protocol's reader, or nothing of ours.
//!
//! Holds the few first bytes that are not enough to tell; never more than [`FIRST_BYTES`] of them.
#![forbid(unsafe_code)]

use crate::input::Nanos;
use crate::protocols::{Before, Body, Detection, Ending, Kept, Outlet, Piece, Protocol, detect};

/// Most bytes that wait for a verdict, both directions: the longest first line and an answer's beginning.
pub(super) const FIRST_BYTES: usize = 32 * 1024;
/// Most pieces that wait for a verdict: a first line written byte by byte.
const FIRST_PIECES: usize = 512;

/// How long nothing may move, ns, until what was lost before matters no more: a message that is on its way does not
/// rest that long.
const QUIET: u64 = 1_000_000_000;

/// What is spoken.
#[derive(Debug)]
pub(super) enum Talk {
    /// Not known yet.
    Unknown(Start),
    /// A protocol, by its reader.
    Known(Box<dyn Protocol>),
    /// None that we know; certain only for a connection seen from its birth.
    Other,
}

impl Default for Talk {
    fn default() -> Self {
        Self::Unknown(Start::default())
    }
}

impl Talk {
    /// The connection was made in our sight, before any byte moved: what a direction begins with decides.
    pub(super) fn born(&mut self) {
        if let Self::Unknown(start) = self
            && !start.seen
        {
            start.before.from_birth = true;
        }
    }

    /// Reads on.
    pub(super) fn piece(&mut self, piece: Piece<'_>, out: &mut Outlet<'_>) {
        match self {
            Self::Unknown(start) => {
                if let Some(known) = start.piece(piece, out) {
                    *self = known;
                }
            }
            Self::Known(reader) => reader.piece(piece, out),
            Self::Other => {}
        }
    }

    /// A direction or the connection ended.
    pub(super) fn end(&mut self, how: Ending, at: Nanos, out: &mut Outlet<'_>) {
        if let Self::Known(reader) = self {
            reader.end(how, at, out);
        }
    }

    /// Memory held, bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Unknown(start) => start.held,
            Self::Known(reader) => reader.held(),
            Self::Other => 0,
        }
    }
}

/// The pieces since one that may be the start of something.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// What came before the bytes that are looked at.
    before: Before,
    /// Something has moved.
    seen: bool,
    /// When something moved last.
    last: Nanos,
    /// The pieces, both directions, to be read once it is known by whom.
    kept: Vec<Kept>,
    /// The bytes of the first piece's direction.
    first: Vec<u8>,
    /// Memory of both.
    held: usize,
}

impl Start {
    fn piece(&mut self, piece: Piece<'_>, out: &mut Outlet<'_>) -> Option<Talk> {
        self.seen = true;
        let Some(candidate) = self.kept.first().map(|kept| kept.piece().direction) else {
            return self.begin(piece, out);
        };
        self.keep(piece);
        if piece.direction != candidate {
            return self.full().then(|| self.not_this(None, out)).flatten();
        }
        let Some(bytes) = piece.bytes() else { return self.not_this(Some(piece), out) };
        self.first.extend_from_slice(bytes);
        match detect(&self.first, candidate, self.before) {
            Detection::Found(mut reader) => {
                for kept in self.kept.drain(..) {
                    reader.piece(kept.piece(), out);
                }
                Some(Talk::Known(reader))
            }
            Detection::More if !self.full() => None,
            Detection::More | Detection::No => self.not_this(Some(piece), out),
        }
    }

    /// Looks at a piece while nothing waits.
    fn begin(&mut self, piece: Piece<'_>, out: &mut Outlet<'_>) -> Option<Talk> {
        if piece.began.since(self.last) > QUIET {
            self.before.lost = [false; 2];
        }
        self.last = piece.ended;
        let Body::Bytes(bytes) = piece.body else {
            self.before.from_birth = false;
            self.before.lost[piece.direction as usize] |= piece.is_lost();
            return None;
        };
        match detect(bytes, piece.direction, self.before) {
            Detection::Found(mut reader) => {
                reader.piece(piece, out);
                Some(Talk::Known(reader))
            }
            Detection::More => {
                self.first.extend_from_slice(bytes);
                self.keep(piece);
                None
            }
            Detection::No => self.before.from_birth.then_some(Talk::Other),
        }
    }

    /// What waited is nobody's; `last` may still be somebody's.
    fn not_this(&mut self, last: Option<Piece<'_>>, out: &mut Outlet<'_>) -> Option<Talk> {
        self.kept = Vec::new();
        self.first = Vec::new();
        self.held = 0;
        if self.before.from_birth {
            return Some(Talk::Other);
        }
        last.and_then(|piece| self.begin(piece, out))
    }

    fn keep(&mut self, piece: Piece<'_>) {
        let kept = Kept::of(piece);
        self.held += 2 * kept.held();
        self.kept.push(kept);
    }

    const fn full(&self) -> bool {
        self.held > 2 * FIRST_BYTES || self.kept.len() > FIRST_PIECES
    }
}
