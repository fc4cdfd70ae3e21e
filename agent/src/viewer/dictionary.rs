//! Texts that many spans share, each kept once: attribute keys, and values that come again and again.
//!
//! Append-only and of fixed size, so that readers need no lock and a text never changes its number. What is not in it is
//! kept by the span itself: a full dictionary costs memory, never a value.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Most texts. Their slots take 1.5 MiB; the texts themselves at most [`LONGEST`] bytes each, twice.
const MOST: usize = 65_536;
/// Longest text that is shared, bytes. Longer ones are rarely equal.
const LONGEST: usize = 64;
/// A value is taken when it was seen so often among what shared its slot: ids and timestamps never are.
const SIGHTS: u8 = 8;
/// Slots for values on trial.
const TRIALS: usize = 16_384;

/// The texts.
pub(crate) struct Dictionary {
    texts: Box<[OnceLock<Box<str>>]>,
    index: Mutex<Index>,
}

/// Only the one who writes needs it.
struct Index {
    numbers: HashMap<Box<str>, u32>,
    /// By number: it was used as a key.
    is_key: Box<[bool]>,
    /// Hash of the value that is on trial in a slot, and how often it was seen.
    trials: Box<[(u64, u8)]>,
    hasher: RandomState,
}

/// The right to add texts.
pub(crate) struct Writer<'a> {
    texts: &'a [OnceLock<Box<str>>],
    index: MutexGuard<'a, Index>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            texts: (0..MOST).map(|_| OnceLock::new()).collect(),
            index: Mutex::new(Index {
                numbers: HashMap::new(),
                is_key: vec![false; MOST].into(),
                trials: vec![(0, 0); TRIALS].into(),
                hasher: RandomState::new(),
            }),
        }
    }
}

impl Dictionary {
    /// The text of that number.
    pub(crate) fn text(&self, number: u32) -> Option<&str> {
        Some(self.texts.get(number as usize)?.get()?)
    }

    /// Every text that was used as a key.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = (0..).zip(&index.is_key).filter(|(_, is_key)| **is_key);
        keys.filter_map(|(number, _)| self.text(number)).collect()
    }

    /// For as long as texts are added.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer {
            texts: &self.texts,
            index: self.index.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Writer<'_> {
    /// The number of a key: taken at first sight, since there are few.
    pub(crate) fn key(&mut self, text: &str) -> Option<u32> {
        let number = self.index.numbers.get(text).copied().or_else(|| self.add(text))?;
        self.index.is_key[number as usize] = true;
        Some(number)
    }

    /// The number of a value, if it is one of those that come again.
    pub(crate) fn value(&mut self, text: &str) -> Option<u32> {
        if let Some(number) = self.index.numbers.get(text) {
            return Some(*number);
        }
        if text.len() > LONGEST || self.index.numbers.len() >= MOST {
            return None;
        }
        let hash = self.index.hasher.hash_one(text);
        let slot = usize::try_from(hash % TRIALS as u64).unwrap_or(0);
        let (on_trial, seen) = &mut self.index.trials[slot];
        if *on_trial != hash {
            (*on_trial, *seen) = (hash, 0);
        }
        *seen += 1;
        if *seen < SIGHTS {
            return None;
        }
        *seen = 0;
        self.add(text)
    }

    fn add(&mut self, text: &str) -> Option<u32> {
        let number = self.index.numbers.len();
        if text.len() > LONGEST || number >= MOST {
            return None;
        }
        self.texts[number].set(text.into()).ok()?;
        let number = u32::try_from(number).ok()?;
        self.index.numbers.insert(text.into(), number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_at_once_and_values_when_they_come_again() {
        let dictionary = Dictionary::default();
        let mut writer = dictionary.writer();
        let key = writer.key("url.path").unwrap();
        assert_eq!(writer.key("url.path"), Some(key));
        let seen: Vec<_> = (0..10).map(|_| writer.value("GET").is_some()).collect();
        assert_eq!(seen.iter().filter(|taken| **taken).count(), 10 - usize::from(SIGHTS) + 1);
        for id in 0..100_000 {
            assert_eq!(writer.value(&format!("id-{id}")), None);
        }
        assert_eq!(writer.value(&"x".repeat(LONGEST + 1)), None);
        drop(writer);
        assert_eq!(dictionary.text(key), Some("url.path"));
        assert_eq!(dictionary.text(999), None);
        assert_eq!(dictionary.keys(), ["url.path"]);
    }

    #[test]
    fn a_full_one_takes_nothing_more() {
        let dictionary = Dictionary::default();
        let mut writer = dictionary.writer();
        for number in 0..MOST {
            assert!(writer.key(&number.to_string()).is_some());
        }
        assert_eq!(writer.key("one more"), None);
        assert_eq!(writer.key("7"), Some(7));
    }
}
