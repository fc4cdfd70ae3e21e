//! Reading the head of a request of HTTP/1.1 before anything is put into it.
//!
//! [`Head`] is stricter than any server: whatever could be read in two ways is refused, because the place where the next request
//! begins follows from it, and bytes put anywhere else would change what the application says. It never guesses.

/// What a head has, as bits of [`Head::has`].
pub mod has {
    /// A `traceparent`.
    pub const TRACEPARENT: u64 = 1;
    /// A `Content-Length`.
    pub const LENGTH: u64 = 2;
    /// A `Transfer-Encoding`: the length of the body is not known from the head.
    pub const ENCODING: u64 = 4;
    /// An `Expect`: whether the body comes is for the server to say.
    pub const EXPECT: u64 = 8;
    /// An `Upgrade`: what comes after it may be no HTTP.
    pub const UPGRADE: u64 = 16;
    /// What may be a signature that covers other fields: a `Signature` (RFC 9421), or an `Authorization` that is neither `Basic` nor
    /// `Bearer` (`AWS4-HMAC-SHA256` signs whichever fields it names).
    pub const SIGNATURE: u64 = 32;
}

/// Where in a head the reader is, as [`Head::phase`].
mod phase {
    pub(super) const REQUEST_LINE: u64 = 0;
    pub(super) const LINE_FEED: u64 = 1;
    pub(super) const LINE: u64 = 2;
    pub(super) const NAME: u64 = 3;
    pub(super) const VALUE: u64 = 4;
    pub(super) const LENGTH: u64 = 5;
    pub(super) const LAST_LINE_FEED: u64 = 6;
    pub(super) const SCHEME: u64 = 7;
    pub(super) const WHOLE: u64 = 8;
    pub(super) const REFUSED: u64 = 9;
}

/// Reads a request's head byte by byte. Words throughout: it lies in memory of which the verifier knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    phase: u64,
    /// Bytes read.
    read: u64,
    /// Length of the request line with its end.
    pub line: u64,
    /// Bits of [`has`].
    pub has: u64,
    /// Value of its `Content-Length`, 0 if it has none.
    pub length: u64,
    /// Where its one `traceparent` has its value, blanks before that included; 0 if it has none or more than one.
    pub parent: u64,
    /// The first sixteen bytes of the field's name, in small letters, and its length;
    first: u64,
    second: u64,
    count: u64,
    /// of the request line, its last eight bytes and the one before.
    last: u64,
    before: u64,
    /// Digits of a length, and whether they are over.
    digits: u64,
    over: u64,
}

/// Ends of lines and the like; a tab is none.
const fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

/// A name's bytes as [`Head`] keeps them.
const fn name(text: &[u8]) -> (u64, u64, u64) {
    let (mut first, mut second, mut i) = (0u64, 0u64, 0);
    while i < text.len() {
        if i < 8 {
            first = first << 8 | text[i] as u64;
        } else if i < 16 {
            second = second << 8 | text[i] as u64;
        }
        i += 1;
    }
    (first, second, text.len() as u64)
}

const TRACEPARENT: (u64, u64, u64) = name(b"traceparent");
const LENGTH: (u64, u64, u64) = name(b"content-length");
const ENCODING: (u64, u64, u64) = name(b"transfer-encoding");
const EXPECT: (u64, u64, u64) = name(b"expect");
const UPGRADE: (u64, u64, u64) = name(b"upgrade");
const AUTHORIZATION: (u64, u64, u64) = name(b"authorization");
const SIGNATURE: (u64, u64, u64) = name(b"signature");
const SIGNATURE_INPUT: (u64, u64, u64) = name(b"signature-input");
/// Nine digits: what no request is longer than, and positions reach beyond.
const MOST_DIGITS: u64 = 9;
const VERSION: u64 = u64::from_be_bytes(*b"HTTP/1.1");

impl Head {
    /// Nothing is read.
    pub const NONE: Self = Self {
        phase: phase::REQUEST_LINE,
        read: 0,
        line: 0,
        has: 0,
        length: 0,
        parent: 0,
        first: 0,
        second: 0,
        count: 0,
        last: 0,
        before: 0,
        digits: 0,
        over: 0,
    };

    /// Whether nothing more is to be read: it is whole, or refused.
    #[must_use]
    #[inline(always)]
    pub const fn is_over(&self) -> bool {
        self.phase >= phase::WHOLE
    }

    /// Its length, if it is whole and nothing in it is in doubt.
    #[must_use]
    #[inline(always)]
    pub const fn whole(&self) -> Option<u64> {
        if self.phase == phase::WHOLE { Some(self.read) } else { None }
    }

    /// Whether it is one into which nothing is put, whatever follows.
    #[must_use]
    #[inline(always)]
    pub const fn is_refused(&self) -> bool {
        self.phase == phase::REFUSED
    }

