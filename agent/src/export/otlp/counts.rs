//! What became of every span that was offered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the exporter's start; each span that was offered or recovered is in exactly one of `sent`, `rejected`,
/// `refused`, one of `dropped_…`, `spooled` or `waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Spans handed to the exporter.
    pub offered: u64,
    /// Spans found in the spool at the start, of an earlier run.
    pub recovered: u64,
    /// Spans the server has accepted.
    pub sent: u64,
    /// Spans the server accepted the request without (partial success). Never sent again.
    pub rejected: u64,
    /// Spans in requests the server refused for good, such as 400 or `INVALID_ARGUMENT`.
    pub refused: u64,
    /// Spans dropped because the queue was full, in spans or in bytes.
    pub dropped_queue_full: u64,
    /// Spans not accepted before the deadline of the shutdown.
    pub dropped_shutdown: u64,
    /// Spans dropped from the spool to make room.
    pub dropped_spool_full: u64,
    /// Spans dropped from the spool because they were too old.
    pub dropped_spool_old: u64,
    /// Spans in files of the spool that could not be read.
    pub dropped_spool_damaged: u64,
    /// Spans on disk: not lost, also when we end.
    pub spooled: u64,
    /// Batches that could not be written to the spool, and stayed in memory.
    pub spool_failures: u64,
    /// Spans in the queue or in the batch that is being sent.
    pub waiting: u64,
    /// Attempts that failed in a way that may pass, and were or will be repeated.
    pub failed_attempts: u64,
    /// Requests the server accepted.
    pub requests: u64,
}

/// The live form of [`Totals`], shared between the offering and the sending thread.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) offered: AtomicU64,
    pub(super) recovered: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) dropped_queue_full: AtomicU64,
    pub(super) dropped_shutdown: AtomicU64,
    pub(super) dropped_spool_full: AtomicU64,
    pub(super) dropped_spool_old: AtomicU64,
    pub(super) dropped_spool_damaged: AtomicU64,
    /// Goes down before what comes of it goes up.
    pub(super) spooled: AtomicU64,
    pub(super) spool_failures: AtomicU64,
    pub(super) failed_attempts: AtomicU64,
    pub(super) requests: AtomicU64,
}

impl Counts {
    /// A snapshot. `waiting` is what is left over, so that the sum is right at every moment; ends are read before
    /// the beginning, and what is on disk after the ends, so that it cannot fall below zero.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals {
            sent: self.sent.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            refused: self.refused.load(Relaxed),
            dropped_queue_full: self.dropped_queue_full.load(Relaxed),
            dropped_shutdown: self.dropped_shutdown.load(Relaxed),
            dropped_spool_full: self.dropped_spool_full.load(Relaxed),
            dropped_spool_old: self.dropped_spool_old.load(Relaxed),
            dropped_spool_damaged: self.dropped_spool_damaged.load(Relaxed),
            spool_failures: self.spool_failures.load(Relaxed),
            failed_attempts: self.failed_attempts.load(Relaxed),
            requests: self.requests.load(Relaxed),
            ..Totals::default()
        };
        let ended = totals.sent
            + totals.rejected
            + totals.refused
            + totals.dropped_queue_full
            + totals.dropped_shutdown
            + totals.dropped_spool_full
            + totals.dropped_spool_old
            + totals.dropped_spool_damaged;
        totals.spooled = self.spooled.load(Relaxed);
        totals.recovered = self.recovered.load(Relaxed);
        totals.offered = self.offered.load(Relaxed);
        let begun = totals.offered + totals.recovered;
        totals.waiting = begun.saturating_sub(ended + totals.spooled);
        totals
    }
}

/// Adds to a count.
pub(super) fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Relaxed);
}
