//! Message heads: collecting one up to its blank line, and what is taken from it.
//!
//! A head is kept up to [`HEAD_MAX`]; what lies beyond is followed to its end and is absent. Only the headers of the
//! two lists are kept (privacy, memory).
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::ParserConfig;
use memchr::{memchr, memchr_iter, memchr2, memrchr};

use super::line::{Line, StatusLine, is_token, request_line, status_line};
use crate::exchange::{Header, Propagation};
use crate::input::{Nanos, Runtime, Task, Waits};
use crate::protocols::Piece;
use crate::text::lossy;

/// Most bytes of a head that are kept: what the kernel copies of one.
pub(super) const HEAD_MAX: usize = 16 * 1024;
/// Headers for which there is room without asking for more: servers' limits are about 100.
const HEADERS: usize = 128;
/// Most headers that fit [`HEAD_MAX`]: the shortest is `a:` and a line feed.
const HEADERS_MAX: usize = HEAD_MAX / 3;

/// What the parser gets in place of a first line, which is understood already: one that it cannot refuse, and none is shorter (`A * HTTP/1.1`).
const PARSED: &[u8; 13] = b"HTTP/1.1 200\n";

/// Lines of a head that are no headers: the first and the blank one.
const BARE_LINES: usize = 2;

/// A header that is read.
struct Known {
    /// In lower case.
    name: &'static str,
    /// Spans need it of requests.
    of_request: bool,
    /// And of answers.
    of_answer: bool,
}

/// Headers that are read, for what they say of the message itself or for spans; the shortest names first.
const KNOWN: [Known; 17] = {
    const fn known(name: &'static str, of_request: bool, of_answer: bool) -> Known {
        Known { name, of_request, of_answer }
    }
    [
        known("host", true, false),
        known("expect", false, false),
        known("upgrade", true, true),
        known("forwarded", true, false),
        known("user-agent", true, false),
        known("tracestate", false, false),
        known("grpc-status", false, true),
        known("traceparent", false, false),
        known("content-type", true, true),
        known("grpc-timeout", true, false),
        known("grpc-message", false, true),
        known("content-length", false, false),
        known("x-forwarded-for", true, false),
        known("x-forwarded-host", true, false),
        known("x-forwarded-proto", true, false),
        known("transfer-encoding", false, false),
        known("sec-websocket-version", true, false),
    ]
};

/// Names of [`KNOWN`] are shorter than this.
const TOO_LONG: usize = 22;

/// How many of [`KNOWN`] have a shorter name, by its length: each header's name is compared with those of its own length alone.
const SHORTER: [usize; TOO_LONG + 1] = {
    let mut shorter = [0; TOO_LONG + 1];
    let mut at = 0;
    while at < KNOWN.len() {
        let len = KNOWN[at].name.len();
        assert!(at == 0 || KNOWN[at - 1].name.len() <= len, "the shortest are first");
        let mut longer = len + 1;
        while longer <= TOO_LONG {
            shorter[longer] += 1;
            longer += 1;
        }
        at += 1;
    }
    assert!(shorter[TOO_LONG] == KNOWN.len(), "none is too long");
    shorter
};

/// The header of that name, in any case, if it is read.
fn known(name: &str) -> Option<&'static Known> {
    let len = name.len();
    let of_its_length = KNOWN.get(*SHORTER.get(len)?..*SHORTER.get(len + 1)?)?;
    of_its_length.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

/// A head that is being collected, and where and when it began.
#[derive(Debug)]
pub(super) struct Collected {
    /// Position of its first byte.
    pub(super) position: u64,
    /// When that moved.
    pub(super) began: Nanos,
    /// Who moved it.
    pub(super) task: Task,
    /// Sent: the span id that task served.
    pub(super) serving: Option<u64>,
    /// What a runtime says of that.
    pub(super) runtime: Runtime,
    /// Received: blocking, in no epoll set.
    pub(super) thread_waits: Waits,
    /// The kernel took it for a request.
    pub(super) told: bool,
    bytes: Vec<u8>,
    /// Lines that have ended.
    lines: usize,
    /// Bytes have been left out.
    truncated: bool,
    /// The blank line has been seen.
    ended: bool,
    /// The line that is being read is empty so far, a CR aside.
    blank: bool,
    /// And that CR has been seen.
    returned: bool,
}

