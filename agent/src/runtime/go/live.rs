//! The living process: where its variables are, and whether what is in them makes sense.
//!
//! Variables have no names in a stripped program. But functions that use them do, and what is in them is like nothing
//! else: processors that are numbered in order, ids that are handed out sixteen at a time, goroutine 1 that began with
//! `runtime.main` and has itself started the one that helps the collector. An offset that is wrong by a word shows in that.

use super::{Refusal, code::Code, functions::Functions, layout::Layout};
use crate::runtime::memory::{Mapped, Memory};

/// Words of `runtime.moduledata` before `text` (symtab.go: six slices, the pointer before them, and four words).
const TEXT: usize = 22;
/// Words of it that are read: up to `etext`.
const MODULE: usize = 24;
/// Read at a time.
const CHUNK: usize = 1 << 16;
/// Most processors of a process (`GOMAXPROCS` is limited by nothing; no machine has more).
const PROCESSORS: u64 = 4096;
/// Goroutines looked through for the first, and the one it starts: they are made before all others.
const FIRST: u64 = 64;
/// Ids that a processor takes at a time (`_GoidCacheBatch`).
const BATCH: u64 = 16;
/// Looks at a counter that others count with meanwhile.
const LOOKS: usize = 100;

/// Where the process has its program's text, as its module data says, which begins with a pointer to the table of functions.
pub(super) fn text(memory: &Memory, mapped: &Mapped, functions: u64) -> Option<u64> {
    for (start, length) in &mapped.writable {
        let mut at = 0;
        while at < *length {
            let count = CHUNK.min(usize::try_from((length - at) / 8).ok()?);
            if count == 0 {
                break;
            }
            let words = memory.words(start + at, count)?;
            for (i, _) in words.iter().enumerate().filter(|(_, word)| **word == functions) {
                let Some(module) = memory.words(start + at + 8 * i as u64, MODULE) else {
                    continue;
                };
                let (least, most) = (module[TEXT - 2], module[TEXT - 1]);
                let (text, end) = (module[TEXT], module[TEXT + 1]);
                if text != 0 && text <= least && least < most && most <= end {
                    return Some(text);
                }
            }
            at += 8 * count as u64;
        }
    }
    None
}

/// What the file says of where variables may be.
#[derive(Debug)]
pub(super) struct Known {
    /// Where `runtime.main` and `runtime.forcegchelper` begin.
    main: u64,
    helper: u64,
    /// What the functions use that use processors, ids and goroutines.
    processors: Vec<u64>,
    ids: Vec<u64>,
    goroutines: Vec<u64>,
}

impl Known {
    pub(super) fn of(functions: &Functions, code: &Code) -> Option<Self> {
        let start = |name| functions.named(name).map(|function| function.start);
        let used = |name| functions.named(name).map(|function| code.operands(function));
        Some(Self {
            main: start("runtime.main")?,
            helper: start("runtime.forcegchelper")?,
            processors: used("runtime.procresize")?,
            ids: used("runtime.newproc1")?,
            goroutines: used("runtime.allgadd")?,
        })
    }
}

/// Addresses of variables that were found and checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    pub(super) goidgen: u64,
    pub(super) allp: u64,
}

/// Finds the variables, and checks the layout with what is in them.
pub(super) fn check(
    memory: &Memory,
    layout: &Layout,
    known: &Known,
    bias: u64,
) -> Result<Counters, Refusal> {
    let here = |candidates: &[u64]| -> Vec<u64> {
        candidates.iter().map(|address| address.wrapping_add(bias)).collect()
    };
    let main = known.main.wrapping_add(bias);
    let helper = known.helper.wrapping_add(bias);
    here(&known.goroutines)
        .into_iter()
        .find(|slice| first_two(memory, *slice, layout, main, helper) == Some(true))
        .ok_or(Refusal::Senseless("its first goroutines"))?;
    let (allp, processors) = here(&known.processors)
        .into_iter()
        .find_map(|slice| Some((slice, numbered(memory, slice, layout)?)))
        .ok_or(Refusal::Senseless("its processors"))?;
    // One that fits to the number; else, because C programs that call Go take single ones, one that is a little ahead.
    let counter = |most: u64| {
        let mut found = here(&known.ids).into_iter().filter(|counter| {
            ahead(memory, *counter, &processors, layout).is_some_and(|by| by <= most)
        });
        found.next().filter(|_| found.next().is_none())
    };
    let goidgen = counter(0)
        .or_else(|| counter(BATCH - 1))
        .ok_or(Refusal::Senseless("the counter of its goroutines"))?;
    Ok(Counters { goidgen, allp })
}

