//! The viewer under steady traffic, for as long as `SPANWIRE_SOAK_SECONDS` says (a few seconds without): nothing is
//! dropped on the way, memory stays within its bound, and questions are answered all the while.
//!
//! `SPANWIRE_SOAK_RATE` spans are handed on each second, 2,000 without. Run without libtest, because the child is this
//! program itself.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use procfs::process::Process;
use spanwire::service::Service;
use spanwire::status::{Counters, SUBCOMMAND, Serving, StatusChild, ask, live, serve};
use spanwire::trace::{EncodedSpan, FinishedSpan};

/// MiB of traces: small enough to be filled within minutes.
const BOUND: u32 = 64;
/// What the process takes without traces, and while it answers, KiB.
const BASE: u64 = 64 * 1_024;
/// Spans of a trace.
const TRACE: u64 = 8;
/// Time between two hand-overs: the agent's own is 10 ms.
const STEP: Duration = Duration::from_millis(20);
/// An answer may take so long, on a machine that is busy with other tests.
const ANSWER: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SUBCOMMAND) {
        return serve(None).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    // Of libtest's arguments only a filter matters: this is one test.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"soak".contains(&filter)) {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out");
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    soak(number("SPANWIRE_SOAK_SECONDS", 4), number("SPANWIRE_SOAK_RATE", 2_000));
    println!("test soak ... ok");
    println!("\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

#[allow(clippy::disallowed_methods, reason = "a test is an edge")]
fn soak(seconds: u64, rate: u64) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let directory = folder.path().join("run");
    let serving = Serving { memory: Some(BOUND), ..Serving::default() };
    let child = StatusChild::start(Path::new("/proc/self/exe"), &directory, &serving)
        .expect("the child starts");
    let shop = Shop::new();
    let began = Instant::now();
    let (mut sent, mut seconds_told) = (0, 0);
    let (mut most_resident, mut slowest) = (0, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(seconds) {
        let due = rate * u64::try_from(began.elapsed().as_millis()).expect("not for ever") / 1_000;
        let mut spans = Vec::new();
        while sent < due {
            shop.trace(sent / TRACE, &mut spans);
            sent += TRACE;
        }
        child.view(spans);
        if began.elapsed().as_secs() > seconds_told {
            seconds_told = began.elapsed().as_secs();
            most_resident = most_resident.max(resident(child.pid()));
            let asked = Instant::now();
            let (status, _) = ask(&directory, "/view/traces?t=5m&limit=200").expect("an answer");
            assert_eq!(status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        thread::sleep(STEP);
    }
    let mut own = Counters::default();
    child.count(&mut own);
    assert_eq!(value(&own, "spans_offered"), sent);
    assert_eq!(value(&own, "spans_dropped"), 0, "of {sent} spans");
    let all_there = Instant::now();
    let told = loop {
        let told = live(&directory).expect("the child answers").counters;
        if value(&told, "spans") == sent {
            break told;
        }
        assert!(all_there.elapsed() < ANSWER, "{} of {sent} spans", value(&told, "spans"));
        thread::sleep(STEP);
    };
    let bound = u64::from(BOUND) << 20;
    assert!(value(&told, "bytes") <= bound, "{} bytes", value(&told, "bytes"));
    assert!(slowest < ANSWER, "an answer took {slowest:?}");
    let allowed = BASE + bound / 1_024 * 3 / 2;
    assert!(most_resident < allowed, "{most_resident} KiB, {allowed} are allowed");
    let us_a_span = |pid: u32| processor_ms(pid) * 1_000 / sent.max(1);
    println!(
        "  {sent} spans in {seconds} s, none dropped; {} traces were let go; at most {} MiB resident; the slowest answer took \
         {} ms; {} µs a span here, {} µs in the viewer's process",
        value(&told, "traces_out"),
        most_resident / 1_024,
        slowest.as_millis(),
        us_a_span(std::process::id()),
        us_a_span(child.pid()),
    );
}

fn value(counters: &Counters, name: &str) -> u64 {
    let group = counters.groups.iter().find(|group| group.name == "viewer").expect("it counts");
    group.counters.iter().find(|counter| counter.name == name).expect("it is counted").value
}

/// KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("kB")
}

/// What a process has computed so far, ms.
fn processor_ms(pid: u32) -> u64 {
    let stat = Process::new(i32::try_from(pid).expect("a pid")).and_then(|process| process.stat());
    let stat = stat.expect("it runs");
    (stat.utime + stat.stime) * 1_000 / procfs::ticks_per_second()
}

/// Two services; every twentieth trace fails.
struct Shop {
    front: Arc<Service>,
    stock: Arc<Service>,
}

impl Shop {
    fn new() -> Self {
        let service = |name: &str| {
            Arc::new(Service {
                name: name.to_owned(),
                version: None,
                environment: None,
                instance_id: "i".to_owned(),
                pid: 1,
                resource: Resource {
                    attributes: vec![text("service.name", name)],
                    ..Resource::default()
                },
            })
        };
        Self { front: service("front"), stock: service("stock") }
    }

    /// A request, and what it asks: pairs of calls, one after the other.
    fn trace(&self, number: u64, spans: &mut Vec<EncodedSpan>) {
        let fails = number.is_multiple_of(20);
        let start = now();
        for at in 0..TRACE {
            let (service, kind) = match at {
                0 => (&self.front, SpanKind::Server),
                _ if at % 2 == 1 => (&self.front, SpanKind::Client),
                _ => (&self.stock, SpanKind::Server),
            };
            let parent = match at {
                0 => Vec::new(),
                _ if at % 2 == 1 => id(number, 0),
                _ => id(number, at - 1),
            };
            let status = if fails { "502" } else { "200" };
            let mut attributes = vec![
                text("http.request.method", "GET"),
                text("url.path", &format!("/stock/{}", number % 1_000)),
                text("url.scheme", "http"),
                text("server.address", "127.0.0.1"),
                text("network.peer.address", "127.0.0.1"),
                text("network.protocol.version", "1.1"),
                text("http.response.status_code", status),
                text("user_agent.original", "soak/1"),
            ];
            attributes.extend(fails.then(|| text("error.type", status)));
            let span = FinishedSpan {
                service: service.clone(),
                scope: "spanwire.http",
                span: Span {
                    trace_id: (u128::from(number) + 1).to_be_bytes().to_vec(),
                    span_id: id(number, at),
                    parent_span_id: parent,
                    name: "GET".to_owned(),
                    kind: kind.into(),
                    start_time_unix_nano: start + at * 100_000,
                    end_time_unix_nano: start + 10_000_000 - at * 100_000,
                    attributes,
                    status: fails
                        .then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
                    ..Span::default()
                },
            };
            spans.push(span.into());
        }
    }
}

fn id(trace: u64, at: u64) -> Vec<u8> {
    (trace * TRACE + at + 1).to_be_bytes().to_vec()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

#[allow(clippy::disallowed_methods, reason = "a test is an edge")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2500")
}
