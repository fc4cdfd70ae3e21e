//! One direction of a captured connection: each byte once and in order, and what has to wait for that.
//!
//! A segment ahead of the stream waits for what is missing before it: it was lost on the way and will be sent again, or
//! it was reordered. When the receiver has acknowledged what is missing, it came and was not captured: a hole. Then the
//! rest goes on, and the hole is a gap for the pipeline, unless it is filled after all within the time that the pipeline
//! waits for late news.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};

use crate::input::Nanos;

/// Positions begin with this, as the probes' do, so that none is below zero.
const FIRST_LAP: u64 = 1 << 32;
/// Segments further off than any window (RFC 7323 §2.3) are not of this stream.
const WINDOW: u64 = 1 << 30;
/// Most bytes and segments of a direction that wait.
const WAIT_BYTES: usize = 1 << 20;
const WAIT_SEGMENTS: usize = 1024;
/// How long they wait without an acknowledgement, ns: some retransmission timeouts (RFC 6298).
const WAIT: u64 = 10_000_000_000;
/// Stands for an end that has been told.
const ENDED: u64 = u64::MAX;
/// Holes that may still be filled.
const HOLES: usize = 16;

/// A stretch of the stream that is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Position of its first byte.
    pub(super) position: u64,
    /// Bytes on the wire.
    pub(super) len: u32,
    /// Those of them that were captured, from the beginning.
    pub(super) bytes: Box<[u8]>,
}

impl Stretch {
    fn stop(&self) -> u64 {
        self.position + u64::from(self.len)
    }

    /// Without what lies before `position`.
    fn from(self, position: u64) -> Self {
        let Ok(cut) = u32::try_from(position.saturating_sub(self.position)) else { return self };
        let cut = cut.min(self.len);
        let bytes = self.bytes.get(cut as usize..).unwrap_or_default().into();
        Self { position: self.position + u64::from(cut), len: self.len - cut, bytes }
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was new, and goes on or waits.
    New,
    /// All of it was there before.
    Again,
    /// It is not of this stream.
    Stray,
}

/// The direction.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Position of the next byte.
    next: Option<u64>,
    /// What the receiver has, by its word.
    acknowledged: u64,
    waiting: BTreeMap<u64, Stretch>,
    waiting_bytes: usize,
    /// Since when anything waits.
    since: Nanos,
    holes: VecDeque<(u64, u64)>,
    /// Position behind the last byte, once the sender has ended.
    end: Option<u64>,
}

impl Way {
    /// The position of a sequence number, near what is known. Begins the stream if nothing is.
    pub(super) fn position(&mut self, sequence: u32) -> u64 {
        let near = *self.next.get_or_insert(FIRST_LAP + u64::from(sequence));
        #[allow(clippy::cast_possible_wrap, reason = "distances wrap (RFC 9293 §3.4)")]
        #[allow(clippy::cast_possible_truncation, reason = "the low half is the sequence number")]
        let distance = sequence.wrapping_sub(near as u32) as i32;
        near.saturating_add_signed(i64::from(distance))
    }

    /// Position of the next byte, if the stream has begun.
    pub(super) const fn next(&self) -> Option<u64> {
        self.next
    }

    /// Bytes that wait.
    pub(super) const fn held(&self) -> usize {
        self.waiting_bytes
    }

    /// The receiver has everything before this sequence number.
    pub(super) fn acknowledge(&mut self, sequence: u32) {
        let position = self.position(sequence);
        if self.next.is_some_and(|next| position.abs_diff(next) < WINDOW) {
            self.acknowledged = self.acknowledged.max(position);
        }
    }

    /// The sender has ended behind `position`.
    pub(super) fn ends(&mut self, position: u64) {
        self.end.get_or_insert(position);
    }

    /// Whether everything up to the sender's end has gone on; told once.
    pub(super) fn take_end(&mut self) -> Option<u64> {
        let end = self.end.filter(|end| self.next.is_some_and(|next| next >= *end))?;
        self.end = Some(ENDED);
        Some(end)
    }

    /// Whether its end has been told.
    pub(super) fn has_ended(&self) -> bool {
        self.end == Some(ENDED)
    }

    /// Takes a segment's bytes.
    pub(super) fn take(&mut self, stretch: Stretch, now: Nanos, out: &mut Vec<Stretch>) -> Taken {
        let next = *self.next.get_or_insert(stretch.position);
        if stretch.position.abs_diff(next) > WINDOW {
            return Taken::Stray;
        }
        if stretch.stop() <= next {
            let fills = |hole: &(u64, u64)| stretch.position < hole.1 && hole.0 < stretch.stop();
            if self.holes.iter().any(fills) {
                out.push(stretch);
                return Taken::New;
            }
            return Taken::Again;
        }
        if stretch.position > next {
            if self.waiting.is_empty() {
                self.since = now;
            }
            let known = self.waiting.get(&stretch.position);
            if known.is_some_and(|known| known.bytes.len() >= stretch.bytes.len()) {
                return Taken::Again;
            }
            self.waiting_bytes += stretch.bytes.len();
            let before = self.waiting.insert(stretch.position, stretch);
            self.waiting_bytes -= before.map_or(0, |before| before.bytes.len());
            return Taken::New;
        }
        self.deliver(stretch, out);
        self.follow(out);
        Taken::New
    }

    /// Lets go of what has waited long enough, or in vain.
    pub(super) fn settle(&mut self, now: Nanos, out: &mut Vec<Stretch>) {
        while let (Some(next), Some((first, _))) = (self.next, self.waiting.first_key_value()) {
            let in_vain = self.acknowledged > next
                || self.waiting_bytes > WAIT_BYTES
                || self.waiting.len() > WAIT_SEGMENTS
                || now.since(self.since) > WAIT;
            if !in_vain {
                return;
            }
            self.skip_to(*first);
            self.follow(out);
        }
        if self.end.is_some_and(|end| end != ENDED && self.acknowledged > end) {
            self.skip_to_end();
        }
    }

    /// Lets go of everything.
    pub(super) fn flush(&mut self, out: &mut Vec<Stretch>) {
        while let Some((first, _)) = self.waiting.first_key_value() {
            self.skip_to(*first);
            self.follow(out);
        }
        self.skip_to_end();
    }

    /// Nothing waits: what is missing before the sender's end does not come any more.
    fn skip_to_end(&mut self) {
        if let Some(end) = self.end.filter(|end| *end != ENDED)
            && self.waiting.is_empty()
            && self.next.is_some_and(|next| next < end)
        {
            self.skip_to(end);
        }
    }

    fn skip_to(&mut self, position: u64) {
        if let Some(next) = self.next.replace(position)
            && next < position
        {
            self.holes.push_back((next, position));
            if self.holes.len() > HOLES {
                self.holes.pop_front();
            }
        }
    }

    /// Delivers what waited for the bytes that have come.
    fn follow(&mut self, out: &mut Vec<Stretch>) {
        while let Some(entry) = self.waiting.first_entry()
            && self.next.is_some_and(|next| *entry.key() <= next)
        {
            let stretch = entry.remove();
            self.waiting_bytes -= stretch.bytes.len();
            self.deliver(stretch, out);
        }
    }

    fn deliver(&mut self, stretch: Stretch, out: &mut Vec<Stretch>) {
        let next = self.next.unwrap_or(stretch.position);
        let fresh = stretch.from(next);
        if fresh.len > 0 {
            self.next = Some(fresh.stop());
            out.push(fresh);
        }
    }
}
