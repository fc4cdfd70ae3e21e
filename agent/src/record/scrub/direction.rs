//! One direction of one connection: where in its messages it is, and so what of its bytes to hide.
//!
//! | state | bytes | left when |
//! |---|---|---|
//! | unknown | zeroed | a call begins with a start line |
//! | start | — | a start line: head; anything else: unknown |
//! | head | as [`Head`] says | blank line: body or start; not a head: unknown |
//! | counted | hidden | all have come: start |
//! | chunked | as [`Chunks`] says | last chunk: start; framing lost: lost chunks |
//! | lost chunks | as [`hide_lost`] says | the last chunk ends a call: start |
//! | until end | hidden | never, but for a call that the kernel and we take for a start |
//!
//! Bytes that are missing move a counted or chunked body on; anywhere else they lead to unknown.

use abi::{DataHeader, data_flag};

use super::chunks::{self, Chunks, hide_lost};
use super::head::{self, Facts, Head, is_token};
use super::{Asked, HIDDEN, Request};

/// Methods by which a start line is known before its end has been seen (RFC 9110 §9, RFC 5789, WebDAV).
const METHODS: [&[u8]; 17] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"REPORT",
];

/// A direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Position of the byte after the last that is known of.
    expected: Option<u64>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Start,
    Head(Box<Head>),
    Counted(u64),
    Chunked(Chunks),
    LostChunks,
    UntilEnd,
}

impl Stream {
    /// Takes one data event and hides what must be hidden of its bytes.
    pub(super) fn event(&mut self, header: &DataHeader, bytes: &mut [u8], asked: &mut Asked) {
        if self.expected != Some(header.position) {
            self.state = State::Unknown;
        }
        self.expected = Some(header.position.wrapping_add(u64::from(header.len)));
        let head = (header.head as usize).min(bytes.len());
        let missing = u64::from(header.len).saturating_sub(bytes.len() as u64);
        let (first, last) = bytes.split_at_mut(head);
        let in_body = matches!(
            self.state,
            State::Counted(_) | State::Chunked(_) | State::LostChunks | State::UntilEnd
        );
        if in_body && header.flags & data_flag::STARTS != 0 && is_start(first) {
            self.state = State::Start;
        }
        self.read(first, true, asked);
        if missing > 0 {
            self.skip(missing);
        }
        self.read(last, false, asked);
        if matches!(self.state, State::LostChunks)
            && ends_chunks(if last.is_empty() { first } else { last })
        {
            self.state = State::Start;
        }
    }

    fn read(&mut self, mut bytes: &mut [u8], mut call_begins: bool, asked: &mut Asked) {
        while !bytes.is_empty() {
            let used = self.read_some(bytes, call_begins, asked);
            call_begins &= used == 0;
            bytes = &mut bytes[used..];
        }
    }

    /// Reads on within one state. 0 only when the state has changed to one that goes on.
    fn read_some(&mut self, bytes: &mut [u8], call_begins: bool, asked: &mut Asked) -> usize {
        match &mut self.state {
            State::Unknown if call_begins && is_start(bytes) => {
                self.state = State::Head(Box::default());
                0
            }
            State::Unknown => {
                bytes.fill(0);
                bytes.len()
            }
            // RFC 9112 §2.2: line ends before a message are ignored.
            State::Start if matches!(bytes[0], b'\r' | b'\n') => 1,
            State::Start => {
                self.state =
                    if is_start(bytes) { State::Head(Box::default()) } else { State::Unknown };
                // Not known to begin a call, unknown hides all of it.
                if matches!(self.state, State::Unknown) {
                    bytes.fill(0);
                    return bytes.len();
                }
                0
            }
            State::Head(head) => {
                let (used, end) = head.read(bytes);
                match end {
                    head::End::NotYet => {}
                    head::End::Complete(facts) => self.state = body(&facts, asked),
                    head::End::Broken => {
                        self.state = State::Unknown;
                        bytes[used..].fill(0);
                        return bytes.len();
                    }
                }
                used
            }
            State::Counted(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                bytes[..here].fill(HIDDEN);
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::Start;
                }
                here
            }
            State::Chunked(chunks) => {
                let (used, end) = chunks.read(bytes);
                match end {
                    chunks::End::NotYet => {}
                    chunks::End::Complete => self.state = State::Start,
                    chunks::End::Broken => self.state = State::LostChunks,
                }
                used
            }
            State::LostChunks => {
                hide_lost(bytes, call_begins);
                bytes.len()
            }
            State::UntilEnd => {
                bytes.fill(HIDDEN);
                bytes.len()
            }
        }
    }

    /// So many bytes passed that are not here.
    fn skip(&mut self, bytes: u64) {
        match &mut self.state {
            State::Counted(left) if bytes < *left => *left -= bytes,
            State::Counted(left) if bytes == *left => self.state = State::Start,
            State::Chunked(chunks) => {
                if !chunks.skip(bytes) {
                    self.state = State::LostChunks;
                }
            }
            State::LostChunks | State::UntilEnd => {}
            _ => self.state = State::Unknown,
        }
    }
}

/// What follows a head (RFC 9112 §6.3).
fn body(facts: &Facts, asked: &mut Asked) -> State {
    let counted = |length| if length == 0 { State::Start } else { State::Counted(length) };
    if facts.status == 0 {
        asked.push(facts.request);
        return match facts.length {
            _ if facts.chunked => State::Chunked(Chunks::START),
            Some(length) => counted(length),
            None => State::Start,
        };
    }
    match (facts.status, asked.next()) {
        (101, _) => {
            asked.answered();
            return State::UntilEnd;
        }
        // An answer before the answer.
        (100..=199, _) => return State::Start,
        (200..=299, Request::Connect) => {
            asked.answered();
            return State::UntilEnd;
        }
        (204 | 304, _) | (_, Request::Head) => {
            asked.answered();
            return State::Start;
        }
        _ => {
            asked.answered();
        }
    }
    match facts.length {
        _ if facts.chunked => State::Chunked(Chunks::START),
        Some(length) => counted(length),
        None => State::UntilEnd,
    }
}

/// These bytes begin with the start line of an HTTP/1 message, as far as they go. Another protocol's first words,
/// such as `AUTH secret`, must not pass.
fn is_start(bytes: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.";
    if bytes.starts_with(VERSION) || VERSION.starts_with(bytes) {
        return !bytes.is_empty();
    }
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let whole = line.len() < bytes.len();
    let word = line.iter().take_while(|&&b| is_token(b)).count();
    let (word, rest) = line.split_at(word);
    if whole {
        // Three parts: method, target, version.
        let mut parts = rest.trim_ascii_end().split(|&b| b == b' ').skip(1);
        return !word.is_empty()
            && parts.next().is_some_and(|target| !target.is_empty())
            && parts.last().is_some_and(|version| version.starts_with(VERSION));
    }
    match rest {
        [] => METHODS.iter().any(|m| m.starts_with(word)),
        [b' '] => METHODS.contains(&word),
        [b' ', b'/' | b'*' | b'h' | b'H', ..] => METHODS.contains(&word),
        [b' ', ..] => word == b"CONNECT",
        _ => false,
    }
}

/// The end of the last chunk without trailers.
fn ends_chunks(bytes: &[u8]) -> bool {
    bytes == b"0\r\n\r\n" || bytes.ends_with(b"\r\n0\r\n\r\n")
}
