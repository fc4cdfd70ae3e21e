//! Parents where another thread than the one that serves makes the call: each call's parent is the request that it was made for, or it
//! has none. Whose each call is stands in its path.

use std::process::Command;

use anyhow::ensure;
use tests::agent::{Agent, Setup};
use tests::outcome::{TestResult, skip};
use tests::process;
use tests::programs::Server;
use tests::programs::goroutines::{Load, downstream};
use tests::programs::python::pools;
use tests::runner::{Place, Suite};
use tests::wait::Deadline;

use crate::goroutines::truth::{self, REQUESTS, SERVICE, Truth, Way, collect, way};

/// Ways in which a call's request is known.
const KNOWN: [Way; 7] = [
    way("one", 1, 999),
    way("fanout", 3, 999),
    way("mapped", 3, 999),
    way("fresh", 3, 999),
    way("nested", 1, 999),
    way("between", 3, 999),
    way("queued", 1, 999),
];

/// Ways in which it is not, or only sometimes: what counts is that it is not another's.
const TRAPS: [Way; 4] =
    [way("late", 1, 0), way("lazy", 1, 0), way("handmade", 1, 0), way("drained", 1, 0)];

/// Interpreters beside the installed one, where there are such: what is looked at in them differs.
const OTHERS: [&str; 6] =
    ["python3.8", "python3.9", "python3.10", "python3.12", "python3.13", "python3.14"];

pub(crate) fn add(suite: &mut Suite) {
    for concurrency in [1, 8, 32] {
        for (name, ways) in [("known", &KNOWN[..]), ("traps", &TRAPS[..])] {
            suite.at(
                Place::Here,
                format!("pools::{name}[{concurrency} at once]"),
                180,
                move || score("python3", ways, concurrency),
            );
        }
    }
    for other in OTHERS {
        suite.at(Place::Here, format!("pools::interpreters[{other}]"), 120, move || {
            let version = process::output(Command::new(other).arg("--version"));
            if version.is_err() {
                return Err(skip(format!("there is no {other}")));
            }
            score(other, &KNOWN, 8)
        });
    }
    suite.test("pools::rule_is_off_unasked", || rule_off(Setup::default()));
    suite.test("pools::rule_is_switched_off_by_name", || {
        let asked = Setup::default().environment("SPANWIRE_RULES_ON", "python-pool");
        rule_off(asked.environment("SPANWIRE_RULES_OFF", "python-pool"))
    });
}

/// An agent that has looked at the server: from the next request on it knows its pools.
fn watching(setup: Setup, server: &Server) -> anyhow::Result<Agent> {
    let setup = setup.environment("SPANWIRE_RULES_ON", "python-pool");
    let mut agent = setup.environment("OTEL_LOG_LEVEL", "debug").start()?;
    let line = format!("process {} runs Python", server.program.pid());
    agent.wait_line(&line, Deadline::seconds(10))?;
    Ok(agent)
}

/// Scores ways of a server with so many requests at once.
fn score(python: &str, ways: &[Way], concurrency: usize) -> TestResult {
    let called = downstream("called")?;
    let server = pools(python, SERVICE, called.port())?;
    let agent = watching(Setup::default(), &server)?;
    truth::score(agent, ways, |way, first| {
        Load { way, concurrency, count: REQUESTS, first }.send(&server)
    })
}

fn rule_off(setup: Setup) -> TestResult {
    let called = downstream("called")?;
    let server = pools("python3", SERVICE, called.port())?;
    let agent = setup.start()?;
    Load { way: "between", concurrency: 4, count: REQUESTS, first: 0 }.send(&server)?;
    let spans = collect(agent, 3 * REQUESTS)?;
    let row = Truth::of(&spans).row(&KNOWN[5], 0);
    // The first and the last of the three are the serving thread's own.
    ensure!(row.exact == 2 * REQUESTS && row.absent == REQUESTS && row.wrong == 0, "{row}");
    Ok(())
}
