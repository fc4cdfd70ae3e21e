//! One direction's byte stream, placed by position.
//!
//! Turns events that are next in line into pieces without holes: what was left out on purpose is a skip, what was
//! not to be had is a gap. It holds no bytes; events that come too early wait in [`super::order`].
#![forbid(unsafe_code)]

use super::event::Event;
use super::loss::Loss;
use crate::input::Nanos;
use crate::protocols::{Body, Piece};
use abi::Direction;

/// Who takes the pieces of a connection's two streams.
pub(super) trait Sink {
    /// The next stretch of its direction.
    fn piece(&mut self, piece: Piece<'_>);
    /// A direction has ended; nothing follows in it.
    fn finished(&mut self, direction: Direction, at: Nanos);
    /// Something was lost.
    fn lose(&mut self, loss: Loss, amount: u64);
}

/// How an event lies to what has been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has the next bytes (and perhaps some before them again).
    Next,
    /// Bytes before it have not come.
    Ahead,
    /// All it has was delivered.
    Stale,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    /// Position of the next byte; `None` before the stream has begun.
    next: Option<u64>,
    /// Where the kernel said the stream begins, until it has.
    told: Option<u64>,
    /// When the last delivered byte had moved.
    last: Nanos,
}

impl Stream {
    /// The kernel said where the next byte will be. Means nothing once the stream has begun.
    pub(super) const fn tell(&mut self, position: u64) {
        if self.next.is_none() {
            self.told = Some(position);
        }
    }

    /// Position of the next byte, once the stream has begun.
    pub(super) const fn next(&self) -> Option<u64> {
        self.next
    }

    /// How `event` lies to what has been delivered. The first event of a stream nobody told us of begins it; so does
    /// one before the told position, because what was told may be older or younger than the event.
    pub(super) fn fit(&self, event: &Event) -> Fit {
        let Some(next) = self.next else {
            return match self.told {
                Some(told) if event.position > told && !event.after_silence => Fit::Ahead,
                _ => Fit::Next,
            };
        };
        if event.end {
            // The FIN takes a sequence number of its own (RFC 9293 §3.4), which the socket may have counted.
            return if event.position > next.saturating_add(1) { Fit::Ahead } else { Fit::Next };
        }
        if event.position > next {
            return if event.after_silence { Fit::Next } else { Fit::Ahead };
        }
        if event.stop() <= next { Fit::Stale } else { Fit::Next }
    }

    /// Gives up what lies before `event`: it becomes a gap.
    pub(super) fn give_up_before(&mut self, event: &Event, sink: &mut impl Sink) {
        let next = *self.next.get_or_insert(self.told.unwrap_or(event.position));
        if event.position > next {
            let missing = event.position - next;
            sink.lose(Loss::Missing, missing);
            self.emit(event, next, Body::Gap(missing), sink);
        }
    }

    /// Delivers an event that is [`Fit::Next`].
    pub(super) fn deliver(&mut self, event: &Event, payload: &[u8], sink: &mut impl Sink) {
        if event.end {
            sink.finished(event.direction, event.ended);
            return;
        }
        let next = *self.next.get_or_insert(match self.told {
            Some(told) if told < event.position => told,
            _ => event.position,
        });
        if event.position > next {
            self.emit(event, next, Body::Skip(event.position - next), sink);
        }
        let (head, tail) = payload.split_at_checked(event.head as usize).unwrap_or((payload, &[]));
        if event.head + event.tail == event.len {
            return self.emit(event, event.position, Body::Bytes(payload), sink);
        }
        let middle = event.len - event.head - event.tail;
        self.emit(event, event.position, Body::Bytes(head), sink);
        let body = match event.lost {
            None => Body::Skip(middle),
            Some(loss) => {
                sink.lose(loss, middle);
                if loss.is_accident() { Body::Gap(middle) } else { Body::Hidden(middle) }
            }
        };
        self.emit(event, event.position + event.head, body, sink);
        self.emit(event, event.stop() - event.tail, Body::Bytes(tail), sink);
    }

    /// Emits what of this stretch has not been delivered.
    fn emit(&mut self, event: &Event, position: u64, body: Body<'_>, sink: &mut impl Sink) {
        let next = self.next.unwrap_or(position);
        let began = match body {
            // Lost bytes moved between what was seen before and after them.
            Body::Gap(_) if position < event.position && self.last != Nanos(0) => self.last,
            _ => event.began,
        };
        let piece = Piece {
            direction: event.direction,
            position,
            body,
            began,
            ended: if position < event.position { event.began } else { event.ended },
            task: event.task,
            serving: event.serving,
            on_cpu: event.on_cpu,
            runtime: event.runtime,
            thread_waits: event.thread_waits,
            request: event.request && position == event.position,
        };
        let fresh = piece.after(next.saturating_sub(position));
        if !fresh.is_empty() {
            self.next = Some(fresh.stop());
            self.last = self.last.max(fresh.ended);
            sink.piece(fresh);
        }
    }
}
