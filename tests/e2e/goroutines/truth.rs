//! Whose call is whose, by the numbers in their paths: how many of a way's calls have their parent, none, or a wrong one.

use std::collections::HashMap;
use std::fmt;

use anyhow::ensure;
use tests::agent::Agent;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;

/// Requests of each way.
pub(crate) const REQUESTS: usize = 400;
/// The service that is looked at.
pub(crate) const SERVICE: &str = "goroutines";

/// What a way of serving must come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// Calls made for each request; 0 for one at most.
    pub(crate) calls: usize,
    /// The least share of them that must have their parent, of a thousand.
    pub(crate) exact: usize,
}

pub(crate) const fn way(name: &'static str, calls: usize, exact: usize) -> Way {
    Way { name, calls, exact }
}

/// Sends [`REQUESTS`] of each way, with `load` (the way's name and the first number), and looks at the parents of the calls made for
/// them.
pub(crate) fn score(
    agent: Agent,
    ways: &[Way],
    load: impl FnMut(&str, usize) -> anyhow::Result<()>,
) -> TestResult {
    score_of(agent, ways, REQUESTS, load)
}

/// The same with so many requests.
pub(crate) fn score_of(
    agent: Agent,
    ways: &[Way],
    requests: usize,
    mut load: impl FnMut(&str, usize) -> anyhow::Result<()>,
) -> TestResult {
    let mut first = 0;
    let mut calls = 0;
    let mut ranges = Vec::new();
    for way in ways {
        load(way.name, first)?;
        ranges.push((way, first));
        first += requests;
        calls += requests * way.calls;
    }
    let spans = collect(agent, calls)?;
    let truth = Truth::of(&spans);
    let mut failed = String::new();
    for (way, first) in ranges {
        let row = truth.row_of(way, first, requests);
        println!("{:18} {row}", way.name);
        let wanted = requests * way.calls * way.exact / 1000;
        if row.wrong > 0 || row.missing > 0 || row.exact < wanted {
            failed += &format!("{}: {row}\n", way.name);
        }
    }
    ensure!(failed.is_empty(), "{failed}{}", truth.wrong(&spans));
    Ok(())
}

/// Waits for the spans of all calls.
pub(crate) fn collect(agent: Agent, calls: usize) -> anyhow::Result<Spans> {
    let enough = |spans: &Spans| spans.of(SERVICE, Kind::Client).len() >= calls;
    if let Err(error) = agent.wait("the spans of all calls", enough) {
        println!("{error:#}");
    }
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    Ok(stopped.spans)
}

/// Requests and calls by number.
pub(crate) struct Truth<'a> {
    served: HashMap<&'a str, &'a str>,
    calls: HashMap<usize, Vec<(&'a str, &'a str)>>,
}

impl<'a> Truth<'a> {
    pub(crate) fn of(spans: &'a Spans) -> Self {
        let mut truth = Self { served: HashMap::new(), calls: HashMap::new() };
        for span in spans.0.iter().filter(|span| span.service == SERVICE) {
            let number = number(asked(span));
            match (span.kind, number) {
                (Kind::Server, _) => {
                    truth.served.insert(&span.span_id, asked(span));
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

    pub(crate) fn row(&self, way: &Way, first: usize) -> Row {
        self.row_of(way, first, REQUESTS)
    }

    /// The same of so many requests.
    pub(crate) fn row_of(&self, way: &Way, first: usize, requests: usize) -> Row {
        let mut row = Row::default();
        for request in first..first + requests {
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
        let is_wrong = |span: &&Span| {
            span.service == SERVICE
                && span.kind == Kind::Client
                && !span.parent.is_empty()
                && self.served.get(&*span.parent).and_then(|path| number(path))
                    != number(asked(span))
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
pub(crate) struct Row {
    pub(crate) exact: usize,
    pub(crate) absent: usize,
    pub(crate) wrong: usize,
    pub(crate) missing: usize,
    rules: HashMap<String, usize>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exact, absent, wrong, missing, rules } = self;
        write!(f, "exact {exact}, absent {absent}, wrong {wrong}, missing {missing} {rules:?}")
    }
}

/// What a span's request asks for: a path, or a method of gRPC.
fn asked(span: &Span) -> &str {
    let path = span.path();
    if path.is_empty() { span.text("rpc.method") } else { path }
}

/// The number in `WAY/NUMBER`.
fn number(path: &str) -> Option<usize> {
    path.rsplit('/').next()?.parse().ok()
}
