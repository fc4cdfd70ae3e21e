//! Stitch: which answer belongs to which request.
//!
//! HTTP/1 answers come in the order of their requests (RFC 9112 §9.3.2), so the queue of requests without an answer
//! is all there is to it, as long as nothing was lost. What was lost stands in the queue as a [`Lost`]: requests (or
//! parts of them) nobody saw. An answer that meets it belongs to nobody, and a request behind it is not paired until
//! it is certain that no answer to a lost request is still to come:
//!
//! - after lost requests: an answer that nobody asked for was read to its end (HTTP clients wait for an answer before
//!   they ask again; on a connection that was seen to do otherwise nothing is paired after a loss);
//! - after lost answers: all requests made by then are unseen, and as many answers are let pass.
//!
//! A pair that is not certain is not made.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::open::Open;
use crate::exchange::{ExchangeId, Failure};
use crate::input::Nanos;
use crate::protocols::Outlet;

/// Most requests that wait for answers. Browsers and proxies stay below ten.
const EXCHANGES: usize = 64;
/// Most memory of those, bytes.
pub(super) const EXCHANGES_HELD: usize = 128 * 1024;

/// What is met first on an older connection may stand in a body and look like a message. Two answers answer two requests: by then the
/// one with the body is over.
const AFTER_MIDDLE: u8 = 2;
/// Something was lost.
const FOR_EVER: u8 = u8::MAX;

/// Requests in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Stitch {
    queue: VecDeque<Entry>,
    /// Answers were seen to begin while two requests waited: this client does not wait for answers.
    pipelined: bool,
    /// A request was lost on a connection that does not wait for answers, or whose client hides requests from us: nothing
    /// can be paired any more.
    hopeless: bool,
    /// So many exchanges must still be followed from end to end until it is certain where messages begin and end.
    doubts: u8,
    /// Sum of what the exchanges hold.
    held: usize,
}

#[derive(Debug)]
enum Entry {
    Exchange(Box<Open>),
    Lost(Lost),
}

/// Requests that were not seen.
#[derive(Clone, Copy, Debug)]
struct Lost {
    /// How many answers must pass before a request is paired again.
    need: usize,
    /// How many have.
    passed: usize,
    /// From before we came: nothing needs to have passed.
    before_us: bool,
}

/// Whose the next answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// This request's, by its method.
    Exchange(&'a str),
    /// Nobody's that we know.
    Lost,
    /// No request waits for one.
    Nothing,
}

impl Stitch {
    /// For a connection older than us: what was asked before is not known.
    pub(super) fn in_the_middle() -> Self {
        let before = Lost { need: 0, passed: 0, before_us: true };
        Self {
            queue: VecDeque::from([Entry::Lost(before)]),
            doubts: AFTER_MIDDLE,
            ..Self::default()
        }
    }

    /// For a connection that begins with a loss, of so many requests at least.
    pub(super) fn after_loss(requests: usize) -> Self {
        let mut stitch = Self::default();
        stitch.lose_requests(requests);
        stitch
    }

    /// From here on it is never certain any more where messages begin and end.
    pub(super) const fn doubt(&mut self) {
        self.doubts = FOR_EVER;
    }

    /// Whether all that was asked is answered, and it is certain where messages begin and end.
    pub(super) fn rests(&self) -> bool {
        self.queue.is_empty() && self.doubts == 0
    }

