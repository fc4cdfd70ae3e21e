//! Reading just enough of a message, in the kernel, to know what to copy: does one start here, where does its head end,
//! and how long is its body.
//!
//! This decides only how many bytes travel to user space. What they mean is decided there, by a real parser; a wrong
//! guess here costs a few bytes or is counted as a loss, and never makes a span.

use crate::frame::PREFACE;

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
    /// HTTP/2: the client's preface (RFC 9113 §3.4).
    Preface,
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
    if is(word, seen, PREFACE.to_le_bytes(), 8) {
        return Start::Preface;
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

/// How a call ended, as far as it matters for a blank line that goes on in the next one: a byte of the connection's
/// state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Ending(u8);

impl Ending {
    const AFTER_NEWLINE: u8 = 1;
    const AFTER_NEWLINE_RETURN: u8 = 2;

    /// Back from the state's byte.
    #[must_use]
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// As the state's byte.
    #[must_use]
    #[inline(always)]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// After one more call, whose last byte is `last` and the one before it, if it had one, `before`.
    #[must_use]
    #[inline(always)]
    pub const fn then(self, before: Option<u8>, last: u8) -> Self {
        let after_newline = match before {
            Some(byte) => byte == b'\n',
            None => self.0 == Self::AFTER_NEWLINE,
        };
        Self(match last {
            b'\n' => Self::AFTER_NEWLINE,
            b'\r' if after_newline => Self::AFTER_NEWLINE_RETURN,
            _ => 0,
        })
    }
}

/// Looks for the version in a message's first line (`HTTP/1.`, RFC 9112 §2.3), a byte at a time. A body that quotes a method and a path,
/// as the names of spans and lines of logs do, seldom has one there.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// The last eight bytes, the last one highest.
    last: u64,
}

impl Version {
    /// Before the first byte.
    pub const NONE: Self = Self { last: 0 };

    /// Takes the next byte, and whether the line ends there or goes on behind its version: then nothing more need be asked.
    #[must_use]
    #[inline(always)]
    pub const fn byte(&mut self, byte: u8) -> bool {
        self.last = self.last >> 8 | (byte as u64) << 56;
        byte == b'\n' || self.is_there()
    }

    /// Whether the bytes taken end with it.
    #[must_use]
    #[inline(always)]
    pub const fn is_there(&self) -> bool {
        self.last == u64::from_le_bytes(*b" HTTP/1.")
    }
}

/// Looks for the blank line that ends a head, a word at a time and almost without branches: the verifier follows each
/// branch of each word.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlankLine {
    /// The high bit of each byte of the word before that may have been LF.
    newlines: u64,
    /// The word before.
    before: u64,
}

const HIGH: u64 = 0x8080_8080_8080_8080;
const NEWLINES: u64 = 0x0a0a_0a0a_0a0a_0a0a;
const RETURNS: u64 = 0x0d0d_0d0d_0d0d_0d0d;

impl BlankLine {
    /// At the start of a call.
    #[must_use]
    #[inline(always)]
    pub const fn after(ending: Ending) -> Self {
        match ending.0 {
            Ending::AFTER_NEWLINE => Self { newlines: 0x80 << 56, before: 0x0a << 56 },
            Ending::AFTER_NEWLINE_RETURN => {
                Self { newlines: 0x80 << 48, before: 0x0d << 56 | 0x0a << 48 }
            }
            _ => Self { newlines: 0, before: 0 },
        }
    }

    /// Takes the next eight bytes. Zero while the head goes on, else a word for [`Self::len`]. A blank line is CRLF or
    /// a bare LF after a line end (RFC 9112 §2.2).
    #[must_use]
    #[inline(always)]
    pub const fn word(&mut self, word: u64) -> u64 {
        let newlines = may_be_newlines(word);
        let Self { newlines: newlines_before, before } = *self;
        *self = Self { newlines, before: word };
        if newlines == 0 {
            return 0;
        }
        // Most lines have more than one character: that is the cheap question.
        let near = newlines << 8 | newlines << 16 | newlines_before >> 56 | newlines_before >> 48;
        if newlines & near == 0 {
            return 0;
        }
        Self::blank_lines(word, before)
    }

