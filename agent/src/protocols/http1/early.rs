//! Answers that were seen before their requests.
//!
//! A client whose writer and reader are two threads may be seen to receive before it was seen to send. Such an
//! answer waits here until its request comes; if that takes too long, or too much, its request was lost.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::input::Nanos;
use crate::protocols::{Kept, Piece};

/// How long an answer waits for its request, ns: a thread that was preempted between its call and the probe runs
/// again within some scheduler slices.
const WAIT: u64 = 100_000_000;
/// Most memory that waits, bytes.
pub(super) const EARLY_HELD: usize = 64 * 1024;

/// Pieces of the answers' direction, from a boundary on.
#[derive(Debug, Default)]
pub(super) struct Early {
    pieces: VecDeque<Kept>,
    held: usize,
}

impl Early {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Keeps a piece.
    pub(super) fn push(&mut self, piece: Piece<'_>) {
        let kept = Kept::of(piece);
        self.held += kept.held();
        self.pieces.push_back(kept);
    }

    /// Whether the first has waited too long at `now`, or too much waits.
    pub(super) fn is_overdue(&self, now: Nanos) -> bool {
        self.held > EARLY_HELD
            || self.pieces.front().is_some_and(|kept| now.since(kept.piece().ended) > WAIT)
    }

    /// Forgets what had moved before `at`; whether there was anything.
    pub(super) fn forget_before(&mut self, at: Nanos) -> bool {
        let mut forgot = false;
        while let Some(kept) = self.pieces.pop_front_if(|kept| kept.piece().ended < at) {
            self.held -= kept.held();
            forgot = true;
        }
        forgot
    }

    /// Takes all.
    pub(super) fn take(&mut self) -> VecDeque<Kept> {
        self.held = 0;
        std::mem::take(&mut self.pieces)
    }

    /// Memory held, bytes.
    pub(super) const fn held(&self) -> usize {
        self.held
    }
}