    /// Whose the next answer is.
    pub(super) fn next(&self) -> Next<'_> {
        match self.queue.front() {
            Some(Entry::Exchange(open)) => Next::Exchange(open.method()),
            Some(Entry::Lost(_)) => Next::Lost,
            None => Next::Nothing,
        }
    }

    /// The exchange whose answer is read or awaited.
    pub(super) fn front(&mut self) -> Option<&mut Open> {
        match self.queue.front_mut() {
            Some(Entry::Exchange(open)) => Some(open),
            _ => None,
        }
    }

    /// Takes out the exchange whose answer is read.
    pub(super) fn take_front(&mut self) -> Option<Box<Open>> {
        self.front()?;
        match self.pop() {
            Some(Entry::Exchange(open)) => Some(open),
            _ => None,
        }
    }

    /// The exchange with this name, if it is still open.
    pub(super) fn exchange(&mut self, id: ExchangeId) -> Option<&mut Open> {
        self.queue.iter_mut().rev().find_map(|entry| match entry {
            Entry::Exchange(open) if open.id == id => Some(&mut **open),
            _ => None,
        })
    }

    /// How many exchanges are open.
    pub(super) fn exchanges(&self) -> usize {
        self.queue.iter().filter(|entry| matches!(entry, Entry::Exchange(_))).count()
    }

    /// Whether a request waits behind the one whose answer is read.
    pub(super) fn more_wait(&self) -> bool {
        self.exchanges() > usize::from(self.next() != Next::Lost)
    }

    /// Whether a request may be looked for again after its direction's framing was lost. `idle`: no answer is half
    /// read.
    pub(super) fn may_resume(&self, idle: bool) -> bool {
        idle && !self.hopeless && (self.queue.is_empty() || self.is_past())
    }

    /// A request began. `idle`: no answer is half read. `crossed`: what has been read of the answers may be its own,
    /// because it moved after the request began: events of one connection may be told out of their order.
    pub(super) fn push(&mut self, mut open: Open, idle: bool, crossed: bool, out: &mut Outlet<'_>) {
        if crossed && matches!(self.queue.front(), Some(Entry::Lost(_))) {
            return open.unseen(out);
        }
        if idle && self.is_past() {
            if let Some(Entry::Lost(lost)) = self.queue.pop_front() {
                open.unproven = !(lost.before_us && lost.passed == 0);
            }
        } else if matches!(self.queue.back(), Some(Entry::Exchange(before)) if before.unproven) {
            // The one before was not answered in time: its answer passed before it, or the client does not wait.
            self.queue.push_front(Entry::Lost(Lost { need: 1, passed: 0, before_us: false }));
        }
        self.held += open.held;
        self.queue.push_back(Entry::Exchange(Box::new(open)));
        if self.exchanges() > EXCHANGES || self.held > EXCHANGES_HELD {
            self.drop_all(out);
        }
    }

    /// No request is looked for any more once one is lost: too much of this connection is not to be read.
    pub(super) const fn give_up(&mut self) {
        self.hopeless = true;
    }

    /// Requests were lost after those in the queue; at least `need` of them.
    pub(super) fn lose_requests(&mut self, need: usize) {
        self.hopeless |= self.pipelined;
        self.doubt();
        match self.queue.back_mut() {
            Some(Entry::Lost(lost)) => {
                lost.before_us = false;
                lost.need = lost.need.max(lost.passed.saturating_add(need));
            }
            _ => self.queue.push_back(Entry::Lost(Lost { need, passed: 0, before_us: false })),
        }
    }

    /// The start of the next answer was lost, or the end of the one that is read; and perhaps more of them. What is
    /// known of the exchange is told.
    pub(super) fn lose_answers(&mut self, out: &mut Outlet<'_>) {
        self.doubt();
        match self.pop() {
            Some(Entry::Exchange(open)) => open.unseen(out),
            Some(Entry::Lost(mut lost)) => {
                lost.passed += 1;
                self.queue.push_front(Entry::Lost(lost));
            }
            None => {}
        }
        self.after_hole(out);
    }

    /// A final or interim answer begins.
    pub(super) fn answer_begins(&mut self, out: &mut Outlet<'_>) {
        match self.queue.front() {
            Some(Entry::Lost(_)) if self.exchanges() > 0 => self.drop_behind(out),
            Some(Entry::Exchange(_)) if self.exchanges() > 1 => self.pipelined = true,
            _ => {}
        }
    }

    /// The final answer is complete.
    pub(super) fn answer_complete(&mut self, body: Option<u64>, at: Nanos, out: &mut Outlet<'_>) {
        match self.queue.front_mut() {
            Some(Entry::Exchange(open)) => {
                open.answer_complete(body, at);
                if open.request_done {
                    self.finish_front(out);
                }
            }
            Some(Entry::Lost(lost)) => lost.passed += 1,
            None => {}
        }
    }

    /// An exchange whose answer is complete is told, whatever is missing of its request.
    pub(super) fn finish_answered(&mut self, out: &mut Outlet<'_>) {
        if self.front().is_some_and(|open| open.answered.is_some()) {
            self.finish_front(out);
        }
    }

    /// The front exchange is told as far as it is known.
    pub(super) fn finish_front(&mut self, out: &mut Outlet<'_>) {
        if self.front().is_some()
            && let Some(Entry::Exchange(open)) = self.pop()
        {
            let is_whole = open.answered.is_some() && open.request_done;
            if is_whole && self.doubts != FOR_EVER {
                self.doubts = self.doubts.saturating_sub(1);
            }
            open.unseen(out);
        }
    }

    /// The connection ended: so does everything.
    pub(super) fn end(&mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        let mut certain = true;
        while let Some(entry) = self.pop() {
            match entry {
                Entry::Exchange(open) if certain => open.ended(failure, at, out),
                Entry::Exchange(open) => open.unseen(out),
                Entry::Lost(_) => certain = false,
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn held(&self) -> usize {
        self.held + self.queue.capacity() * size_of::<Entry>()
    }

    /// Whether there is only a [`Lost`], and all its answers have passed.
    fn is_past(&self) -> bool {
        self.queue.len() == 1
            && !self.hopeless
            && matches!(self.queue.front(), Some(Entry::Lost(lost)) if lost.passed >= lost.need)
    }

    /// After a hole in the answers nobody knows how many of them were in it: of the requests that had been made by then,
    /// none is paired.
    fn after_hole(&mut self, out: &mut Outlet<'_>) {
        match self.queue.front() {
            None => {
                self.queue.push_back(Entry::Lost(Lost { need: 0, passed: 0, before_us: false }));
            }
            Some(Entry::Exchange(_)) => self.drop_all(out),
            Some(Entry::Lost(_)) => {}
        }
    }

    /// Tells all exchanges as unseen, and lets as many answers pass.
    fn drop_all(&mut self, out: &mut Outlet<'_>) {
        let need = self.exchanges();
        self.doubt();
        self.queue.push_front(Entry::Lost(Lost { need, passed: 0, before_us: false }));
        self.drop_behind(out);
    }

    /// Tells all exchanges behind a [`Lost`] as unseen.
    fn drop_behind(&mut self, out: &mut Outlet<'_>) {
        let lost = self.queue.pop_front();
        while let Some(entry) = self.pop() {
            if let Entry::Exchange(open) = entry {
                open.unseen(out);
            }
        }
        self.queue.extend(lost);
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.queue.pop_front()?;
        if let Entry::Exchange(open) = &entry {
            self.held -= open.held;
        }
        Some(entry)
    }
}