    /// The high bit of each byte of `word` that is the LF of a blank line, exactly.
    #[inline(always)]
    const fn blank_lines(word: u64, before: u64) -> u64 {
        let newlines = bytes_equal(word, NEWLINES);
        let returns = bytes_equal(word, RETURNS);
        let newlines_before = bytes_equal(before, NEWLINES);
        let returns_before = bytes_equal(before, RETURNS);
        let newline_before = newlines << 8 | newlines_before >> 56;
        let return_before = returns << 8 | returns_before >> 56;
        let newline_two_before = newlines << 16 | newlines_before >> 48;
        newlines & (newline_before | return_before & newline_two_before)
    }

    /// How many bytes of the word that gave `ends` belong to the head.
    #[must_use]
    #[inline(always)]
    pub const fn len(ends: u64) -> usize {
        // Moves a bit at the bottom of a byte to the top as that byte's number.
        const NUMBERS: u64 = 0x0001_0203_0405_0607;
        let first = ends & ends.wrapping_neg();
        ((first >> 7).wrapping_mul(NUMBERS) >> 56) as usize + 1
    }
}

/// Looks for the beginnings of header fields with a certain first letter, a word at a time.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FieldStarts {
    /// The high bit of each byte of the word before that was LF.
    newlines: u64,
}

impl FieldStarts {
    /// At the start of a head, where no field begins.
    pub const NONE: Self = Self { newlines: 0 };

    /// Takes the next eight bytes: how many of them lie before the first that begins a line with that letter, in lower or upper
    /// case; 8 if none does.
    #[must_use]
    #[inline(always)]
    pub const fn word(&mut self, word: u64, letter: u8) -> u64 {
        const LOWER: u64 = 0x2020_2020_2020_2020;
        let newlines = bytes_equal(word, NEWLINES);
        let starts = newlines << 8 | self.newlines >> 56;
        self.newlines = newlines;
        let letters = bytes_equal(word | LOWER, letter as u64 * 0x0101_0101_0101_0101);
        let found = starts & letters;
        if found == 0 { 8 } else { found.trailing_zeros() as u64 / 8 }
    }
}

/// Sixteen lower-case hex digits as a number (W3C Trace Context §3.2.2), and whether they are such, a digit at a time.
#[derive(Clone, Copy)]
pub struct Hex {
    /// Their value so far.
    pub value: u64,
    /// One of them was none.
    pub bad: bool,
}

impl Hex {
    /// No digit yet.
    pub const EMPTY: Self = Self { value: 0, bad: false };

    /// And one more.
    #[must_use]
    #[inline(always)]
    pub const fn digit(self, byte: u8) -> Self {
        let decimal = byte.wrapping_sub(b'0');
        let letter = byte.wrapping_sub(b'a');
        let digit = if decimal < 10 { decimal } else { letter.wrapping_add(10) };
        let bad = self.bad || decimal >= 10 && letter >= 6;
        Self { value: self.value << 4 | (digit & 15) as u64, bad }
    }
}

/// The high bit of each byte of `word` that is LF, and of some others too: of those above 127, and of one above an LF, which may borrow
/// from it. A question with fewer instructions than the exact one, for each word of each head.
#[inline(always)]
const fn may_be_newlines(word: u64) -> u64 {
    (word ^ NEWLINES).wrapping_sub(0x0101_0101_0101_0101) & HIGH
}

