//! The exporter against a real server on a loopback socket: nothing is lost without being counted.

mod server;
mod spooling;
mod tls;

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use tonic::{Code, Status};

use self::server::{Reply, Server};
use super::retry::{Any, ProtoDuration, RetryInfo, RpcStatus};
use super::*;
use crate::export::{EncodedSpan, sample};

const EVERY: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];

fn server(protocol: Protocol, script: Vec<Reply>) -> Server {
    Server::start(protocol == Protocol::Grpc, script)
}

/// An exporter that sends to `address`, quickly and with short waits.
fn exporter(protocol: Protocol, address: std::net::SocketAddr, extra: &[(&str, &str)]) -> Exporter {
    Exporter::start(&config(protocol, address, extra)).unwrap()
}

fn config(protocol: Protocol, address: std::net::SocketAddr, extra: &[(&str, &str)]) -> Config {
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), protocol.to_string()),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "5".to_owned()),
    ];
    let choice = choose(&|name| {
        let extra = extra.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        extra.or_else(|| vars.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
    });
    assert!(choice.wrong.is_empty(), "{:?}", choice.wrong);
    let mut config = choice.otlp.unwrap();
    config.backoff =
        BackoffTimes { first: Duration::from_millis(5), cap: Duration::from_millis(20) };
    config
}

fn spans(ids: std::ops::RangeInclusive<u64>) -> Vec<EncodedSpan> {
    let services = [sample::service("a"), sample::service("b")];
    ids.map(|id| sample::outgoing(&services[(id % 2) as usize], "spanwire/http1", id).into())
        .collect()
}

