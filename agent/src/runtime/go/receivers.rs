//! Functions that receive work from others: a goroutine that starts with one may work for many, whoever started it.
//!
//! They are known by a call of what receives from a channel, or waits for a condition. Receives that are hidden deeper are not
//! seen here; that is why a goroutine must also be seen to end before its work counts as one request's.

use crate::hash::{Map, Set};

use super::{code::Code, functions::Functions};

/// What receives.
const RECEIVE: [&str; 5] = [
    "runtime.chanrecv1",
    "runtime.chanrecv2",
    "runtime.selectgo",
    "runtime.selectnbrecv",
    "sync.(*Cond).Wait",
];

/// Those of the standard library that work for whole pools and do not receive in the function itself.
const POOLS: [&str; 4] = [
    "net/http.(*Transport).dialConnFor",
    "net/http.(*persistConn).readLoop",
    "database/sql.(*DB).connectionOpener",
    "database/sql.(*DB).connectionResetter",
];

/// Runs one function and ends; what it receives is only room to run.
const EXEMPT: [&str; 2] = [
    "golang.org/x/sync/errgroup.(*Group).Go.func1",
    "golang.org/x/sync/errgroup.(*Group).TryGo.func1",
];

/// A wrapper that only calls another function is not longer than this, bytes.
const WRAPPER: u64 = 192;

/// The addresses of all of them; with `true` those that are exempt.
pub(super) fn of(functions: &Functions, code: &Code) -> Vec<(u64, bool)> {
    let mut receive = Set::default();
    let mut exempt = Map::default();
    let mut found = Set::default();
    for function in functions.iter() {
        if RECEIVE.contains(&function.name) {
            receive.insert(function.start);
        } else if POOLS.contains(&function.name) {
            found.insert(function.start);
        } else if EXEMPT.contains(&function.name) {
            exempt.insert(function.start, ());
        }
    }
    for (at, _) in code.all_calls().filter(|(_, calls)| receive.contains(calls)) {
        if let Some(function) = functions.at(at) {
            found.insert(function.start);
        }
    }
    // `go f(x)` starts with a wrapper that calls `f`.
    let wrappers: Vec<u64> = functions
        .iter()
        .filter(|function| function.end - function.start <= WRAPPER)
        .filter(|function| code.calls(*function).any(|(_, calls)| found.contains(&calls)))
        .map(|function| function.start)
        .collect();
    found.extend(wrappers);
    let mut found: Vec<(u64, bool)> =
        found.into_iter().map(|start| (start, exempt.contains_key(&start))).collect();
    found.sort_unstable();
    found
}