impl Collected {
    /// A head that begins with `piece`.
    pub(super) const fn begin(piece: &Piece<'_>) -> Self {
        Self {
            position: piece.position,
            began: piece.began,
            task: piece.task,
            serving: piece.serving,
            runtime: piece.runtime,
            thread_waits: piece.thread_waits,
            told: piece.request,
            bytes: Vec::new(),
            lines: 0,
            truncated: false,
            ended: false,
            blank: false,
            returned: false,
        }
    }

    /// Takes bytes up to the blank line: how many, and whether it came. A line may end with a bare LF (RFC 9112 §2.2).
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut used = 0;
        let mut ended = false;
        for end in memchr_iter(b'\n', bytes) {
            ended = self.blank
                && match &bytes[used..end] {
                    [] => true,
                    [b'\r'] => !self.returned,
                    _ => false,
                };
            used = end + 1;
            self.lines += 1;
            self.blank = true;
            self.returned = false;
            if ended {
                break;
            }
        }
        if !ended {
            match &bytes[used..] {
                [] => {}
                [b'\r'] if self.blank && !self.returned => self.returned = true,
                _ => self.blank = false,
            }
            used = bytes.len();
        }
        self.ended = ended;
        let room = HEAD_MAX - self.bytes.len();
        self.truncated |= used > room;
        self.bytes.extend_from_slice(&bytes[..used.min(room)]);
        (used, ended)
    }

    /// The rest of the head is not to be had.
    pub(super) const fn cut(&mut self) {
        self.truncated = true;
    }

    /// Memory held, bytes.
    pub(super) const fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The request; `None` if it is none. To be asked once: its first line is not kept.
    pub(super) fn request(&mut self) -> Option<RequestHead> {
        let Line::Yes(line) = request_line(&self.bytes) else { return None };
        let mut head = RequestHead {
            method: lossy(line.method).into_owned(),
            target: lossy(line.target).into_owned(),
            minor: line.minor,
            kept: Vec::new(),
            propagation: Propagation::default(),
            framing: self.framing(),
            expects: false,
        };
        let read = self.each_header(|known, value| {
            head.framing.header(known.name, value);
            match known.name {
                "traceparent" => head.propagation.traceparent.push(value.to_vec()),
                "tracestate" => head.propagation.tracestate.push(value.to_vec()),
                "expect" => head.expects = value.eq_ignore_ascii_case(b"100-continue"),
                name if known.of_request => head.kept.push((name, value.to_vec())),
                _ => {}
            }
        });
        head.framing.doubt(&self.bytes, self.kept_lines(), read);
        Some(head)
    }

    /// The answer; `None` if it is none. Likewise.
    pub(super) fn answer(&mut self) -> Option<AnswerHead> {
        let Line::Yes(line) = status_line(&self.bytes) else { return None };
        let mut head = AnswerHead { line, kept: Vec::new(), framing: self.framing() };
        let read = self.each_header(|known, value| {
            head.framing.header(known.name, value);
            if known.of_answer {
                head.kept.push((known.name, value.to_vec()));
            }
        });
        head.framing.doubt(&self.bytes, self.kept_lines(), read);
        Some(head)
    }

    /// How many lines of those that are kept have ended.
    fn kept_lines(&self) -> usize {
        if self.truncated { memchr_iter(b'\n', &self.bytes).count() } else { self.lines }
    }

    fn framing(&self) -> Framing {
        Framing { ended: self.ended, whole: self.ended && !self.truncated, ..Framing::default() }
    }

    /// Calls for each header that is [`KNOWN`]; how many there were of all. Lines that are no header are left out. Writes
    /// over the first line.
    fn each_header(&mut self, mut each: impl FnMut(&'static Known, &[u8])) -> usize {
        let Some(start) = memchr(b'\n', &self.bytes).map(|end| end + 1) else { return 0 };
        let Some(from) = start.checked_sub(PARSED.len()) else { return 0 };
        self.bytes[from..start].copy_from_slice(PARSED);
        let mut head = Cow::Borrowed(&self.bytes[from..]);
        if self.truncated {
            let whole = memrchr(b'\n', &head).map_or(0, |end| end + 1);
            head = Cow::Owned([&head[..whole], b"\r\n"].concat());
        }
        let mut few = [const { MaybeUninit::uninit() }; HEADERS];
        let mut many = Vec::new();
        let headers = match parse(&head, &mut few) {
            Ok(headers) => headers,
            Err(httparse::Error::TooManyHeaders) => {
                many.resize_with(HEADERS_MAX, MaybeUninit::uninit);
                parse(&head, &mut many).unwrap_or(&[])
            }
            Err(_) => &[],
        };
        let may_fold = self.kept_lines() > headers.len() + BARE_LINES;
        for header in headers {
            let Some(known) = known(header.name) else { continue };
            if may_fold && memchr2(b'\r', b'\n', header.value).is_some() {
                // A folded line stands for spaces (RFC 9112 §5.2).
                let unfold = |b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { *b };
                each(known, &header.value.iter().map(unfold).collect::<Vec<_>>());
            } else {
                each(known, header.value);
            }
        }
        headers.len()
    }
}

