//! How long requests of each kind usually take, over the last hour or so: what "slow for its kind" is measured by.
//!
//! Two halves of at most half an hour each; the older one is forgotten when the newer one is full.

use std::collections::HashMap;
use std::sync::Arc;

use crate::viewer::histogram::Histogram;

/// ns.
const HALF: u64 = 1_800_000_000_000;
/// Fewer than that say nothing about what is usual.
const ENOUGH: u64 = 200;
/// Where nothing is known: what takes longer is slow, ns.
const SLOW: u64 = 1_000_000_000;
/// Most kinds of requests; others are judged by [`SLOW`].
const MOST: usize = 2_048;

type Entry = (Arc<str>, Arc<str>);

/// Durations by service and operation.
#[derive(Default)]
pub(super) struct Normal {
    now: HashMap<Entry, Histogram>,
    before: HashMap<Entry, Histogram>,
    since: u64,
}

impl Normal {
    /// Takes a finished request, and says whether it was slow for its kind.
    pub(super) fn judge(
        &mut self,
        service: &Arc<str>,
        operation: &Arc<str>,
        duration: u64,
        now: u64,
    ) -> bool {
        if now.saturating_sub(self.since) > HALF {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
        let entry = (service.clone(), operation.clone());
        let halves = [self.before.get(&entry), self.now.get(&entry)];
        // The half that knows more: their sum would cost a merge for each request.
        let best = halves.into_iter().flatten().max_by_key(|half| half.count());
        let limit = best
            .filter(|half| half.count() >= ENOUGH)
            .and_then(|half| half.percentiles([0.99]))
            // Percentiles of many are only known to a percent: what is within it is usual.
            .map_or(SLOW, |[p99]| p99.saturating_add(p99 / 50));
        let is_slow = duration > limit;
        if self.now.len() < MOST || self.now.contains_key(&entry) {
            self.now.entry(entry).or_default().add(duration);
        }
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_what_takes_longer_than_most_of_its_kind() {
        let mut normal = Normal::default();
        let (service, operation): Entry = ("shop".into(), "GET /".into());
        let mut judge = |duration, now| normal.judge(&service, &operation, duration, now);
        assert!(!judge(SLOW, 0));
        assert!(judge(SLOW + 1, 0));
        for i in 0..1_000 {
            judge(1_000_000 + i, i);
        }
        assert!(judge(3_000_000, 5));
        assert!(!judge(1_000_500, 5));
        // Half an hour later it is still known, two halves later not.
        assert!(judge(4_000_000, HALF + 10));
        assert!(!judge(4_000_000, 2 * HALF + 20));
    }
}
