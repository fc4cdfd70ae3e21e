//! The tests' own ground: each workload does what the truth says, without any agent; the receiver reads OTLP; Jaeger
//! takes and gives back. When one of these fails, the others say nothing about the agent.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tests::otlp::{Kind, Receiver};
use tests::outcome::TestResult;
use tests::peer::{Connection, Target};
use tests::programs::jaeger::Jaeger;
use tests::programs::{Server, go, gunicorn, java, nginx, node, python};
use tests::runner::Suite;
use tests::tour::{self, TOUR};
use tests::wait::{self, Deadline};
use tests::{kernel, process};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("harness::receiver_reads_otlp", receiver_reads_otlp);
    suite.test("harness::tour_of_every_server_by_every_client", every_client_and_server);
    suite.test("harness::tour_through_nginx", tour_through_nginx);
    suite.test("harness::chains_pass_requests_on", chains_pass_requests_on);
    suite.test("harness::jaeger_gives_back_what_it_was_sent", jaeger_gives_back);
    suite.test("harness::bpf_programs_can_be_looked_up", || {
        ensure!(!kernel::has_program(u32::MAX - 1)?, "a program of an impossible id");
        Ok(())
    });
}

/// Every client workload against its server workload: what it prints is the truth.
fn every_client_and_server() -> TestResult {
    let localhost = [127, 0, 0, 1].into();
    let servers = [
        python::tour_server("python", localhost)?,
        node::tour_server("node")?,
        go::tour_server("go")?,
        java::tour_server("java")?,
        gunicorn::on_port("gunicorn")?,
    ];
    for server in &servers {
        let port = server.port().to_string();
        let address = format!("127.0.0.1:{port}");
        let mut clients =
            vec![python::tour_client()?, node::tour_client("http")?, node::tour_client("fetch")?];
        for client in &mut clients {
            client.args(["127.0.0.1", &port]);
        }
        for mut client in [go::tour_client()?, java::tour_client()?] {
            client.arg(&address);
            clients.push(client);
        }
        for client in &mut clients {
            told_the_truth(client, &server.service)?;
        }
    }
    Ok(())
}

fn tour_through_nginx() -> TestResult {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    // nginx's workers are not root.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let behind_unix = gunicorn::on_unix("behind-unix", &socket)?;
    let behind_port = gunicorn::on_port("behind-port")?;
    let by_unix = nginx::start(Some(&format!("http://unix:{}", socket.display())))?;
    let by_port = nginx::start(Some(&format!("http://127.0.0.1:{}", behind_port.port())))?;
    for front in [&by_unix, &by_port] {
        let mut client = python::tour_client()?;
        told_the_truth(client.args(["127.0.0.1", &front.server.port().to_string()]), "nginx")?;
    }
    drop(behind_unix);
    Ok(())
}

fn told_the_truth(client: &mut Command, server: &str) -> TestResult {
    let told = process::output(client.args(tour::arguments()))?;
    let told = String::from_utf8(told)?;
    ensure!(
        told == tour::lines(),
        "{client:?} at {server}:\n{told}but the truth is\n{}",
        tour::lines()
    );
    Ok(())
}

fn chains_pass_requests_on() -> TestResult {
    let last = python::chain("last", None)?;
    let asyncio = python::chain_asyncio("asyncio", last.port())?;
    let by_http = node::chain("node-http", asyncio.port(), "http")?;
    let by_fetch = node::chain("node-fetch", by_http.port(), "fetch")?;
    let first = python::chain("first", Some(by_fetch.port()))?;
    let answer = Connection::open(&first.target)?.get("/chain/1")?;
    ensure!(answer.body == b"first node-fetch node-http asyncio last", "{:?}", answer.body);
    let silent: [Server; 4] = [last, asyncio, by_http, by_fetch];
    drop(silent);
    Ok(())
}

/// An export request with one span, made by hand.
fn request() -> ExportTraceServiceRequest {
    let text = |value: &str| {
        Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) })
    };
    let attribute =
        |key: &str, value| KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
    let now = u64::try_from(now).unwrap_or(0);
    let span = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        name: "GET".to_owned(),
        kind: 2,
        flags: 0x101,
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_001,
        attributes: vec![
            attribute("url.path", text(TOUR[0].path)),
            attribute(
                "http.response.status_code",
                Some(AnyValue { value: Some(any_value::Value::IntValue(200)) }),
            ),
        ],
        ..Span::default()
    };
    let resource = Resource {
        attributes: vec![attribute("service.name", text("shop"))],
        ..Resource::default()
    };
    let scope_spans = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        }],
    }
}

fn post(connection: &mut Connection, body: &[u8], headers: &str) -> TestResult {
    let mut bytes = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    connection.send(bytes)?;
    let answer = connection.answer("POST")?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

fn receiver_reads_otlp() -> TestResult {
    let receiver = Receiver::start()?;
    let mut connection = Connection::open(&Target::port(receiver.port()))?;
    let body = request().encode_to_vec();
    post(&mut connection, &body, "")?;
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&body)?;
    post(&mut connection, &zipped.finish()?, "Content-Encoding: gzip\r\n")?;

    let spans = receiver.wait("two spans", Duration::from_secs(5), |spans| spans.len() == 2)?;
    let span = &spans.of("shop", Kind::Server).0[0];
    ensure!(
        (span.path(), span.int("http.response.status_code")) == ("/hello", Some(200)),
        "{span}"
    );
    ensure!(
        span.trace_id == "0102030405060708090a0b0c0d0e0f10" && span.span_id == "0102030405060708"
    );

    let refused = post(&mut connection, b"this is not protobuf", "");
    ensure!(refused.is_err() && receiver.spans().is_err(), "nonsense was taken");
    Ok(())
}

fn jaeger_gives_back() -> TestResult {
    let jaeger = Jaeger::start()?;
    let receiver = Receiver::start()?;
    let body = request().encode_to_vec();
    post(&mut Connection::open(&Target::port(receiver.port()))?, &body, "")?;
    post(&mut Connection::open(&Target::port(jaeger.http))?, &body, "")?;
    let sent = receiver.spans()?;
    let stored = wait::until("the span in Jaeger", Deadline::seconds(10), || {
        jaeger.spans("shop").map(|spans| (!spans.is_empty()).then_some(spans)).transpose()
    })??;
    ensure!(stored.single()? == sent.single()?, "sent\n{sent}stored\n{stored}");
    Ok(())
}
