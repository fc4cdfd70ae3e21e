//! Whether a trace is exported: the one place that decides, once for each trace.
//!
//! The decision is the sampled flag, and travels with it through every link of this host and on the wire. It is a pure
//! function of the trace id's random bits (W3C Trace Context Level 2, §3.2.2.5.2), so that all hosts with the same share
//! keep the same traces, and a larger share keeps all that a smaller one does. What is kept says by which threshold, in
//! `tracestate` (`ot=th:`), so that backends can count what was not.

use std::sync::Arc;

use crate::trace::probability;
use crate::trace::traceparent::{RANDOM, SAMPLED};

/// Values that the random bits can have: 56 bits.
const RANDOMNESS: u64 = 1 << 56;

/// Which traces are kept: `OTEL_TRACES_SAMPLER`. The default is that of OpenTelemetry's SDKs, `parentbased_always_on`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// Of the traces that begin here, or of all when the caller is not asked.
    share: Share,
    /// What the caller decided holds (`parentbased_*`).
    parent_based: bool,
}

/// Flags of a trace that begins here and is left out.
pub(in crate::trace) const fn left_out() -> u8 {
    RANDOM
}

impl Default for Sampler {
    fn default() -> Self {
        Self::parent_based(Share::ALL)
    }
}

impl Sampler {
    /// Keeps what the caller keeps, and this share of the traces that begin here.
    #[must_use]
    pub const fn parent_based(share: Share) -> Self {
        Self { share, parent_based: true }
    }

    /// Keeps this share of all traces, whatever the caller decided.
    #[must_use]
    pub const fn always(share: Share) -> Self {
        Self { share, parent_based: false }
    }

    /// Traces that begin here are kept if their random bits are not below this.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.share.threshold
    }

    /// Whether what the caller decided holds.
    #[must_use]
    pub const fn asks_the_caller(&self) -> bool {
        self.parent_based
    }

    /// Flags and `tracestate` of a trace that begins here with that id; `share` is of a rule that says less. The low
    /// 56 bits of [`abi::id::trace`] are random.
    pub(in crate::trace) fn root(
        &self,
        trace: [u8; 16],
        share: Option<Share>,
    ) -> (u8, Option<Arc<str>>) {
        let share = share.filter(|share| share.threshold > self.share.threshold);
        let share = share.unwrap_or(self.share);
        if share.keeps(probability::of_trace(trace)) {
            (SAMPLED | RANDOM, share.state())
        } else {
            (RANDOM, None)
        }
    }

    /// Flags and `tracestate` of a request that came with a header. The random bit is passed on as it came (Level 2,
    /// §3.2.2.5.2).
    pub(in crate::trace) fn continued(
        &self,
        trace: [u8; 16],
        flags: u8,
        state: Option<&Arc<str>>,
    ) -> (u8, Option<Arc<str>>) {
        if self.parent_based {
            return (flags, state.cloned());
        }
        let text = state.map_or("", |state| &**state);
        let random = probability::explicit(text).unwrap_or_else(|| probability::of_trace(trace));
        if self.share.keeps(random) {
            let state = match self.share.th() {
                Some(th) => Some(Arc::from(probability::with_threshold(text, th))),
                None => state.cloned(),
            };
            (flags | SAMPLED, state)
        } else {
            (flags & !SAMPLED, state.cloned())
        }
    }
}

/// Whether a span with these flags is exported.
pub(in crate::trace) const fn exports(flags: u8) -> bool {
    flags & SAMPLED != 0
}

/// A share of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Traces whose random bits are below it are not kept: the rejection threshold of OpenTelemetry's probability
    /// sampling.
    threshold: u64,
    /// It was given as a probability, so what is kept stands for more than itself.
    is_probability: bool,
}

impl Share {
    /// All of them.
    pub const ALL: Self = Self { threshold: 0, is_probability: false };
    /// None of them.
    pub const NONE: Self = Self { threshold: RANDOMNESS, is_probability: false };

