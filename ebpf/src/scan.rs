//! Reading just enough of a message, in the kernel, to know what to copy: does one start here, where does its head end,
//! and how long is its body.
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

/// Looks for the blank line that ends a head, a word at a time and almost without branches: the verifier follows each
/// branch of each word.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BlankLine {
    /// The high bit of each byte of the word before that was LF.
    newlines: u64,
    /// Likewise for CR.
    returns: u64,
}

const HIGH: u64 = 0x8080_8080_8080_8080;

impl BlankLine {
    /// At the start of a call.
    #[must_use]
    #[inline(always)]
    pub const fn after(ending: Ending) -> Self {
        match ending.0 {
            Ending::AFTER_NEWLINE => Self { newlines: 0x80 << 56, returns: 0 },
            Ending::AFTER_NEWLINE_RETURN => Self { newlines: 0x80 << 48, returns: 0x80 << 56 },
            _ => Self { newlines: 0, returns: 0 },
        }
    }

    /// Takes the next eight bytes. Zero while the head goes on, else a word for [`Self::len`]. A blank line is CRLF or
    /// a bare LF after a line end (RFC 9112 §2.2).
    #[must_use]
    #[inline(always)]
    pub const fn word(&mut self, word: u64) -> u64 {
        if !may_have_newline(word) {
            self.newlines = 0;
            return 0;
        }
        let newlines = bytes_equal(word, 0x0a0a_0a0a_0a0a_0a0a);
        let returns = bytes_equal(word, 0x0d0d_0d0d_0d0d_0d0d);
        let newline_before = newlines << 8 | self.newlines >> 56;
        let return_before = returns << 8 | self.returns >> 56;
        let newline_two_before = newlines << 16 | self.newlines >> 48;
        self.newlines = newlines;
        self.returns = returns;
        newlines & (newline_before | return_before & newline_two_before)
    }

    /// How many bytes of the word that gave `ends` belong to the head.
    #[must_use]
    #[inline(always)]
    pub const fn len(ends: u64) -> usize {
        let mut len = 1;
        let mut rest = ends;
        while len < 8 {
            if rest & 0x80 != 0 {
                return len;
            }
            rest >>= 8;
            len += 1;
        }
        8
    }
}

/// What a line of a head is to the question how long the message's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    Other,
    /// `Content-Length` (RFC 9110 §8.6).
    ContentLength,
    /// One that makes it another matter, or may: `Transfer-Encoding`; `Expect`, after which the body may not be sent at
    /// all; a line that goes on with the one before it.
    Unclear,
}

/// What the line is that begins with the sixteen bytes of `first` and `second`.
#[must_use]
#[inline(always)]
pub const fn field(first: u64, second: u64) -> Field {
    /// Makes letters small. It makes letters of a few other bytes, too, but not of any a header's name may have.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let name = first | SMALL;
    if name == u64::from_le_bytes(*b"content-") {
        let rest = second | SMALL;
        if (rest ^ u64::from_le_bytes(*b"length\0\0")) & mask(6) != 0 {
            return Field::Other;
        }
        let exact = first >> 56 == b'-' as u64 && (second >> 48) & 0xff == b':' as u64;
        return if exact { Field::ContentLength } else { Field::Unclear };
    }
    let expect = (name ^ u64::from_le_bytes(*b"expect\0\0")) & mask(6) == 0
        && (first >> 48) & 0xff != b'-' as u64;
    let folded = first & 0xff == b' ' as u64 || first & 0xff == b'\t' as u64;
    if name == u64::from_le_bytes(*b"transfer") || expect || folded {
        Field::Unclear
    } else {
        Field::Other
    }
}

/// Where a word has its LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newline {
    /// It has none.
    None,
    /// At this byte of it.
    At(u64),
    /// It has several: a line shorter than any header of interest, which nobody sends.
    Several,
}

