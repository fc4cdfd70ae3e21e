//! Watches tasks that work for requests until they have ended: the kernel does not say when that is, but their records do.

use std::collections::{BTreeMap, HashMap};

use abi::{CallerFound, StreamCall, Worker};

use super::{
    attach::{Attacher, lock},
    memory::Memory,
};
use crate::input::{Input, Nanos};

/// Tasks that are watched. Of more it is not known that they end: their calls have no parent.
const MOST: usize = 8192;
/// How long a task is watched, ns: whatever is longer at work is no part of a request that still waits for its spans.
const LONGEST: u64 = 60_000_000_000;
/// How often they are looked at, ns: each costs a read of its process's memory, and spans wait twice as long for it.
const EVERY: u64 = 100_000_000;

/// The tasks that are watched.
#[derive(Default)]
pub struct Ends {
    /// By process and key: where its record is, and since when it is watched.
    tasks: BTreeMap<(u32, u64), (u64, Option<Nanos>)>,
    /// When they were last looked at.
    last: Nanos,
}

impl Ends {
    /// Takes note of the tasks that an input names.
    pub fn note(&mut self, input: &Input) {
        let (Input::Worker(Worker { tgid, tasks, objects, .. })
        | Input::StreamCall(StreamCall { tgid, tasks, objects, .. })
        | Input::CallerFound(CallerFound { tgid, tasks, objects, .. })) = input
        else {
            return;
        };
        // Without a record the kernel tells.
        let watched =
            tasks.iter().zip(objects).filter(|(task, object)| **task != 0 && **object != 0);
        for (task, object) in watched {
            if self.tasks.len() < MOST {
                self.tasks.entry((*tgid, *task)).or_insert((*object, None));
            }
        }
    }

    /// Those that have ended.
    pub fn look(&mut self, now: Nanos, attacher: &Attacher) -> Option<Input> {
        if self.tasks.is_empty() || now.since(self.last) < EVERY {
            return None;
        }
        self.last = now;
        let records = lock(attacher.records());
        let mut memories: HashMap<u32, Option<Memory>> = HashMap::new();
        let mut ended = Vec::new();
        self.tasks.retain(|(pid, task), (object, since)| {
            let since = *since.get_or_insert(now);
            let memory = memories.entry(*pid).or_insert_with(|| Memory::of(*pid).ok());
            let has_ended = match (memory, records.get(pid)) {
                (Some(memory), Some(record)) => record.has_ended(memory, *object, *task),
                // The process has.
                _ => true,
            };
            if has_ended {
                ended.push(*task);
            }
            !has_ended && now.since(since) < LONGEST
        });
        (!ended.is_empty()).then_some(Input::TasksEnded(ended))
    }
}
