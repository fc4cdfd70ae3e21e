//! gRPC between every two of its implementations: what the spans say against what the clients were told, and that clients
//! are told the same with and without the agent.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value as Json;
use tests::agent::Agent;
use tests::grpc_tour;
use tests::otlp::{Kind, Span, Status};
use tests::outcome::{Skip, TestResult, note};
use tests::process::{self, Program};
use tests::programs::grpc::{self, Runtime};
use tests::programs::nginx;
use tests::runner::Suite;
use tests::wait::Deadline;

use crate::programs::finish_counted;

/// What the clients are called.
const CLIENT: &str = "grpc-client";
/// And the servers.
const SERVER: &str = "grpc-server";

/// A context as a traced caller would send it.
const TRACEPARENT: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

pub(crate) fn add(suite: &mut Suite) {
    for runtime in Runtime::ALL {
        suite.test(format!("grpc::every_client[{} server]", runtime.name()), move || {
            every_client(runtime)
        });
        suite.test(format!("grpc::traced[{} server]", runtime.name()), move || traced(runtime));
        suite.test(format!("grpc::load[{}]", runtime.name()), move || load(runtime));
        suite.test(format!("grpc::met_in_the_middle[{}]", runtime.name()), move || {
            met_in_the_middle(runtime)
        });
    }
    suite.test("grpc::through_nginx", through_nginx);
}

/// Each client takes the tour of one server.
fn every_client(runtime: Runtime) -> TestResult {
    let server = grpc::server(runtime, "grpc-server")?;
    let address = format!("127.0.0.1:{}", server.port());
    let mut skipped = None;
    for client in Runtime::ALL {
        match take_tour(client, runtime, &address) {
            // The other clients are no worse for it.
            Err(error) if error.is::<Skip>() => skipped = Some(error),
            ended => ended.with_context(|| format!("the client on {}", client.name()))?,
        }
    }
    skipped.map_or(Ok(()), Err)
}

/// Each client takes the tour of one server, and every span says what the client was told.
fn traced(runtime: Runtime) -> TestResult {
    let agent = Agent::start()?;
    let server = grpc::server(runtime, SERVER)?;
    let address = format!("127.0.0.1:{}", server.port());
    let mut tours = Vec::new();
    for client in Runtime::ALL {
        let calls = take_tour_as(&format!("client-{}", client.name()), client, runtime, &address)?;
        tours.push((client, calls));
    }
    let wanted: Vec<(String, Kind, usize)> = tours
        .iter()
        .map(|(client, calls)| (format!("client-{}", client.name()), Kind::Client, calls.len()))
        .chain([(
            SERVER.to_owned(),
            Kind::Server,
            tours.iter().map(|(_, calls)| calls.len()).sum(),
        )])
        .collect();
    let wanted: Vec<(&str, Kind, usize)> =
        wanted.iter().map(|(service, kind, count)| (service.as_str(), *kind, *count)).collect();
    let spans = finish_counted(agent, &wanted)?;
    for (client, calls) in &tours {
        let mut asked = spans.of(&format!("client-{}", client.name()), Kind::Client).0;
        asked.sort_by_key(|span| span.start);
        for (i, (call, asked)) in calls.iter().zip(&asked).enumerate() {
            let told = || format!("call {i} of {} to {}", client.name(), runtime.name());
            let served = spans
                .0
                .iter()
                .find(|span| span.kind == Kind::Server && span.parent == asked.span_id)
                .with_context(|| format!("{}: nobody served {asked}", told()))?;
            is_told(call, asked, served).with_context(told)?;
            let sent = i + 1 == calls.len();
            let (trace, parent) =
                if sent { (&TRACEPARENT[3..35], &TRACEPARENT[36..52]) } else { ("", "") };
            ensure!(asked.parent == parent, "{}: another parent: {asked}", told());
            ensure!(
                trace.is_empty() || asked.trace_id == trace,
                "{}: another trace: {asked}",
                told()
            );
        }
    }
    Ok(())
}

