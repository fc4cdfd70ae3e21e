//! Maps and sets for what is looked up with every event: std's, with a hash that costs a few instructions.
//!
//! Keys are numbers that the kernel gave out, small and many. The hash is seeded anew in each process, so that nobody
//! who chooses a port or a position knows where it lands; it is not meant for keys that strangers choose freely, such
//! as names: those stay with std's own, but where no more than some hundreds are kept.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

/// A map.
pub type Map<K, V> = HashMap<K, V, RandomState>;

/// A set.
pub type Set<K> = HashSet<K, RandomState>;
