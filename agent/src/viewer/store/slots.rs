//! Which colour a service has: by its name, so that it is the same tomorrow, moved on where two would share one.

use std::collections::HashMap;
use std::sync::Arc;

/// Colours that can be told apart; beyond them marks differ.
const COLOURS: usize = 8;
/// Most services that are told apart; others have the colour of their name.
const MOST: usize = 4_096;

/// The slots that are taken: slot modulo eight is the colour, what is left its mark.
#[derive(Default)]
pub(super) struct Slots {
    taken: HashMap<Arc<str>, usize>,
    used: Vec<bool>,
}

impl Slots {
    /// The slot of that service, taken now if it has none.
    pub(super) fn of(&mut self, service: &Arc<str>) -> usize {
        if let Some(slot) = self.taken.get(service) {
            return *slot;
        }
        let first = fnv1a(service.as_bytes()) as usize % COLOURS;
        if self.taken.len() >= MOST {
            return first;
        }
        // The colour's own slot, else the next free one of this round, else of the next.
        let slot = (0..)
            .step_by(COLOURS)
            .flat_map(|round| (0..COLOURS).map(move |step| round + (first + step) % COLOURS))
            .find(|slot| !self.used.get(*slot).copied().unwrap_or(false))
            .unwrap_or(first);
        self.give(service.clone(), slot);
        slot
    }

    fn give(&mut self, service: Arc<str>, slot: usize) {
        if slot >= self.used.len() {
            self.used.resize(slot + 1, false);
        }
        self.used[slot] = true;
        self.taken.insert(service, slot);
    }

    /// Gives a service the slot that it had, if that is free.
    pub(super) fn restore(&mut self, service: Arc<str>, slot: usize) {
        let is_free = !self.used.get(slot).copied().unwrap_or(false);
        // Slots are taken in their order: none is beyond the last one that can be.
        let fits = slot < MOST + COLOURS && self.taken.len() < MOST;
        if !fits || !is_free || self.taken.contains_key(&service) {
            return;
        }
        self.give(service, slot);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.taken.iter().map(|(service, slot)| (service, *slot))
    }
}

/// FNV-1a, 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_while_there_are_enough() {
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
        let mut slots = Slots::default();
        let names: Vec<Arc<str>> = (0..20).map(|i| format!("service-{i}").into()).collect();
        let taken: Vec<usize> = names.iter().map(|name| slots.of(name)).collect();
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        assert_eq!(sorted[..16], (0..16).collect::<Vec<_>>());
        assert_eq!(taken, names.iter().map(|name| slots.of(name)).collect::<Vec<_>>());
        assert_eq!(taken[0], fnv1a(b"service-0") as usize % COLOURS);
    }
}
