//! Parents inside Go: each call's parent is the request it was made for, or it has none. Whose each call is stands in its
//! path.

mod grpc;
mod layouts;
mod probes;
pub(crate) mod truth;

use std::time::Duration;

use anyhow::ensure;
use tests::agent::{Agent, Hooks, Setup};
use tests::outcome::TestResult;
use tests::programs::Server;
use tests::programs::go::How;
use tests::programs::goroutines::{Build, Load, downstream};
use tests::runner::{Place, Suite};
use tests::vm;

use self::truth::{REQUESTS, SERVICE, Truth, Way, collect, way};

/// Ways in which a call's request can be known.
const KNOWN: [Way; 14] = [
    way("handler", 1, 999),
    way("fanout", 3, 999),
    way("limited", 1, 999),
    way("upload", 1, 999),
    way("proxy", 1, 999),
    way("pool-context", 1, 999),
    way("pool-derived", 1, 999),
    way("errgroup", 3, 999),
    way("dials", 1, 990),
    way("body", 1, 990),
    way("pooled", 1, 990),
    way("sql", 1, 999),
    way("cancelled", 0, 0),
    way("hijacked", 1, 0),
];

/// Those that need not be known who started whom.
const OLD: [Way; 4] = [KNOWN[0], KNOWN[5], way("fanout", 3, 0), TARDY];

/// Whoever makes the call waits for it when it has been written, and is known when its answer comes: where a program can bring that about,
/// before 1.23. An answer may come sooner than it waits.
const TARDY: Way = way("tardy", 1, 900);

/// Ways in which it cannot, or only sometimes: what counts is that it is not another's.
const TRAPS: [Way; 7] = [
    way("silent", 2, 0),
    way("pool", 1, 0),
    way("lazy", 1, 0),
    way("lazy-hidden", 1, 0),
    way("drain", 1, 0),
    way("late", 2, 0),
    way("timer", 1, 0),
];

pub(crate) fn add(suite: &mut Suite) {
    for concurrency in [1, 8, 32] {
        for (name, ways) in [("known", &KNOWN[..]), ("traps", &TRAPS[..])] {
            suite.at(
                Place::Here,
                format!("goroutines::{name}[{concurrency} at once]"),
                180,
                move || score(Setup::default(), Build::PLAIN, ways, concurrency),
            );
        }
    }
    let stripped = How { stripped: true, ..How::default() };
    for how in [
        stripped,
        How { pie: true, ..stripped },
        How { release: Some("1.18.10"), ..How::default() },
        How { release: Some("1.21.13"), ..stripped },
    ] {
        // Who started whom is known since 1.21.
        let build = Build(how);
        let ways = match how.release {
            Some("1.18.10") => &OLD[..],
            Some(_) => &[KNOWN[0], KNOWN[1], TARDY],
            None => &KNOWN[..2],
        };
        suite.at(Place::Here, format!("goroutines::builds[{}]", build.name()), 180, move || {
            score(Setup::default(), build, ways, 32)
        });
    }
    for hooks in Hooks::FORCED {
        suite.at(Place::Here, format!("goroutines::hooks[{}]", hooks.word()), 120, move || {
            score(Setup::default().hooks(hooks), Build::PLAIN, &KNOWN[..2], 8)
        });
    }
    suite.at(Place::InVm, "goroutines::on_this_kernel", 60, on_this_kernel);
    for concurrency in [1, 32] {
        suite.at(
            Place::Here,
            format!("goroutines::channels[{concurrency} at once]"),
            180,
            move || channels(concurrency),
        );
    }
    grpc::add(suite);
    layouts::add(suite);
    probes::add(suite);
    suite.test("goroutines::rules_are_switched_off_by_name", rules_off);
}

/// An agent that has looked at the server: from the next request on it knows its goroutines.
fn watching(setup: Setup, server: &Server) -> anyhow::Result<Agent> {
    let mut agent = setup.environment("OTEL_LOG_LEVEL", "debug").start()?;
    let line = format!("process {} runs Go", server.program.pid());
    agent.wait_line(&line, vm::deadline(10))?;
    Ok(agent)
}

/// Requests on a kernel that is booted, where a CPU is emulated.
pub(crate) const IN_VM: usize = 20;

/// What the kernel half reads of Go it can read on each kernel.
fn on_this_kernel() -> TestResult {
    let called = downstream("called")?;
    let server = Build::PLAIN.server(SERVICE, called.port())?;
    let agent = following_channels(&server)?;
    let ways = [way("handler", 1, 900), way("fanout", 3, 900), way("pool", 1, 700)];
    truth::score_of(agent, &ways, IN_VM, |way, first| {
        Load { way, concurrency: 2, count: IN_VM, first }.send(&server)
    })
}

/// Scores ways of a server with so many requests at once.
fn score(setup: Setup, build: Build, ways: &[Way], concurrency: usize) -> TestResult {
    let called = downstream("called")?;
    let server = build.server(SERVICE, called.port())?;
    let agent = watching(setup, &server)?;
    truth::score(agent, ways, |way, first| {
        Load { way, concurrency, count: REQUESTS, first }.send(&server)
    })
}

/// How long the agent may take to its end: the kernel takes out one probe after the other, 57 ms each (6.18, nothing else running), and two
/// programs with forty such come to 4.6 s.
const CHANNELS_LET_GO: Duration = Duration::from_secs(12);

/// An agent that follows the server's channels.
fn following_channels(server: &Server) -> anyhow::Result<Agent> {
    let setup = Setup::default().environment("SPANWIRE_RULES_ON", "go-channel");
    let mut agent = watching(setup.ends_within(CHANNELS_LET_GO), server)?;
    let line = format!("process {}: go_received is in", server.program.pid());
    agent.wait_line(&line, vm::deadline(10))?;
    Ok(agent)
}

/// Ways of which those by channels can be known where the agent is asked to follow them, and that these are wrong for none.
const CHANNELS: [Way; 12] = [
    KNOWN[0],
    KNOWN[1],
    KNOWN[5],
    way("pool", 1, 980),
    way("pool-equal", 1, 0),
    way("lazy", 1, 900),
    way("lazy-hidden", 1, 900),
    way("silent", 2, 0),
    way("drain", 1, 0),
    way("late", 2, 0),
    way("timer", 1, 0),
    way("pooled", 1, 990),
];

fn channels(concurrency: usize) -> TestResult {
    let called = downstream("called")?;
    let server = Build::PLAIN.server(SERVICE, called.port())?;
    truth::score(following_channels(&server)?, &CHANNELS, |way, first| {
        Load { way, concurrency, count: REQUESTS, first }.send(&server)
    })
}

fn rules_off() -> TestResult {
    let called = downstream("called")?;
    let server = Build::PLAIN.server(SERVICE, called.port())?;
    let setup = Setup::default().environment("SPANWIRE_RULES_OFF", "go-child");
    let agent = watching(setup, &server)?;
    Load { way: "handler", concurrency: 4, count: REQUESTS, first: 0 }.send(&server)?;
    Load { way: "fanout", concurrency: 4, count: REQUESTS, first: REQUESTS }.send(&server)?;
    let spans = collect(agent, 4 * REQUESTS)?;
    let truth = Truth::of(&spans);
    let (handler, fanout) = (truth.row(&KNOWN[0], 0), truth.row(&KNOWN[1], REQUESTS));
    ensure!(handler.exact >= REQUESTS * KNOWN[0].exact / 1000 && handler.wrong == 0, "{handler}");
    ensure!(fanout.exact == 0 && fanout.wrong == 0 && fanout.missing == 0, "{fanout}");
    Ok(())
}