/// Where the first `len` bytes (at least 1) of a word have their LF.
#[must_use]
#[inline(always)]
pub const fn newline(word: u64, len: u64) -> Newline {
    if !may_have_newline(word) {
        return Newline::None;
    }
    let seen = mask(if len < 8 { len as usize } else { 8 });
    let found = bytes_equal(word, 0x0a0a_0a0a_0a0a_0a0a) & seen;
    if found == 0 {
        Newline::None
    } else if found & (found - 1) != 0 {
        Newline::Several
    } else {
        // One bit, the lowest of its byte: it picks that byte's number out of the table.
        Newline::At((found >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56)
    }
}

/// The number in a line behind its colon, where the sixteen bytes of `first` and `second` are: at most ten digits, with
/// nothing but blanks before them and the line's end behind.
#[must_use]
#[inline(always)]
pub const fn number(first: u64, second: u64) -> Option<u64> {
    const DIGITS: u32 = 10;
    let (mut first, mut second) = (first, second);
    let mut number = 0;
    let mut digits = 0;
    let mut i = 0;
    while i < 16 {
        let next = first as u8;
        first = first >> 8 | second << 56;
        second >>= 8;
        if next.is_ascii_digit() {
            digits += 1;
            if digits > DIGITS {
                return None;
            }
            number = number * 10 + (next - b'0') as u64;
        } else if digits == 0 {
            if next != b' ' && next != b'\t' {
                return None;
            }
        } else {
            let ends = next == b'\n' || next == b'\r' && first as u8 == b'\n';
            return if ends { Some(number) } else { None };
        }
        i += 1;
    }
    None
}

/// Whether the length that an answer gives is that of a body behind it, as far as its status says (RFC 9112 §6.3 points
/// 1 and 2): `second` are the bytes 8 to 15 of its first line.
#[must_use]
#[inline(always)]
pub const fn status(second: u64) -> Status {
    let three = (second >> 8) & 0xff_ffff;
    if three & 0xff == b'1' as u64 {
        Status::Interim
    } else if three == u32::from_le_bytes(*b"204\0") as u64
        || three == u32::from_le_bytes(*b"304\0") as u64
    {
        Status::Bodyless
    } else {
        Status::Other
    }
}

/// What a status says of the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 1xx: none, and the answer is still to come.
    Interim,
    /// None.
    Bodyless,
    /// What its headers say, unless the request was HEAD or CONNECT.
    Other,
}

/// Whether the answer to a request has a body when its headers say so: not to HEAD, nor to CONNECT. Not for a method of
/// which less than `len` = 8 bytes are here.
#[must_use]
#[inline(always)]
pub const fn is_answered_whole(word: u64, len: usize) -> bool {
    len >= 8 && !is(word, u64::MAX, *b"HEAD \0\0\0", 5) && !is(word, u64::MAX, *b"CONNECT ", 8)
}