/// What both ends' spans of a call must say.
fn is_told(call: &grpc_tour::Call, asked: &Span, served: &Span) -> TestResult {
    let method = call.full_method();
    ensure!(asked.name == method && asked.text("rpc.method") == method, "another method: {asked}");
    ensure!(asked.trace_id == served.trace_id, "two traces:\n  {asked}\n  {served}");
    // Who ends a call whose deadline has passed, and with which code, is a race of the two ends' clocks.
    let is_deadline = call.status == "DEADLINE_EXCEEDED";
    for span in [asked, served] {
        let status = span.text("rpc.response.status_code");
        ensure!(
            status == call.status || is_deadline && status == "CANCELLED",
            "not {}: {span}",
            call.status
        );
        ensure!(span.text("rpc.system.name") == "grpc", "another system: {span}");
        let is_error = match span.kind {
            Kind::Client => status != "OK",
            _ => matches!(status, "INTERNAL" | "UNIMPLEMENTED" | "DEADLINE_EXCEEDED"),
        };
        ensure!((span.status == Status::Error) == is_error, "status: {span}");
        if status == "OK" {
            let counts = [("request", call.sent), ("response", call.answers.len())];
            for (side, count) in counts {
                let told = span.int(&format!("spanwire.rpc.{side}.messages"));
                ensure!(
                    told.is_none_or(|told| told == count as i64),
                    "not {count} {side} messages: {span}"
                );
            }
        }
    }
    if call.status == "UNIMPLEMENTED" {
        ensure!(served.text("rpc.method") == "_OTHER", "a method nobody has: {served}");
    } else {
        ensure!(
            served.name == method && served.text("rpc.method") == method,
            "another method: {served}"
        );
    }
    Ok(())
}

/// A load that began before the agent: no call is given another's method or status, and all that began later is known where
/// the header tables were seen from their beginning.
fn met_in_the_middle(runtime: Runtime) -> TestResult {
    // So many that the load goes on for seconds.
    let calls = match runtime {
        Runtime::Go => 60_000,
        Runtime::Tonic => 20_000,
        _ => 8_000,
    };
    let server = grpc::server(runtime, SERVER)?;
    let mut client = grpc::client(runtime)?;
    client.arg(format!("127.0.0.1:{}", server.port())).args(["load", &calls.to_string(), "8"]);
    client.env("OTEL_SERVICE_NAME", CLIENT);
    let mut running = Program::start("grpc-client", &mut client)?;
    let agent = Agent::start()?;
    let status = running.wait_end(Deadline::after(Duration::from_secs(60)))?;
    ensure!(status.success(), "the client ended with {status}");
    let told = running.lines().iter().filter(|line| line.starts_with('{')).count();
    ensure!(told == calls, "{told} lines, not {calls}");
    let stopped = agent.stop()?;
    let (mut spans, mut known) = (0, 0);
    for span in &stopped.spans.0 {
        if span.service != SERVER && span.service != CLIENT {
            continue;
        }
        spans += 1;
        let method = span.text("rpc.method");
        let status = span.text("rpc.response.status_code");
        let fits = match method {
            "" => true,
            "spanwire.tests.Tour/Echo" | "spanwire.tests.Tour/Count" => matches!(status, "" | "OK"),
            "spanwire.tests.Tour/Refuse" => matches!(status, "" | "NOT_FOUND"),
            _ => false,
        };
        ensure!(fits, "nobody made this call: {span}");
        known += usize::from(!method.is_empty());
    }
    ensure!(spans > 0, "the load was over before the agent saw any of it");
    note(format!("{known} of {spans} spans know their method"));
    Ok(())
}

