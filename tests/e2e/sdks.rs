//! Services that trace themselves: beside the real OpenTelemetry Python SDK no span is doubled, and a trace that goes
//! through both sides is one.

use anyhow::ensure;
use tests::agent::Agent;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::peer::{Answer, Connection};
use tests::programs::opentelemetry::{self, Way};
use tests::programs::{Server, python};
use tests::runner::Suite;

/// Requests of each test, beside the first.
const REQUESTS: usize = 10;

pub(crate) fn add(suite: &mut Suite) {
    for (way, word) in Way::ALL {
        suite.test(format!("sdks::a_trace_is_one_and_whole[{word}]"), move || one_trace(way));
    }
}

/// Asked by us, a service with an SDK asks one without. Until its first export an SDK may not be known: the first request is
/// only for that.
fn one_trace(way: Way) -> TestResult {
    let agent = Agent::start()?;
    let last = python::chain("plain", None)?;
    let sdk = opentelemetry::service("sdk", way, last.port(), &agent.receiver().endpoint())?;
    let first = ask(&sdk, "/first")?;
    agent.wait("the SDK's first export", |spans| {
        spans.at("/first").only(is_sdks).len() == 2 && !spans.of("plain", Kind::Server).is_empty()
    })?;
    for number in 0..REQUESTS {
        let with = ask(&sdk, &format!("/{number}"))?;
        ensure!(with.body == first.body && with.body == b"sdk plain", "{with:?}");
    }
    let whole = |spans: &Spans| {
        let all = (0..REQUESTS).map(|number| spans.at(&format!("/{number}")));
        all.into_iter().all(|spans| spans.len() >= 4)
    };
    agent.wait("all traces", whole)?;
    let stopped = agent.stop()?;
    for number in 0..REQUESTS {
        trace_of(&stopped.spans.at(&format!("/{number}")))?;
    }
    let left = stopped.counters.value("trace.requests_of_sdks")?;
    ensure!(left >= u64::try_from(2 * REQUESTS)?, "{left} requests were left alone");
    stopped.counters.nothing_lost()
}

/// The SDK's two spans and the plain service's one are a chain in one trace; beside it there is our own request's span, and
/// no other.
fn trace_of(spans: &Spans) -> TestResult {
    let served = spans.of("sdk", Kind::Server);
    let called = spans.of("sdk", Kind::Client);
    let (served, called) = (served.single()?, called.single()?);
    ensure!(is_sdks(served) && is_sdks(called), "ours, not the SDK's:\n{spans}");
    ensure!(called.parent == served.span_id, "{spans}");
    let last = spans.of("plain", Kind::Server);
    let last = last.single()?;
    ensure!(last.parent == called.span_id && last.trace_id == called.trace_id, "{spans}");
    ensure!(last.text("spanwire.link.rule") == "traceparent", "{last}");
    let asked = spans.of("e2e", Kind::Client);
    asked.single()?;
    ensure!(spans.len() == 4, "there are others:\n{spans}");
    Ok(())
}

fn is_sdks(span: &Span) -> bool {
    span.service == "sdk" && span.scope.starts_with("opentelemetry.instrumentation.")
}

fn ask(server: &Server, path: &str) -> anyhow::Result<Answer> {
    // Its server closes each connection.
    let mut answer = Connection::open(&server.target)?.get(path)?;
    answer.headers.retain(|(name, _)| name != "date");
    Ok(answer)
}