/// Reads headers with as much patience as any server or client has.
fn parse<'h, 'b>(
    head: &'b [u8],
    headers: &'h mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<&'h [httparse::Header<'b>], httparse::Error> {
    let mut response = httparse::Response::new(&mut []);
    ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response_with_uninit_headers(&mut response, head, headers)?;
    Ok(response.headers)
}

/// What is taken from a request's head.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) minor: u8,
    pub(super) kept: Vec<Header>,
    pub(super) propagation: Propagation,
    pub(super) framing: Framing,
    /// It asks for `100 (Continue)` before it sends its body (RFC 9110 §10.1.1).
    pub(super) expects: bool,
}

impl RequestHead {
    /// The first `User-Agent`, lossily decoded.
    pub(super) fn user_agent(&self) -> Option<Cow<'_, str>> {
        let (_, value) = self.kept.iter().find(|(name, _)| *name == "user-agent")?;
        Some(lossy(value))
    }
}

/// What is taken from an answer's head.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) line: StatusLine,
    pub(super) kept: Vec<Header>,
    pub(super) framing: Framing,
}

/// What a head says about the length of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    /// Where the head ended was seen.
    pub(super) ended: bool,
    /// All of the head was read: what it does not say, it does not say.
    pub(super) whole: bool,
    pub(super) length: Length,
    pub(super) coding: Coding,
    /// How many headers spoke of the two.
    said: usize,
}

/// `Content-Length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    Absent,
    Of(u64),
    /// Not a number, or several that differ.
    Invalid,
}

/// `Transfer-Encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Absent,
    /// The final coding is chunked.
    Chunked,
    /// Some other is.
    Other,
}

impl Framing {
    fn header(&mut self, name: &str, value: &[u8]) {
        match name {
            "content-length" => {
                self.said += 1;
                // The same number several times is that number (RFC 9110 §8.6).
                for part in value.split(|b| *b == b',') {
                    self.length = match (self.length, number(trim(part))) {
                        (Length::Absent, Some(n)) => Length::Of(n),
                        (Length::Of(before), Some(n)) if before == n => Length::Of(n),
                        _ => Length::Invalid,
                    };
                }
            }
            "transfer-encoding" => {
                self.said += 1;
                let last = value.rsplit(|b| *b == b',').next().unwrap_or_default();
                let chunked = trim(last).eq_ignore_ascii_case(b"chunked");
                self.coding = if chunked { Coding::Chunked } else { Coding::Other };
            }
            _ => {}
        }
    }
}

