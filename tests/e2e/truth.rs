//! The truth, in small: a few runtimes at 1 and at 32 clients. Nothing may be wrong, ever, and where a thread serves one
//! request at a time everything must be there. `cargo xtask truth` runs all of it.

use anyhow::{Context as _, ensure};
use tests::agent::{Counters, Setup};
use tests::outcome::TestResult;
use tests::runner::Suite;
use tests::truth::cases::{Case, EXACT};
use tests::truth::run::{Outcome, Stage};
use tests::truth::table;

/// The cases that every change is measured by.
const CASES: [&str; 26] = [
    "python-threads",
    "c-threads",
    "gunicorn-gthread",
    "python-pool",
    "python-pool-fanout",
    "java",
    "python-asyncio",
    "node",
    "mixed",
    "go",
    "go-fanout",
    "go-middle",
    "go-pool-context",
    "go-pool",
    "go-channel",
    "go-old",
    "go-old-channel",
    "go-old-pool",
    "go-frameworks",
    "go-fasthttp",
    "go-databases",
    "go-http2",
    "go-http2-fanout",
    "go-http2-pool",
    "go-x-http2",
    "go-grpc",
];

/// Those of them that stand on two hosts as well.
const ACROSS_HOSTS: [&str; 4] = ["python-threads", "c-threads", "python-asyncio", "mixed"];

/// The least share of served requests that have their parent across hosts, percent: the first of each service comes before it
/// is known that anybody wants its context.
const ACROSS: f64 = 99.0;

/// Clients at once, and how many requests they send.
const LOADS: [(usize, usize); 2] = [(1, 30), (32, 100)];

/// Calls of each service: fewer than in the whole table, for time.
const FAN_OUT: usize = 2;

/// Clients of the tests that disturb the agent, and their requests.
const DISTURBED: (usize, usize) = (32, 100);

pub(crate) fn add(suite: &mut Suite) {
    for name in CASES {
        suite.test(format!("truth::never_wrong[{name}]"), move || never_wrong(name));
    }
    for name in ACROSS_HOSTS {
        suite.test(format!("truth::across_hosts[{name}]"), move || across_hosts(name));
    }
    suite.test("truth::http2_in_go_is_switched_off_by_name", http2_off);
    suite.test("truth::started_in_the_middle", started_in_the_middle);
    suite.test("truth::never_wrong_when_much_is_lost", much_is_lost);
}

/// On two hosts in turn, with an agent each: whose request each is, is told by the wire.
fn across_hosts(name: &str) -> TestResult {
    let case = case(name)?;
    for (clients, requests) in LOADS {
        let outcome = Stage::run_across(case, FAN_OUT, &Setup::default(), requests, clients)?;
        judge(case, clients, &outcome)?;
        let exact = outcome.scores.between.percent_exact();
        let floor = if case.floor < EXACT { 0.0 } else { ACROSS };
        ensure!(exact >= floor, "{exact:.2} % of the served requests have their parent");
    }
    Ok(())
}

fn why(counters: &[Counters]) -> String {
    counters.iter().map(Counters::why).collect::<Vec<_>>().join("; ")
}

fn never_wrong(name: &str) -> TestResult {
    let case = case(name)?;
    let stage = Stage::set(case, FAN_OUT)?;
    for (clients, requests) in LOADS {
        let outcome = stage.run(Setup::default(), requests, clients)?;
        judge(case, clients, &outcome)?;
    }
    Ok(())
}

/// Without its rule, nothing says for whom a stream was opened.
fn http2_off() -> TestResult {
    let stage = Stage::set(case("go-http2")?, FAN_OUT)?;
    let (clients, requests) = LOADS[0];
    let setup = Setup::default().environment("SPANWIRE_RULES_OFF", "go-http2");
    let outcome = stage.run(setup, requests, clients)?;
    nothing_wrong(&outcome)?;
    let inside = outcome.scores.inside;
    ensure!(inside.exact == 0 && inside.absent > 0, "{inside:?}");
    Ok(())
}

/// The next request after the agent's start is as good as any.
fn started_in_the_middle() -> TestResult {
    let case = case("python-threads")?;
    let stage = Stage::set(case, FAN_OUT)?;
    let (clients, requests) = DISTURBED;
    let outcome = stage.run_late(Setup::default(), requests, clients)?;
    judge(case, clients, &outcome)
}

/// What does not fit into the ring is lost, and makes no wrong parents of the rest.
fn much_is_lost() -> TestResult {
    let case = case("python-threads")?;
    let stage = Stage::set(case, FAN_OUT)?;
    let (clients, requests) = DISTURBED;
    let setup = Setup::default().argument("--data-ring").argument("4096");
    // With so small a ring alone it may well keep up.
    let outcome = stage.run_held_still(setup, requests, clients)?;
    println!("{}", table::line(case, clients, &outcome.scores));
    let (missing, sent) = (outcome.scores.missing(), outcome.scores.sent());
    ensure!(missing > sent / 10, "{missing} of {sent} are missing: that is not much");
    nothing_wrong(&outcome)
}

fn case(name: &str) -> anyhow::Result<&'static Case> {
    Case::named(name).with_context(|| format!("no case {name}"))
}

fn nothing_wrong(Outcome { scores, .. }: &Outcome) -> TestResult {
    ensure!(scores.wrong() == 0, "{} wrong:\n{}", scores.wrong(), scores.told.join("\n"));
    Ok(())
}

/// Nothing is wrong, nothing is missing, and what the case promises is there.
fn judge(case: &Case, clients: usize, outcome: &Outcome) -> TestResult {
    let Outcome { scores, counters } = outcome;
    println!("{}", table::line(case, clients, scores));
    nothing_wrong(outcome)?;
    counters.iter().try_for_each(Counters::nothing_lost)?;
    ensure!(scores.missing() == 0, "{} of {} are missing", scores.missing(), scores.sent());
    let exact = scores.inside.percent_exact();
    ensure!(
        exact >= case.floor,
        "{exact:.2} % of the calls inside services have their parent, not {} %: {}",
        case.floor,
        why(counters)
    );
    Ok(())
}
