//! The bounded queue between capture and the sending thread.
//!
//! Bounded in spans and in bytes; what does not fit is dropped at the door (the newest: what waits longer may be the
//! beginning of a trace whose end is on its way). The lock is held only to move spans in or out.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::config::Limits;
use crate::export::EncodedSpan;

/// What an envelope costs beyond its span: tags and lengths.
const ENVELOPE: usize = 8;

#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Wakes the sending thread: a batch is full.
    full: Notify,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Inner {
    spans: VecDeque<EncodedSpan>,
    /// Sum of their sizes.
    bytes: usize,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self { inner: Mutex::default(), full: Notify::new(), limits }
    }

    /// Takes what fits; says how many spans did not.
    pub(super) fn offer(&self, spans: Vec<EncodedSpan>) -> usize {
        let mut dropped = 0;
        let enough = {
            let mut inner = self.lock();
            for span in spans {
                let size = size(&span);
                if inner.spans.len() >= self.limits.queue_spans
                    || inner.bytes + size > self.limits.queue_bytes
                {
                    dropped += 1;
                } else {
                    inner.bytes += size;
                    inner.spans.push_back(span);
                }
            }
            self.is_batch(&inner)
        };
        if enough {
            self.full.notify_one();
        }
        dropped
    }

    /// The oldest spans, as many as one batch may hold; none when there are none. A span larger than a whole batch
    /// goes alone.
    pub(super) fn take(&self) -> Vec<EncodedSpan> {
        let mut inner = self.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(size) = inner.spans.front().map(size) {
            let over = bytes + size > self.limits.batch_bytes;
            if batch.len() >= self.limits.batch_spans || (over && !batch.is_empty()) {
                break;
            }
            let Some(span) = inner.spans.pop_front() else { break };
            bytes += size;
            inner.bytes -= size;
            batch.push(span);
        }
        batch
    }

    /// Returns when at least a full batch waits.
    pub(super) async fn batch_full(&self) {
        loop {
            if self.is_batch_waiting() {
                return;
            }
            // A permit is kept when `notify_one` came before this, so none is missed.
            self.full.notified().await;
        }
    }

    /// At least a full batch waits.
    pub(super) fn is_batch_waiting(&self) -> bool {
        self.is_batch(&self.lock())
    }

    fn is_batch(&self, inner: &Inner) -> bool {
        inner.spans.len() >= self.limits.batch_spans || inner.bytes >= self.limits.batch_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; a poisoned lock would still guard a consistent queue.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a span takes in a batch.
fn size(span: &EncodedSpan) -> usize {
    span.bytes.len() + ENVELOPE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;

    fn limits() -> Limits {
        Limits {
            queue_spans: 10,
            queue_bytes: 1 << 20,
            batch_spans: 4,
            batch_bytes: 1 << 20,
            ..Limits::default()
        }
    }

    fn spans(n: u64) -> Vec<EncodedSpan> {
        let resource = sample::service("a");
        (1..=n).map(|i| sample::outgoing(&resource, "s", i).into()).collect()
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let queue = Queue::new(limits());
        assert_eq!(queue.offer(spans(7)), 0);
        assert_eq!(queue.offer(spans(7)), 4);
        let taken: Vec<usize> = std::iter::from_fn(|| Some(queue.take().len())).take(4).collect();
        assert_eq!(taken, [4, 4, 2, 0]);
        assert_eq!(queue.offer(spans(10)), 0);
    }

    #[test]
    fn bytes_bound_queue_and_batch_but_never_hold_a_span_back() {
        let one = size(&spans(1)[0]);
        let queue = Queue::new(Limits { queue_bytes: 3 * one, batch_bytes: 2 * one, ..limits() });
        assert_eq!(queue.offer(spans(5)), 2);
        assert_eq!(queue.take().len(), 2);
        assert_eq!(queue.take().len(), 1);
        let tiny = Queue::new(Limits { batch_bytes: 1, ..limits() });
        assert_eq!(tiny.offer(spans(2)), 0);
        assert_eq!((tiny.take().len(), tiny.take().len()), (1, 1));
    }
}
