//! The order of a connection's events: two streams and the few events that wait for one that is late.
//!
//! Events come in the order in which the kernel wrote them, which is almost the order in which they happened. An
//! event ahead of its stream waits for the missing one, and so does everything after it in either direction, so that
//! a reader sees an answer after its request. The wait is bounded in event time, events and bytes; when it is over
//! the missing bytes are a gap. Never holds more than [`WAIT_BYTES`] of payload.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use abi::Direction;

use super::event::Event;
use super::loss::Loss;
use super::stream::{Fit, Sink, Stream};
use crate::input::Nanos;

/// How long an event waits for one that is missing before it, ns. Two threads swap within microseconds, unless one
/// is preempted between its call and the probe: some scheduler slices.
pub(super) const WAIT: u64 = 100_000_000;
/// Most events that wait: it bounds the cost of finding the one that fits.
const WAIT_EVENTS: usize = 64;
/// Most payload bytes that wait: sixteen of the longest events.
pub(super) const WAIT_BYTES: usize = 256 * 1024;

/// The two streams of a connection and what waits.
#[derive(Debug, Default)]
pub(super) struct Order {
    sent: Stream,
    received: Stream,
    /// In the order of arrival; the first is always ahead of its stream.
    waiting: VecDeque<Waiting>,
    /// Payload bytes in `waiting`.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    event: Event,
    payload: Box<[u8]>,
}

impl Order {
    /// The kernel said where the next byte of each direction will be.
    pub(super) const fn tell(&mut self, sent: u64, received: u64) {
        self.sent.tell(sent);
        self.received.tell(received);
    }

    /// Takes an event and delivers all that is next in line.
    pub(super) fn place(&mut self, event: &Event, payload: &[u8], sink: &mut impl Sink) {
        self.expire(event.ended, sink);
        if event.len == 0 && !event.end {
            return;
        }
        match self.stream(event.direction).fit(event) {
            Fit::Stale => sink.lose(Loss::Duplicate, 1),
            Fit::Next if self.in_turn(event) => {
                self.stream(event.direction).deliver(event, payload, sink);
                self.drain(sink);
            }
            Fit::Next | Fit::Ahead => {
                self.bytes += payload.len();
                self.waiting.push_back(Waiting { event: *event, payload: payload.into() });
                while self.bytes > WAIT_BYTES || self.waiting.len() > WAIT_EVENTS {
                    self.give_up(sink);
                }
            }
        }
    }

    /// Time went on: what has waited long enough is delivered after a gap.
    pub(super) fn expire(&mut self, now: Nanos, sink: &mut impl Sink) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up(sink);
        }
    }

    /// Delivers everything; what is missing is not awaited any more.
    pub(super) fn flush(&mut self, sink: &mut impl Sink) {
        while !self.waiting.is_empty() {
            self.give_up(sink);
        }
    }

    /// Position of the next byte that is sent, if nothing waits.
    pub(super) fn sent_so_far(&self) -> Option<u64> {
        if self.waiting.is_empty() { self.sent.next() } else { None }
    }

    /// When [`Order::expire`] should be called; `None` when nothing waits.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.waiting.front().map(|first| first.event.ended.plus(WAIT))
    }

    /// Memory held, bytes.
    pub(super) fn held(&self) -> usize {
        self.bytes + self.waiting.len() * size_of::<Waiting>()
    }

    /// Whether an event that is next in its stream may be delivered now: nothing waits, or it is what the first waits
    /// for, or it happened before that; and nothing of its own direction that waits comes before it.
    fn in_turn(&self, event: &Event) -> bool {
        let Some(first) = self.waiting.front().map(|first| &first.event) else { return true };
        let mut own = self.waiting.iter().filter(|w| w.event.direction == event.direction);
        (event.direction == first.direction || event.ended < first.ended)
            && own.all(|w| w.event.position > event.position)
    }

    /// Delivers what waits as far as it is in line: in the order of arrival, except that within a direction the one
    /// that fits goes first.
    fn drain(&mut self, sink: &mut impl Sink) {
        loop {
            let mut blocked = [false; 2];
            let ready = self.waiting.iter().position(|w| {
                let ahead = self.peek(w.event.direction).fit(&w.event) == Fit::Ahead;
                let own = blocked[w.event.direction as usize];
                blocked[w.event.direction as usize] |= ahead;
                !ahead && (own || blocked == [false; 2])
            });
            let Some(next) = ready.and_then(|index| self.waiting.remove(index)) else { return };
            self.bytes -= next.payload.len();
            let stream = self.stream(next.event.direction);
            if stream.fit(&next.event) == Fit::Stale {
                sink.lose(Loss::Duplicate, 1);
            } else {
                stream.deliver(&next.event, &next.payload, sink);
            }
        }
    }

    /// Gives up the bytes that the first waiting event waits for.
    fn give_up(&mut self, sink: &mut impl Sink) {
        let Some(first) = self.waiting.front() else { return };
        let direction = first.event.direction;
        let nearest = self
            .waiting
            .iter()
            .filter(|w| w.event.direction == direction)
            .min_by_key(|w| w.event.position)
            .map(|w| w.event);
        if let Some(nearest) = nearest {
            self.stream(direction).give_up_before(&nearest, sink);
        }
        self.drain(sink);
    }

    const fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    const fn peek(&self, direction: Direction) -> &Stream {
        match direction {
            Direction::Sent => &self.sent,
            Direction::Received => &self.received,
        }
    }
}
