//! The head of a message, byte by byte: what its framing will be, and which of its values to hide.
//!
//! The state is a few words, so that a head may be cut anywhere between events.

use super::names::{LONGEST, is_secret};
use super::{HIDDEN, Request};
use crate::protocols::http1::is_token;

/// Longest method or version word; longer is not HTTP.
const LONGEST_WORD: usize = 32;

/// Longest value of a framing header that is looked at: more codings or lengths than anybody sends.
const LONGEST_FRAMING: usize = 256;

/// Bytes of a head that count; the reader of the live stream keeps no more.
const HEAD_MAX: usize = 16 * 1024;

/// A head being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    part: Part,
    /// The method, then the name of a header or of a query parameter: as much as matters.
    word: Vec<u8>,
    facts: Facts,
    /// Bytes so far.
    seen: usize,
}

/// Where in a head we are.
#[derive(Clone, Copy, Debug, Default)]
enum Part {
    /// Method or version.
    #[default]
    Word,
    /// Digits of the status code.
    Status,
    /// Request target.
    Target(Url),
    /// What is left of the start line.
    Rest,
    /// First byte of a line; the value before, should this line continue it.
    Line(Value),
    /// A CR where a line begins.
    BlankCr,
    /// Name of a header.
    Name,
    /// Blanks after it, before the colon.
    NameEnd,
    /// A line that is no header: hidden.
    Junk,
    /// Its value.
    Value(Value),
}

/// What is done with a header's value.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// Kept, but for secrets in queries.
    Plain(Url),
    /// Hidden, but for one blank before it.
    Secret { begun: bool },
    /// Kept, and looked at when its line ends.
    Framing(Field),
}

/// A header that decides how long a body is.
#[derive(Clone, Copy, Debug)]
enum Field {
    Length,
    Coding,
    Expect,
}

/// Where in something like a URL we are.
#[derive(Clone, Copy, Debug, Default)]
enum Url {
    #[default]
    Path,
    /// In a query, before `=`.
    Key,
    /// After it.
    Value { secret: bool },
}

/// What a head says of its body, and of the body of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// What it asks, of a request.
    pub(super) request: Request,
    /// Of an answer; 0 of a request.
    pub(super) status: u16,
    /// Content-Length.
    pub(super) length: Length,
    /// Transfer-Encoding.
    pub(super) coding: Coding,
    /// It asks for `100 (Continue)` before it sends its body.
    pub(super) expects: bool,
    /// It was longer than what is read of a head: what it does not say, it may have said.
    pub(super) truncated: bool,
}

/// `Content-Length` (RFC 9110 §8.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    Absent,
    Of(u64),
    /// Not a number, or several that differ.
    Invalid,
}

/// `Transfer-Encoding` (RFC 9112 §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Absent,
    /// The final coding is chunked.
    Chunked,
    Other,
}

/// What reading on came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All bytes read, and the head goes on.
    NotYet,
    /// The blank line has been read.
    Complete(Facts),
    /// This is no head.
    Broken,
}