/// Waits until the totals are as wanted, ten seconds at most.
fn until(exporter: &Exporter, wanted: impl Fn(&Totals) -> bool) -> Totals {
    let end = now() + Duration::from_secs(10);
    loop {
        let totals = exporter.totals();
        if wanted(&totals) {
            return totals;
        }
        assert!(now() < end, "never came true: {totals:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[allow(clippy::disallowed_methods, reason = "tests measure real time against a real socket")]
fn now() -> Instant {
    Instant::now()
}

/// What became of all spans: to be compared with those offered and those recovered.
fn sum(t: &Totals) -> u64 {
    let spool = t.dropped_spool_full + t.dropped_spool_old + t.dropped_spool_damaged + t.spooled;
    t.sent + t.rejected + t.refused + t.dropped_queue_full + t.dropped_shutdown + t.waiting + spool
}

fn later(protocol: Protocol) -> Reply {
    match protocol {
        Protocol::Grpc => Reply::Grpc(Status::unavailable("not now")),
        _ => Reply::Http(503, vec![]),
    }
}

#[test]
fn spans_arrive_with_headers_and_our_name() {
    for protocol in EVERY {
        for compression in ["none", "gzip"] {
            let server = server(protocol, vec![]);
            let exporter = exporter(
                protocol,
                server.address,
                &[
                    ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
                    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t"),
                ],
            );
            exporter.offer(spans(1..=100));
            let got = server.next();
            assert_eq!(got.spans.len(), 100);
            assert_eq!(got.headers["authorization"], "Bearer t");
            assert_eq!(got.headers["user-agent"], USER_AGENT);
            if protocol != Protocol::Grpc {
                assert_eq!(got.path, "/v1/traces");
                assert_eq!(got.headers.contains_key("content-encoding"), compression == "gzip");
                // Not chunked: some servers take no body whose length they are not told.
                assert_eq!(got.headers["content-length"], got.body.len().to_string());
                assert_eq!(got.body.starts_with(&[0x1f, 0x8b]), compression == "gzip");
            } else {
                assert_eq!(got.headers.contains_key("grpc-encoding"), compression == "gzip");
            }
            let totals = exporter.shutdown(Duration::from_secs(5));
            let right = Totals { offered: 100, sent: 100, requests: 1, ..Totals::default() };
            assert_eq!(totals, right);
        }
    }
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    for protocol in EVERY {
        let grpc = protocol == Protocol::Grpc;
        let refusal = if grpc {
            Reply::Grpc(Status::invalid_argument("no"))
        } else {
            Reply::Http(400, vec![])
        };
        let server = server(protocol, vec![later(protocol), Reply::Close, refusal]);
        let exporter = exporter(protocol, server.address, &[]);
        exporter.offer(spans(1..=3));
        for _ in 0..3 {
            assert_eq!(server.next().spans.len(), 3);
        }
        until(&exporter, |t| t.refused == 3);
        exporter.offer(spans(4..=5));
        assert_eq!(server.next().spans.len(), 2);
        let totals = exporter.shutdown(Duration::from_secs(5));
        assert_eq!((totals.failed_attempts, totals.refused, totals.sent), (2, 3, 2));
        assert!(server.rest().is_empty());
    }
}

#[test]
fn http_statuses_are_retried_as_the_specification_says() {
    for (status, retried) in [
        (301, false),
        (400, false),
        (401, false),
        (404, false),
        (413, false),
        (429, true),
        (500, false),
        (501, false),
        (502, true),
        (503, true),
        (504, true),
    ] {
        let server = Server::start(false, vec![Reply::Http(status, vec![])]);
        let exporter = exporter(Protocol::HttpProtobuf, server.address, &[]);
        exporter.offer(spans(1..=1));
        let totals = until(&exporter, |t| t.waiting == 0);
        assert_eq!(
            (totals.sent, totals.refused),
            if retried { (1, 0) } else { (0, 1) },
            "{status}"
        );
    }
}

#[test]
fn the_servers_wish_to_be_left_alone_is_respected() {
    let info = RpcStatus {
        message: "quota".to_owned(),
        details: vec![Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: RetryInfo { retry_delay: Some(ProtoDuration { seconds: 1, nanos: 0 }) }
                .encode_to_vec(),
        }],
    };
    let throttled =
        Status::with_details(Code::ResourceExhausted, "quota", info.encode_to_vec().into());
    for (protocol, reply) in [
        (Protocol::HttpProtobuf, Reply::Http(429, vec![("retry-after", "1")])),
        (Protocol::Grpc, Reply::Grpc(throttled)),
    ] {
        let server = server(protocol, vec![reply]);
        let exporter = exporter(protocol, server.address, &[]);
        exporter.offer(spans(1..=1));
        server.next();
        let asked = now();
        server.next();
        // Our own back-off would have come after 20 ms at the latest.
        assert!(asked.elapsed() >= Duration::from_millis(900), "{:?}", asked.elapsed());
        until(&exporter, |t| t.sent == 1);
    }
}

#[test]
fn exhausted_without_a_hint_is_final() {
    let server = Server::start(true, vec![Reply::Grpc(Status::resource_exhausted("too large"))]);
    let exporter = exporter(Protocol::Grpc, server.address, &[]);
    exporter.offer(spans(1..=2));
    until(&exporter, |t| t.refused == 2);
}

#[test]
fn rejected_spans_are_counted_and_never_sent_again() {
    for protocol in EVERY {
        let script = vec![
            Reply::Partial(3, "too old"),
            Reply::Partial(0, "a warning"),
            Reply::Partial(i64::MAX, "nonsense"),
            Reply::Partial(-1, "nonsense"),
        ];
        let server = server(protocol, script);
        let exporter = exporter(protocol, server.address, &[]);
        for (n, rejected) in [(10, 3), (20, 3), (30, 13), (40, 13)] {
            exporter.offer(spans(1..=10));
            let totals = until(&exporter, |t| t.waiting == 0);
            assert_eq!((totals.rejected, totals.sent), (rejected, n - rejected), "{protocol}");
        }
        assert_eq!(exporter.shutdown(Duration::from_secs(5)).requests, 4);
        assert_eq!(server.rest().len(), 4);
    }
}

#[test]
fn an_attempt_has_its_time_and_the_batch_is_held() {
    for protocol in EVERY {
        let server = server(protocol, vec![Reply::Hang]);
        let exporter = exporter(protocol, server.address, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "150")]);
        exporter.offer(spans(1..=4));
        assert_eq!(server.next().spans, server.next().spans);
        let totals = until(&exporter, |t| t.waiting == 0);
        assert_eq!((totals.sent, totals.failed_attempts), (4, 1), "{protocol}");
    }
}

