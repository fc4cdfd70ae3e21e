//! The stages of the pipeline, one by one, over the same made-up load: time an exchange and bytes a second.
//!
//! `cargo bench --package spanwire`. Compare figures of one machine only; what CI holds on to is the number of
//! instructions (`cargo xtask bench --instructions`).

#![allow(missing_docs, reason = "criterion's macros make public functions")]

mod load;

use std::hint::black_box;

use abi::DataHeader;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use spanwire::{
    conn::{Connections, Limits},
    exchange::Report,
    export::{batch, json},
    input::{ConnId, Input, Nanos},
    kernel::decode,
    pipeline::Pipeline,
    status::SampleServer,
    trace::{EncodedSpan, Settings, Tracer},
};
use zerocopy::IntoBytes as _;

/// Exchanges of a run: each is seen at both ends.
const EXCHANGES: u64 = 4000;

criterion_group!(benches, stages);
criterion_main!(benches);

fn stages(criterion: &mut Criterion) {
    let inputs = load::inputs(EXCHANGES);
    let rings: Vec<Vec<u8>> = inputs.iter().filter_map(in_ring).collect();
    let bytes = rings.iter().map(|event| event.len() as u64).sum();
    let reports = reports(&inputs);
    let spans = spans(&inputs);
    assert_eq!(spans.len() as u64, 2 * EXCHANGES, "the load is not read as it was meant");

    let mut group = criterion.benchmark_group("replay");
    group.sample_size(20);
    // An exchange is one end's view, as the agent counts them.
    group.throughput(Throughput::ElementsAndBytes { elements: 2 * EXCHANGES, bytes });
    group.bench_function("ring decode", |bencher| {
        bencher
            .iter(|| rings.iter().filter(|event| decode::data(black_box(event)).is_ok()).count());
    });
    group.bench_function("reassembly and HTTP/1", |bencher| bencher.iter(|| reports_of(&inputs)));
    group.bench_function("span building", |bencher| {
        bencher.iter_batched(
            || (tracer(&inputs), reports.clone()),
            |(tracer, reports)| trace(tracer, reports),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("OTLP protobuf", |bencher| {
        bencher.iter_batched(
            || spans.clone(),
            |spans| batch::request(&spans),
            BatchSize::LargeInput,
        );
    });
    // The encoding above is what the agent does for its viewer; this is what the viewer's own process does.
    let protobuf = batch::request(&spans);
    group.bench_function("into the viewer", |bencher| {
        bencher.iter_batched(
            || SampleServer::bind(0, "token").expect("a free port").taker(),
            |take| {
                let request = ExportTraceServiceRequest::decode(protobuf.as_slice());
                take(request.expect("it was just written"));
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("OTLP JSON", |bencher| {
        bencher.iter_batched(
            || spans.clone(),
            |spans| json::write_lines(&mut std::io::sink(), &spans),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("whole pipeline", |bencher| {
        bencher.iter_batched(
            || inputs.clone(),
            |inputs| {
                let mut pipeline = Pipeline::new(load::header().seed, Settings::default());
                let mut spans = Vec::new();
                for input in inputs {
                    pipeline.feed(input, &mut spans);
                }
                pipeline.finish(&mut spans);
                spans
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// A data event as it lies in the ring.
fn in_ring(input: &Input) -> Option<Vec<u8>> {
    let Input::Data(header, payload) = input else { return None };
    let mut event = Vec::with_capacity(size_of::<DataHeader>() + payload.len());
    event.extend_from_slice(header.as_bytes());
    event.extend_from_slice(payload);
    Some(event)
}

/// What was said, with the moment at which the stage before told it.
fn reports(inputs: &[Input]) -> Vec<Told> {
    let mut connections = Connections::new(Limits::default());
    let (mut told, mut new) = (Vec::new(), Vec::new());
    for input in inputs {
        feed(&mut connections, input, &mut new);
        told.extend(new.drain(..).map(|report| Told::Report(Box::new(report))));
        match input {
            Input::Tick { now, wall_offset } => told.push(Told::Tick(*now, *wall_offset)),
            Input::Closed(event) => told.push(Told::Closed(ConnId(event.connection))),
            _ => {}
        }
    }
    told
}

/// What the tracer is told.
#[derive(Clone)]
enum Told {
    Report(Box<Report>),
    Closed(ConnId),
    Tick(Nanos, i64),
}

fn reports_of(inputs: &[Input]) -> Vec<Report> {
    let mut connections = Connections::new(Limits::default());
    let mut reports = Vec::new();
    for input in inputs {
        feed(&mut connections, input, &mut reports);
    }
    reports
}

fn feed(connections: &mut Connections, input: &Input, reports: &mut Vec<Report>) {
    match input {
        Input::Opened(event) => connections.opened(event, reports),
        Input::Closed(event) => connections.closed(event),
        Input::Data(header, payload) => connections.data(header, payload, reports),
        Input::Tick { now, .. } => connections.tick(*now, reports),
        _ => {}
    }
}

/// A tracer that knows the processes and connections.
fn tracer(inputs: &[Input]) -> Tracer {
    let mut tracer = Tracer::new(load::header().seed, Settings::default());
    for input in inputs {
        match input {
            Input::Process(facts) => tracer.process((**facts).clone()),
            Input::Opened(event) => tracer.opened(event),
            _ => {}
        }
    }
    tracer
}

fn trace(mut tracer: Tracer, told: Vec<Told>) -> Vec<EncodedSpan> {
    let mut spans = Vec::new();
    for told in told {
        match told {
            Told::Report(report) => tracer.report(*report),
            Told::Closed(connection) => tracer.closed(connection),
            Told::Tick(now, wall_offset) => tracer.tick(now, wall_offset, &mut spans),
        }
    }
    tracer.flush(&mut spans);
    spans
}

fn spans(inputs: &[Input]) -> Vec<EncodedSpan> {
    trace(tracer(inputs), reports(inputs))
}
