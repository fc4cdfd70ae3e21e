//! Where frames begin in a direction whose framing is not known: at the beginning of a call, if what follows proves it.
//!
//! Nine octets are easily taken for a frame header, and what is carried in DATA may be HTTP/2 itself. So several frames
//! must follow each other as programs send them, or one must be a whole HEADERS frame whose block is one by the grammar
//! of HPACK and begins as the head of a request or of an answer does. Until then the pieces wait here, and nothing of
//! them is believed.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::frame::{FrameHeader, HEADER, flag, headers_fragment, kind};
use super::hpack::{Decoder, Field};
use crate::input::Nanos;
use crate::protocols::{Body, Kept, Piece};

/// How many frame headers in a row are a proof: three that are usual come about by chance once in 2^50.
const FRAMES: usize = 3;
/// Most memory of pieces that wait, bytes: a call's head as it is copied, and the next ones.
const WAIT_HELD: usize = 48 * 1024;
/// Most pieces that wait.
const WAIT_PIECES: usize = 64;
/// Longest HEADERS frame that is looked into.
const BLOCK_MAX: usize = 16 * 1024;

/// Whose head a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Request,
    Answer,
}

/// What may come in a direction.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    /// The heads that go this way.
    pub(super) head: Head,
    /// Whether a frame of this kind may be on this stream, by what the connection was seen to do.
    pub(super) may_be: &'a dyn Fn(FrameHeader) -> bool,
}

/// What a piece says about where frames begin.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Not enough yet.
    More,
    /// Nothing, and what had moved by then is not to be read any more.
    Not(Nanos),
    /// Here, in these pieces; and what had moved by that time is not to be read any more.
    Found(Vec<Kept>, Option<Nanos>),
}

/// Pieces that may begin with a frame.
#[derive(Debug, Default)]
pub(super) struct Resume {
    kept: VecDeque<Kept>,
    held: usize,
    probe: Probe,
}

impl Resume {
    /// Reads on.
    pub(super) fn read(&mut self, piece: &Piece<'_>, expected: Expected<'_>) -> Verdict {
        if self.kept.is_empty() && piece.bytes().is_none() {
            return Verdict::Not(piece.ended);
        }
        let kept = Kept::of(*piece);
        self.held += kept.held();
        self.kept.push_back(kept);
        let mut fits = self.probe.read(piece.body, expected);
        let mut unread = None;
        loop {
            match fits {
                Fits::Proven(_) => {
                    return Verdict::Found(std::mem::take(&mut self.kept).into(), unread);
                }
                Fits::SoFar if self.held <= WAIT_HELD && self.kept.len() <= WAIT_PIECES => {
                    return unread.map_or(Verdict::More, Verdict::Not);
                }
                Fits::SoFar | Fits::Not => {}
            }
            // Not from the first on; perhaps from a later one.
            let Some(first) = self.kept.pop_front() else { break };
            self.held -= first.held();
            unread = Some(first.piece().ended);
            self.probe = Probe::default();
            fits = Fits::SoFar;
            for kept in &self.kept {
                fits = self.probe.read(kept.piece().body, expected);
                if fits != Fits::SoFar {
                    break;
                }
            }
            if self.kept.is_empty() {
                break;
            }
        }
        Verdict::Not(unread.unwrap_or(piece.ended))
    }

    /// When the last of the pieces that wait had moved.
    pub(super) fn waits_since(&self) -> Option<Nanos> {
        self.kept.back().map(|kept| kept.piece().ended)
    }

    /// Memory held, bytes.
    pub(super) fn held(&self) -> usize {
        self.held + self.kept.capacity() * size_of::<Kept>() + self.probe.block.capacity()
    }
}

/// How bytes fit the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    /// They do not.
    Not,
    /// They do, which is no proof yet.
    SoFar,
    /// They do, and cannot be anything else. By the head, if one was seen.
    Proven(Option<Head>),
}

/// Frames read for their grammar only.
#[derive(Debug, Default)]
pub(super) struct Probe {
    header: [u8; HEADER],
    have: usize,
    /// Octets to come of the payload of this frame.
    open: Option<(FrameHeader, u64)>,
    /// The payload of a HEADERS frame; given up when it is not all there.
    block: Vec<u8>,
    /// Frame headers seen.
    frames: usize,
    /// The stream whose header block goes on in the next frame.
    continued: Option<u32>,
}

impl Probe {
    /// Reads on. After [`Fits::Not`] and [`Fits::Proven`] it has no more to say.
    pub(super) fn read(&mut self, body: Body<'_>, expected: Expected<'_>) -> Fits {
        let fits = self.look(body, Some(expected));
        match fits {
            Fits::Proven(Some(head)) if head != expected.head => Fits::Not,
            Fits::SoFar if self.frames >= FRAMES => Fits::Proven(None),
            fits => fits,
        }
    }