/// False only for words without LF. True for a few others too: it is the cheap question.
#[inline(always)]
const fn may_have_newline(word: u64) -> bool {
    let x = word ^ 0x0a0a_0a0a_0a0a_0a0a;
    x.wrapping_sub(0x0101_0101_0101_0101) & !x & HIGH != 0
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

    /// The kernel's way through a head: what its `Content-Length` says, `Ok(None)` if it has none, `Err` if that is unclear.
    fn content_length(head: &[u8]) -> Result<Option<u64>, ()> {
        let mut buffer = head.to_vec();
        buffer.extend(*b"Content-Length: 77\r\n\r\nwhat lay there before");
        let at = |i: usize| {
            let mut word = [0; 8];
            let here = &buffer[i.min(buffer.len())..buffer.len().min(i + 8)];
            word[..here.len()].copy_from_slice(here);
            u64::from_le_bytes(word)
        };
        // The LF that ends the last header, and those of the blank line, begin no header.
        let last = head.len() - 3;
        let mut found = None;
        for i in (0..last).step_by(8) {
            match newline(at(i), (last - i) as u64) {
                Newline::None => {}
                Newline::Several => return Err(()),
                Newline::At(place) => {
                    let line = i + place as usize + 1;
                    match (field(at(line), at(line + 8)), found) {
                        (Field::Other, _) => {}
                        (Field::ContentLength, None) => found = Some(line + 15),
                        (Field::ContentLength, Some(_)) | (Field::Unclear, _) => return Err(()),
                    }
                }
            }
        }
        let Some(line) = found else { return Ok(None) };
        number(at(line), at(line + 8)).map(Some).ok_or(())
    }

    /// The same by a real parser, where all is plain.
    fn parsed_length(head: &[u8]) -> Option<Option<u64>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let done = httparse::ParserConfig::default()
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, head)
            .ok()?;
        assert_eq!(done, httparse::Status::Complete(head.len()));
        let mut length = None;
        for header in response.headers {
            let name = header.name.to_ascii_lowercase();
            if name == "transfer-encoding" || name == "expect" {
                return None;
            }
            if name == "content-length" {
                let text = std::str::from_utf8(header.value).ok()?;
                length = match length {
                    None => Some(text.trim().parse().ok()?),
                    Some(_) => return None,
                };
            }
        }
        Some(length)
    }

    fn head(lines: &[&str]) -> Vec<u8> {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        for line in lines {
            head.extend_from_slice(line.as_bytes());
        }
        head.extend(*b"\r\n");
        head
    }

    #[test]
    fn lengths_are_read_where_they_are_plain() {
        let length = |lines: &[&str]| content_length(&head(lines));
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&["Server: x\r\n"]), Ok(None));
        assert_eq!(length(&["Server: x\r\n", "Content-Length: 12\r\n"]), Ok(Some(12)));
        assert_eq!(
            length(&["content-length:9999999999\r\n", "Server: x\r\n"]),
            Ok(Some(9_999_999_999))
        );
        assert_eq!(length(&["CONTENT-LENGTH: \t0\n", "Server: x\n"]), Ok(Some(0)));
        assert_eq!(length(&["Content-Type: text/plain\r\n", "X-Content-Length: 5\r\n"]), Ok(None));
        assert_eq!(length(&["Expect-CT: max-age=0\r\n", "Content-Length: 3\r\n"]), Ok(Some(3)));
        for unclear in [
            "Content-Length: 99999999999\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 5 \r\n",
            "Content-Length: +5\r\n",
            "Content-Length: \r\n",
            "Content-Length : 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\n 6\r\n",
            "Content-Length: 5\r\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "transfer-encoding:gzip\r\nContent-Length: 5\r\n",
            "Expect: 100-continue\r\n",
            "expect : 100-continue\r\n",
        ] {
            assert_eq!(length(&["A-Header: x\r\n", unclear]), Err(()), "{unclear:?}");
        }
    }

    #[test]
    fn a_status_tells_of_its_body() {
        let of = |line: &[u8; 16]| status(word_of(&line[8..]));
        assert_eq!(of(b"HTTP/1.1 200 OK\r"), Status::Other);
        assert_eq!(of(b"HTTP/1.1 100 Con"), Status::Interim);
        assert_eq!(of(b"HTTP/1.1 204 No "), Status::Bodyless);
        assert_eq!(of(b"HTTP/1.0 304 Not"), Status::Bodyless);
        assert!(is_answered_whole(word_of(b"GET / HT"), 8));
        assert!(!is_answered_whole(word_of(b"GET / HT"), 7));
        assert!(!is_answered_whole(word_of(b"HEAD / H"), 80));
        assert!(!is_answered_whole(word_of(b"CONNECT "), 80));
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
            prop_assert!(may_have_newline(word) || !word.to_le_bytes().contains(&b'\n'));
        }

        #[test]
        fn lengths_are_those_of_a_real_parser(
            lines in prop::collection::vec(prop_oneof![
                "[A-Za-z-]{1,20}: ?[ -~]{0,20}\r?\n",
                "[Cc]ontent-[Ll]ength[: ]{0,3}[0-9+, ]{0,12}\r?\n",
                "(?i)(transfer-encoding|expect|expect-ct|content-type|content-lengthy): ?[a-z]{0,8}\r\n",
                "[ \t][a-z0-9]{0,9}\r\n",
                "[a-zA-Z\r: -]{0,12}\n",
            ], 0..8),
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
            let head = head(&lines);
            if head_end(&[&head]) == Some(head.len())
                && let Ok(length) = content_length(&head)
                && let Some(parsed) = parsed_length(&head)
            {
                prop_assert_eq!(length, parsed, "{:?}", String::from_utf8_lossy(&head));
            }
        }

        #[test]
        fn plain_heads_give_their_length(
            before in prop::collection::vec("[A-BD-SU-Za-bd-su-z][A-Za-z-]{3,20}: [!-~]{0,30}\r\n", 0..20),
            after in prop::collection::vec("[A-BD-SU-Za-bd-su-z][A-Za-z-]{3,20}: [!-~]{0,30}\r\n", 0..20),
            length in 0u64..10_000_000_000,
        ) {
            let line = format!("Content-Length: {length}\r\n");
            let lines: Vec<&str> =
                before.iter().map(String::as_str).chain([line.as_str()]).chain(after.iter().map(String::as_str)).collect();
            let plain = !lines.iter().any(|l| l.to_ascii_lowercase().starts_with("expect"));
            prop_assert!(!plain || content_length(&head(&lines)) == Ok(Some(length)));
        }
    }
}
