//! Processes that the operator's rules leave out, for the kernel: there it costs next to nothing to leave them out.
//!
//! The pipeline decides; here is only kept what the kernel was told. A process that is no more left out is told at once,
//! and open connections ask again; that more are left out is for open connections no haste.

use std::collections::BTreeMap;

use crate::{
    hash::Map,
    input::{Input, Nanos},
    kernel::left_out::Changes,
    pipeline::Pipeline,
    selection::Selection,
    status::{Counters, Meaning},
};

/// Time between two rounds in which more processes are left out, ns: in each, every connection of the host asks once.
const ROUND: u64 = 1_000_000_000;
/// Processes that are told: as many as the kernel has room for.
const MOST: usize = 16_384;
/// Names of rules whose connections are counted, over all configurations that there were.
const NAMES: usize = 1_024;

/// What may change whether a process is left out.
#[derive(Clone, Copy)]
pub(super) enum News {
    /// It is known what the process is.
    Is(u32),
    /// It is gone.
    Ended(u32),
}

impl News {
    /// What an input says of a process.
    pub(super) fn of(input: &Input) -> Option<Self> {
        Some(match input {
            Input::Process(facts) => Self::Is(facts.pid),
            Input::Exec(event) => Self::Is(event.tgid),
            Input::Exit(event) => Self::Ended(event.tgid),
            _ => return None,
        })
    }
}

/// What the kernel was told.
#[derive(Default)]
pub(super) struct LeftOut {
    /// By which rule each process is left out.
    told: Map<u32, usize>,
    changes: Changes,
    /// Some were added since the last round.
    added: bool,
    last_round: Nanos,
    /// The rules that hold: their names, and how many connections the kernel had counted for that number before.
    rules: Vec<(String, u64)>,
    /// Connections that rules before them have left out.
    before: BTreeMap<String, u64>,
}

impl LeftOut {
    /// These rules hold from the beginning.
    pub(super) fn new(selection: &Selection) -> Self {
        Self { rules: named(selection, |_| 0), ..Self::default() }
    }

    /// The pipeline has taken in news of a process: it may be left out, or no more.
    pub(super) fn note(&mut self, news: News, pipeline: &mut Pipeline) {
        match news {
            News::Is(pid) => self.decided(pid, pipeline.left_out_by(pid)),
            News::Ended(pid) => self.gone(pid),
        }
    }

    /// Other rules hold. `counted` says what the kernel has counted for a rule's number.
    pub(super) fn select(
        &mut self,
        selection: &Selection,
        pipeline: &mut Pipeline,
        counted: impl Fn(usize) -> u64,
    ) {
        for (name, connections) in self.by_name(&counted) {
            if self.before.contains_key(&name) || self.before.len() < NAMES {
                self.before.insert(name, connections);
            }
        }
        self.rules = named(selection, counted);
        for pid in pipeline.processes() {
            self.decided(pid, pipeline.left_out_by(pid));
        }
        self.changes.ask_again |= !self.told.is_empty();
    }

    /// What the kernel is to be told now; more may be left out on open connections only with a `tick`.
    pub(super) fn changes(&mut self, tick: Option<Nanos>) -> Option<Changes> {
        if let Some(now) = tick.filter(|_| self.added)
            && now.since(self.last_round) >= ROUND
        {
            self.changes.ask_again = true;
            self.last_round = now;
        }
        if self.changes.ask_again {
            self.added = false;
        }
        let changes = std::mem::take(&mut self.changes);
        (changes != Changes::default()).then_some(changes)
    }

    /// Adds the connections that were left out, by rule.
    pub(super) fn count(&self, counters: &mut Counters, counted: impl Fn(usize) -> u64) {
        for (rule, connections) in self.by_name(&counted) {
            counters.add("connections_left_out_by", rule, Meaning::Event, connections);
        }
    }

