//! Whether tasks are started seldom enough for a probe wherever that happens: by the number that their runtime itself gives to each, so
//! that it costs nothing to know.

use std::collections::HashMap;

/// Most tasks started a second. The program takes less than 1 µs, but the trap itself up to 20 on a virtual machine (measured on 6.18): so
/// many are at most a hundredth of a CPU.
const MOST: u64 = 500;
/// How often it is looked at, ms: for so long a burst may meet the probe.
pub(super) const PERIOD: u64 = 200;
/// For how long there must have been fewer, ms; twice as long each time that there were more, up to a minute.
const CALM: u64 = 1000;
const LONGEST_CALM: u64 = 64_000;

/// What a program's processes do.
#[derive(Debug)]
pub(super) struct Gauge {
    /// When it was last looked at, ms, and how many tasks each had started by then.
    last: Option<(u64, HashMap<u32, u64>)>,
    calm_since: Option<u64>,
    calm: u64,
    is_low: bool,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { last: None, calm_since: None, calm: CALM, is_low: false }
    }
}

impl Gauge {
    /// Whether it is low now. Until it was so for a while it is not.
    pub(super) const fn is_low(&self) -> bool {
        self.is_low
    }

    /// Takes how many tasks each process has started, `now` in ms; whether anything has changed.
    pub(super) fn look(&mut self, now: u64, counts: HashMap<u32, u64>) -> bool {
        let Some((then, before)) = self.last.replace((now, counts)) else {
            self.calm_since = Some(now);
            return false;
        };
        let (_, counts) = self.last.get_or_insert_default();
        let started: u64 = counts
            .iter()
            .filter_map(|(pid, count)| Some(count.saturating_sub(*before.get(pid)?)))
            .sum();
        let was_low = self.is_low;
        if started.saturating_mul(1000) > MOST.saturating_mul(now.saturating_sub(then)) {
            if was_low {
                self.calm = (2 * self.calm).min(LONGEST_CALM);
            }
            self.is_low = false;
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

    /// Looks until so many ms with so many tasks a second in one process; when it changed.
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
        let (mut gauge, mut now, mut count) = (Gauge::default(), 0, 1_000_000);
        assert_eq!(run(&mut gauge, &mut now, &mut count, 4000, MOST), [1200]);
        assert!(gauge.is_low());
        assert_eq!(run(&mut gauge, &mut now, &mut count, 4000, MOST + 100), [4200]);
        // Twice as long as the first time.
        assert_eq!(run(&mut gauge, &mut now, &mut count, 4000, 10), [8200 + 2000]);
        assert!(gauge.is_low());
    }

    #[test]
    fn a_process_that_is_new_has_started_nothing_yet() {
        let mut gauge = Gauge::default();
        gauge.look(0, HashMap::from([(7, 10)]));
        gauge.look(1000, HashMap::from([(7, 20), (8, 1_000_000)]));
        assert!(gauge.is_low());
        assert!(gauge.look(1200, HashMap::from([(7, 20), (8, 1_001_000)])));
        assert!(!gauge.is_low());
    }
}
