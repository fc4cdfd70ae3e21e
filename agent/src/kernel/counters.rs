//! The kernel half's counters under the names a user sees.

use abi::Counter;

use super::load::Probes;

/// All kernel counters now.
#[must_use]
pub fn snapshot(probes: &Probes) -> Vec<(Counter, &'static str, u64)> {
    Counter::ALL.iter().map(|(counter, name)| (*counter, *name, probes.counter(*counter))).collect()
}
