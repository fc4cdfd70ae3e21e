//! One direction cut into frames.
//!
//! | state | bytes | bytes left out | lost bytes |
//! |---|---|---|---|
//! | preface | must be the preface, then: header. Else: lost | lost | lost |
//! | header | nine octets, then: payload. No frame: lost | lost | lost |
//! | payload | to its end, then: header | followed by position, what it needs is missing | likewise |
//! | lost | a piece whose frames prove themselves ([`Resume`]): header | lost | lost |
//!
//! Of frames that are read as a whole at most [`PAYLOAD_MAX`] octets are kept; DATA is handed on as it comes.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::frame::{FrameHeader, HEADER, kind};
use super::resume::{Expected, Resume, Verdict};
use crate::input::{Nanos, Runtime, Task};
use crate::protocols::{Body, Kept, Piece};

/// What a client begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most octets kept of a frame: the default SETTINGS_MAX_FRAME_SIZE (§6.5.2). What exceeds it is as good as lost.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024 + 256;

/// Where and when a frame's first octet moved, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) began: Nanos,
    pub(super) task: Task,
    /// The kernel took it for a request's first.
    pub(super) told: bool,
    /// What a runtime said of the call that moved it.
    pub(super) runtime: Runtime,
}

impl Mark {
    const fn of(piece: &Piece<'_>) -> Self {
        Self {
            position: piece.position,
            began: piece.began,
            task: piece.task,
            told: piece.request,
            runtime: piece.runtime,
        }
    }
}

/// What a direction holds.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// A part of a DATA frame's payload; the first one may be empty.
    Data {
        header: FrameHeader,
        /// What has come of it before.
        offset: u64,
        body: Body<'a>,
        /// This is the rest of the frame.
        last: bool,
    },
    /// Any other frame that means something here.
    Frame {
        header: FrameHeader,
        mark: Mark,
        /// The payload up to the first octet that is missing.
        payload: Cow<'a, [u8]>,
        /// Nothing of it is missing.
        whole: bool,
    },
    /// Where the next frame begins is not known any more: it is no frame, or in bytes that were not to be had. Nothing
    /// of this piece has been read after it.
    Lost {
        /// Bytes are there, and are no frame.
        unframed: bool,
    },
    /// Bytes were passed over unread, the last of them at this time.
    Unread(Nanos),
    /// The frames of these pieces prove themselves: they are to be read instead of the piece at hand. What was unread
    /// before them had moved by that time.
    Found(Vec<Kept>, Option<Nanos>),
}

/// One direction's framing.
#[derive(Debug)]
pub(super) struct Framer(State);

#[derive(Debug)]
enum State {
    /// So many octets of the preface have come.
    Preface(usize),
    /// So many octets of a frame header have come.
    Header {
        bytes: [u8; HEADER],
        have: usize,
        mark: Option<Mark>,
    },
    Payload(Payload),
    Lost(Box<Resume>),
}

impl State {
    const BOUNDARY: Self = Self::Header { bytes: [0; HEADER], have: 0, mark: None };
}

/// A frame that is being read.
#[derive(Debug)]
struct Payload {
    header: FrameHeader,
    mark: Mark,
    /// Octets to come.
    left: u64,
    /// What is kept of it.
    kept: Vec<u8>,
    /// Nothing of it is missing so far.
    whole: bool,
}

impl Framer {
    /// At the beginning of a client's direction.
    pub(super) const fn preface() -> Self {
        Self(State::Preface(0))
    }

    /// At the beginning of a frame.
    pub(super) const fn boundary() -> Self {
        Self(State::BOUNDARY)
    }

    /// Anywhere.
    pub(super) fn lost() -> Self {
        Self(State::Lost(Box::default()))
    }

    /// It makes no sense to go on: the frames are not in an order in which frames can be.
    pub(super) fn lose(&mut self) {
        *self = Self::lost();
    }

    /// When the last octet had moved that waits for a proof.
    pub(super) fn waits_since(&self) -> Option<Nanos> {
        if let State::Lost(resume) = &self.0 { resume.waits_since() } else { None }
    }

    /// Memory held, bytes.
    pub(super) fn held(&self) -> usize {
        match &self.0 {
            State::Payload(payload) => payload.kept.capacity(),
            State::Lost(resume) => size_of::<Resume>() + resume.held(),
            State::Preface(_) | State::Header { .. } => 0,
        }
    }