impl Head {
    /// Reads on, hiding in place; says how many bytes belong to the head.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> (usize, End) {
        // Where user information may have begun, in these bytes.
        let mut authority: Option<usize> = None;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            match byte {
                b'/' if bytes[..at].ends_with(b":/") => authority = Some(at + 1),
                b'/' | b'?' | b' ' | b',' | b'\r' | b'\n' => authority = None,
                b'@' => {
                    if let Some(from) = authority.take() {
                        bytes[from..at].fill(HIDDEN);
                    }
                }
                _ => {}
            }
            match self.step(byte) {
                Step::Keep => {}
                Step::Hide => bytes[at] = HIDDEN,
                Step::Broken => return (at, End::Broken),
                Step::Complete => return (at + 1, End::Complete(self.facts)),
            }
        }
        (bytes.len(), End::NotYet)
    }

    fn step(&mut self, byte: u8) -> Step {
        self.seen = self.seen.saturating_add(1);
        self.facts.truncated = self.seen > HEAD_MAX;
        match self.part {
            Part::Word => match byte {
                b' ' if self.word.starts_with(b"HTTP/") => self.part = Part::Status,
                b' ' => {
                    self.facts.request = match self.word.as_slice() {
                        b"HEAD" => Request::Head,
                        b"CONNECT" => Request::Connect,
                        _ => Request::Other,
                    };
                    self.part = Part::Target(Url::Path);
                }
                b'\r' | b'\n' => return Step::Broken,
                _ if self.word.len() == LONGEST_WORD => return Step::Broken,
                _ => self.word.push(byte),
            },
            Part::Status => match byte {
                b'0'..=b'9' if self.facts.status < 1_000 => {
                    self.facts.status = self.facts.status * 10 + u16::from(byte - b'0');
                }
                b' ' => self.part = Part::Rest,
                b'\n' => self.part = Part::Line(Value::Plain(Url::Path)),
                b'\r' => {}
                _ => return Step::Broken,
            },
            Part::Target(mut url) => match byte {
                b' ' => self.part = Part::Rest,
                b'\n' => self.part = Part::Line(Value::Plain(Url::Path)),
                _ => {
                    let hide = self.in_url(&mut url, byte);
                    self.part = Part::Target(url);
                    return hide;
                }
            },
            Part::Rest => {
                if byte == b'\n' {
                    self.part = Part::Line(Value::Plain(Url::Path));
                }
            }
            Part::Line(before) => match byte {
                b'\n' => return Step::Complete,
                b'\r' => self.part = Part::BlankCr,
                // RFC 9112 §5.2, obsolete line folding.
                b' ' | b'\t' => self.part = Part::Value(before),
                _ => {
                    self.word.clear();
                    self.part = Part::Name;
                    return self.step(byte);
                }
            },
            Part::BlankCr if byte == b'\n' => return Step::Complete,
            Part::BlankCr | Part::Junk => {
                if byte == b'\n' {
                    self.part = Part::Line(Value::Secret { begun: true });
                } else {
                    self.part = Part::Junk;
                    return if byte == b'\r' { Step::Keep } else { Step::Hide };
                }
            }
            Part::Name | Part::NameEnd => match byte {
                b':' => {
                    self.part = Part::Value(self.value());
                    self.word.clear();
                }
                b' ' | b'\t' => self.part = Part::NameEnd,
                b'\n' => self.part = Part::Line(Value::Secret { begun: true }),
                b'\r' => self.part = Part::Junk,
                _ if matches!(self.part, Part::NameEnd) || !is_token(byte) => {
                    self.part = Part::Junk;
                    return Step::Hide;
                }
                _ if self.word.len() < LONGEST => self.word.push(byte.to_ascii_lowercase()),
                // Longer than any known name: perhaps none.
                _ => return Step::Hide,
            },
            Part::Value(value) => return self.in_value(value, byte),
        }
        Step::Keep
    }

    /// What to do with the value of the header whose name is in `word`.
    fn value(&self) -> Value {
        match self.word.as_slice() {
            b"content-length" => Value::Framing(Field::Length),
            b"transfer-encoding" => Value::Framing(Field::Coding),
            b"expect" => Value::Framing(Field::Expect),
            name if is_secret(name) => Value::Secret { begun: false },
            _ => Value::Plain(Url::Path),
        }
    }

    fn in_value(&mut self, mut value: Value, byte: u8) -> Step {
        if byte == b'\n' {
            if let Value::Framing(field) = value {
                self.framing(field);
            }
            self.part = Part::Line(value);
            return Step::Keep;
        }
        if byte == b'\r' {
            return Step::Keep;
        }
        let step = match &mut value {
            Value::Plain(url) => {
                let mut inner = *url;
                let step = self.in_url(&mut inner, byte);
                *url = inner;
                step
            }
            Value::Secret { begun } => {
                let blank = !*begun && matches!(byte, b' ' | b'\t');
                *begun = true;
                if blank { Step::Keep } else { Step::Hide }
            }
            Value::Framing(_) => {
                if self.word.len() < LONGEST_FRAMING {
                    self.word.push(byte.to_ascii_lowercase());
                }
                Step::Keep
            }
        };
        self.part = Part::Value(value);
        step
    }

    /// A framing header's value is complete, in `word`.
    fn framing(&mut self, field: Field) {
        if self.facts.truncated {
            return;
        }
        let members = || self.word.split(|&b| b == b',').map(<[u8]>::trim_ascii);
        match field {
            // The same number several times is that number (RFC 9110 §8.6).
            Field::Length => {
                for member in members() {
                    self.facts.length = match (self.facts.length, number(member)) {
                        (Length::Absent, Some(n)) => Length::Of(n),
                        (Length::Of(before), Some(n)) if before == n => Length::Of(n),
                        _ => Length::Invalid,
                    };
                }
            }
            Field::Coding => {
                let chunked = members().next_back().is_some_and(|last| last == b"chunked");
                self.facts.coding = if chunked { Coding::Chunked } else { Coding::Other };
            }
            Field::Expect => self.facts.expects = self.word.trim_ascii() == b"100-continue",
        }
    }

    fn in_url(&mut self, url: &mut Url, byte: u8) -> Step {
        match (*url, byte) {
            // The end of a URL inside a header's value.
            (_, b' ' | b',' | b'"' | b'<' | b'>') => *url = Url::Path,
            (Url::Path, b'?' | b'#')
            | (Url::Key | Url::Value { .. }, b'&' | b'#')
            | (Url::Key | Url::Value { secret: false }, b';') => {
                self.word.clear();
                *url = Url::Key;
            }
            (Url::Key, b'=') => *url = Url::Value { secret: is_secret(&self.word) },
            (Url::Key, _) if self.word.len() < LONGEST => self.word.push(byte),
            (Url::Value { secret: true }, _) => return Step::Hide,
            _ => {}
        }
        Step::Keep
    }
}

/// At most 18 digits: what fits 63 bits.
fn number(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// What to do with a byte.
#[derive(Clone, Copy, Debug)]
enum Step {
    Keep,
    Hide,
    Broken,
    Complete,
}
