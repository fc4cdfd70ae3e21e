//! Durations and their percentiles: exact for few, within 1% for many, in bounded memory.
//!
//! Percentiles are by nearest rank: the smallest value that so many are not above.

/// Beyond so many values only buckets are kept.
const EXACT: usize = 1_000;
/// Two neighbouring buckets' ratio. The middle of a bucket is then at most 1% from anything in it.
const RATIO: f64 = 1.02;
/// Buckets: the last one is beyond 30 hours in ns.
const BUCKETS: usize = 1_640;

/// Collected values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// All of them, while they are few.
    exact: Vec<u64>,
    /// Else how many are in each bucket from `first` on.
    buckets: Vec<u32>,
    first: usize,
    count: u64,
    sum: u64,
    largest: u64,
}

impl Histogram {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.largest = self.largest.max(value);
        if self.buckets.is_empty() {
            self.exact.push(value);
            if self.exact.len() > EXACT {
                for value in std::mem::take(&mut self.exact) {
                    self.bucket(value);
                }
            }
        } else {
            self.bucket(value);
        }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// 0 when there are none.
    pub(crate) const fn mean(&self) -> u64 {
        match self.sum.checked_div(self.count) {
            Some(mean) => mean,
            None => 0,
        }
    }

    /// Whether percentiles are the values' own.
    pub(crate) const fn is_exact(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Several percentiles at once, each between 0 and 1, in rising order. `None` when there are no values.
    pub(crate) fn percentiles<const N: usize>(&self, wanted: [f64; N]) -> Option<[u64; N]> {
        if self.count == 0 {
            return None;
        }
        let rank = |share: f64| ((share * self.count as f64).ceil() as u64).clamp(1, self.count);
        if self.is_exact() {
            let mut sorted = self.exact.clone();
            sorted.sort_unstable();
            return Some(wanted.map(|share| sorted[rank(share) as usize - 1]));
        }
        let mut below = 0;
        let mut at = 0;
        Some(wanted.map(|share| {
            let rank = rank(share);
            while below + u64::from(self.buckets[at]) < rank {
                below += u64::from(self.buckets[at]);
                at += 1;
            }
            middle(self.first + at).min(self.largest)
        }))
    }

    fn bucket(&mut self, value: u64) {
        let bucket = index(value);
        if self.buckets.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            self.buckets.splice(..0, std::iter::repeat_n(0, self.first - bucket));
            self.first = bucket;
        }
        let at = bucket - self.first;
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] = self.buckets[at].saturating_add(1);
    }
}

fn index(value: u64) -> usize {
    let bucket = (value.max(1) as f64).ln() / RATIO.ln();
    (bucket as usize).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> u64 {
    // As far from the lower edge as from the upper one, relatively.
    (RATIO.powi(bucket as i32) * 2.0 * RATIO / (1.0 + RATIO)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nearest_rank(sorted: &[u64], share: f64) -> u64 {
        sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1]
    }

    #[test]
    fn few_are_exact() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles([0.5]), None);
        for value in (1..=100).rev() {
            histogram.add(value);
        }
        assert_eq!(histogram.percentiles([0.0, 0.5, 0.95, 0.99, 1.0]), Some([1, 50, 95, 99, 100]));
        assert_eq!(histogram.mean(), 50);
        assert!(histogram.is_exact());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn many_are_within_one_percent(
            values in prop::collection::vec(1_000..100_000_000_000_u64, 1_001..3_000)
        ) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.add(*value);
            }
            prop_assert!(!histogram.is_exact());
            prop_assert_eq!(histogram.count(), values.len() as u64);
            let mut sorted = values;
            sorted.sort_unstable();
            let shares = [0.01, 0.5, 0.95, 0.99, 1.0];
            let found = histogram.percentiles(shares).unwrap();
            for (share, found) in shares.into_iter().zip(found) {
                let exact = nearest_rank(&sorted, share);
                let error = (found as f64 - exact as f64).abs() / exact as f64;
                prop_assert!(error <= 0.0101, "p{share}: {found} for {exact}");
            }
        }
    }
}