    /// Reads on: how many bytes of the piece were used, and what they hold. `start`: the piece is a whole one, where a
    /// call begins. Uses at least one byte of a piece that is not empty, unless there is an event.
    pub(super) fn read<'a>(
        &mut self,
        piece: &Piece<'a>,
        start: bool,
        expected: Expected<'_>,
    ) -> (u64, Option<Event<'a>>) {
        match std::mem::replace(&mut self.0, State::BOUNDARY) {
            State::Preface(have) => self.in_preface(have, piece),
            State::Header { bytes, have, mark } => self.in_header(bytes, have, mark, piece),
            State::Payload(payload) => self.in_payload(payload, piece),
            State::Lost(resume) => self.in_nowhere(resume, piece, start, expected),
        }
    }

    fn in_preface<'a>(&mut self, have: usize, piece: &Piece<'a>) -> (u64, Option<Event<'a>>) {
        let Body::Bytes(bytes) = piece.body else { return self.is_lost_here(false) };
        let rest = &PREFACE[have..];
        let here = bytes.len().min(rest.len());
        if bytes[..here] != rest[..here] {
            return self.is_lost_here(true);
        }
        if here < rest.len() {
            self.0 = State::Preface(have + here);
        }
        (here as u64, None)
    }

    fn in_header<'a>(
        &mut self,
        mut bytes: [u8; HEADER],
        have: usize,
        mark: Option<Mark>,
        piece: &Piece<'a>,
    ) -> (u64, Option<Event<'a>>) {
        let Body::Bytes(fresh) = piece.body else { return self.is_lost_here(false) };
        let mark = mark.unwrap_or_else(|| Mark::of(piece));
        let used = fresh.len().min(HEADER - have);
        bytes[have..have + used].copy_from_slice(&fresh[..used]);
        if have + used < HEADER {
            self.0 = State::Header { bytes, have: have + used, mark: Some(mark) };
            return (used as u64, None);
        }
        let header = FrameHeader::read(bytes);
        if !header.is_legal() {
            return self.is_lost_here(true);
        }
        let left = u64::from(header.length);
        let payload = Payload { header, mark, left, kept: Vec::new(), whole: true };
        if left > 0 {
            self.0 = State::Payload(payload);
            return (used as u64, None);
        }
        (used as u64, payload.complete(Cow::Borrowed(&[])))
    }

    fn in_payload<'a>(
        &mut self,
        mut payload: Payload,
        piece: &Piece<'a>,
    ) -> (u64, Option<Event<'a>>) {
        let used = piece.len().min(payload.left);
        let offset = u64::from(payload.header.length) - payload.left;
        payload.left -= used;
        let bytes = piece.bytes().map(|bytes| &bytes[..usize::try_from(used).unwrap_or(0)]);
        let last = payload.left == 0;
        let header = payload.header;
        let event = if header.kind == kind::DATA {
            let body = match piece.body {
                Body::Bytes(_) => Body::Bytes(bytes.unwrap_or_default()),
                Body::Skip(_) => Body::Skip(used),
                Body::Gap(_) => Body::Gap(used),
                Body::Hidden(_) => Body::Hidden(used),
            };
            Some(Event::Data { header, offset, body, last })
        } else if last && offset == 0 && used <= PAYLOAD_MAX as u64 && bytes.is_some() {
            payload.complete(Cow::Borrowed(bytes.unwrap_or_default()))
        } else {
            payload.keep(bytes);
            let kept = if last { std::mem::take(&mut payload.kept) } else { Vec::new() };
            if last { payload.complete(Cow::Owned(kept)) } else { None }
        };
        if !last {
            self.0 = State::Payload(payload);
        }
        (used, event)
    }

    fn in_nowhere<'a>(
        &mut self,
        mut resume: Box<Resume>,
        piece: &Piece<'a>,
        start: bool,
        expected: Expected<'_>,
    ) -> (u64, Option<Event<'a>>) {
        let verdict = if start { resume.read(piece, expected) } else { Verdict::Not(piece.ended) };
        let event = match verdict {
            Verdict::More => None,
            Verdict::Not(ended) => Some(Event::Unread(ended)),
            // At a boundary now, where the first of them begins.
            Verdict::Found(kept, unread) => {
                return (piece.len(), Some(Event::Found(kept, unread)));
            }
        };
        self.0 = State::Lost(resume);
        (piece.len(), event)
    }

    fn is_lost_here<'a>(&mut self, unframed: bool) -> (u64, Option<Event<'a>>) {
        self.lose();
        (0, Some(Event::Lost { unframed }))
    }
}

impl Payload {
    /// Keeps what is needed.
    fn keep(&mut self, bytes: Option<&[u8]>) {
        let is_read = matches!(
            self.header.kind,
            kind::HEADERS
                | kind::CONTINUATION
                | kind::PUSH_PROMISE
                | kind::RST_STREAM
                | kind::GOAWAY
        );
        match bytes {
            _ if !is_read => {}
            Some(bytes) if self.whole && self.kept.len() + bytes.len() <= PAYLOAD_MAX => {
                self.kept.extend_from_slice(bytes);
            }
            _ => self.whole = false,
        }
    }

    /// The frame is complete.
    fn complete<'a>(&self, payload: Cow<'a, [u8]>) -> Option<Event<'a>> {
        let (header, mark, whole) = (self.header, self.mark, self.whole);
        Some(match header.kind {
            kind::DATA => Event::Data { header, offset: 0, body: Body::Bytes(&[]), last: true },
            _ => Event::Frame { header, mark, payload, whole },
        })
    }
}
