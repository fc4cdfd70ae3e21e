//! Contexts on the wire from Go (D6.3): which request a goroutine works for when it sends is asked of Go's own records, and
//! only what is certain by then goes. Whose each request at the far host is stands in its path.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use tests::agent::{Agent, Setup};
use tests::namespace::{ADDRESSES, Hosts};
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::process;
use tests::programs::Server;
use tests::programs::goroutines::{Build, Load};
use tests::runner::{Place, Suite};
use tests::wait::Deadline;

const NEAR: u16 = 8080;
const FAR: u16 = 8081;
/// Requests of each way.
const REQUESTS: usize = 200;
/// At once.
const CONCURRENCY: usize = 8;

/// Ways to be served, the calls made for each request, and how many of a hundred must have their parent across: where it is
/// certain when the call is sent, and where it is not.
const WAYS: [(&str, usize, usize); 8] = [
    ("handler", 1, 98),
    ("pool-context", 1, 98),
    ("proxy", 1, 98),
    // Whether a goroutine ends with the request that started it is seen later.
    ("fanout", 3, 0),
    ("pool", 1, 0),
    ("lazy", 1, 0),
    ("drain", 1, 0),
    ("late", 2, 0),
];

pub(crate) fn add(suite: &mut Suite) {
    suite.at(Place::Here, "wire::goroutines_tell_what_is_certain", 120, across);
}

fn across() -> TestResult {
    let hosts = Hosts::start()?;
    let program = Build::PLAIN.command()?;
    let serve = |host: usize, port: u16, service: &str, arguments: &[&str]| {
        let mut command = hosts.on(host, &program)?;
        Server::on_port(service, port, command.args(arguments))
    };
    let (near, far) = (format!("{}:{NEAR}", ADDRESSES[0]), format!("{}:{FAR}", ADDRESSES[1]));
    let called = serve(1, FAR, "called", &["downstream", &far])?;
    let server = serve(0, NEAR, "goroutines", &["serve", &near, &far])?;
    let agents = [watching(&hosts, 0, &server)?, watching(&hosts, 1, &called)?];
    let mut calls = 0;
    for (at, (way, each, _)) in WAYS.iter().enumerate() {
        let load = Load { way, concurrency: CONCURRENCY, count: REQUESTS, first: at * REQUESTS };
        let told = process::output(&mut hosts.on(0, &load.command(&near)?)?)?;
        ensure!(told == b"failed 0\n", "{way}: {}", String::from_utf8_lossy(&told));
        calls += REQUESTS * each;
    }
    let mut spans = Spans(Vec::new());
    for (agent, (service, kind)) in
        agents.into_iter().zip([("goroutines", Kind::Client), ("called", Kind::Server)])
    {
        agent.wait("the spans of all calls", |spans| spans.of(service, kind).len() >= calls)?;
        let stopped = agent.stop()?;
        stopped.counters.nothing_lost()?;
        spans.0.extend(stopped.spans.0);
    }
    judge(&spans)
}

/// An agent on that host that has looked at the server.
fn watching(hosts: &Hosts, host: usize, server: &Server) -> anyhow::Result<Agent> {
    let mut agent = Setup::default()
        .argument("--netns")
        .argument(hosts.file(host).display().to_string())
        .environment("SPANWIRE_TCP_OPTION", "all")
        .environment("OTEL_LOG_LEVEL", "debug")
        .start()?;
    let line = format!("process {} runs Go", server.program.pid());
    agent.wait_line(&line, Deadline::seconds(10))?;
    Ok(agent)
}

/// Every call's trace at the far host is that of the request it was made for, or its own.
fn judge(spans: &Spans) -> TestResult {
    let requests = spans.of("goroutines", Kind::Server);
    let calls = spans.of("called", Kind::Server);
    let trace = |span: &Span| Some((number(span.path())?, span.trace_id.clone()));
    let served: HashMap<usize, String> = requests.0.iter().filter_map(trace).collect();
    let mut failed = String::new();
    for (at, (way, each, least)) in WAYS.iter().enumerate() {
        let (mut exact, mut absent, mut wrong) = (0, 0, 0);
        for span in &calls.0 {
            let request = number(span.path()).context("a call without number")?;
            if request / REQUESTS != at {
                continue;
            }
            let trace = served.get(&request).context("a request without span")?;
            if span.parent.is_empty() {
                absent += 1;
            } else if span.trace_id == *trace && spans.by_id(&span.parent).is_some() {
                exact += 1;
            } else if spans.by_id(&span.parent).is_some_and(|parent| {
                number(parent.path()) == Some(request) && parent.trace_id == span.trace_id
            }) {
                // Its client's span began a trace: nobody knew for whom.
                absent += 1;
            } else {
                wrong += 1;
                println!("wrong:\n{}", spans.at(span.path()));
            }
        }
        let row = format!("{way:13} exact {exact}, absent {absent}, wrong {wrong}");
        println!("{row}");
        if wrong > 0 || exact * 100 < REQUESTS * each * least {
            failed += &(row + "\n");
        }
    }
    ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

/// The number in a path `/WAY/NUMBER`.
fn number(path: &str) -> Option<usize> {
    path.rsplit('/').next()?.parse().ok()
}
