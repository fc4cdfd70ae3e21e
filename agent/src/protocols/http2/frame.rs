//! Frame headers (RFC 9113 §4.1, §6): what one says, and whether it can be one.
#![forbid(unsafe_code)]

/// Octets of a frame header.
pub(super) const HEADER: usize = 9;

/// Frame types (§11.2) that mean something here.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0x0;
    pub(in super::super) const HEADERS: u8 = 0x1;
    pub(in super::super) const PRIORITY: u8 = 0x2;
    pub(in super::super) const RST_STREAM: u8 = 0x3;
    pub(in super::super) const SETTINGS: u8 = 0x4;
    pub(in super::super) const PUSH_PROMISE: u8 = 0x5;
    pub(in super::super) const PING: u8 = 0x6;
    pub(in super::super) const GOAWAY: u8 = 0x7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 0x8;
    pub(in super::super) const CONTINUATION: u8 = 0x9;
}

/// Flags (§6).
pub(super) mod flag {
    /// DATA, HEADERS.
    pub(in super::super) const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING.
    pub(in super::super) const ACK: u8 = 0x1;
    /// HEADERS, PUSH_PROMISE, CONTINUATION.
    pub(in super::super) const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS, PUSH_PROMISE.
    pub(in super::super) const PADDED: u8 = 0x8;
    /// HEADERS.
    pub(in super::super) const PRIORITY: u8 = 0x20;
}

/// Longest frame that is taken for one where the framing must be proven: what Go's servers allow, 64 times the
/// protocol's default.
const PROVEN_LENGTH: u32 = 1 << 20;
/// Longest SETTINGS there: there are less than 20 settings (IANA HTTP/2 Settings Registry).
const PROVEN_SETTINGS: u32 = 20 * 6;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Of the payload, octets.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The reserved bit, which must be ignored.
    reserved: bool,
    pub(super) stream: u32,
}

impl FrameHeader {
    /// Reads one.
    pub(super) const fn read(bytes: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, w, x, y, z] = bytes;
        let stream = u32::from_be_bytes([w, x, y, z]);
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            reserved: stream >> 31 != 0,
            stream: stream & 0x7fff_ffff,
        }
    }

    /// Whether a flag is set.
    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a peer would not answer it with a connection error at once: its length and its stream fit its type (§6).
    /// Frames of unknown types are to be ignored (§5.5).
    pub(super) const fn is_legal(&self) -> bool {
        let on_stream = self.stream != 0;
        match self.kind {
            kind::DATA | kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => on_stream,
            kind::PRIORITY => on_stream && self.length == 5,
            kind::RST_STREAM => on_stream && self.length == 4,
            kind::SETTINGS => {
                let fits = if self.has(flag::ACK) {
                    self.length == 0
                } else {
                    self.length.is_multiple_of(6)
                };
                fits && !on_stream
            }
            kind::PING => self.length == 8 && !on_stream,
            kind::GOAWAY => self.length >= 8 && !on_stream,
            kind::WINDOW_UPDATE => self.length == 4,
            _ => true,
        }
    }

    /// Whether it looks as what programs send: for where a frame is looked for in the middle of something. No unknown
    /// types, no flags without a meaning, no pushed streams, no giants.
    pub(super) const fn is_usual(&self) -> bool {
        use flag::{ACK, END_HEADERS, END_STREAM, PADDED, PRIORITY};
        let flags = match self.kind {
            kind::DATA => END_STREAM | PADDED,
            kind::HEADERS => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            kind::CONTINUATION => END_HEADERS,
            kind::SETTINGS | kind::PING => ACK,
            _ => 0,
        };
        let odd = self.stream == 0 || self.stream % 2 == 1;
        let length = match self.kind {
            kind::SETTINGS => self.length <= PROVEN_SETTINGS,
            _ => self.length <= PROVEN_LENGTH,
        };
        self.is_legal()
            && self.kind <= kind::CONTINUATION
            && self.kind != kind::PUSH_PROMISE
            && self.flags & !flags == 0
            && !self.reserved
            && odd
            && length
    }
}