/// Whether the slice at that address is that of all goroutines: whether the first began with `main`, and itself started one that
/// began with `helper`.
fn first_two(memory: &Memory, slice: u64, layout: &Layout, main: u64, helper: u64) -> Option<bool> {
    let [array, count] = memory.words(slice, 2)?.try_into().ok()?;
    if array == 0 || count < 2 || count >> 32 != 0 {
        return None;
    }
    let all = memory.words(array, usize::try_from(count.min(FIRST)).ok()?)?;
    let (mut began, mut started) = (false, false);
    for g in all {
        let read = |at: u64| memory.word(g.wrapping_add(at));
        match (read(layout.g_goid), read(layout.g_startpc)) {
            (Some(1), Some(start)) => began = start == main,
            // Whichever id it has: the next one, unless the first goroutine had come to another processor by then.
            (Some(_), Some(start)) if start == helper => {
                started |= layout.g_parent.is_none_or(|parent| read(parent) == Some(1));
            }
            _ => {}
        }
    }
    Some(began && started)
}

/// The processors, if the slice at that address is that of all: they are numbered in order.
fn numbered(memory: &Memory, slice: u64, layout: &Layout) -> Option<Vec<u64>> {
    let [array, count, room] = memory.words(slice, 3)?.try_into().ok()?;
    if array == 0 || count == 0 || count > room || room > PROCESSORS {
        return None;
    }
    let all = memory.words(array, usize::try_from(count).ok()?)?;
    let in_order = all.iter().enumerate().all(|(number, p)| {
        // `int32`, and behind it the status.
        let id = memory.word(p.wrapping_add(layout.p_id));
        *p != 0 && id.is_some_and(|id| id & 0xffff_ffff == number as u64)
    });
    in_order.then_some(all)
}

/// By how much the word at that address is ahead of the last id that a processor has taken, if it may be the counter from which
/// they take them.
fn ahead(memory: &Memory, counter: u64, processors: &[u64], layout: &Layout) -> Option<u64> {
    for _ in 0..LOOKS {
        let before = memory.word(counter)?;
        let mut last = 0;
        for p in processors {
            let [next, end] =
                memory.words(p.wrapping_add(layout.p_goidcache), 2)?.try_into().ok()?;
            if next > end || end - next > BATCH {
                return None;
            }
            last = last.max(end);
        }
        if memory.word(counter)? == before {
            // The range ends behind the last one.
            return before.checked_sub(last.checked_sub(1)?);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::go::Version;

    const MAIN: u64 = 0x1000;
    const HELPER: u64 = 0x2000;

    /// What is said of these goroutines (id, start function, who made it), which lie in this process's memory.
    fn said(goroutines: &[(u64, u64, u64)]) -> bool {
        let layout = Layout::of(Version(1, 24)).unwrap();
        let record = |&(id, start, parent): &(u64, u64, u64)| {
            let mut g = vec![0u64; 64];
            for (at, value) in
                [(layout.g_goid, id), (layout.g_startpc, start), (layout.g_parent.unwrap(), parent)]
            {
                g[usize::try_from(at).unwrap() / 8] = value;
            }
            g
        };
        let records: Vec<Vec<u64>> = goroutines.iter().map(record).collect();
        let array: Vec<u64> = records.iter().map(|g| g.as_ptr() as u64).collect();
        let slice = [array.as_ptr() as u64, array.len() as u64];
        let memory = Memory::of(std::process::id()).unwrap();
        first_two(&memory, slice.as_ptr() as u64, layout, MAIN, HELPER) == Some(true)
    }

    #[test]
    fn the_first_goroutines_are_known_by_who_began_them() {
        assert!(said(&[(1, MAIN, 0), (2, HELPER, 1)]));
        // Ids are taken by the processor: the first goroutine had come to another one.
        assert!(said(&[(1, MAIN, 0), (17, 0x3000, 1), (18, HELPER, 1)]));
        assert!(!said(&[(1, MAIN, 0), (18, HELPER, 2)]));
        assert!(!said(&[(1, HELPER, 0), (2, HELPER, 1)]));
        assert!(!said(&[(1, MAIN, 0), (2, 0x3000, 1)]));
        assert!(!said(&[]));
    }
}
