//! Reading just enough of a message, in the kernel, to know what to copy: does one start here, and where does its
//! head end.
//!
//! This decides only how many bytes travel to user space. What they mean is decided there, by a real parser; a wrong
//! guess here costs a few bytes or is counted as a loss, and never makes a span.

/// What the first bytes of a call look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Not the start of a message.
    No,
    /// A request. `bodyless`: by its method it has no body, so that what follows its head is the next request.
    Request {
        /// See above.
        bodyless: bool,
    },
    /// An answer.
    Response,
}

/// What the first `len` bytes of a call, up to eight of them as a little-endian `word`, are the start of.
///
/// Fewer bytes than a method name has are taken for a start if they could become one: a client may write a request
/// byte by byte.
#[must_use]
#[inline(always)]
pub const fn start(word: u64, len: usize) -> Start {
    if len == 0 {
        return Start::No;
    }
    let seen = mask(if len < 8 { len } else { 8 });
    if is(word, seen, *b"HTTP/1.\0", 7) {
        return Start::Response;
    }
    if is(word, seen, *b"GET \0\0\0\0", 4)
        || is(word, seen, *b"HEAD \0\0\0", 5)
        || is(word, seen, *b"DELETE \0", 7)
        || is(word, seen, *b"OPTIONS ", 8)
        || is(word, seen, *b"TRACE \0\0", 6)
    {
        return Start::Request { bodyless: true };
    }
    if is(word, seen, *b"POST \0\0\0", 5)
        || is(word, seen, *b"PUT \0\0\0\0", 4)
        || is(word, seen, *b"PATCH \0\0", 6)
        || is(word, seen, *b"CONNECT ", 8)
    {
        return Start::Request { bodyless: false };
    }
    Start::No
}

/// The lowest `bytes` bytes (1 to 8) of a word.
#[inline(always)]
const fn mask(bytes: usize) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

#[inline(always)]
const fn is(word: u64, seen: u64, name: [u8; 8], len: usize) -> bool {
    (word ^ u64::from_le_bytes(name)) & mask(len) & seen == 0
}

/// How much of a blank line has been seen; carried from word to word and from call to call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct BlankLine(u8);

impl BlankLine {
    const NONE: u8 = 0;
    const AFTER_NEWLINE: u8 = 1;
    const AFTER_NEWLINE_RETURN: u8 = 2;

    /// Back from a byte of the connection's state.
    #[must_use]
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// As a byte for the connection's state.
    #[must_use]
    #[inline(always)]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// One word of a head, `valid` bytes of it (1 to 8): how many of these bytes belong to the head when the head
    /// ends in this word, 0 when it goes on. A blank line is CRLF or a bare LF after a line end (RFC 9112 §2.2).
    #[inline(always)]
    pub fn word(&mut self, word: u64, valid: usize) -> usize {
        if !has_newline(word) {
            // A CR at the end of this word matters only right after a newline, and then the word before ended in it.
            let lone_return = self.0 == Self::AFTER_NEWLINE && valid == 1 && word & 0xff == 0x0d;
            self.0 = if lone_return { Self::AFTER_NEWLINE_RETURN } else { Self::NONE };
            return 0;
        }
        let mut rest = word;
        let mut at = 0;
        while at < 8 {
            if at >= valid {
                return 0;
            }
            let byte = (rest & 0xff) as u8;
            rest >>= 8;
            at += 1;
            if byte == b'\n' {
                if self.0 != Self::NONE {
                    self.0 = Self::NONE;
                    return at;
                }
                self.0 = Self::AFTER_NEWLINE;
            } else if byte == b'\r' && self.0 == Self::AFTER_NEWLINE {
                self.0 = Self::AFTER_NEWLINE_RETURN;
            } else {
                self.0 = Self::NONE;
            }
        }
        0
    }
}

/// Whether any byte of the word is LF: exact, by the borrow of a zero byte after XOR.
#[inline(always)]
const fn has_newline(word: u64) -> bool {
    let x = word ^ 0x0a0a_0a0a_0a0a_0a0a;
    x.wrapping_sub(0x0101_0101_0101_0101) & !x & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word_of(bytes: &[u8]) -> u64 {
        let mut word = [0xaa; 8];
        let n = bytes.len().min(8);
        word[..n].copy_from_slice(&bytes[..n]);
        u64::from_le_bytes(word)
    }

    /// The kernel's loop: whole words from the start of each call.
    fn head_end(calls: &[&[u8]]) -> Option<usize> {
        let mut blank = BlankLine::default();
        let mut before = 0;
        for call in calls {
            for (i, chunk) in call.chunks(8).enumerate() {
                let end = blank.word(word_of(chunk), chunk.len());
                if end > 0 {
                    return Some(before + i * 8 + end);
                }
            }
            before += call.len();
        }
        None
    }

    /// The same, written to be obviously right.
    fn plain_head_end(bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find_map(|i| {
            let rest = &bytes[i..];
            [b"\n\r\n".as_slice(), b"\n\n"]
                .iter()
                .find(|end| rest.starts_with(end))
                .map(|end| i + end.len())
        })
    }

    #[test]
    fn starts_are_told_apart() {
        assert_eq!(start(word_of(b"GET / HT"), 100), Start::Request { bodyless: true });
        assert_eq!(start(word_of(b"POST /x "), 100), Start::Request { bodyless: false });
        assert_eq!(start(word_of(b"HTTP/1.1"), 100), Start::Response);
        assert_eq!(start(word_of(b"HTTP/2.0"), 100), Start::No);
        assert_eq!(start(word_of(b"GETTING "), 100), Start::No);
        assert_eq!(start(word_of(b"*1\r\n$4\r\n"), 100), Start::No);
        assert_eq!(start(0x0000_0000_0301_0316, 100), Start::No, "a TLS hello");
        assert_eq!(start(0, 0), Start::No);
    }

    #[test]
    fn a_byte_may_become_a_start() {
        assert_eq!(start(word_of(b"G"), 1), Start::Request { bodyless: true });
        assert_eq!(start(word_of(b"PO"), 2), Start::Request { bodyless: false });
        assert_eq!(start(word_of(b"X"), 1), Start::No);
    }

    proptest! {
        #[test]
        fn the_head_ends_where_a_plain_search_says(bytes in "[a\r\n]{0,40}", cuts in prop::collection::vec(0usize..41, 0..4)) {
            let bytes = bytes.as_bytes();
            let mut at: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            at.push(0);
            at.push(bytes.len());
            at.sort_unstable();
            let calls: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).filter(|c| !c.is_empty()).collect();
            prop_assert_eq!(head_end(&calls), plain_head_end(bytes));
        }

        #[test]
        fn newlines_are_found_exactly(word in any::<u64>()) {
            prop_assert_eq!(has_newline(word), word.to_le_bytes().contains(&b'\n'));
        }
    }
}
