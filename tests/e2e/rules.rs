//! What is left out as a check and what a route is called: by default, as learned from real requests, and by the
//! configuration file's rules.

use anyhow::ensure;
use tests::agent::{Agent, Setup};
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::peer::Connection;
use tests::programs::{Server, python};
use tests::runner::Suite;

/// Asked for last: when its span is there, those of all before it are.
const LAST: &str = "/last";

pub(crate) fn add(suite: &mut Suite) {
    suite.test("rules::checks_are_left_out_and_counted", checks);
    suite.test("rules::routes_are_learned", learned);
    suite.test("rules::a_file_beats_what_is_built_in_and_learned", from_file);
}

/// A chain of two, so that a check has consequences.
fn chain() -> anyhow::Result<(Server, Server)> {
    let last = python::chain("asked", None)?;
    let first = python::chain("first", Some(last.port()))?;
    Ok((first, last))
}

fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> TestResult {
    let answer = Connection::open(&server.target)?.ask("GET", path, headers)?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

/// All spans, once that of [`LAST`] is there at both servers.
fn finish(agent: Agent, first: &Server) -> anyhow::Result<(Spans, tests::agent::Counters)> {
    ask(first, LAST, &[])?;
    agent.wait("the last", |spans| {
        ["first", "asked"].iter().all(|server| !spans.of(server, Kind::Server).at(LAST).is_empty())
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    Ok((stopped.spans, stopped.counters))
}

fn checks() -> TestResult {
    let agent = Agent::start()?;
    let (first, _last) = chain()?;
    ask(&first, "/healthz", &[])?;
    ask(&first, "/anything", &[("User-Agent", "kube-probe/1.33")])?;
    // Part of somebody's trace, and somebody who looks at the same path.
    let traceparent = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    ask(&first, "/livez", &traceparent)?;
    ask(&first, "/something", &[])?;
    let (spans, counters) = finish(agent, &first)?;
    for path in ["/healthz", "/anything"] {
        ensure!(spans.at(path).is_empty(), "a check, or what it caused:\n{}", spans.at(path));
    }
    for path in ["/livez", "/something", LAST] {
        let of_path = spans.at(path);
        ensure!(of_path.of("asked", Kind::Server).len() == 1, "{path}:\n{of_path}");
        ensure!(of_path.of("first", Kind::Server).len() == 1, "{path}:\n{of_path}");
    }
    let left = counters.value("trace.traces_left_out_checks")?;
    ensure!(left == 2, "{left} traces were left out");
    Ok(())
}

fn learned() -> TestResult {
    const REQUESTS: usize = 150;
    let agent = Agent::start()?;
    let (first, last) = chain()?;
    let mut connection = Connection::open(&last.target)?;
    for number in 0..REQUESTS {
        for path in [format!("/api/orders/{}", 1000 + number), format!("/api/items/{number}/parts")]
        {
            ensure!(connection.get(&path)?.status == 200);
        }
    }
    let (spans, _) = finish(agent, &first)?;
    for (of, template) in [("orders", "/api/orders/{id}"), ("items", "/api/items/{id}/parts")] {
        let served = spans.of("asked", Kind::Server).only(|span| span.path().contains(of));
        ensure!(served.len() == REQUESTS, "{} spans of {of}", served.len());
        let mut known = 0;
        for span in &served.0 {
            let route = span.text("http.route");
            if route.is_empty() {
                // Until it is sure.
                ensure!(span.name == "GET" && known == 0, "a route is forgotten: {span}");
                continue;
            }
            known += 1;
            ensure!(route == template, "another route: {span}");
            ensure!(span.name == format!("GET {template}"), "{span}");
            ensure!(span.text("spanwire.http.route.source") == "learned", "{span}");
        }
        ensure!(known > REQUESTS / 3, "only {known} of {REQUESTS} requests have a route");
    }
    Ok(())
}

fn from_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("spanwire.yaml");
    let text = "checks:\n  - path: /ping*\nroutes:\n  - {service: asked, path: '/stock/{item}'}\n  \
                - {path: /stock/*, route: 'any stock'}\n  - {path: '/api/{id}', route: ''}\n";
    std::fs::write(&file, text)?;
    let agent =
        Setup::default().argument("--config").argument(file.display().to_string()).start()?;
    let (first, _last) = chain()?;
    for path in ["/ping", "/pingpong", "/healthz", "/stock/cup", "/api/7"] {
        ask(&first, path, &[])?;
    }
    let (spans, counters) = finish(agent, &first)?;
    ensure!(spans.at("/ping").is_empty() && spans.at("/pingpong").is_empty(), "{spans}");
    ensure!(spans.at("/healthz").of("asked", Kind::Server).len() == 1, "{spans}");
    ensure!(counters.value("trace.traces_left_out_checks")? == 2);
    for (server, path, name, source) in [
        ("asked", "/stock/cup", "GET /stock/{item}", "rule"),
        ("first", "/stock/cup", "GET any stock", "rule"),
        ("asked", "/api/7", "GET", ""),
    ] {
        let served = spans.of(server, Kind::Server).at(path);
        let span = served.single()?;
        ensure!(span.name == name, "not {name}: {span}");
        ensure!(span.text("spanwire.http.route.source") == source, "{span}");
    }
    Ok(())
}