    /// What all rules have left out, by their names.
    fn by_name(&self, counted: &impl Fn(usize) -> u64) -> BTreeMap<String, u64> {
        let mut sums = self.before.clone();
        for (number, (name, before)) in self.rules.iter().enumerate() {
            let connections = counted(number).saturating_sub(*before);
            if connections > 0 {
                *sums.entry(name.clone()).or_default() += connections;
            }
        }
        sums
    }

    fn decided(&mut self, pid: u32, rule: Option<usize>) {
        match rule {
            Some(rule) if self.told.get(&pid) == Some(&rule) => return,
            Some(rule) if self.told.len() < MOST || self.told.contains_key(&pid) => {
                self.told.insert(pid, rule);
                self.added = true;
            }
            _ => {
                if self.told.remove(&pid).is_none() {
                    return;
                }
                self.changes.ask_again = true;
            }
        }
        self.changes.processes.push((pid, self.told.get(&pid).copied()));
    }

    /// Its connections are gone with it, or in other hands, which ask for themselves.
    fn gone(&mut self, pid: u32) {
        if self.told.remove(&pid).is_some() {
            self.changes.processes.push((pid, None));
        }
    }
}

/// The names of rules, and what was counted before them by their numbers.
fn named(selection: &Selection, counted: impl Fn(usize) -> u64) -> Vec<(String, u64)> {
    let rules = selection.rules().iter().enumerate();
    rules.map(|(number, rule)| (rule.name.clone(), counted(number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{Action, Conditions, Rule};

    const SECOND: u64 = 1_000_000_000;

    type Told = (Vec<(u32, Option<usize>)>, bool);

    fn told(left_out: &mut LeftOut, tick: Option<u64>) -> Told {
        let changes = left_out.changes(tick.map(Nanos)).unwrap_or_default();
        (changes.processes, changes.ask_again)
    }

    #[test]
    fn who_is_left_out_is_told_at_once_and_open_connections_ask_in_time() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.changes(Some(Nanos(SECOND))), None);
        left_out.decided(7, Some(0));
        left_out.decided(7, Some(0));
        left_out.decided(8, None);
        assert_eq!(told(&mut left_out, None), (vec![(7, Some(0))], false));
        assert_eq!(told(&mut left_out, Some(2 * SECOND)), (vec![], true));
        left_out.decided(9, Some(1));
        assert_eq!(told(&mut left_out, Some(2 * SECOND + 1)), (vec![(9, Some(1))], false));
        assert_eq!(told(&mut left_out, Some(3 * SECOND)), (vec![], true));
        assert_eq!(left_out.changes(Some(Nanos(9 * SECOND))), None);
    }

    #[test]
    fn who_comes_back_is_seen_at_once() {
        let mut left_out = LeftOut::default();
        left_out.decided(7, Some(0));
        left_out.decided(8, Some(0));
        assert_eq!(told(&mut left_out, Some(SECOND)), (vec![(7, Some(0)), (8, Some(0))], true));
        left_out.decided(7, None);
        assert_eq!(told(&mut left_out, None), (vec![(7, None)], true));
        // Ended: nobody has to ask anew for that.
        left_out.gone(8);
        left_out.gone(8);
        assert_eq!(told(&mut left_out, Some(9 * SECOND)), (vec![(8, None)], false));
    }

    #[test]
    fn connections_are_counted_by_the_rules_that_held() {
        let selection = |names: &[&str]| {
            let rule = |name: &&str| Rule {
                name: (*name).to_owned(),
                action: Action::Exclude,
                conditions: Conditions::default(),
            };
            Selection::new(names.iter().map(rule).collect())
        };
        let mut left_out = LeftOut::new(&selection(&["a", "b"]));
        let mut pipeline = Pipeline::new([0, 0], crate::trace::Settings::default());
        let counted = |number: usize| [3, 0][number];
        left_out.select(&selection(&["b", "a"]), &mut pipeline, counted);
        let counted = |number: usize| [4, 5][number];
        let sums = left_out.by_name(&counted);
        assert_eq!(sums.into_iter().collect::<Vec<_>>(), [("a".into(), 8), ("b".into(), 1)]);
    }
}