    /// Reads a byte.
    #[inline(always)]
    pub const fn byte(&mut self, byte: u8) {
        if self.is_over() {
            return;
        }
        self.read += 1;
        self.phase = match self.phase {
            phase::REQUEST_LINE => self.of_request_line(byte),
            phase::LINE_FEED => {
                if byte == b'\n' {
                    if self.line == 0 {
                        self.line = self.read;
                    }
                    phase::LINE
                } else {
                    phase::REFUSED
                }
            }
            phase::LINE => self.of_line(byte),
            phase::NAME => self.of_name(byte),
            phase::LENGTH => self.of_length(byte),
            phase::SCHEME => self.of_scheme(byte),
            phase::VALUE => match byte {
                b'\r' => phase::LINE_FEED,
                _ if is_control(byte) => phase::REFUSED,
                _ => phase::VALUE,
            },
            phase::LAST_LINE_FEED if byte == b'\n' => phase::WHOLE,
            _ => phase::REFUSED,
        };
    }

    #[inline(always)]
    const fn of_request_line(&mut self, byte: u8) -> u64 {
        if byte == b'\r' {
            let ends_well = self.last == VERSION && self.before == b' ' as u64;
            return if ends_well { phase::LINE_FEED } else { phase::REFUSED };
        }
        self.before = self.last >> 56;
        self.last = self.last << 8 | byte as u64;
        if is_control(byte) { phase::REFUSED } else { phase::REQUEST_LINE }
    }

    #[inline(always)]
    const fn of_line(&mut self, byte: u8) -> u64 {
        if byte == b'\r' {
            return phase::LAST_LINE_FEED;
        }
        self.first = 0;
        self.second = 0;
        self.count = 0;
        self.of_name(byte)
    }

    #[inline(always)]
    const fn of_name(&mut self, byte: u8) -> u64 {
        if byte == b':' && self.count > 0 {
            return self.named();
        }
        // What else a name may consist of nobody uses, and readers differ: a line that goes on one before it, blanks before the
        // colon, ends of lines above all.
        let small = if byte >= b'A' && byte <= b'Z' { byte | 0x20 } else { byte };
        let known = small >= b'a' && small <= b'z' || small >= b'0' && small <= b'9';
        if !known && small != b'-' && small != b'_' && small != b'.' {
            return phase::REFUSED;
        }
        if self.count < 8 {
            self.first = self.first << 8 | small as u64;
        } else if self.count < 16 {
            self.second = self.second << 8 | small as u64;
        }
        self.count += 1;
        phase::NAME
    }

    #[inline(always)]
    const fn named(&mut self) -> u64 {
        if self.is(TRACEPARENT) {
            self.parent = if self.has & has::TRACEPARENT == 0 { self.read } else { 0 };
            self.has |= has::TRACEPARENT;
        } else if self.is(AUTHORIZATION) {
            return phase::SCHEME;
        } else if self.is(SIGNATURE) || self.is(SIGNATURE_INPUT) {
            self.has |= has::SIGNATURE;
        } else if self.is(ENCODING) {
            self.has |= has::ENCODING;
        } else if self.is(EXPECT) {
            self.has |= has::EXPECT;
        } else if self.is(UPGRADE) {
            self.has |= has::UPGRADE;
        } else if self.is(LENGTH) {
            if self.has & has::LENGTH != 0 {
                return phase::REFUSED;
            }
            self.has |= has::LENGTH;
            return phase::LENGTH;
        }
        phase::VALUE
    }

    #[inline(always)]
    const fn is(&self, (first, second, count): (u64, u64, u64)) -> bool {
        self.first == first && self.second == second && self.count == count
    }

    #[inline(always)]
    const fn of_scheme(&mut self, byte: u8) -> u64 {
        match byte {
            b' ' | b'\t' => return phase::SCHEME,
            b'\r' => return phase::LINE_FEED,
            b'B' | b'b' => {}
            _ if is_control(byte) => return phase::REFUSED,
            _ => self.has |= has::SIGNATURE,
        }
        phase::VALUE
    }

    #[inline(always)]
    const fn of_length(&mut self, byte: u8) -> u64 {
        match byte {
            b'0'..=b'9' if self.over == 0 && self.digits < MOST_DIGITS => {
                self.length = self.length * 10 + (byte - b'0') as u64;
                self.digits += 1;
                phase::LENGTH
            }
            b' ' | b'\t' => {
                self.over = self.digits;
                phase::LENGTH
            }
            b'\r' if self.digits > 0 => phase::LINE_FEED,
            _ => phase::REFUSED,
        }
    }
}

