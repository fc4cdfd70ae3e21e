//! gRPC between every two of its implementations, and plain HTTP/2: that the programs do what the tests take for the
//! truth, without the agent.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value as Json;
use tests::grpc_tour;
use tests::outcome::{Skip, TestResult};
use tests::process;
use tests::programs::grpc::{self, Runtime};
use tests::programs::http2::{self, H2loadSum};
use tests::programs::nginx;
use tests::runner::Suite;

/// What the clients are called.
const CLIENT: &str = "grpc-client";

/// A context as a traced caller would send it.
const TRACEPARENT: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

pub(crate) fn add(suite: &mut Suite) {
    for runtime in Runtime::ALL {
        suite.test(format!("grpc::every_client[{} server]", runtime.name()), move || {
            every_client(runtime)
        });
        suite.test(format!("grpc::load[{}]", runtime.name()), move || load(runtime));
    }
    suite.test("grpc::through_nginx", through_nginx);
    suite.test("grpc::http2_of_nginx_asked_by_curl_and_h2load", plain_http2);
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

/// Calls at the same time on one connection, each with its own number.
fn load(runtime: Runtime) -> TestResult {
    const CALLS: usize = 300;
    let server = grpc::server(runtime, "grpc-server")?;
    let mut client = grpc::client(runtime)?;
    client.arg(format!("127.0.0.1:{}", server.port())).args(["load", &CALLS.to_string(), "8"]);
    let mut told = lines(&mut client)?;
    let number = |line: &Json| line["number"].as_u64();
    told.sort_by_key(number);
    ensure!(told.len() == CALLS, "{} lines, not {CALLS}", told.len());
    for (i, line) in told.iter().enumerate() {
        let mut wanted = grpc_tour::load(i).line();
        wanted["number"] = i.into();
        ensure!(*line == wanted, "told {line}, but the truth is {wanted}");
    }
    Ok(())
}

/// nginx hands calls on, on connections that it keeps. Not to grpc-go: where its server resets a stream at the deadline
/// nginx answers 502, and the client is told UNAVAILABLE.
fn through_nginx() -> TestResult {
    let server = grpc::server(Runtime::Python, "grpc-server")?;
    let front = nginx::start_http2(Some(&format!("127.0.0.1:{}", server.port())))?;
    let address = format!("127.0.0.1:{}", front.server.port());
    take_tour(Runtime::Python, Runtime::Python, &address)?;
    take_tour(Runtime::Go, Runtime::Python, &address)
}

/// HTTP/2 without gRPC, one request at a time and many.
fn plain_http2() -> TestResult {
    let front = nginx::start_http2(None)?;
    let url = format!("http://127.0.0.1:{}", front.server.port());
    let mut curl = http2::curl()?;
    curl.args(["--write-out", "%{http_version} %{http_code}"]).arg(format!("{url}/hello"));
    let told = String::from_utf8(process::output(&mut curl)?)?;
    ensure!(told == "hello\n2 200", "curl told {told:?}");
    let told = process::output(&mut http2::h2load(2000, 4, 20, &format!("{url}/hello"))?)?;
    let sum = H2loadSum::read(&String::from_utf8(told)?)?;
    ensure!(sum == H2loadSum { succeeded: 2000, failed: 0 }, "{sum:?}");
    Ok(())
}

/// Runs a client and compares what it tells with the truth.
fn take_tour(client: Runtime, server: Runtime, address: &str) -> TestResult {
    let mut wanted = grpc_tour::calls(client, server);
    wanted.push(grpc_tour::traced());
    let told = lines(grpc::client(client)?.args([address, "tour", TRACEPARENT]))?;
    ensure!(told.len() == wanted.len(), "{} lines, not {}", told.len(), wanted.len());
    for (told, wanted) in told.iter().zip(&wanted) {
        ensure!(wanted.fits(told), "told {told}, but the truth is {wanted:?}");
    }
    Ok(())
}

fn lines(client: &mut Command) -> anyhow::Result<Vec<Json>> {
    let told = process::output(client.env("OTEL_SERVICE_NAME", CLIENT))?;
    let told = String::from_utf8(told)?;
    told.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