impl Framing {
    /// Of a head's `lines` as many as `read` were headers. If one of the others speaks of the body, then how long that is depends on who
    /// reads it (RFC 9112 §11.2), and is not known.
    fn doubt(&mut self, head: &[u8], lines: usize, read: usize) {
        if lines <= read + BARE_LINES {
            return;
        }
        let speaks = |line: &&[u8]| {
            [b"content-length".as_slice(), b"transfer-encoding"].iter().any(|name| {
                let start = line.get(..name.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(name))
                    && line.get(name.len()).is_some_and(|next| !is_token(*next))
            })
        };
        if head.split(|byte| *byte == b'\n').filter(speaks).count() > self.said {
            self.coding = Coding::Absent;
            self.length = Length::Invalid;
        }
    }
}

/// Without the white space that may stand around a value (`OWS`, RFC 9110 §5.6.3), and no other.
fn trim(value: &[u8]) -> &[u8] {
    let space = |b: &u8| !matches!(b, b' ' | b'\t');
    let start = value.iter().position(space).unwrap_or(value.len());
    let end = value.iter().rposition(space).map_or(start, |last| last + 1);
    &value[start..end]
}

/// 1*DIGIT that fits 63 bits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |sum: u64, b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use abi::Direction;

    use super::*;
    use crate::protocols::Body;

    /// A head in two calls, the first of so many bytes.
    fn collected(bytes: &[u8], first: usize) -> Collected {
        let mut head = Collected::begin(&Piece {
            direction: Direction::Sent,
            position: 0,
            body: Body::Bytes(bytes),
            began: Nanos(0),
            ended: Nanos(0),
            task: Task { pid: 1, tid: 1 },
            serving: None,
            on_cpu: None,
            runtime: Runtime::NotAsked,
            thread_waits: Waits::default(),
            request: false,
        });
        assert!(!head.read(&bytes[..first]).1);
        assert_eq!(head.read(&bytes[first..]), (bytes.len() - first, true));
        head
    }

    /// What comes before the headers makes room for the parser's own first line, however short it is.
    #[test]
    fn the_shortest_first_lines_hide_no_header() {
        let request = b"A * HTTP/1.1\nhost: shop\n\n";
        let answer = b"HTTP/1.0 200\ncontent-type: a\n\n";
        for first in 0..request.len() {
            let head = collected(request, first).request().unwrap();
            assert_eq!((head.method.as_str(), head.target.as_str()), ("A", "*"));
            assert_eq!(head.kept, [("host", b"shop".to_vec())]);
        }
        for first in 0..answer.len() {
            let head = collected(answer, first).answer().unwrap();
            assert_eq!(head.line.status, 200);
            assert_eq!(head.kept, [("content-type", b"a".to_vec())]);
        }
    }

    #[test]
    fn a_folded_line_is_spaces_whatever_else_there_is() {
        for (between, kept) in [("", "a    b"), ("odd line\r\n", "a    b")] {
            let head = format!("HTTP/1.1 200 OK\r\n{between}Content-Type: a\r\n  b\r\n\r\n");
            let answer = collected(head.as_bytes(), 3).answer().unwrap();
            assert_eq!(answer.kept, [("content-type", kept.as_bytes().to_vec())]);
        }
    }

    /// A length that one reader believes and another does not.
    #[test]
    fn a_line_that_is_no_header_and_speaks_of_the_body_is_a_doubt() {
        for (line, length) in [
            ("Content-Length: 3", Length::Of(3)),
            ("Content-Length\u{1}: 3", Length::Invalid),
            ("odd line", Length::Absent),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nServer: a\r\n{line}\r\n\r\n");
            let answer = collected(head.as_bytes(), 20).answer().unwrap();
            assert_eq!(answer.framing.length, length, "{line:?}");
        }
    }
}