/// Whether a request that begins with these eight bytes, the first the lowest, is of a method behind which nothing but its body
/// can come: what a CONNECT opens is no HTTP.
#[must_use]
#[inline(always)]
pub const fn is_plain_method(first: u64) -> bool {
    const fn begins(first: u64, text: &[u8]) -> bool {
        let (mut wanted, mut mask, mut i) = (0u64, 0u64, 0);
        while i < text.len() {
            wanted |= (text[i] as u64) << (8 * i);
            mask |= 0xff << (8 * i);
            i += 1;
        }
        first & mask == wanted
    }
    begins(first, b"GET ")
        || begins(first, b"POST ")
        || begins(first, b"PUT ")
        || begins(first, b"HEAD ")
        || begins(first, b"DELETE ")
        || begins(first, b"PATCH ")
        || begins(first, b"OPTIONS ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Head {
        let mut head = Head::NONE;
        for byte in text {
            head.byte(*byte);
        }
        head
    }

    #[test]
    fn a_head_is_read_to_its_end_and_no_further() {
        let text = b"POST /a HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 12 \r\nTraceparent: 00\r\n\r\nGET / HTTP/1.1\r\n";
        let head = read(text);
        assert_eq!(head.whole(), Some(67));
        assert_eq!((head.line, head.length), (18, 12));
        assert_eq!(head.has, has::LENGTH | has::TRACEPARENT);
        assert_eq!(head.parent, 60);
        let head = read(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!((head.whole(), head.line, head.has), (Some(18), 16, 0));
        let head = read(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n\r\n");
        assert_eq!(head.has, has::ENCODING | has::EXPECT | has::UPGRADE);
        assert!(head.whole().is_some());
    }

    #[test]
    fn a_signature_may_cover_the_other_fields() {
        for (line, signs) in [
            ("Authorization: Bearer abc", false),
            ("authorization:basic abc", false),
            ("Authorization:", false),
            (
                "Authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host;traceparent, Signature=b",
                true,
            ),
            ("Authorization: Signature keyId=a", true),
            ("Signature: a=:b=:", true),
            ("Signature-Input: a=(\"traceparent\")", true),
            ("X-Signature: a", false),
        ] {
            let head =
                read(format!("GET / HTTP/1.1\r\n{line}\r\ntraceparent: x\r\n\r\n").as_bytes());
            assert_eq!(head.has & has::SIGNATURE != 0, signs, "{line}");
            assert!(head.whole().is_some() && head.parent != 0, "{line}");
        }
        let head = read(b"GET / HTTP/1.1\r\ntraceparent: x\r\ntraceparent: y\r\n\r\n");
        assert_eq!((head.has, head.parent), (has::TRACEPARENT, 0));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "GET /HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\n\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\r\n\r\n",
            "GET / HTTP/1.1\r\n\rGET",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1234567890\r\n\r\n",
        ] {
            assert!(read(text.as_bytes()).is_refused(), "{text:?}");
        }
        assert!(!read(b"GET / HTTP/1.1\r\nA: b\r\n").is_over(), "it goes on");
    }

    #[test]
    fn methods_behind_which_only_a_body_comes() {
        let is = |text: &str| {
            let mut word = [0; 8];
            word.copy_from_slice(&text.as_bytes()[..8]);
            is_plain_method(u64::from_le_bytes(word))
        };
        for method in ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"] {
            assert!(is(&format!("{method} /......")), "{method}");
        }
        for text in ["CONNECT a:1", "PRI * HTTP/2.0", "GETS /.....", "get /......", "TRACE /....."]
        {
            assert!(!is(text), "{text}");
        }
    }

    proptest! {
        /// Whatever is taken for a head is one for a parser of the trade as well, of the same length and with the same fields.
        #[test]
        fn heads_are_heads_for_others(
            lines in prop::collection::vec("(Host: x|[Cc]ontent-[Ll]ength: ?[0-9]{0,3}|traceparent:.{0,3}|Authorization: ?[AB]?|[a-z :\t]{0,6}|Expect: y|[ -~]{0,20})", 0..5),
            ends in prop::collection::vec("(\r\n|\r\n|\r\n|\r\n|\n|\r)", 7),
        ) {
            let mut text = format!("GET /x HTTP/1.1{}", ends[5]);
            for (line, end) in lines.iter().zip(&ends) {
                text += line;
                text += end;
            }
            text += &ends[6];
            let head = read(text.as_bytes());
            if let Some(len) = head.whole() {
                let mut fields = [httparse::EMPTY_HEADER; 32];
                let mut request = httparse::Request::new(&mut fields);
                let parsed = request.parse(text.as_bytes());
                prop_assert_eq!(parsed, Ok(httparse::Status::Complete(len as usize)));
                let named = |name: &str| request.headers.iter().any(|field| field.name.eq_ignore_ascii_case(name));
                prop_assert_eq!(head.has & has::TRACEPARENT != 0, named("traceparent"));
                prop_assert_eq!(head.has & has::EXPECT != 0, named("expect"));
                prop_assert_eq!(head.has & has::LENGTH != 0, named("content-length"));
            }
        }
    }
}
