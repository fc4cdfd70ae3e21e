//! The head of a message, byte by byte: what its framing will be, and which of its values to hide.
//!
//! The state is a few words, so that a head may be cut anywhere between events.

use super::names::{LONGEST, is_secret};
use super::{HIDDEN, Request};

/// Longest method or version word; longer is not HTTP.
const LONGEST_WORD: usize = 32;

/// A head being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    part: Part,
    /// The method, then the name of a header or of a query parameter: as much as matters.
    word: Vec<u8>,
    request: Request,
    /// 0: this is a request.
    status: u16,
    length: Option<u64>,
    chunked: bool,
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
    /// Content-Length.
    Length,
    /// Transfer-Encoding.
    Encoding,
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

/// A head at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// What it asks, of a request.
    pub(super) request: Request,
    /// Of an answer; 0 of a request.
    pub(super) status: u16,
    /// Content-Length.
    pub(super) length: Option<u64>,
    /// The last transfer coding is chunked.
    pub(super) chunked: bool,
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
                Step::Complete => return (at + 1, End::Complete(self.facts())),
            }
        }
        (bytes.len(), End::NotYet)
    }

    const fn facts(&self) -> Facts {
        Facts {
            request: self.request,
            status: self.status,
            length: self.length,
            chunked: self.chunked,
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        match self.part {
            Part::Word => match byte {
                b' ' if self.word.starts_with(b"HTTP/") => self.part = Part::Status,
                b' ' => {
                    self.request = match self.word.as_slice() {
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
                b'0'..=b'9' if self.status < 1_000 => {
                    self.status = self.status * 10 + u16::from(byte - b'0');
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
            Part::BlankCr => {
                return if byte == b'\n' { Step::Complete } else { Step::Broken };
            }
            Part::Name => match byte {
                b':' => {
                    self.part = Part::Value(self.value());
                    self.word.clear();
                }
                _ if !is_token(byte) => return Step::Broken,
                _ if self.word.len() < LONGEST => self.word.push(byte.to_ascii_lowercase()),
                _ => {}
            },
            Part::Value(value) => return self.in_value(value, byte),
        }
        Step::Keep
    }

    /// What to do with the value of the header whose name is in `word`.
    fn value(&mut self) -> Value {
        match self.word.as_slice() {
            b"content-length" => {
                self.length = None;
                Value::Length
            }
            b"transfer-encoding" => Value::Encoding,
            name if is_secret(name) => Value::Secret { begun: false },
            _ => Value::Plain(Url::Path),
        }
    }

    fn in_value(&mut self, mut value: Value, byte: u8) -> Step {
        if byte == b'\n' {
            if matches!(value, Value::Encoding) {
                // RFC 9112 §6.3: a body is chunked when that is the final coding.
                self.chunked = self.word.trim_ascii().ends_with(b"chunked");
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
            Value::Length => {
                if byte.is_ascii_digit() {
                    let digit = u64::from(byte - b'0');
                    self.length =
                        Some(self.length.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                }
                Step::Keep
            }
            Value::Encoding => {
                // The end of the value is what counts.
                if self.word.len() == LONGEST {
                    self.word.remove(0);
                }
                self.word.push(byte.to_ascii_lowercase());
                Step::Keep
            }
        };
        self.part = Part::Value(value);
        step
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

/// What to do with a byte.
#[derive(Clone, Copy, Debug)]
enum Step {
    Keep,
    Hide,
    Broken,
    Complete,
}

/// `tchar` of RFC 9110 §5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