/// The payload without its padding, of a frame whose whole payload this is (§6.1): `None` if there is more padding than
/// frame.
pub(super) fn unpadded(header: FrameHeader, payload: &[u8]) -> Option<&[u8]> {
    if !header.has(flag::PADDED) {
        return Some(payload);
    }
    let (pad, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*pad))?)
}

/// A header block's fragment in the whole payload of a HEADERS frame (§6.2); `None` if it is none.
pub(super) fn headers_fragment(header: FrameHeader, payload: &[u8]) -> Option<&[u8]> {
    let rest = unpadded(header, payload)?;
    if header.has(flag::PRIORITY) { rest.get(5..) } else { Some(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8; 9]) -> FrameHeader {
        FrameHeader::read(*bytes)
    }

    #[test]
    fn the_parts_of_a_header() {
        let read = header(&[0, 1, 2, 1, 0x25, 0x80, 0, 1, 3]);
        assert_eq!((read.length, read.kind, read.stream), (0x102, kind::HEADERS, 0x103));
        assert!(
            read.has(flag::END_STREAM) && read.has(flag::END_HEADERS) && read.has(flag::PRIORITY)
        );
        assert!(read.is_legal() && !read.is_usual(), "the reserved bit is set");
    }

    #[test]
    fn each_type_has_its_length_and_its_stream() {
        for (bytes, legal, usual) in [
            (&[0, 0, 0, 0, 1, 0, 0, 0, 1], true, true),
            (&[0, 0, 0, 0, 1, 0, 0, 0, 0], false, false),
            (&[0, 0, 5, 0, 1, 0, 0, 0, 2], true, false),
            (&[0, 0, 5, 2, 0, 0, 0, 0, 1], true, true),
            (&[0, 0, 6, 2, 0, 0, 0, 0, 1], false, false),
            (&[0, 0, 4, 3, 0, 0, 0, 0, 1], true, true),
            (&[0, 0, 12, 4, 0, 0, 0, 0, 0], true, true),
            (&[0, 0, 13, 4, 0, 0, 0, 0, 0], false, false),
            (&[0, 0, 6, 4, 1, 0, 0, 0, 0], false, false),
            (&[0, 0, 0, 4, 1, 0, 0, 0, 1], false, false),
            (&[0, 0, 8, 6, 0, 0, 0, 0, 0], true, true),
            (&[0, 0, 8, 6, 2, 0, 0, 0, 0], true, false),
            (&[0, 0, 4, 8, 0, 0, 0, 0, 0], true, true),
            (&[0, 0, 9, 0xbe, 7, 0, 0, 0, 9], true, false),
            (&[0xff, 0, 0, 0, 0, 0, 0, 0, 1], true, false),
        ] {
            assert_eq!(
                (header(bytes).is_legal(), header(bytes).is_usual()),
                (legal, usual),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn padding_and_priority_are_no_block() {
        let padded = header(&[0, 0, 0, 1, 0x8, 0, 0, 0, 1]);
        assert_eq!(headers_fragment(padded, &[2, 7, 8, 0, 0]), Some(&[7, 8][..]));
        assert_eq!(headers_fragment(padded, &[4, 0, 0, 0, 0]), Some(&[][..]));
        assert_eq!(headers_fragment(padded, &[5, 0, 0, 0, 0]), None);
        assert_eq!(headers_fragment(padded, &[]), None);
        let both = header(&[0, 0, 0, 1, 0x28, 0, 0, 0, 1]);
        assert_eq!(headers_fragment(both, &[1, 0, 0, 0, 0, 9, 7, 0]), Some(&[7][..]));
        assert_eq!(headers_fragment(both, &[1, 0, 0, 0, 9, 0]), None);
    }
}
