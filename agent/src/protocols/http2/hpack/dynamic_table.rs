//! The dynamic table (RFC 7541 §2.3.2, §4), as far as it is known.
//!
//! An index counts from the newest entry, so the entries that were inserted since we know the stream are certain,
//! whatever is behind them: if the encoder refers to the third newest, there is a third newest, and it is the one we saw
//! inserted third last. What is behind them may be nothing or entries nobody saw inserted (`older`). Sizes and the
//! maximum are known as bounds: an entry whose name was an index into the unknown has at least the size of its value,
//! and the maximum of a table joined late is at most what its decoder allows.
//!
//! Two rules follow, and with everything known they are the RFC's own:
//!
//! - An entry is dropped when it *cannot* be in the table any more. One that may be gone stays: a right encoder does not
//!   refer to it. Nothing is ever behind an entry that was evicted.
//! - Nothing is behind the known entries once they leave no room for another, even an empty one (§4.1: 32 octets).
//!
//! Never holds more than [`KEPT`] octets, whatever maximum a peer announces: entries beyond are `older` ones.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use super::Error;

/// What an entry takes beside its name and value (§4.1), octets.
const OVERHEAD: u64 = 32;
/// Most octets of entries kept, counted as §4.1 does: 16 times the protocol's default, more than any known program asks
/// for on connections between services.
pub(super) const KEPT: u64 = 64 * 1024;

/// An entry. The name is unknown when it was an index into the unknown; the value never is.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Option<Arc<[u8]>>,
    pub(super) value: Arc<[u8]>,
}

impl Entry {
    /// Its size (§4.1), or the least it can have.
    fn size(&self) -> u64 {
        let name = self.name.as_ref().map_or(0, |name| name.len());
        OVERHEAD + name as u64 + self.value.len() as u64
    }
}

/// What an index into the table refers to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// This entry.
    Entry(&'a Entry),
    /// One that nobody saw inserted.
    Older,
}

/// The table of one direction.
#[derive(Debug)]
pub(super) struct DynamicTable {
    /// The entries that were seen inserted, newest first.
    entries: VecDeque<Entry>,
    /// The least they take.
    size: u64,
    /// The most all entries may take.
    max: u64,
    /// There may be entries behind those.
    older: bool,
}

impl DynamicTable {
    /// An empty table with this maximum.
    pub(super) fn empty(max: u32) -> Self {
        Self { entries: VecDeque::new(), size: 0, max: u64::from(max), older: false }
    }

    /// A table of which nothing is known, but that its maximum is not above `max`.
    pub(super) fn unknown(max: u32) -> Self {
        Self { older: true, ..Self::empty(max) }
    }

    /// The entry at `index`, 0 for the newest. An entry that cannot exist is an error.
    pub(super) fn get(&self, index: u32) -> Result<Found<'_>, Error> {
        let known = self.entries.len();
        if let Some(entry) = self.entries.get(index as usize) {
            return Ok(Found::Entry(entry));
        }
        let behind = u64::from(index) - known as u64;
        let room = self.max.saturating_sub(self.size) / OVERHEAD;
        if self.older && behind < room { Ok(Found::Older) } else { Err(Error::Index) }
    }

    /// A new entry is added (§4.4).
    pub(super) fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.evict_above(self.max.saturating_sub(size));
        if size > self.max {
            // It empties the table and is not in it.
            self.older = false;
            return;
        }
        self.size += size;
        self.entries.push_front(entry);
        self.nothing_behind_a_full_table();
        while self.size > KEPT && self.drop_oldest() {
            self.older = true;
        }
    }

    /// The maximum is `max` from here on (§4.3).
    pub(super) fn resize(&mut self, max: u32) {
        self.max = u64::from(max);
        self.evict_above(self.max);
        self.nothing_behind_a_full_table();
    }

    /// The maximum, which was not known, is at most `max`.
    pub(super) fn bound(&mut self, max: u32) {
        self.resize(max.min(u32::try_from(self.max).unwrap_or(u32::MAX)));
    }

    /// Memory held, bytes, about.
    pub(super) fn held(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<Entry>();
        entries + usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    fn evict_above(&mut self, size: u64) {
        while self.size > size && self.drop_oldest() {
            self.older = false;
        }
    }

    const fn nothing_behind_a_full_table(&mut self) {
        if self.size + OVERHEAD > self.max {
            self.older = false;
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(entry) = self.entries.pop_back() else { return false };
        self.size -= entry.size();
        true
    }
}
