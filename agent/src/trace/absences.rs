//! Why calls have no parent inside their process, by process and reason: what tells an operator where traces break, and
//! whether that can be helped.

use std::collections::BTreeMap;

/// Processes and reasons that are told apart. A host with more has the rest in one row, of no process.
const MOST: usize = 1024;
/// The process of that row.
const OTHERS: u32 = 0;

/// The counts.
#[derive(Debug, Default)]
pub(in crate::trace) struct Absences(BTreeMap<(u32, &'static str), u64>);

impl Absences {
    /// One more call of the process `pid` has no parent.
    pub(in crate::trace) fn add(&mut self, pid: u32, why: &'static str) {
        let full = self.0.len() >= MOST && !self.0.contains_key(&(pid, why));
        let pid = if full { OTHERS } else { pid };
        *self.0.entry((pid, why)).or_default() += 1;
    }

    /// One of those has one after all.
    pub(in crate::trace) fn found(&mut self, pid: u32, why: &'static str) {
        let pid = if self.0.contains_key(&(pid, why)) { pid } else { OTHERS };
        if let Some(count) = self.0.get_mut(&(pid, why)) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&(pid, why));
            }
        }
    }

    /// Process, reason, how many.
    pub(in crate::trace) fn iter(&self) -> impl Iterator<Item = (u32, &'static str, u64)> {
        self.0.iter().map(|((pid, why), count)| (*pid, *why, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart_up_to_a_bound() {
        let mut absences = Absences::default();
        for pid in 1..=5000 {
            absences.add(pid, "a");
            absences.add(pid, "a");
        }
        assert_eq!(absences.iter().next(), Some((OTHERS, "a", 2 * (5000 - 1024))));
        assert_eq!(absences.iter().last(), Some((1024, "a", 2)));
        assert_eq!(absences.iter().map(|(_, _, count)| count).sum::<u64>(), 10_000);
    }

    #[test]
    fn what_is_found_is_not_absent() {
        let mut absences = Absences::default();
        absences.add(7, "a");
        absences.add(7, "a");
        absences.found(7, "a");
        absences.found(7, "b");
        assert_eq!(absences.iter().collect::<Vec<_>>(), [(7, "a", 1)]);
        absences.found(7, "a");
        absences.found(7, "a");
        assert_eq!(absences.iter().count(), 0);
    }
}
