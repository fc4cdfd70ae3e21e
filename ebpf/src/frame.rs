//! HTTP/2 frame headers (RFC 9113 §4.1), as far as the kernel must know them: how long a frame is, whether what it carries
//! is copied, and whether there can be such a frame at all.
//!
//! Like [`crate::scan`] this decides only how many bytes travel to user space. What frames mean is decided there.

/// Bytes of a frame header.
pub const HEADER: usize = 9;

/// First eight bytes of the client's preface (RFC 9113 §3.4), as a little-endian word. Read as a frame header, of which it
/// has the first eight bytes, it would be a frame of a type and a length that nobody sends.
pub const PREFACE: u64 = u64::from_le_bytes(*b"PRI * HT");
/// Bytes of the preface behind what would be its frame header.
pub const PREFACE_REST: u32 = 24 - HEADER as u32;

/// Longest frame that is believed in where nothing else says that frames begin here: sixteen times what a peer may send
/// unasked (RFC 9113 §4.2), and as much as the common libraries ask for.
const LONGEST: u32 = 16 << 16;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of its payload.
    pub length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Frame types (RFC 9113 §6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PRIORITY: u8 = 2;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Frame flags (RFC 9113 §6).
mod flag {
    pub(super) const END_STREAM: u8 = 0x1;
    /// Of SETTINGS and PING.
    pub(super) const ACK: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
}

impl Frame {
    /// Of the header's first eight bytes, as a little-endian word, and its last one.
    #[must_use]
    #[inline(always)]
    pub const fn read(first: u64, last: u8) -> Self {
        let length =
            (first as u32 & 0xff) << 16 | first as u32 & 0xff00 | first as u32 >> 16 & 0xff;
        let stream = (first >> 40) as u32;
        let stream =
            (stream & 0xff) << 24 | (stream & 0xff00) << 8 | stream >> 8 & 0xff00 | last as u32;
        Self { length, kind: (first >> 24) as u8, flags: (first >> 32) as u8, stream }
    }

    /// Whether its payload is what a peer sends for itself and not for the connection: it is counted, not read. So is that of
    /// types nobody has defined here.
    #[must_use]
    #[inline(always)]
    pub const fn is_skipped(&self) -> bool {
        self.kind == kind::DATA || self.kind > kind::CONTINUATION
    }

    /// Whether it holds a header block or a part of one (RFC 9113 §4.3).
    #[must_use]
    #[inline(always)]
    pub const fn is_of_block(&self) -> bool {
        self.kind == kind::HEADERS
            || self.kind == kind::CONTINUATION
            || self.kind == kind::PUSH_PROMISE
    }

    /// The stream whose header block it holds, from the begin to the end of both; 0 where it does not, or where something that is
    /// none of the block stands behind that.
    #[must_use]
    #[inline(always)]
    pub const fn whole_block(&self) -> u32 {
        let ends = self.flags & flag::END_HEADERS != 0 && self.flags & flag::PADDED == 0;
        if self.kind == kind::HEADERS && ends { self.stream } else { 0 }
    }

    /// Whether there can be such a frame: what RFC 9113 says of lengths and streams of its type. Unknown types can be anything
    /// (§5.5). The reserved bit is unset (§4.1).
    #[must_use]
    #[inline(always)]
    pub const fn is_legal(&self) -> bool {
        if self.stream >> 31 != 0 {
            return false;
        }
        match self.kind {
            kind::DATA | kind::HEADERS | kind::CONTINUATION | kind::PUSH_PROMISE => {
                self.stream != 0
            }
            kind::PRIORITY => self.length == 5 && self.stream != 0,
            kind::RST_STREAM => self.length == 4 && self.stream != 0,
            kind::SETTINGS => self.stream == 0 && self.length.is_multiple_of(6),
            kind::PING => self.stream == 0 && self.length == 8,
            kind::GOAWAY => self.stream == 0 && self.length >= 8,
            kind::WINDOW_UPDATE => self.length == 4,
            _ => true,
        }
    }

    /// Whether it speaks for HTTP/2 where nothing else does: legal, of a known type, of a likely length, with the flags its
    /// type has, on a stream of a client where it has one (servers seldom push).
    #[must_use]
    #[inline(always)]
    pub const fn is_convincing(&self) -> bool {
        let flags = match self.kind {
            kind::DATA => flag::END_STREAM | flag::PADDED,
            kind::HEADERS => flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
            kind::SETTINGS | kind::PING => flag::ACK,
            kind::PUSH_PROMISE => flag::END_HEADERS | flag::PADDED,
            kind::CONTINUATION => flag::END_HEADERS,
            _ => 0,
        };
        self.kind <= kind::CONTINUATION
            && self.is_legal()
            && self.length <= LONGEST
            && self.flags & !flags == 0
            && (self.stream == 0 || self.stream & 1 == 1)
    }

    /// Whether it can be the first that a server sends (RFC 9113 §3.4), and is no answer to another.
    #[must_use]
    #[inline(always)]
    pub const fn is_first(&self) -> bool {
        /// Settings of which one frame may have all there are, and some that nobody knows.
        const SETTINGS: u32 = 16;
        self.kind == kind::SETTINGS
            && self.is_convincing()
            && self.flags == 0
            && self.length <= SETTINGS * 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(bytes: [u8; 9]) -> Frame {
        let [first @ .., last] = bytes;
        Frame::read(u64::from_le_bytes(first), last)
    }

    /// The header as RFC 9113 §4.1 draws it.
    fn header(length: u32, kind: u8, flags: u8, stream: u32) -> [u8; 9] {
        let [_, l @ ..] = length.to_be_bytes();
        let s = stream.to_be_bytes();
        [l[0], l[1], l[2], kind, flags, s[0], s[1], s[2], s[3]]
    }

    #[test]
    fn real_frames_convince() {
        for bytes in [
            header(18, kind::SETTINGS, 0, 0),
            header(0, kind::SETTINGS, flag::ACK, 0),
            header(4, kind::WINDOW_UPDATE, 0, 0),
            header(123, kind::HEADERS, flag::END_HEADERS, 7),
            header(16_384, kind::DATA, flag::END_STREAM, 7),
            header(8, kind::PING, flag::ACK, 0),
            header(34, kind::GOAWAY, 0, 0),
            header(4, kind::RST_STREAM, 0, 7),
            header(1, kind::CONTINUATION, 0, 7),
        ] {
            assert!(frame(bytes).is_convincing(), "{bytes:?}");
        }
        assert!(frame(header(18, kind::SETTINGS, 0, 0)).is_first());
        assert!(!frame(header(0, kind::SETTINGS, flag::ACK, 0)).is_first());
    }

    #[test]
    fn header_blocks_are_known_by_their_frames() {
        let of = |kind, flags| {
            let frame = frame(header(40, kind, flags, 7));
            (frame.is_of_block(), frame.whole_block())
        };
        assert_eq!(of(kind::HEADERS, flag::END_HEADERS), (true, 7));
        assert_eq!(of(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM), (true, 7));
        assert_eq!(of(kind::HEADERS, flag::END_HEADERS | flag::PRIORITY), (true, 7));
        assert_eq!(of(kind::HEADERS, flag::END_HEADERS | flag::PADDED), (true, 0));
        assert_eq!(of(kind::HEADERS, 0), (true, 0), "it goes on in another frame");
        assert_eq!(of(kind::CONTINUATION, flag::END_HEADERS), (true, 0));
        assert_eq!(of(kind::DATA, flag::END_STREAM), (false, 0));
    }

    #[test]
    fn other_protocols_do_not() {
        for (bytes, what) in [
            (*b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "a TLS hello"),
            (*b"\x17\x03\x03\x00\x45\x00\x00\x00\x00", "a TLS record"),
            (*b"\x00\x00\x00\x00\x00\x00\x00\x01\x00", "yamux data"),
            (*b"\x00\x01\x00\x01\x00\x00\x00\x01\x00", "a yamux window update"),
            (*b"\x00\x02\x00\x01\x00\x00\x00\x00\x00", "a yamux ping"),
            (*b"\x00\x03\x00\x00\x00\x00\x00\x00\x00", "a yamux go away"),
            (*b"GET / HTT", "HTTP/1"),
            (*b"PRI * HTT", "the preface"),
            (*b"\x00\x00\x00\x2a\x00\x12\x00\x04\x00", "a Kafka request"),
            (*b"AMQP\x00\x00\x09\x01\x00", "AMQP"),
            (*b"*1\r\n$4\r\nP", "Redis"),
            (*b"\x00\x00\x00\x54\x00\x03\x00\x00u", "a PostgreSQL start"),
            ([0; 9], "nothing"),
            ([0xff; 9], "ones"),
        ] {
            assert!(!frame(bytes).is_convincing(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_drawn(length in 0u32..1 << 24, kind: u8, flags: u8, stream: u32) {
            let read = frame(header(length, kind, flags, stream));
            prop_assert_eq!(read, Frame { length, kind, flags, stream });
            prop_assert!(read.is_legal() || !read.is_convincing());
        }

        /// Two in a row are believed: what one lets through, of any nine bytes.
        #[test]
        fn few_of_random_bytes_convince(seed in any::<u64>()) {
            let mut state = seed;
            let mut convinced = 0;
            for _ in 0..1000 {
                let mut bytes = [0; 9];
                for byte in &mut bytes {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *byte = (state >> 56) as u8;
                }
                convinced += u32::from(frame(bytes).is_convincing());
            }
            prop_assert!(convinced <= 2, "{} of 1000", convinced);
        }
    }
}
