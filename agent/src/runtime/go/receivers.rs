//! Functions that receive work from others: a goroutine that starts with one may work for many, whoever started it.
//!
//! They are known by a call of what receives from a channel, or waits for a condition. Receives that are hidden deeper are not
//! seen here; that is why a goroutine must also be seen to end before its work counts as one request's.

use crate::hash::Set;

use super::{
    code::Code,
    functions::{Function, Functions},
};

/// What receives.
const RECEIVE: [&str; 5] = [
    "runtime.chanrecv1",
    "runtime.chanrecv2",
    "runtime.selectgo",
    "runtime.selectnbrecv",
    "sync.(*Cond).Wait",
];

/// Those that work for whole pools or connections and do not receive in the function itself.
const POOLS: [&str; 6] = [
    "net/http.(*Transport).dialConnFor",
    "net/http.(*persistConn).readLoop",
    "net/http.(*http2serverConn).runHandler",
    "golang.org/x/net/http2.(*serverConn).runHandler",
    "database/sql.(*DB).connectionOpener",
    "database/sql.(*DB).connectionResetter",
];

/// Run one function that they were given, and end; what they receive is only room to run.
const EXEMPT: [&str; 3] = [
    "golang.org/x/sync/errgroup.(*Group).Go.func1",
    "golang.org/x/sync/errgroup.(*Group).TryGo.func1",
    "sync.(*WaitGroup).Go.func1",
];

/// A wrapper that only calls another function is not longer than this, bytes.
const WRAPPER: u64 = 192;

/// The addresses of all of them; with `true` those that are exempt.
pub(super) fn of(functions: &Functions, code: &Code) -> Vec<(u64, bool)> {
    let mut receive = Set::default();
    let mut exempt = Set::default();
    let mut found = Set::default();
    for function in functions.iter() {
        if RECEIVE.contains(&function.name) {
            receive.insert(function.start);
        } else if POOLS.contains(&function.name) {
            found.insert(function.start);
        } else if EXEMPT.contains(&function.name) {
            exempt.insert(function.start);
        }
    }
    let callers = |called: &Set<u64>, counts: &dyn Fn(Function<'_>, u64) -> bool| -> Vec<u64> {
        let calls = code.all_calls().filter(|(_, calls)| called.contains(calls));
        calls
            .filter_map(|(at, calls)| Some((functions.at(at)?, calls)))
            .filter(|(caller, calls)| counts(*caller, *calls))
            .map(|(caller, _)| caller.start)
            .collect()
    };
    found.extend(callers(&receive, &|_, _| true));
    // A receive of the same package, one function further: a queue's own `next`. Not one that a function defers: that only gives
    // back the room it had.
    let near = callers(&found, &|caller, calls| {
        functions.at(calls).is_some_and(|callee| {
            package(callee.name) == package(caller.name) && !callee.name.starts_with(caller.name)
        })
    });
    // `go f(x)` starts with a wrapper that calls `f`, of whatever package; where `f` is a variable, it may be anything.
    let wraps = callers(&found, &|caller, _| caller.end - caller.start <= WRAPPER);
    // Before 1.22 wrappers are named like other closures.
    let are_named = functions.iter().any(|function| is_wrapper(function.name));
    let unknown = functions.iter().filter(|function| {
        let short = function.end - function.start <= WRAPPER && function.name.contains(".func");
        let wrapper = if are_named { is_wrapper(function.name) } else { short };
        wrapper && code.calls_what_it_is_given(*function)
    });
    let unknown: Vec<u64> = unknown.map(|function| function.start).collect();
    found.extend(near.into_iter().chain(wraps).chain(unknown));
    found.extend(&exempt);
    let mut found: Vec<(u64, bool)> =
        found.into_iter().map(|start| (start, exempt.contains(&start))).collect();
    found.sort_unstable();
    found
}

/// A name up to what is its function's own.
fn package(name: &str) -> &str {
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let own = name[path..].find('.').map_or(name.len(), |dot| path + dot);
    &name[..own]
}

/// Whether the compiler made this function for a `go` statement (1.22 and later).
fn is_wrapper(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.starts_with("gowrap"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_packages() {
        assert_eq!(package("main.(*server).hidden"), "main");
        assert_eq!(
            package("golang.org/x/sync/errgroup.(*Group).Go.func1"),
            "golang.org/x/sync/errgroup"
        );
        assert_eq!(package("net/http.(*conn).serve"), "net/http");
        assert_eq!(package(""), "");
    }

    #[test]
    fn wrappers_are_known_by_name() {
        assert!(is_wrapper("main.(*server).lazily.func1.gowrap1"));
        assert!(!is_wrapper("main.main.func1"));
    }
}