/// The high bit of each byte of `word` that equals its byte of `pattern`: exact, no carry crosses bytes.
#[inline(always)]
const fn bytes_equal(word: u64, pattern: u64) -> u64 {
    let x = word ^ pattern;
    !(((x & !HIGH) + !HIGH) | x) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word_of(bytes: &[u8]) -> u64 {
        // What lies behind the bytes in the kernel's buffer is anything, a blank line too.
        let mut word = *b"\n\n\n\n\n\n\n\n";
        let n = bytes.len().min(8);
        word[..n].copy_from_slice(&bytes[..n]);
        u64::from_le_bytes(word)
    }

    #[test]
    fn a_version_is_found_in_the_first_line_alone() {
        let has_one = |line: &[u8]| {
            let mut version = Version::NONE;
            let _ = line.iter().any(|byte| version.byte(*byte));
            version.is_there()
        };
        for shift in 0..9 {
            let path = "x".repeat(shift);
            assert!(has_one(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n").as_bytes()));
            assert!(has_one(format!("POST /{path} HTTP/1.0").as_bytes()));
            assert!(!has_one(format!("GET /{path}\n HTTP/1.1\r\n").as_bytes()));
            assert!(!has_one(format!("GET /{path} HTTP/2.0\r\n").as_bytes()));
            assert!(!has_one(format!("GET /{path} HTTP/1").as_bytes()));
            assert!(!has_one(format!("GET /{path}HTTP/1.1\r\n").as_bytes()));
        }
    }

    #[test]
    fn fields_are_found_by_their_first_letter() {
        let head = b"GET /t HTTP/1.1\r\nHost: t\r\nTe: x\r\na: b\r\nt-x: 1\r\n\r\n";
        for shift in 0..8 {
            let mut bytes = vec![b'x'; shift];
            bytes.extend(head);
            bytes.resize(bytes.len().next_multiple_of(8), b'z');
            let mut starts = FieldStarts::NONE;
            let mut found = Vec::new();
            for (i, chunk) in bytes.chunks(8).enumerate() {
                let at = starts.word(word_of(chunk), b't');
                if at < 8 {
                    found.push(i * 8 + at as usize - shift);
                }
            }
            assert_eq!(found, [26, 39]);
        }
    }

    #[test]
    fn digits_are_lower_case() {
        let read = |text: &str| text.bytes().fold(Hex::EMPTY, Hex::digit);
        assert_eq!(
            (read("00f067aa0ba902b7").value, read("00f067aa0ba902b7").bad),
            (0x00f0_67aa_0ba9_02b7, false)
        );
        for bad in ["g", "A", "/", ":", "`", "-", "\u{7f}"] {
            assert!(read(bad).bad, "{bad}");
        }
    }

    /// The kernel's loop: whole words from the start of each call, with whatever lies behind its last byte.
    fn head_end(calls: &[&[u8]]) -> Option<usize> {
        let mut ending = Ending::default();
        let mut before = 0;
        for call in calls {
            let mut blank = BlankLine::after(ending);
            for (i, chunk) in call.chunks(8).enumerate() {
                let ends = blank.word(word_of(chunk));
                let len = i * 8 + BlankLine::len(ends);
                if ends != 0 && len <= call.len() {
                    return Some(before + len);
                }
            }
            let mut backwards = call.iter().rev();
            let last = backwards.next()?;
            ending = ending.then(backwards.next().copied(), *last);
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
    fn the_first_blank_line_of_a_word_counts() {
        for byte in 0..8 {
            for also in byte..8 {
                assert_eq!(BlankLine::len(0x80 << (8 * byte) | 0x80 << (8 * also)), byte + 1);
            }
        }
    }

    #[test]
    fn starts_are_told_apart() {
        assert_eq!(start(word_of(b"GET / HT"), 100), Start::Request { bodyless: true });
        assert_eq!(start(word_of(b"POST /x "), 100), Start::Request { bodyless: false });
        assert_eq!(start(word_of(b"HTTP/1.1"), 100), Start::Response);
        assert_eq!(start(word_of(b"HTTP/2.0"), 100), Start::No);
        assert_eq!(start(word_of(b"PRI * HT"), 24), Start::Preface);
        assert_eq!(start(word_of(b"GETTING "), 100), Start::No);
        assert_eq!(start(word_of(b"*1\r\n$4\r\n"), 100), Start::No);
        assert_eq!(start(0x0000_0000_0301_0316, 100), Start::No, "a TLS hello");
        assert_eq!(start(0, 0), Start::No);
    }

    #[test]
    fn a_byte_may_become_a_start() {
        assert_eq!(start(word_of(b"G"), 1), Start::Request { bodyless: true });
        assert_eq!(start(word_of(b"PO"), 2), Start::Request { bodyless: false });
        assert_eq!(start(word_of(b"PR"), 2), Start::Preface);
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
        fn bytes_are_compared_exactly(word in any::<u64>(), byte in any::<u8>()) {
            let pattern = u64::from_le_bytes([byte; 8]);
            let expected = word.to_le_bytes().map(|b| if b == byte { 0x80 } else { 0 });
            prop_assert_eq!(bytes_equal(word, pattern).to_le_bytes(), expected);
            let exactly = bytes_equal(word, NEWLINES);
            prop_assert_eq!(may_be_newlines(word) & exactly, exactly);
        }
    }
}
