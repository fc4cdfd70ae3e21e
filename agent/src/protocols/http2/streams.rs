//! The streams of a connection that are open, and what ends them (RFC 9113 §5.1, §6.4, §6.8).
//!
//! Only those a client opened: odd numbers, each larger than all before it (§5.1.1). What a server pushes is read past.
//! A stream that is not in the table and not above the highest number was told already, or was never seen to begin.
//!
//! Bounded: at most [`STREAMS`] streams and [`STREAMS_HELD`] bytes; the oldest goes first, told as unseen, counted.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::direction::{Block, Data};
use super::frame::FrameHeader;
use super::stream::{Part, Stream, Upgraded};
use crate::conn::Loss;
use crate::exchange::{Failure, Role};
use crate::input::Nanos;
use crate::protocols::Outlet;

/// Most streams that are open at a time: servers allow 100 to 1000 (SETTINGS_MAX_CONCURRENT_STREAMS).
const STREAMS: usize = 10_000;
/// Most memory of those, bytes.
pub(super) const STREAMS_HELD: usize = 4 << 20;

/// How long an answer waits for its request, ns: a thread that was preempted between its call and the probe runs again
/// within some scheduler slices.
const EARLY: u64 = 100_000_000;

/// Error codes (§7) that mean something here.
const NO_ERROR: u32 = 0x0;
const REFUSED_STREAM: u32 = 0x7;
const CANCEL: u32 = 0x8;

/// The open streams.
#[derive(Debug)]
pub(super) struct Streams {
    role: Role,
    open: BTreeMap<u32, Box<Stream>>,
    /// The highest number of which the request was seen.
    highest: u32,
    /// The server takes no streams above this (§6.8).
    last_accepted: Option<u32>,
    /// Every request's head has been seen since the connection began.
    all_seen: bool,
    /// The highest number of which a part of the answer was passed over, because its request had not been seen. That may still
    /// come: frames wait for a proof that they are some.
    passed_over: u32,
    /// Until when frames of the answers' direction are missing: those of such a request may be among them, too.
    answers_lost: Option<Nanos>,
    held: usize,
}

impl Streams {
    /// None yet. `all_seen`: the connection begins here.
    pub(super) const fn new(role: Role, all_seen: bool) -> Self {
        Self {
            role,
            open: BTreeMap::new(),
            highest: 0,
            last_accepted: None,
            all_seen,
            passed_over: 0,
            answers_lost: None,
            held: 0,
        }
    }

    /// Stream 1 is an exchange that began as HTTP/1.
    pub(super) fn upgraded(exchange: Upgraded) -> Self {
        let mut streams = Self::new(exchange.role, true);
        let stream = Stream::upgraded(exchange);
        streams.highest = 1;
        streams.held += stream.held();
        streams.open.insert(1, Box::new(stream));
        streams
    }

    /// Memory held, bytes, about.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Whether a frame may be on this stream when it is not sure that it is one: its number is not far from those that
    /// were seen.
    pub(super) fn may_be(&self, part: Part, header: FrameHeader, is_head: bool) -> bool {
        /// Numbers that may have been missed: a quarter of an hour of a very busy connection.
        const MISSED: u32 = 1 << 24;
        let stream = header.stream;
        match part {
            _ if self.highest == 0 || stream == 0 => true,
            // A head opens a stream, and a client's other frames are on open ones.
            Part::Request if is_head => {
                stream > self.highest && stream - self.highest < MISSED
                    || self.open.contains_key(&stream)
            }
            _ => stream < self.highest.saturating_add(MISSED),
        }
    }

    /// A header block of the requests' direction.
    pub(super) fn request_block(&mut self, block: Block, out: &mut Outlet<'_>) {
        let Block { stream: number, head, mark, ends, octets, ended } = block;
        if number.is_multiple_of(2) {
            return;
        }
        let known = self.open.get(&number).is_some_and(|stream| stream.began().is_some());
        let opens = !known && number > self.highest;
        if opens {
            // A block that does not begin as a request is the trailers of one that is older than us.
            if !head.is_request && !self.all_seen {
                out.lose(Loss::Unpaired, 1);
                return;
            }
            self.drop_early(number, out);
            self.highest = number;
            self.add(number);
        }
        let refused = self.last_accepted.is_some_and(|last| number > last);
        let is_late = number <= self.passed_over
            || self.answers_lost.is_some_and(|until| mark.began <= until);
        self.change(number, out, |stream, out| {
            stream.moved(Part::Request, octets, ended);
            if ends {
                stream.request_complete();
            }
            if opens {
                stream.request(number, head, mark, out);
            }
            if refused {
                stream.end(Some(Failure::StreamReset(REFUSED_STREAM)), ended);
            }
        });
        if opens && is_late {
            self.forget(number, out);
        }
        self.make_room(out);
    }

    /// A header block of the answers' direction.
    pub(super) fn answer_block(&mut self, block: Block, out: &mut Outlet<'_>) {
        let Block { stream: number, head, mark, ends, octets, ended } = block;
        if number.is_multiple_of(2) {
            return;
        }
        if number > self.highest && head.status.is_some() && !self.open.contains_key(&number) {
            // Its request is yet to be seen, or was lost.
            self.drop_overdue(ended, out);
            self.add(number);
        }
        self.pass_over(Part::Answer, number);
        self.change(number, out, |stream, _| {
            stream.moved(Part::Answer, octets, ended);
            stream.answer(head, mark, ends);
            if ends {
                stream.end(None, ended);
            }
        });
        self.make_room(out);
    }

