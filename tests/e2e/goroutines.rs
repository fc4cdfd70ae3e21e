//! Parents inside Go: each call's parent is the request it was made for, or it has none. Whose each call is stands in its
//! path.

use std::collections::HashMap;
use std::fmt;

use anyhow::ensure;
use tests::agent::{Agent, Hooks, Setup};
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::programs::Server;
use tests::programs::goroutines::{Build, Load, downstream};
use tests::runner::{Place, Suite};
use tests::wait::Deadline;

/// Requests of each row.
const REQUESTS: usize = 400;
/// The service that is looked at.
const SERVICE: &str = "goroutines";

/// What a way of serving must come to.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    /// Calls made for each request; 0 for one at most.
    calls: usize,
    /// The least share of them that must have their parent, of a thousand.
    exact: usize,
}

const fn way(name: &'static str, calls: usize, exact: usize) -> Way {
    Way { name, calls, exact }
}

/// Ways in which a call's request can be known.
const KNOWN: [Way; 9] = [
    way("handler", 1, 999),
    // Whoever wants a request written may not wait for that yet when it has been.
    way("fanout", 3, 990),
    way("limited", 1, 999),
    way("upload", 1, 999),
    way("proxy", 1, 999),
    way("pool-context", 1, 999),
    way("pool-derived", 1, 999),
    way("cancelled", 0, 0),
    way("hijacked", 1, 0),
];

/// Those that need not be known who started whom.
const OLD: [Way; 3] = [KNOWN[0], KNOWN[5], way("fanout", 3, 0)];

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
    let stripped = Build { stripped: true, ..Build::PLAIN };
    for build in [
        stripped,
        Build { pie: true, ..stripped },
        Build { go: Some("1.18.10"), ..Build::PLAIN },
        Build { go: Some("1.21.13"), ..stripped },
    ] {
        // Who started whom is known since 1.21.
        let ways = if build.go == Some("1.18.10") { &OLD[..] } else { &KNOWN[..2] };
        suite.at(Place::Here, format!("goroutines::builds[{}]", build.name()), 180, move || {
            score(Setup::default(), build, ways, 32)
        });
    }
    for hooks in Hooks::FORCED {
        suite.at(Place::Here, format!("goroutines::hooks[{}]", hooks.word()), 120, move || {
            score(Setup::default().hooks(hooks), Build::PLAIN, &KNOWN[..2], 8)
        });
    }
    suite.test("goroutines::rules_are_switched_off_by_name", rules_off);
}

/// An agent that has looked at the server: from the next request on it knows its goroutines.
fn watching(setup: Setup, server: &Server) -> anyhow::Result<Agent> {
    let mut agent = setup.environment("OTEL_LOG_LEVEL", "debug").start()?;
    let line = format!("process {} runs Go", server.program.pid());
    agent.wait_line(&line, Deadline::seconds(10))?;
    Ok(agent)
}

/// Sends requests of each way and looks at the parents of the calls made for them.
fn score(setup: Setup, build: Build, ways: &[Way], concurrency: usize) -> TestResult {
    let called = downstream("called")?;
    let server = build.server(SERVICE, called.port())?;
    let agent = watching(setup, &server)?;
    let mut first = 0;
    let mut calls = 0;
    let mut ranges = Vec::new();
    for way in ways {
        Load { way: way.name, concurrency, count: REQUESTS, first }.send(&server)?;
        ranges.push((way, first));
        first += REQUESTS;
        calls += REQUESTS * way.calls;
    }
    let spans = collect(agent, calls)?;
    let truth = Truth::of(&spans);
    let mut failed = String::new();
    for (way, first) in ranges {
        let row = truth.row(way, first);
        println!("{:13} {concurrency:3} {row}", way.name);
        let wanted = REQUESTS * way.calls * way.exact / 1000;
        if row.wrong > 0 || row.missing > 0 || row.exact < wanted {
            failed += &format!("{} {concurrency}: {row}\n", way.name);
        }
    }
    ensure!(failed.is_empty(), "{failed}{}", truth.wrong(&spans));
    Ok(())
}

/// Waits for the spans of all calls.
fn collect(agent: Agent, calls: usize) -> anyhow::Result<Spans> {
    let enough = |spans: &Spans| spans.of(SERVICE, Kind::Client).len() >= calls;
    if let Err(error) = agent.wait("the spans of all calls", enough) {
        println!("{error:#}");
    }
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    Ok(stopped.spans)
}

/// Requests and calls by number.
struct Truth<'a> {
    served: HashMap<&'a str, &'a str>,
    calls: HashMap<usize, Vec<(&'a str, &'a str)>>,
}

impl<'a> Truth<'a> {
    fn of(spans: &'a Spans) -> Self {
        let mut truth = Self { served: HashMap::new(), calls: HashMap::new() };
        for span in spans.0.iter().filter(|span| span.service == SERVICE) {
            let number = number(span.path());
            match (span.kind, number) {
                (Kind::Server, _) => {
                    truth.served.insert(&span.span_id, span.path());
                }
                (Kind::Client, Some(number)) => {
                    let rule = span.text("spanwire.link.rule");
                    truth.calls.entry(number).or_default().push((&span.parent, rule));
                }
                _ => {}
            }
        }
        truth
    }

    fn row(&self, way: &Way, first: usize) -> Row {
        let mut row = Row::default();
        for request in first..first + REQUESTS {
            let calls = self.calls.get(&request).map_or(&[][..], Vec::as_slice);
            row.missing += way.calls.saturating_sub(calls.len());
            for (parent, rule) in calls {
                match self.served.get(parent) {
                    _ if parent.is_empty() => row.absent += 1,
                    Some(path) if number(path) == Some(request) => {
                        row.exact += 1;
                        *row.rules.entry((*rule).to_owned()).or_default() += 1;
                    }
                    _ => row.wrong += 1,
                }
            }
        }
        row
    }

    /// The wrong ones, for whoever reads why the test failed.
    fn wrong(&self, spans: &Spans) -> String {
        let is_wrong = |span: &&tests::otlp::Span| {
            span.service == SERVICE
                && span.kind == Kind::Client
                && !span.parent.is_empty()
                && self.served.get(&*span.parent).and_then(|path| number(path))
                    != number(span.path())
        };
        let wrong: Vec<String> = spans
            .0
            .iter()
            .filter(is_wrong)
            .take(5)
            .map(|span| {
                let parent = spans.by_id(&span.parent).map(ToString::to_string);
                format!("{span}\n    has {}\n", parent.unwrap_or_default())
            })
            .collect();
        wrong.concat()
    }
}

/// What became of a way's calls.
#[derive(Default)]
struct Row {
    exact: usize,
    absent: usize,
    wrong: usize,
    missing: usize,
    rules: HashMap<String, usize>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exact, absent, wrong, missing, rules } = self;
        write!(f, "exact {exact}, absent {absent}, wrong {wrong}, missing {missing} {rules:?}")
    }
}

/// The number in a path `/WAY/NUMBER`.
fn number(path: &str) -> Option<usize> {
    path.rsplit('/').next()?.parse().ok()
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
    ensure!(handler.exact * 1000 >= REQUESTS * 999 && handler.wrong == 0, "{handler}");
    ensure!(fanout.exact == 0 && fanout.wrong == 0 && fanout.missing == 0, "{fanout}");
    Ok(())
}