    /// `ratio` of them; `None` unless it is a number from 0 to 1.
    #[must_use]
    pub fn ratio(ratio: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            return None;
        }
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a power of two is exact, and the product lies between 0 and it"
        )]
        let threshold = ((1.0 - ratio) * RANDOMNESS as f64).round() as u64;
        Some(Self { threshold, is_probability: true })
    }

    const fn keeps(self, randomness: u64) -> bool {
        randomness >= self.threshold
    }

    /// The threshold as `tracestate` has it, if there is one to tell.
    fn th(self) -> Option<u64> {
        (self.is_probability && self.threshold < RANDOMNESS).then_some(self.threshold)
    }

    fn state(self) -> Option<Arc<str>> {
        self.th().map(|th| Arc::from(probability::with_threshold("", th)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(random: u64) -> [u8; 16] {
        (0xabcd_u128 << 64 | u128::from(random)).to_be_bytes()
    }

    fn half() -> Share {
        Share::ratio(0.5).unwrap()
    }

    #[test]
    fn all_or_nothing_says_nothing_of_probability() {
        let all = Sampler::default();
        assert_eq!(all.root(trace(0), None), (SAMPLED | RANDOM, None));
        let none = Sampler::parent_based(Share::NONE);
        assert_eq!(none.root(trace(RANDOMNESS - 1), None), (RANDOM, None));
        assert!(!exports(none.root(trace(7), None).0));
    }

    #[test]
    fn a_ratio_goes_by_the_low_56_bits_and_says_so() {
        let sampler = Sampler::parent_based(half());
        let kept = sampler.root(trace(1 << 55), None);
        assert_eq!(kept, (SAMPLED | RANDOM, Some(Arc::from("ot=th:8"))));
        assert_eq!(sampler.root(trace((1 << 55) - 1), None), (RANDOM, None));
        // The eight bits above are not random for everybody.
        assert_eq!(sampler.root(trace(0xff << 56), None).0, RANDOM);
        let one = Sampler::parent_based(Share::ratio(1.0).unwrap());
        assert_eq!(one.root(trace(0), None).1.as_deref(), Some("ot=th:0"));
        let zero = Sampler::parent_based(Share::ratio(0.0).unwrap());
        assert_eq!(zero.root(trace(RANDOMNESS - 1), None), (RANDOM, None));
    }

    #[test]
    fn a_rule_can_only_say_less() {
        let sampler = Sampler::parent_based(half());
        let tenth = Share::ratio(0.1).unwrap();
        assert_eq!(sampler.root(trace(1 << 55), Some(tenth)).0, RANDOM);
        assert_eq!(sampler.root(trace(1 << 55), Some(Share::ALL)).0, SAMPLED | RANDOM);
        assert_eq!(sampler.root(trace(0), Some(Share::ALL)).0, RANDOM);
    }

    #[test]
    fn the_caller_is_asked_or_not() {
        let state: Arc<str> = Arc::from("a=1,ot=rv:00000000000000;x:y");
        let asking = Sampler::parent_based(Share::NONE);
        assert_eq!(
            asking.continued(trace(0), SAMPLED, Some(&state)),
            (SAMPLED, Some(state.clone()))
        );
        let never = Sampler::always(Share::NONE);
        assert_eq!(never.continued(trace(0), SAMPLED | RANDOM, None), (RANDOM, None));
        let always = Sampler::always(Share::ALL);
        assert_eq!(always.continued(trace(0), RANDOM, Some(&state)).0, SAMPLED | RANDOM);
        // The trace's own random value beats its id.
        let ratio = Sampler::always(half());
        assert_eq!(ratio.continued(trace(RANDOMNESS - 1), SAMPLED, Some(&state)).0, 0);
        let high: Arc<str> = Arc::from("a=1,ot=rv:ffffffffffffff;x:y");
        let (flags, state) = ratio.continued(trace(0), 0, Some(&high));
        assert_eq!((flags, state.as_deref()), (SAMPLED, Some("ot=th:8;rv:ffffffffffffff;x:y,a=1")));
    }

    #[test]
    fn no_ratio_but_from_nothing_to_all() {
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::ratio(ratio), None);
        }
    }

    proptest! {
        #[test]
        fn a_larger_share_keeps_all_that_a_smaller_one_does(a in 0.0..=1.0, b in 0.0..=1.0, random in 0..RANDOMNESS) {
            let (small, large) = (Share::ratio(f64::min(a, b)).unwrap(), Share::ratio(f64::max(a, b)).unwrap());
            prop_assert!(!small.keeps(random) || large.keeps(random));
        }

        #[test]
        fn the_share_kept_is_the_share_asked_for(ratio in 0.05..0.95f64, seed: u64) {
            let share = Share::ratio(ratio).unwrap();
            let kept = (0..10_000).filter(|n| {
                let [_, low] = abi::id::trace([seed, 1], *n);
                share.keeps(low % RANDOMNESS)
            }).count();
            // Six standard deviations of 10,000 throws.
            let off = (kept as f64 - ratio * 10_000.0).abs();
            prop_assert!(off < 300.0, "{kept} of 10000 at {ratio}");
        }
    }
}