    /// A part of a DATA frame.
    pub(super) fn data(&mut self, part: Part, data: Data<'_>, out: &mut Outlet<'_>) {
        let Data { header, offset, body, octets, ends, ended } = data;
        self.pass_over(part, header.stream);
        self.change(header.stream, out, |stream, _| {
            stream.moved(part, octets, ended);
            stream.data(part, header, offset, body);
            match part {
                Part::Request if ends => stream.request_complete(),
                Part::Answer if ends => stream.end(None, ended),
                _ => {}
            }
        });
    }

    /// RST_STREAM (§6.4), with its code if that was seen. A client that resets gives up, whatever it calls it.
    pub(super) fn reset(
        &mut self,
        part: Part,
        number: u32,
        code: Option<u32>,
        at: Nanos,
        out: &mut Outlet<'_>,
    ) {
        let failure = match (part, code) {
            (Part::Request, Some(NO_ERROR)) => Failure::StreamReset(CANCEL),
            (_, Some(code)) => Failure::StreamReset(code),
            (_, None) => Failure::Unseen,
        };
        self.pass_over(part, number);
        self.change(number, out, |stream, _| stream.end(Some(failure), at));
    }

    /// GOAWAY of the server (§6.8): streams above `last` were not and will not be acted on.
    pub(super) fn go_away(&mut self, last: u32, at: Nanos, out: &mut Outlet<'_>) {
        self.last_accepted = Some(self.last_accepted.map_or(last, |before| before.min(last)));
        let refused: Vec<u32> =
            self.open.range(last.saturating_add(1)..).map(|(number, _)| *number).collect();
        for number in refused {
            self.change(number, out, |stream, _| {
                stream.end(Some(Failure::StreamReset(REFUSED_STREAM)), at);
            });
        }
    }

    /// Frames of the requests' direction are missing: streams may have begun or been given up unseen.
    pub(super) fn lose_requests(&mut self) {
        self.all_seen = false;
        for stream in self.open.values_mut() {
            stream.lose_request();
        }
    }

    /// Frames of the answers' direction that moved until `at` are missing: how exchanges went that had begun by then
    /// is not known.
    pub(super) fn lose_answers(&mut self, at: Nanos, out: &mut Outlet<'_>) {
        self.answers_lost = self.answers_lost.max(Some(at));
        let begun: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, stream)| stream.began().is_none_or(|began| began <= at))
            .map(|(number, _)| *number)
            .collect();
        for number in begun {
            self.forget(number, out);
        }
    }

    /// The connection ended: so does everything.
    pub(super) fn end(&mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        for (_, stream) in std::mem::take(&mut self.open) {
            if stream.began().is_some() {
                stream.ended(failure, at, out);
            } else {
                out.lose(Loss::Unpaired, 1);
            }
        }
        self.held = 0;
    }

    /// Something moved on this stream, which may be one that is yet to be seen to begin.
    fn pass_over(&mut self, part: Part, number: u32) {
        let is_unknown = number > self.highest && !self.open.contains_key(&number);
        if part == Part::Answer && is_unknown && !number.is_multiple_of(2) {
            self.passed_over = self.passed_over.max(number);
        }
    }

    /// A stream of which nothing has been seen, unless it is there.
    fn add(&mut self, number: u32) {
        if let Entry::Vacant(place) = self.open.entry(number) {
            let stream = place.insert(Box::new(Stream::new(self.role)));
            self.held += stream.held();
        }
    }

    /// Does something with an open stream, and tells it if that was its end.
    fn change(
        &mut self,
        number: u32,
        out: &mut Outlet<'_>,
        change: impl FnOnce(&mut Stream, &mut Outlet<'_>),
    ) {
        let Some(stream) = self.open.get_mut(&number) else { return };
        let before = stream.held();
        change(stream, out);
        self.held = self.held + stream.held() - before;
        if stream.is_told()
            && let Some(stream) = self.take(number)
        {
            stream.tell(out);
        }
    }

    /// Answers to requests below `number` that were not seen belong to nobody: streams are opened in order.
    fn drop_early(&mut self, number: u32, out: &mut Outlet<'_>) {
        let after = self.highest.saturating_add(1);
        let early: Vec<u32> = self.open.range(after..number).map(|(number, _)| *number).collect();
        for number in early {
            self.forget(number, out);
        }
    }

    /// Nor do answers that have waited too long at `now`.
    fn drop_overdue(&mut self, now: Nanos, out: &mut Outlet<'_>) {
        let after = self.highest.saturating_add(1);
        while let Some((number, stream)) = self.open.range(after..).next()
            && now.since(stream.last()) > EARLY
        {
            let number = *number;
            self.forget(number, out);
        }
    }

    /// Tells a stream as far as it is known.
    fn forget(&mut self, number: u32, out: &mut Outlet<'_>) {
        match self.take(number) {
            Some(stream) if stream.began().is_some() => stream.unseen(out),
            Some(_) => {
                self.passed_over = self.passed_over.max(number);
                out.lose(Loss::Unpaired, 1);
            }
            None => {}
        }
    }

    fn take(&mut self, number: u32) -> Option<Box<Stream>> {
        let stream = self.open.remove(&number)?;
        self.held -= stream.held();
        Some(stream)
    }

    fn make_room(&mut self, out: &mut Outlet<'_>) {
        while self.open.len() > STREAMS || self.held > STREAMS_HELD {
            let Some((oldest, _)) = self.open.first_key_value() else { return };
            let oldest = *oldest;
            out.lose(Loss::Streams, 1);
            self.forget(oldest, out);
        }
    }
}
