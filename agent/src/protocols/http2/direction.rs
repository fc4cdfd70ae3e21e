//! One direction: its frames, and its header blocks put together and decoded in wire order (RFC 9113 §4.3).
#![forbid(unsafe_code)]

use super::frame::{FrameHeader, HEADER, flag, headers_fragment, kind, unpadded};
use super::framer::{Event, Framer, Mark};
use super::head::Head;
use super::hpack::Decoder;
use super::resume;
use super::stream::Part;
use super::streams::Streams;
use crate::conn::Loss;
use crate::input::Nanos;
use crate::protocols::{Body, Kept, Outlet, Piece};

/// Most octets kept of a header block: four times what the kernel copies of an HTTP/1 head. What exceeds it is as good
/// as lost.
const BLOCK_MAX: usize = 64 * 1024;

/// What a direction says.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    Block(Block),
    Data(Data<'a>),
    /// RST_STREAM: the stream, and the code if it was seen.
    Reset(u32, Option<u32>),
    /// GOAWAY: the last stream.
    GoAway(u32),
    /// Frames that moved until then have not been read.
    Unread(Nanos),
    /// Pieces to be read; what moved before them until then has not been.
    Found(Vec<Kept>, Option<Nanos>),
}

/// A header block, decoded.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) head: Head,
    /// Of its first frame.
    pub(super) mark: Mark,
    /// The stream's direction ends with it.
    pub(super) ends: bool,
    /// Octets of its frames.
    pub(super) octets: u64,
    /// When its last octet moved.
    pub(super) ended: Nanos,
}

/// A part of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'a> {
    pub(super) header: FrameHeader,
    /// Octets of the payload before it.
    pub(super) offset: u64,
    pub(super) body: Body<'a>,
    /// Octets on the wire, with the frame header at the first.
    pub(super) octets: u64,
    /// The stream's direction ends with it.
    pub(super) ends: bool,
    /// When its last octet moved.
    pub(super) ended: Nanos,
}

/// One direction.
#[derive(Debug)]
pub(super) struct HalfDuplex {
    part: Part,
    framer: Framer,
    decoder: Decoder,
    /// The header block that is read.
    block: Option<Fragments>,
}

/// A header block that goes on in the next frame.
#[derive(Debug)]
struct Fragments {
    /// Its stream; what a server pushes is decoded and forgotten.
    stream: u32,
    pushed: bool,
    ends: bool,
    mark: Mark,
    bytes: Vec<u8>,
    /// Nothing is missing of it.
    whole: bool,
    /// On the wire.
    octets: u64,
}

impl HalfDuplex {
    /// A direction that begins here.
    pub(super) fn beginning(part: Part) -> Self {
        let mut decoder = Decoder::default();
        // Nobody but the peer has to enforce it.
        decoder.set_limit(None);
        let framer = match part {
            Part::Request => Framer::preface(),
            Part::Answer => Framer::boundary(),
        };
        Self { part, framer, decoder, block: None }
    }

    /// A direction that is older than us, at the beginning of a frame.
    pub(super) fn at_frame(part: Part) -> Self {
        let decoder = Decoder::joined_late();
        Self { part, framer: Framer::boundary(), decoder, block: None }
    }

    /// A direction that is older than us, anywhere.
    pub(super) fn somewhere(part: Part) -> Self {
        Self { framer: Framer::lost(), ..Self::at_frame(part) }
    }

    /// When the last octet had moved that is still unread.
    pub(super) fn waits_since(&self) -> Option<Nanos> {
        self.framer.waits_since()
    }

