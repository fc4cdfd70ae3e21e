//! What was lost when, by reason: counters only say how much since the agent's start.
//!
//! Bounded: what is older than the oldest of so many changes counts as lost before it.

use std::collections::{BTreeMap, VecDeque};

use crate::status::{Counters, Meaning};

/// Changes that are remembered; one every [`APART`] is an hour.
const MOST: usize = 720;
/// Changes nearer than this are one, ns.
const APART: u64 = 5_000_000_000;

/// Losses by reason.
pub(super) type Lost = BTreeMap<String, u64>;

/// How losses grew.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// All that was lost until then, and when that was known, ns since 1970, rising.
    changes: VecDeque<(u64, Lost)>,
    has_forgotten: bool,
}

impl Losses {
    /// Takes the counters of `now`, ns since 1970.
    pub(super) fn take(&mut self, counters: &Counters, now: u64) {
        let lost = of(counters);
        match self.changes.back_mut() {
            None if lost.is_empty() => return,
            Some((_, known)) if *known == lost => return,
            Some((at, known)) if now.saturating_sub(*at) < APART => {
                *known = lost;
                return;
            }
            _ => self.changes.push_back((now, lost)),
        }
        if self.changes.len() > MOST {
            self.changes.pop_front();
            self.has_forgotten = true;
        }
    }

    /// What was lost in `from..to`, ns since 1970.
    pub(super) fn between(&self, from: u64, to: u64) -> Lost {
        let before = self.until(from);
        let mut lost = self.until(to).cloned().unwrap_or_default();
        for (reason, number) in &mut lost {
            let known = before.and_then(|before| before.get(reason));
            *number = number.saturating_sub(known.copied().unwrap_or(0));
        }
        lost.retain(|_, number| *number > 0);
        lost
    }

    fn until(&self, at: u64) -> Option<&Lost> {
        match self.changes.partition_point(|(known, _)| *known < at).checked_sub(1) {
            Some(last) => self.changes.get(last),
            None => self.changes.front().filter(|_| self.has_forgotten),
        }
        .map(|(_, lost)| lost)
    }
}

/// What these counters say is lost.
fn of(counters: &Counters) -> Lost {
    let all = counters
        .groups
        .iter()
        .flat_map(|group| group.counters.iter().map(move |counter| (&group.name, counter)));
    all.filter(|(_, counter)| counter.meaning == Meaning::Loss && counter.value > 0)
        .map(|(group, counter)| {
            (format!("{group} {}", counter.name.replace('_', " ")), counter.value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn counters(full: u64, queue: u64) -> Counters {
        let mut counters = Counters::default();
        counters.add("kernel", "data_ring_full", Meaning::Loss, full);
        counters.add("kernel", "data_events", Meaning::Event, 5);
        counters.add("export", "queue_full", Meaning::Loss, queue);
        counters
    }

    #[test]
    fn a_range_has_what_was_lost_in_it() {
        let mut losses = Losses::default();
        for (at, full, queue) in [(1, 0, 0), (10, 3, 0), (100, 3, 0), (200, 5, 1), (202, 6, 1)] {
            losses.take(&counters(full, queue), at * S);
        }
        let between = |from: u64, to: u64| {
            let lost = losses.between(from * S, to * S);
            lost.into_iter().collect::<Vec<_>>()
        };
        let named = |full, queue| {
            vec![
                ("export queue full".to_owned(), queue),
                ("kernel data ring full".to_owned(), full),
            ]
        };
        assert_eq!(between(0, 300), named(6, 1));
        assert_eq!(between(150, 300), named(3, 1));
        assert_eq!(between(0, 150), named(3, 0)[1..]);
        assert_eq!(between(20, 150), []);
        assert_eq!(between(300, 400), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut losses = Losses::default();
        for number in 1..=2_000_u64 {
            losses.take(&counters(number, 0), number * APART);
        }
        assert_eq!(losses.changes.len(), MOST);
        let lost = losses.between(0, u64::MAX);
        // What was before the oldest is not known to be in any range.
        assert_eq!(lost["kernel data ring full"], MOST as u64 - 1);
    }
}