/// Calls at the same time on one connection, each with its own number.
fn load(runtime: Runtime) -> TestResult {
    const CALLS: usize = 300;
    let agent = Agent::start()?;
    let server = grpc::server(runtime, SERVER)?;
    let mut client = grpc::client(runtime)?;
    client.arg(format!("127.0.0.1:{}", server.port())).args(["load", &CALLS.to_string(), "8"]);
    let mut told = lines(CLIENT, &mut client)?;
    let number = |line: &Json| line["number"].as_u64();
    told.sort_by_key(number);
    ensure!(told.len() == CALLS, "{} lines, not {CALLS}", told.len());
    for (i, line) in told.iter().enumerate() {
        let mut wanted = grpc_tour::load(i).line();
        wanted["number"] = i.into();
        ensure!(*line == wanted, "told {line}, but the truth is {wanted}");
    }
    let spans =
        finish_counted(agent, &[(CLIENT, Kind::Client, CALLS), (SERVER, Kind::Server, CALLS)])?;
    for asked in &spans.of(CLIENT, Kind::Client).0 {
        let served = spans.0.iter().find(|span| span.parent == asked.span_id);
        let served = served.with_context(|| format!("nobody served {asked}"))?;
        let call = (0..3).map(grpc_tour::load).find(|call| call.full_method() == asked.name);
        is_told(&call.with_context(|| format!("nobody made this call: {asked}"))?, asked, served)?;
    }
    Ok(())
}

/// nginx hands calls on, on connections that it keeps. Not to grpc-go: where its server resets a stream at the deadline
/// nginx answers 502, and the client is told UNAVAILABLE.
fn through_nginx() -> TestResult {
    let agent = Agent::start()?;
    let server = grpc::server(Runtime::Python, SERVER)?;
    let front = nginx::start_http2(Some(&format!("127.0.0.1:{}", server.port())))?;
    let address = format!("127.0.0.1:{}", front.server.port());
    let mut calls = 0;
    for client in [Runtime::Python, Runtime::Go] {
        calls += take_tour_as(CLIENT, client, Runtime::Python, &address)?.len();
    }
    let spans = finish_counted(
        agent,
        &[
            (CLIENT, Kind::Client, calls),
            ("nginx", Kind::Server, calls),
            ("nginx", Kind::Client, calls),
            (SERVER, Kind::Server, calls),
        ],
    )?;
    for (asking, serving) in [(CLIENT, "nginx"), ("nginx", SERVER)] {
        for asked in &spans.of(asking, Kind::Client).0 {
            let served = spans.of(serving, Kind::Server);
            let served = served.0.iter().find(|span| span.parent == asked.span_id);
            let served = served.with_context(|| format!("nobody served {asked}"))?;
            let unknown = served.text("rpc.method") == "_OTHER";
            ensure!(served.name == asked.name || unknown, "another method:\n  {asked}\n  {served}");
        }
    }
    Ok(())
}

/// Runs a client and compares what it tells with the truth.
fn take_tour(client: Runtime, server: Runtime, address: &str) -> TestResult {
    take_tour_as(CLIENT, client, server, address).map(|_| ())
}

/// The same under another name; the calls it made.
fn take_tour_as(
    service: &str,
    client: Runtime,
    server: Runtime,
    address: &str,
) -> anyhow::Result<Vec<grpc_tour::Call>> {
    let mut wanted = grpc_tour::calls(client, server);
    wanted.push(grpc_tour::traced());
    let told = lines(service, grpc::client(client)?.args([address, "tour", TRACEPARENT]))?;
    ensure!(told.len() == wanted.len(), "{} lines, not {}", told.len(), wanted.len());
    for (told, wanted) in told.iter().zip(&wanted) {
        ensure!(wanted.fits(told), "told {told}, but the truth is {wanted:?}");
    }
    Ok(wanted)
}

fn lines(service: &str, client: &mut Command) -> anyhow::Result<Vec<Json>> {
    let told = process::output(client.env("OTEL_SERVICE_NAME", service))?;
    let told = String::from_utf8(told)?;
    told.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
