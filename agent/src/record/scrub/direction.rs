//! One direction of one connection: where in its messages it is, and so what of its bytes to hide.
//!
//! Follows the rules by which `protocols::http1` reads the live stream, so that it finds in the scrubbed bytes what it
//! found in the true ones. A stretch is the bytes of one call without a hole.
//!
//! | state | bytes | left when |
//! |---|---|---|
//! | unknown | zeroed | a stretch begins with a start line |
//! | garbled | zeroed | always, to unknown |
//! | start | — | a start line: head; anything else: unknown |
//! | head | as [`Head`] says | blank line: body or start |
//! | counted | hidden | all have come: start |
//! | chunked | as [`Chunks`] says | last chunk: start; framing lost: lost |
//! | lost | as [`hide_lost`] says | the last chunk ends a stretch, or a start line begins one: start |
//! | until end | hidden | never |
//!
//! Bytes that are missing move a counted or chunked body on; elsewhere what follows is lost or unknown.
#![forbid(unsafe_code)]

use abi::{DataHeader, NoData};

use super::chunks::{self, Chunks, hide, hide_lost};
use super::head::{self, Coding, Facts, Head, Length};
use super::{Asked, Request, start_line};

/// A direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Position of the byte after the last that is known of.
    expected: Option<u64>,
    state: State,
    /// The state is a body of which nothing has come, and a start line may come in its place: nobody knows whether
    /// it was the answer to a HEAD, or the request waits for a `100 (Continue)` that may be refused.
    may_be_none: bool,
    /// The framing was lost or doubtful once: where bodies are may be told otherwise by the reader. What it could find an end by
    /// stays in all that follow.
    uncertain: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    /// Unknown, and the last stretch may have been the beginning of a start line: what follows it is no message.
    Garbled,
    Start,
    Head(Box<Head>),
    Counted(u64),
    Chunked(Chunks),
    /// With the last bytes before, see [`hide_lost`].
    Lost(Vec<u8>),
    UntilEnd,
}

impl Stream {
    /// Takes one data event and hides what must be hidden of its bytes.
    pub(super) fn event(&mut self, header: &DataHeader, bytes: &mut [u8], asked: &mut Asked) {
        if self.expected.is_some_and(|expected| expected != header.position) {
            self.state = State::Unknown;
            asked.lose();
        }
        self.expected = Some(header.position.wrapping_add(u64::from(header.len)));
        let head = (header.head as usize).min(bytes.len());
        let missing = u64::from(header.len).saturating_sub(bytes.len() as u64);
        let (first, last) = bytes.split_at_mut(head);
        self.read(first, header, asked);
        if missing > 0 {
            self.skip(missing, header.no_data != NoData::Nothing as u8);
            if matches!(self.state, State::Unknown | State::Lost(_)) {
                asked.lose();
            }
        }
        self.read(last, header, asked);
    }

