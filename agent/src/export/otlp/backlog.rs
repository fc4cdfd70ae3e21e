//! What waits to be sent: batches in memory and, with a spool, on disk.
//!
//! A batch goes to disk when its first attempt has failed, and what comes after it follows as full batches, so that
//! memory holds seconds and the disk hours. What is on disk is older than what is not, and is sent first. A disk that
//! cannot be written leaves everything in memory, where the queue's bounds hold. Every way out is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use tonic::codegen::Bytes;

use super::counts::{Counts, add};
use super::queue::Queue;
use super::spool::Spool;
use crate::{courtesy, export::batch};

/// What the capture side and the sending thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) counts: Counts,
}

/// A batch until the server has decided on it.
pub(super) struct Held {
    /// The request, as protobuf.
    pub(super) request: Bytes,
    /// Spans in it.
    pub(super) spans: u64,
    /// It is in the spool, too.
    pub(super) on_disk: bool,
}

/// The batches that wait; of the sending thread alone.
pub(super) struct Backlog {
    pub(super) shared: Arc<Shared>,
    spool: Option<Spool>,
    /// A batch that was to go to disk and could not.
    spare: Option<Held>,
}

impl Backlog {
    /// What the queue holds, and what an earlier run has left in the spool.
    pub(super) fn new(shared: Arc<Shared>, spool: Option<Spool>) -> Self {
        if let Some(spool) = &spool {
            add(&shared.counts.recovered, spool.spans());
            shared.counts.spooled.store(spool.spans(), Relaxed);
        }
        Self { shared, spool, spare: None }
    }

    /// Whether anything waits on disk.
    pub(super) fn is_spooled(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| !spool.is_empty())
    }

    /// The next batch. One from disk stays there until [`Self::decided`].
    pub(super) fn next(&mut self) -> Option<Held> {
        let on_disk = self.spool.as_mut().and_then(|spool| {
            spool.expire(unix_time());
            spool.oldest()
        });
        self.count();
        match on_disk {
            Some((request, spans)) => Some(Held { request: request.into(), spans, on_disk: true }),
            None => self.next_in_memory(),
        }
    }

    /// The first attempt with a batch has failed: from now on it is on disk, too, if it can be.
    pub(super) fn keep(&mut self, held: &mut Held) {
        if !held.on_disk
            && let Some(number) = self.write(held)
            && let Some(spool) = &mut self.spool
        {
            spool.hold(number);
            held.on_disk = true;
        }
    }

    /// The server has decided on a batch.
    pub(super) fn decided(&mut self, held: &Held) {
        if held.on_disk
            && let Some(spool) = &mut self.spool
        {
            spool.sent();
        }
        self.count();
    }

    /// Whether full batches can move from memory to disk.
    pub(super) const fn absorbs(&self) -> bool {
        self.spool.is_some() && self.spare.is_none()
    }

    /// Moves them.
    pub(super) fn absorb(&mut self) {
        while self.absorbs()
            && self.shared.queue.is_batch_waiting()
            && let Some(held) = self.next_in_memory()
        {
            if self.write(&held).is_none() {
                self.spare = Some(held);
            }
        }
    }

    /// The deadline has come: the batch in hand and all that is in memory go to disk, or are lost.
    pub(super) fn give_up(&mut self, in_hand: &Held) {
        self.put_away(in_hand);
        while let Some(held) = self.next_in_memory() {
            self.put_away(&held);
        }
    }

    fn put_away(&mut self, held: &Held) {
        if !held.on_disk && self.write(held).is_none() {
            add(&self.shared.counts.dropped_shutdown, held.spans);
        }
    }

    fn next_in_memory(&mut self) -> Option<Held> {
        if let Some(spare) = self.spare.take() {
            return Some(spare);
        }
        let spans = self.shared.queue.take();
        if spans.is_empty() {
            return None;
        }
        let count = spans.len() as u64;
        let mut offers = courtesy::Offers::default();
        courtesy::offer();
        let request = batch::request_in_steps(&spans, || offers.step()).into();
        for span in spans {
            drop(span);
            offers.step();
        }
        courtesy::offer();
        Some(Held { request, spans: count, on_disk: false })
    }

    /// Writes a batch to the spool, if there is one; its number there.
    fn write(&mut self, held: &Held) -> Option<u64> {
        let written = self.spool.as_mut()?.push(&held.request, held.spans, unix_time());
        self.count();
        match written {
            Ok(number) => Some(number),
            Err(error) => {
                let failures = &self.shared.counts.spool_failures;
                if failures.load(Relaxed) == 0 {
                    log::warn!("spans cannot be kept on disk, and stay in memory: {error}");
                }
                add(failures, 1);
                None
            }
        }
    }

    /// What is on disk goes down before what comes of it goes up.
    fn count(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        let counts = &self.shared.counts;
        counts.spooled.store(spool.spans(), Relaxed);
        let gone = spool.gone();
        add(&counts.dropped_spool_full, gone.full);
        add(&counts.dropped_spool_old, gone.old);
        add(&counts.dropped_spool_damaged, gone.damaged);
    }
}

/// Seconds of Unix time: the age of what is on disk must be right over restarts.
#[allow(
    clippy::disallowed_methods,
    reason = "the edge where spans leave; see the function's words"
)]
fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
