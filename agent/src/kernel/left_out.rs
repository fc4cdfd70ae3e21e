//! Telling the probes which processes' connections they leave unread, and how many they have.
//!
//! Whatever goes wrong here costs time and no correctness: who is not left out in the kernel is left out by the pipeline.
#![forbid(unsafe_code)]

use abi::LEFT_OUT_RULES;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};

/// What changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Processes, and the rules that leave them out from now on, by number from 0 on.
    pub processes: Vec<(u32, Option<usize>)>,
    /// Connections that are open are to ask again.
    pub ask_again: bool,
}

/// The probes' maps.
pub struct LeftOut {
    processes: HashMap<MapData, u32, u32>,
    by_rule: PerCpuArray<MapData, u64>,
    round: Array<MapData, u32>,
    /// The round that the probes know; in the first nobody is left out, and they do not even ask.
    now: u32,
}

impl LeftOut {
    /// These maps, in which nothing is yet.
    ///
    /// # Errors
    ///
    /// When they are others.
    pub(super) fn new(processes: Map, by_rule: Map, round: Map) -> Result<Self, MapError> {
        let (processes, by_rule) = (processes.try_into()?, by_rule.try_into()?);
        Ok(Self { processes, by_rule, round: round.try_into()?, now: 0 })
    }

    /// Takes the changes to the kernel. Processes first: who asks again must find them.
    pub(super) fn change(&mut self, changes: &Changes) {
        for (pid, rule) in &changes.processes {
            let changed = match rule.and_then(slot) {
                Some(slot) => self.processes.insert(pid, slot, 0),
                // The kernel may have forgotten it: there is room for so many.
                None => self.processes.remove(pid).or_else(|error| match error {
                    MapError::KeyNotFound => Ok(()),
                    error => Err(error),
                }),
            };
            if let Err(error) = changed {
                log::debug!("process {pid} cannot be left out or in: {error}");
            }
        }
        if changes.ask_again {
            // Zero is for when nobody is.
            let next = self.now.checked_add(1).unwrap_or(1);
            match self.round.set(0, next, 0) {
                Ok(()) => self.now = next,
                Err(error) => log::warn!("open connections stay left out as they are: {error}"),
            }
        }
    }

    /// Connections that the rule of this number has left out so far.
    pub(super) fn connections(&self, rule: usize) -> u64 {
        let sum = |slot| self.by_rule.get(&slot, 0).ok().map(|by_cpu| by_cpu.iter().sum());
        slot(rule).and_then(sum).unwrap_or(0)
    }
}

/// The probes' number for a rule.
fn slot(rule: usize) -> Option<u32> {
    u32::try_from(rule + 1).ok().filter(|slot| (*slot as usize) < LEFT_OUT_RULES)
}
