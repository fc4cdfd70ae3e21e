//! Whether something happens seldom enough for a probe wherever it does.
//!
//! Where the runtime itself counts it, it costs nothing to know. Where nobody but the probe does, it is in until it has told that there is
//! too much, and put in again after a while to look whether that is over.

use std::collections::HashMap;

/// How often a probe may be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Most a second.
    pub(super) most: u64,
    /// How many more are let pass at once.
    pub(super) burst: u64,
    /// Whether the probe counts it, and nobody else.
    pub(super) by_itself: bool,
}

/// Of tasks that are started. The program takes less than 1 µs, but the trap itself up to 20 on a virtual machine (measured on 6.18): so
/// many are at most a hundredth of a CPU.
pub(super) const TASKS: Limit = Limit { most: 500, burst: 0, by_itself: false };
/// Of uses of queues: 500 pieces of work, each put once and got once, which takes three or four traps, 21 µs in all (measured there, too): a
/// hundredth of a CPU again. One request may well have hundreds of pieces, so a second's worth may come at once.
pub(super) const USES: Limit = Limit { most: 1000, burst: 1000, by_itself: true };

/// How often it is looked at, ms: for so long a burst may meet the probe.
pub(super) const PERIOD: u64 = 200;
/// For how long there must have been fewer, ms; twice as long each time that there were more, up to a minute.
const CALM: u64 = 1000;
const LONGEST_CALM: u64 = 64_000;

/// What the processes do that meet it.
#[derive(Debug)]
pub(super) struct Gauge {
    limit: Limit,
    /// When it was last looked at, ms, and how often it had happened in each by then.
    last: Option<(u64, HashMap<u32, u64>)>,
    /// How many more there were than may be, a thousandth each.
    excess: u64,
    calm_since: Option<u64>,
    calm: u64,
    is_low: bool,
}

impl Gauge {
    pub(super) const fn of(limit: Limit) -> Self {
        let is_low = limit.by_itself;
        Self { limit, last: None, excess: 0, calm_since: None, calm: CALM, is_low }
    }

    /// Whether it is low now. Until it was so for a while it is not, where that can be known.
    pub(super) const fn is_low(&self) -> bool {
        self.is_low
    }

    /// Takes how often it has happened in each process, `now` in ms; whether anything has changed.
    pub(super) fn look(&mut self, now: u64, counts: HashMap<u32, u64>) -> bool {
        let Some((then, before)) = self.last.replace((now, counts)) else {
            self.calm_since = Some(now);
            return false;
        };
        let (_, counts) = self.last.get_or_insert_default();
        let happened: u64 = counts
            .iter()
            .filter_map(|(pid, count)| Some(count.saturating_sub(*before.get(pid)?)))
            .sum();
        let was_low = self.is_low;
        let more = self.excess.saturating_add(happened.saturating_mul(1000));
        self.excess = more.saturating_sub(self.limit.most.saturating_mul(now.saturating_sub(then)));
        if self.excess > 1000 * self.limit.burst {
            if was_low {
                self.calm = (2 * self.calm).min(LONGEST_CALM);
            }
            self.is_low = false;
            self.excess = 0;
            self.calm_since = None;
        } else if now.saturating_sub(*self.calm_since.get_or_insert(now)) >= self.calm {
            self.is_low = true;
        }
        self.is_low != was_low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = TASKS.most;
    const NEVER: [u64; 0] = [];

    /// Looks until so many ms with so many a second in one process; when it changed.
    fn run(gauge: &mut Gauge, now: &mut u64, count: &mut u64, ms: u64, rate: u64) -> Vec<u64> {
        let mut changed = Vec::new();
        for _ in 0..ms / PERIOD {
            *now += PERIOD;
            *count += rate * PERIOD / 1000;
            if gauge.look(*now, HashMap::from([(7, *count)])) {
                changed.push(*now);
            }
        }
        changed
    }

    #[test]
    fn it_is_low_after_a_calm_and_high_at_once() {
        let (mut gauge, mut now, mut count) = (Gauge::of(TASKS), 0, 1_000_000);
        assert_eq!(run(&mut gauge, &mut now, &mut count, 4000, MOST), [1200]);
        assert!(gauge.is_low());
        assert_eq!(run(&mut gauge, &mut now, &mut count, 4000, MOST + 100), [4200]);
        // Twice as long as the first time.
        assert_eq!(run(&mut gauge, &mut now, &mut count, 4000, 10), [8200 + 2000]);
        assert!(gauge.is_low());
    }

    #[test]
    fn what_only_the_probe_counts_is_low_until_it_tells() {
        let (mut gauge, mut now, mut count) = (Gauge::of(USES), 0, 0);
        assert!(gauge.is_low());
        let most = USES.most;
        assert_eq!(run(&mut gauge, &mut now, &mut count, 60_000, most), NEVER);
        // While it is out nothing is counted; then it is put in again, less and less often.
        for calm in [2000, 4000, 8000, 16_000, 32_000, 64_000, 64_000] {
            let began = now;
            assert_eq!(run(&mut gauge, &mut now, &mut count, PERIOD, 100 * most), [began + PERIOD]);
            assert!(!gauge.is_low());
            let until = now + PERIOD + calm;
            assert_eq!(run(&mut gauge, &mut now, &mut count, PERIOD + calm, 0), [until]);
            assert!(gauge.is_low());
        }
        assert_eq!(run(&mut gauge, &mut now, &mut count, 60_000, most), NEVER);
    }

    #[test]
    fn a_burst_may_come_at_once_and_no_two() {
        let (mut gauge, mut now, mut count) = (Gauge::of(USES), 0, 0);
        let burst = USES.burst * 1000 / PERIOD;
        for _ in 0..3 {
            assert_eq!(run(&mut gauge, &mut now, &mut count, PERIOD, burst), NEVER);
            assert_eq!(run(&mut gauge, &mut now, &mut count, 1000, 0), NEVER);
        }
        assert_eq!(run(&mut gauge, &mut now, &mut count, PERIOD, burst), NEVER);
        let next = now + PERIOD;
        assert_eq!(run(&mut gauge, &mut now, &mut count, PERIOD, burst), [next]);
        assert!(!gauge.is_low());
    }

    #[test]
    fn a_little_too_much_for_long_is_too_much() {
        let (mut gauge, mut now, mut count) = (Gauge::of(USES), 0, 0);
        // A tenth more: after ten seconds a second's worth.
        let changed = run(&mut gauge, &mut now, &mut count, 15_000, USES.most * 11 / 10);
        assert_eq!(changed.first(), Some(&10_400));
    }

    #[test]
    fn a_process_that_is_new_has_started_nothing_yet() {
        let mut gauge = Gauge::of(TASKS);
        gauge.look(0, HashMap::from([(7, 10)]));
        gauge.look(1000, HashMap::from([(7, 20), (8, 1_000_000)]));
        assert!(gauge.is_low());
        assert!(gauge.look(1200, HashMap::from([(7, 20), (8, 1_001_000)])));
        assert!(!gauge.is_low());
    }
}