    /// Memory held, bytes.
    pub(super) fn held(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.bytes.capacity());
        self.framer.held() + self.decoder.held() + block
    }

    /// Reads on: how many bytes of the piece were used, and what they say.
    pub(super) fn read<'a>(
        &mut self,
        piece: &Piece<'a>,
        start: bool,
        streams: &Streams,
        out: &mut Outlet<'_>,
    ) -> (u64, Option<Heard<'a>>) {
        let part = self.part;
        let may_be =
            |header: FrameHeader| streams.may_be(part, header, header.kind == kind::HEADERS);
        let head = match part {
            Part::Request => resume::Head::Request,
            Part::Answer => resume::Head::Answer,
        };
        let expected = resume::Expected { head, may_be: &may_be };
        let (used, event) = self.framer.read(piece, start, expected);
        let ended = piece.ended;
        let heard = match event {
            None => None,
            Some(Event::Data { header, offset, body, last }) if self.block.is_none() => {
                let framing = if offset == 0 { HEADER as u64 } else { 0 };
                let ends = last && header.has(flag::END_STREAM);
                let octets = used_of(body) + framing;
                Some(Heard::Data(Data { header, offset, body, octets, ends, ended }))
            }
            Some(Event::Frame { header, mark, payload, whole }) => {
                self.frame(Frame { header, mark, payload: &payload, whole }, ended, out)
            }
            // A header block is not interrupted (§6.10).
            Some(Event::Data { .. }) => Some(self.lose(true, ended, out)),
            Some(Event::Lost { unframed }) => {
                if let Body::Skip(n) = piece.body {
                    out.lose(Loss::BeyondCap, n);
                }
                Some(self.lose(unframed, ended, out))
            }
            Some(Event::Unread(at)) => Some(Heard::Unread(at)),
            Some(Event::Found(kept, unread)) => Some(Heard::Found(kept, unread)),
        };
        (used, heard)
    }

    /// A whole frame that is not DATA.
    fn frame<'a>(
        &mut self,
        frame: Frame<'_>,
        ended: Nanos,
        out: &mut Outlet<'_>,
    ) -> Option<Heard<'a>> {
        let header = frame.header;
        let continues = header.kind == kind::CONTINUATION;
        let fits = match &self.block {
            Some(block) => continues && block.stream == header.stream,
            None => !continues,
        };
        if !fits {
            return Some(self.lose(true, ended, out));
        }
        let number = |at: usize| {
            let bytes = frame.payload.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*bytes))
        };
        match header.kind {
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                self.fragment(frame, ended, out)
            }
            kind::RST_STREAM => Some(Heard::Reset(header.stream, number(0))),
            kind::GOAWAY => Some(Heard::GoAway(number(0)? & 0x7fff_ffff)),
            _ => None,
        }
    }

    /// A fragment of a header block.
    fn fragment<'a>(
        &mut self,
        frame: Frame<'_>,
        ended: Nanos,
        out: &mut Outlet<'_>,
    ) -> Option<Heard<'a>> {
        let header = frame.header;
        let bytes = match header.kind {
            kind::CONTINUATION => Some(frame.payload),
            // What is missing of a padded frame may be all padding: nothing says where the block ends.
            _ if !frame.whole && header.has(flag::PADDED) => Some(&[][..]),
            kind::HEADERS => headers_fragment(header, frame.payload),
            _ => unpadded(header, frame.payload).and_then(|rest| rest.get(4..)),
        };
        let bytes = match bytes {
            Some(bytes) => bytes,
            None if frame.whole => return Some(self.lose(true, ended, out)),
            None => &[],
        };
        let block = self.block.get_or_insert_with(|| Fragments {
            stream: header.stream,
            pushed: header.kind == kind::PUSH_PROMISE,
            ends: header.kind == kind::HEADERS && header.has(flag::END_STREAM),
            mark: frame.mark,
            bytes: Vec::new(),
            whole: true,
            octets: 0,
        });
        block.octets += HEADER as u64 + u64::from(header.length);
        // What comes behind something that is missing cannot be decoded.
        if block.whole && block.bytes.len() + bytes.len() <= BLOCK_MAX {
            block.bytes.extend_from_slice(bytes);
            block.whole = frame.whole;
        } else {
            block.whole = false;
        }
        if header.has(flag::END_HEADERS) { self.decode(ended, out) } else { None }
    }

    /// A header block is complete.
    fn decode<'a>(&mut self, ended: Nanos, out: &mut Outlet<'_>) -> Option<Heard<'a>> {
        let block = self.block.take()?;
        let mut head = Head::default();
        let decoded = self.decoder.block(&block.bytes, |field| head.add(field));
        if !block.whole {
            // What was decoded is right as far as it goes.
            head.is_partial = true;
            self.decoder.lose();
        } else if decoded.is_err() {
            head = Head::unknown();
        }
        if decoded.is_err() || !block.whole {
            out.lose(Loss::HeaderBlock, 1);
        }
        head.is_partial |= decoded.is_ok_and(|decoded| decoded.left_out > 0);
        let Fragments { stream, pushed, ends, mark, octets, .. } = block;
        (!pushed).then_some(Heard::Block(Block { stream, head, mark, ends, octets, ended }))
    }

    /// Where frames begin is not known any more, nor what blocks said meanwhile.
    fn lose<'a>(&mut self, unframed: bool, at: Nanos, out: &mut Outlet<'_>) -> Heard<'a> {
        if unframed {
            out.lose(Loss::Unframed, 1);
        }
        self.framer.lose();
        self.decoder.lose();
        self.block = None;
        Heard::Unread(at)
    }
}

/// A whole frame.
#[derive(Clone, Copy)]
struct Frame<'a> {
    header: FrameHeader,
    mark: Mark,
    payload: &'a [u8],
    whole: bool,
}

/// Octets of a body.
const fn used_of(body: Body<'_>) -> u64 {
    match body {
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::Skip(n) | Body::Gap(n) | Body::Hidden(n) => n,
    }
}