    /// Reads a stretch.
    fn read(&mut self, bytes: &mut [u8], header: &DataHeader, asked: &mut Asked) {
        let may_start = match &self.state {
            State::Unknown | State::Lost(_) => true,
            State::Counted(_) | State::Chunked(_) | State::UntilEnd => {
                // A request that waits is refused by an answer.
                self.may_be_none
                    && (asked.requests_go != Some(header.direction) || asked.waiting.is_empty())
            }
            State::Start | State::Head(_) | State::Garbled => false,
        };
        if matches!(self.state, State::Unknown | State::Lost(_)) {
            asked.reconsider(header.direction, bytes);
        }
        if may_start && asked.is_start(header.direction, bytes) {
            self.state = State::Start;
        }
        self.uncertain |= matches!(self.state, State::Lost(_));
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = self.read_some(rest, header, asked);
            rest = &mut rest[used..];
        }
    }

    /// Reads on within one state. 0 only when the state has changed to one that goes on.
    fn read_some(&mut self, bytes: &mut [u8], header: &DataHeader, asked: &mut Asked) -> usize {
        match &mut self.state {
            // RFC 9112 §2.2: line ends before a message are ignored.
            State::Start if matches!(bytes[0], b'\r' | b'\n') => 1,
            State::Start if asked.is_start(header.direction, bytes) => {
                if bytes.contains(&b'\n') {
                    asked.is_known(header.direction, start_line::is_answer(bytes) == Some(true));
                }
                self.state = State::Head(Box::default());
                0
            }
            State::Start => {
                self.state = State::Unknown;
                asked.lose();
                0
            }
            State::Unknown => {
                asked.lose();
                if start_line::may_begin(bytes) {
                    self.state = State::Garbled;
                }
                bytes.fill(0);
                bytes.len()
            }
            State::Garbled => {
                self.state = State::Unknown;
                bytes.fill(0);
                bytes.len()
            }
            State::Head(head) => {
                let (used, end) = head.read(bytes);
                match end {
                    head::End::NotYet => {}
                    head::End::Complete(facts) => {
                        asked.is_known(header.direction, facts.status != 0);
                        self.body(&facts, header.time, asked);
                    }
                    head::End::Broken => self.state = State::Unknown,
                }
                used
            }
            State::Counted(left) => {
                self.may_be_none = false;
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                hide(&mut bytes[..here], self.uncertain);
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::Start;
                }
                here
            }
            State::Chunked(chunks) => {
                self.may_be_none = false;
                let (used, end) = chunks.read(bytes, self.uncertain);
                match end {
                    chunks::End::NotYet => {}
                    chunks::End::Complete => self.state = State::Start,
                    chunks::End::Broken => self.state = State::Lost(Vec::new()),
                }
                used
            }
            State::Lost(window) => {
                if hide_lost(bytes, window) {
                    self.state = State::Start;
                }
                bytes.len()
            }
            State::UntilEnd => {
                self.may_be_none = false;
                hide(bytes, self.uncertain);
                bytes.len()
            }
        }
    }

    /// So many bytes passed that are not here: left out on purpose, or lost.
    fn skip(&mut self, bytes: u64, lost: bool) {
        self.may_be_none = false;
        match &mut self.state {
            State::Counted(left) if bytes < *left => *left -= bytes,
            State::Counted(left) if bytes == *left => self.state = State::Start,
            State::Chunked(chunks) => {
                if !chunks.skip(bytes) {
                    self.state = State::Lost(Vec::new());
                }
            }
            // The head so far counts, where its body ends is not known.
            State::Head(_) if !lost => self.state = State::Lost(Vec::new()),
            State::Lost(window) => window.clear(),
            State::UntilEnd => {}
            _ => self.state = State::Unknown,
        }
    }

    /// What follows a head (RFC 9112 §6.3).
    fn body(&mut self, facts: &Facts, time: u64, asked: &mut Asked) {
        let (state, may_be_none) = if facts.status == 0 {
            asked.push(facts.request, time);
            (request_body(facts), facts.expects)
        } else if (100..=199).contains(&facts.status) && facts.status != 101 {
            // An answer before the answer.
            (State::Start, false)
        } else {
            let request = asked.answered(time);
            (
                answer_body(facts, request.unwrap_or_default()),
                request.is_none() && facts.status != 101,
            )
        };
        self.state = state;
        self.may_be_none = may_be_none;
        self.uncertain |= may_be_none;
    }
}

fn request_body(facts: &Facts) -> State {
    match (facts.coding, facts.length) {
        (Coding::Chunked, _) => State::Chunked(Chunks::START),
        (Coding::Other, _) | (_, Length::Invalid) => State::Lost(Vec::new()),
        (_, Length::Of(0)) => State::Start,
        // What follows belongs to the tunnel (RFC 9110 §9.3.6).
        (_, Length::Of(_)) if facts.request == Request::Connect => State::Start,
        (_, Length::Of(length)) => State::Counted(length),
        (_, Length::Absent) if facts.truncated => State::Lost(Vec::new()),
        (_, Length::Absent) => State::Start,
    }
}

fn answer_body(facts: &Facts, request: Request) -> State {
    match (facts.coding, facts.length) {
        _ if facts.status == 101 => State::UntilEnd,
        _ if request == Request::Connect && (200..300).contains(&facts.status) => State::UntilEnd,
        _ if matches!(facts.status, 204 | 304) || request == Request::Head => State::Start,
        (Coding::Chunked, _) => State::Chunked(Chunks::START),
        (_, Length::Absent) if facts.truncated => State::Lost(Vec::new()),
        (Coding::Other, _) | (_, Length::Invalid | Length::Absent) => State::UntilEnd,
        (_, Length::Of(0)) => State::Start,
        (_, Length::Of(length)) => State::Counted(length),
    }
}
