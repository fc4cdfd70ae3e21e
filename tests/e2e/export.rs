//! A real backend: what Jaeger answers to queries is what was said, over both protocols; and the export itself is
//! nobody's business.

use anyhow::ensure;
use tests::agent::{Agent, Setup};
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::programs::jaeger::Jaeger;
use tests::programs::python;
use tests::runner::Suite;
use tests::tour::TOUR;
use tests::wait::{self, Deadline};

use crate::programs::{find, joined, take_tour};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("export::jaeger_by_grpc", || jaeger("grpc"));
    suite.test("export::jaeger_by_http", || jaeger("http/protobuf"));
    suite.test("export::our_own_traffic_is_not_traced", own_traffic);
    suite.test("export::spans_outlive_a_backend_that_is_away", backend_away);
}

/// The tour, asked back from Jaeger and compared span by span with the truth.
fn jaeger(protocol: &'static str) -> TestResult {
    let jaeger = Jaeger::start()?;
    let port = if protocol == "grpc" { jaeger.grpc } else { jaeger.http };
    let agent = Setup::default().endpoint(format!("http://127.0.0.1:{port}"), protocol).start()?;
    let server = python::tour_server("stored", [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    let deadline = Deadline::seconds(15);
    wait::until("the tour in Jaeger", deadline, || {
        let complete = |spans: tests::otlp::Spans| (spans.len() >= 2 * TOUR.len()).then_some(());
        jaeger.spans("stored").map(complete).transpose()
    })??;
    let stopped = agent.stop()?;
    ensure!(stopped.spans.is_empty(), "spans went to another place");
    let stored = jaeger.spans("stored")?;
    ensure!(stored.len() == 2 * TOUR.len(), "{} spans:\n{stored}", stored.len());
    for stop in &TOUR {
        let asked = find(&stored, "tour-client", Kind::Client, stop)?;
        let served = find(&stored, "stored", Kind::Server, stop)?;
        stop.client_span(server.port()).check(asked)?;
        stop.server_span(server.port()).check(served)?;
        joined(asked, served)?;
        for span in [asked, served] {
            ensure!(span.resource.contains_key("service.name") && !span.scope.is_empty(), "{span}");
        }
    }
    stopped.counters.nothing_lost()
}

/// The agent's export requests are HTTP on the same host, and both their ends are left out.
fn own_traffic() -> TestResult {
    let agent = Agent::start()?;
    let server = python::tour_server("asked", [127, 0, 0, 1].into())?;
    // Several batches, so that there are export connections that have been used before.
    for round in 1..=3 {
        take_tour(&mut python::tour_client()?, &server.target)?;
        agent
            .wait("a round", |spans| spans.of("asked", Kind::Server).len() >= round * TOUR.len())?;
    }
    ensure!(agent.receiver().requests() >= 2, "there was hardly any export traffic");
    let port = i64::from(agent.receiver().port());
    let stopped = agent.stop()?;
    let own = stopped.spans.only(|span| {
        span.path().starts_with("/v1/")
            || span.service == "spanwire"
            || span.int("server.port") == Some(port)
            || span.int("network.peer.port") == Some(port)
    });
    ensure!(own.is_empty(), "spans of our own traffic:\n{own}");
    Ok(())
}

/// The backend comes up after the spans were made.
fn backend_away() -> TestResult {
    let port = tests::listening::free_port()?;
    let agent =
        Setup::default().endpoint(format!("http://127.0.0.1:{port}"), "http/protobuf").start()?;
    let server = python::tour_server("early", [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    let late = tests::otlp::Receiver::start_at(port)?;
    let all = 2 * TOUR.len();
    late.wait("the spans", std::time::Duration::from_secs(20), |spans| {
        spans.of("early", Kind::Server).len() + spans.of("tour-client", Kind::Client).len() >= all
    })?;
    agent.stop()?;
    let spans = late.spans()?;
    let found = spans.of("early", Kind::Server).len() + spans.of("tour-client", Kind::Client).len();
    ensure!(found == all, "{found} spans, not {all}: some came twice\n{spans}");
    Ok(())
}