#[test]
fn down_then_up_loses_nothing_that_fits_and_counts_the_rest() {
    for protocol in EVERY {
        // A port on which nobody listens until we do again.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let exporter = exporter(
            protocol,
            address,
            &[("OTEL_BSP_MAX_QUEUE_SIZE", "50"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20")],
        );
        exporter.offer(spans(1..=20));
        // The first batch has left the queue once it has failed.
        until(&exporter, |t| t.failed_attempts >= 2);
        exporter.offer(spans(21..=100));
        let totals = exporter.totals();
        assert_eq!((totals.offered, totals.waiting, totals.dropped_queue_full), (100, 70, 30));
        let server = Server::on(
            TcpListener::bind(address).unwrap(),
            protocol == Protocol::Grpc,
            vec![later(protocol)],
        );
        let totals = until(&exporter, |t| t.waiting == 0);
        assert_eq!((totals.sent, sum(&totals)), (70, 100));
        let mut got: Vec<u8> = server.rest().into_iter().skip(1).flat_map(|g| g.spans).collect();
        got.sort_unstable();
        assert_eq!(got, (1..=70).collect::<Vec<u8>>(), "{protocol}");
    }
}

#[test]
fn a_full_batch_does_not_wait_for_the_schedule() {
    let server = Server::start(true, vec![]);
    let exporter = exporter(
        Protocol::Grpc,
        server.address,
        &[("OTEL_BSP_SCHEDULE_DELAY", "3600000"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")],
    );
    exporter.offer(spans(1..=25));
    assert_eq!(server.next().spans.len(), 10);
    assert_eq!(server.next().spans.len(), 10);
    // The five that are left wait for company or for the end.
    let totals = exporter.shutdown(Duration::from_secs(5));
    assert_eq!(server.next().spans.len(), 5);
    assert_eq!((totals.sent, totals.waiting), (25, 0));
}

#[test]
fn a_shutdown_sends_what_waits() {
    for protocol in EVERY {
        let server = server(protocol, vec![later(protocol)]);
        let exporter =
            exporter(protocol, server.address, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
        exporter.offer(spans(1..=100));
        let totals = exporter.shutdown(Duration::from_secs(5));
        assert_eq!((totals.sent, totals.waiting, totals.dropped_shutdown), (100, 0, 0));
        assert_eq!(server.next().spans.len(), 100);
    }
}

#[test]
fn a_shutdown_ends_at_its_deadline_and_counts_what_it_leaves() {
    for protocol in EVERY {
        let server = server(protocol, vec![Reply::Hang, Reply::Hang]);
        let exporter =
            exporter(protocol, server.address, &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")]);
        exporter.offer(spans(1..=100));
        server.next();
        let began = now();
        let totals = exporter.shutdown(Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!((totals.dropped_shutdown, totals.waiting), (100, 0), "{totals:?}");
    }
}

#[test]
fn a_shutdown_during_a_long_wait_tries_once_more_at_once() {
    let server = Server::start(false, vec![Reply::Http(503, vec![])]);
    let mut config = config(Protocol::HttpProtobuf, server.address, &[]);
    config.backoff =
        BackoffTimes { first: Duration::from_secs(3_600), cap: Duration::from_secs(3_600) };
    let exporter = Exporter::start(&config).unwrap();
    exporter.offer(spans(1..=2));
    until(&exporter, |t| t.failed_attempts == 1);
    server.then(Reply::Http(503, vec![]));
    // The second failure leaves a wait beyond the deadline: it ends at once, counted.
    let began = now();
    let totals = exporter.shutdown(Duration::from_secs(30));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!((totals.failed_attempts, totals.dropped_shutdown), (2, 2));
}

#[test]
fn dropping_the_exporter_ends_its_thread() {
    let server = Server::start(false, vec![]);
    let exporter = exporter(Protocol::HttpProtobuf, server.address, &[]);
    let shared = std::sync::Arc::downgrade(exporter.shared_for_test());
    drop(exporter);
    let end = now() + Duration::from_secs(10);
    while shared.strong_count() > 0 {
        assert!(now() < end, "the thread lives on");
        thread::sleep(Duration::from_millis(2));
    }
}
