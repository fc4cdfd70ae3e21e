//! The same where grpc-go serves, or is called: all on one connection, whose frames one goroutine writes.

use tests::agent::{Agent, Hooks, Setup};
use tests::outcome::TestResult;
use tests::programs::grpc_goroutines::Build;
use tests::runner::{Place, Suite};

use super::truth::{self, REQUESTS, SERVICE, Way, way};
use super::watching;

/// Ways in which a call's request is known: every one has its parent.
const KNOWN: [Way; 9] = [
    way("grpc-unary", 1, 1000),
    way("grpc-stream", 1, 1000),
    way("grpc-served", 3, 1000),
    way("grpc-fanout", 3, 999),
    way("http-unary", 1, 1000),
    way("http-stream", 1, 1000),
    way("http-fanout", 3, 999),
    way("http-pool-context", 1, 999),
    way("grpc-http", 1, 999),
];

/// Ways in which it is not, or not always: what counts is that it is not another's.
const TRAPS: [Way; 8] = [
    way("grpc-fanout-http", 3, 0),
    way("grpc-pool", 1, 0),
    way("grpc-pool-context", 1, 0),
    way("grpc-lazy", 1, 0),
    way("grpc-late", 2, 0),
    way("http-pool", 1, 0),
    way("http-lazy", 1, 0),
    way("http-late", 2, 0),
];

/// What is known before goroutines name who started them (1.21), and before the functions they start with are told apart from
/// others that call what they are given (1.22).
const OLD: [Way; 5] = [KNOWN[0], KNOWN[1], KNOWN[2], KNOWN[4], KNOWN[5]];

/// Number of a request that is not scored.
const MET: usize = 19_999;

pub(super) fn add(suite: &mut Suite) {
    for concurrency in [1, 32] {
        for (name, ways) in [("known", &KNOWN[..]), ("traps", &TRAPS[..])] {
            suite.at(
                Place::Here,
                format!("goroutines::grpc::{name}[{concurrency} at once]"),
                180,
                move || score(Setup::default(), Build::PLAIN, ways, concurrency),
            );
        }
    }
    for (build, ways) in [
        (Build { stripped: true, ..Build::PLAIN }, &KNOWN[..]),
        (Build { go: Some("1.21.13"), old: true, stripped: true }, &OLD[..]),
        (Build { go: Some("1.18.10"), old: true, stripped: false }, &OLD[..]),
    ] {
        let name = format!("goroutines::grpc::builds[{}]", build.name());
        suite.at(Place::Here, name, 180, move || score(Setup::default(), build, ways, 32));
    }
    for hooks in Hooks::FORCED {
        let name = format!("goroutines::grpc::hooks[{}]", hooks.word());
        suite.at(Place::Here, name, 120, move || {
            score(Setup::default().hooks(hooks), Build::PLAIN, &KNOWN[..4], 8)
        });
    }
}

fn score(setup: Setup, build: Build, ways: &[Way], concurrency: usize) -> TestResult {
    let called = Build::PLAIN.called("called")?;
    let server = build.server(SERVICE, &called)?;
    let agent: Agent = watching(setup, &server.server)?;
    // Its connection to what it calls is older than the agent, and is known once frames have moved on it.
    server.load("http-unary", 1, 1, MET)?;
    truth::score(agent, ways, |way, first| server.load(way, concurrency, REQUESTS, first))
}
