//! Traces for the tests of this folder, made through the same door as real ones.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{Status, span::SpanKind, status::StatusCode};

use super::span::Kind;
use super::store::{Limits, Store, Trace};
use crate::export::sample;
use crate::service::Service;
use crate::trace::FinishedSpan;

/// ns since 1970 at which every sample begins.
pub(crate) const BEGIN: u64 = 1_700_000_000_000_000_000;
/// ns.
pub(crate) const MS: u64 = 1_000_000;

/// Spans of one trace, to be filled and made into a trace.
pub(crate) struct Sample {
    trace: u128,
    at: u64,
    services: HashMap<String, Arc<Service>>,
    pub(crate) spans: Vec<FinishedSpan>,
}

impl Sample {
    pub(crate) fn new(trace: u128) -> Self {
        Self { trace, at: BEGIN, services: HashMap::new(), spans: Vec::new() }
    }

    /// All of it is later, ns.
    pub(crate) fn later(mut self, by: u64) -> Self {
        self.at += by;
        for made in &mut self.spans {
            made.span.start_time_unix_nano += by;
            made.span.end_time_unix_nano += by;
        }
        self
    }

    /// Adds a span from `start` to `end`, ms. A service `name@host` is on that host.
    pub(crate) fn span(
        mut self,
        (id, parent): (u64, u64),
        kind: Kind,
        (service, name): (&str, &str),
        (start, end): (u64, u64),
        attributes: &[(&str, &str)],
    ) -> Self {
        let service = self.services.entry(service.to_owned()).or_insert_with(|| on_host(service));
        let mut made = sample::outgoing(service, "spanwire.http", id);
        let span = &mut made.span;
        span.trace_id = self.trace.to_be_bytes().to_vec();
        if parent != 0 {
            span.parent_span_id = parent.to_be_bytes().to_vec();
        }
        name.clone_into(&mut span.name);
        span.kind = match kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        }
        .into();
        span.start_time_unix_nano = self.at + start * MS;
        span.end_time_unix_nano = self.at + end * MS;
        span.attributes = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        if attributes.iter().any(|(key, _)| *key == "error.type") {
            span.status = Some(Status { code: StatusCode::Error.into(), message: String::new() });
        }
        self.spans.push(made);
        self
    }

    /// The trace as a store has it.
    pub(crate) fn trace(self) -> Arc<Trace> {
        let id = self.trace;
        store([self]).trace(id).expect("it was just taken")
    }
}

fn on_host(service: &str) -> Arc<Service> {
    let (name, host) = service.split_once('@').unwrap_or((service, ""));
    let mut service = sample::service(name);
    if !host.is_empty() {
        let attributes = &mut Arc::make_mut(&mut service).resource.attributes;
        attributes.push(sample::text("host.name", host));
    }
    service
}

/// Numbers become numbers.
fn attribute(key: &str, value: &str) -> KeyValue {
    value.parse().map_or_else(|_| sample::text(key, value), |number| sample::number(key, number))
}

/// A store that has these traces, all settled.
pub(crate) fn store(samples: impl IntoIterator<Item = Sample>) -> Store {
    let mut store = Store::new(Limits::default());
    let now = BEGIN + 60_000 * MS;
    for sample in samples {
        store.take(sample::request(sample.spans), now);
    }
    store.tick(now + 60_000 * MS);
    store
}

/// The shop's checkout: 500 ms, ten alike queries in `inventory`, and `payments` failing twice because its card API does.
pub(crate) fn checkout(trace: u128) -> Sample {
    use Kind::{Client, Server};
    let http = |status: &'static str| {
        if status >= "500" {
            vec![("http.response.status_code", status), ("error.type", status)]
        } else {
            vec![("http.response.status_code", status)]
        }
    };
    let mut sample = Sample::new(trace)
        .span(
            (1, 0),
            Server,
            ("edge", "POST /checkout"),
            (0, 500),
            &[("http.response.status_code", "502"), ("error.type", "502"), ("user.id", "42")],
        )
        .span((2, 1), Client, ("edge", "POST"), (10, 490), &http("502"))
        .span((3, 2), Server, ("orders", "POST /orders"), (12, 488), &http("502"))
        .span((4, 3), Client, ("orders", "POST"), (20, 260), &http("200"))
        .span((5, 4), Server, ("inventory", "POST /reserve"), (22, 258), &http("200"));
    for call in 0..10 {
        let start = 25 + call * 23;
        sample = sample.span(
            (20 + call, 5),
            Client,
            ("inventory", "SELECT stock"),
            (start, start + 22),
            &[
                ("db.system.name", "postgresql"),
                ("db.query.text", "SELECT n FROM stock WHERE sku = ?"),
            ],
        );
    }
    for (attempt, start) in [(0, 270), (1, 400)] {
        let id = 40 + attempt * 10;
        sample = sample
            .span(
                (id, 3),
                Client,
                ("orders", "Charge"),
                (start, start + 80),
                &[
                    ("rpc.system.name", "grpc"),
                    ("rpc.response.status_code", "UNAVAILABLE"),
                    ("error.type", "UNAVAILABLE"),
                ],
            )
            .span(
                (id + 1, id),
                Server,
                ("payments", "Charge"),
                (start + 2, start + 78),
                &[
                    ("rpc.system.name", "grpc"),
                    ("rpc.response.status_code", "UNAVAILABLE"),
                    ("error.type", "UNAVAILABLE"),
                ],
            )
            .span(
                (id + 2, id + 1),
                Client,
                ("payments", "POST"),
                (start + 5, start + 75),
                &[
                    ("server.address", "api.cardpay.example"),
                    ("http.request.method", "POST"),
                    ("http.response.status_code", "503"),
                    ("error.type", "503"),
                ],
            );
    }
    sample
}