    /// Reads on where nothing is known of the connection: only a head is proof, and tells which way it goes.
    pub(super) fn read_first(&mut self, bytes: &[u8]) -> Fits {
        self.look(Body::Bytes(bytes), None)
    }

    /// Whether what comes next may complete a head.
    pub(super) const fn is_in_a_head(&self) -> bool {
        let in_frame = match self.open {
            Some((header, _)) => header.kind == kind::HEADERS,
            None => self.have > 0,
        };
        in_frame && self.continued.is_none()
    }

    fn look(&mut self, body: Body<'_>, expected: Option<Expected<'_>>) -> Fits {
        let mut rest = match body {
            Body::Bytes(bytes) => bytes,
            Body::Skip(n) => return self.skip(n),
            Body::Gap(_) | Body::Hidden(_) => return Fits::Not,
        };
        while !rest.is_empty() {
            let Some((header, left)) = self.open else {
                let used = rest.len().min(HEADER - self.have);
                self.header[self.have..self.have + used].copy_from_slice(&rest[..used]);
                self.have += used;
                rest = &rest[used..];
                if self.have == HEADER && !self.begin(expected) {
                    return Fits::Not;
                }
                continue;
            };
            let used = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if is_head(header) && header.length as usize <= BLOCK_MAX {
                self.block.extend_from_slice(&rest[..used]);
            }
            rest = &rest[used..];
            self.open = Some((header, left - used as u64)).filter(|(_, left)| *left > 0);
            if self.open.is_none() && is_head(header) {
                let block = std::mem::take(&mut self.block);
                if block.len() == header.length as usize {
                    match head_of(header, &block) {
                        Ok(Some(head)) => return Fits::Proven(Some(head)),
                        Ok(None) => {}
                        Err(()) => return Fits::Not,
                    }
                }
            }
        }
        Fits::SoFar
    }

    /// Octets that were left out on purpose: of DATA, or of what need not be read.
    fn skip(&mut self, n: u64) -> Fits {
        match self.open {
            Some((header, left)) if n <= left => {
                self.block.clear();
                self.open = Some((header, left - n)).filter(|(_, left)| *left > 0);
                Fits::SoFar
            }
            _ => Fits::Not,
        }
    }

    /// A frame header is complete: whether it can be one.
    fn begin(&mut self, expected: Option<Expected<'_>>) -> bool {
        let header = FrameHeader::read(self.header);
        self.have = 0;
        self.frames += 1;
        self.open = Some((header, u64::from(header.length))).filter(|(_, length)| *length > 0);
        // A header block is not interrupted (RFC 9113 §6.10).
        let in_order = match self.continued {
            Some(stream) => header.kind == kind::CONTINUATION && header.stream == stream,
            None => header.kind != kind::CONTINUATION,
        };
        self.continued = match header.kind {
            kind::HEADERS | kind::CONTINUATION if !header.has(flag::END_HEADERS) => {
                Some(header.stream)
            }
            _ => None,
        };
        in_order && header.is_usual() && expected.is_none_or(|expected| (expected.may_be)(header))
    }
}

/// Whether a frame holds a whole header block.
const fn is_head(header: FrameHeader) -> bool {
    header.kind == kind::HEADERS && header.has(flag::END_HEADERS)
}

/// Whose head the payload of a HEADERS frame is, if it is one; trailers are nobody's. `Err`: it is no header block.
fn head_of(header: FrameHeader, payload: &[u8]) -> Result<Option<Head>, ()> {
    let block = headers_fragment(header, payload).ok_or(())?;
    let (mut head, mut fits) = (None, true);
    let each = |field: Field<'_>| {
        fits &= is_field(field);
        if let (true, Some(name)) = (head.is_none(), field.name) {
            head = match name {
                b":method" | b":scheme" | b":path" | b":authority" => Some(Head::Request),
                b":status" => Some(Head::Answer),
                _ => None,
            };
        }
    };
    Decoder::joined_late().block(block, each).map_err(|_| ())?;
    if fits { Ok(head) } else { Err(()) }
}

/// Whether a field can be one, as far as it is known (RFC 9113 §8.2.1, §8.3).
fn is_field(field: Field<'_>) -> bool {
    let Some(name) = field.name else { return true };
    let token = |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    let value = |fits: fn(&[u8]) -> bool| field.value.is_none_or(fits);
    match name {
        b":method" => value(|method| !method.is_empty() && method.iter().all(u8::is_ascii_graphic)),
        b":scheme" => value(|scheme| !scheme.is_empty() && scheme.iter().all(u8::is_ascii_graphic)),
        b":path" => value(|path| path.starts_with(b"/") || path == b"*"),
        b":status" => value(|status| status.len() == 3 && status.iter().all(u8::is_ascii_digit)),
        b":authority" | b":protocol" => true,
        name => !name.is_empty() && name.iter().all(token) && !name.starts_with(b":"),
    }
}
