//! The bound, and who goes first.

use super::*;
use crate::export::sample;
use crate::viewer::sample::{BEGIN, MS, Sample};
use crate::viewer::span::Kind::Server;

fn one(id: u64, error: bool) -> Sample {
    let attributes: &[(&str, &str)] =
        if error { &[("error.type", "500")] } else { &[("url.path", "/a")] };
    Sample::new(id.into()).span((1, 0), Server, ("a", "GET /"), (0, 5), attributes)
}

fn number(store: &Store, name: &str) -> u64 {
    let mut counters = Counters::default();
    store.count(&mut counters);
    let found = counters.groups[0].counters.iter().find(|counter| counter.name == name);
    found.expect("it is counted").value
}

#[test]
fn the_oldest_go_first_and_what_failed_stays_longer() {
    let mut store = Store::new(Limits { bytes: 300_000 });
    let mut now = BEGIN;
    for id in 1..=4_000 {
        now += 10 * MS;
        store.take(sample::request(one(id, id % 10 == 0).spans), now);
        store.tick(now);
        assert!(store.bytes() <= 300_000);
    }
    let sum: usize = store.traces.values().map(|trace| trace.bytes).sum();
    assert_eq!(store.bytes(), sum);
    let there = |id: u64| store.trace(id.into()).is_some();
    assert!(there(3_999) && !there(1) && !there(10));
    assert!(store.gone(1).is_some_and(|at| at > BEGIN && at < now));
    assert_eq!(store.gone(4_000), None);
    let oldest_success = (1..=4_000).find(|id| id % 10 != 0 && there(*id)).unwrap();
    let oldest_failure = (1..=4_000).find(|id| id % 10 == 0 && there(*id)).unwrap();
    assert!(oldest_failure + 500 < oldest_success, "{oldest_failure} {oldest_success}");
    assert_eq!(number(&store, "traces") + number(&store, "traces_out"), 4_000);
    assert_eq!(number(&store, "spans"), 4_000);
}

#[test]
fn only_failures_fill_no_more_than_the_bound() {
    let mut store = Store::new(Limits { bytes: 100_000 });
    for id in 1..=1_000 {
        store.take(sample::request(one(id, true).spans), BEGIN + id * MS);
        assert!(store.bytes() <= 100_000);
    }
    assert!(store.len() > 50);
    assert!(store.trace(1_000).is_some() && store.trace(1).is_none());
}

#[test]
fn late_spans_join_their_trace() {
    let mut store = Store::new(Limits::default());
    store.take(sample::request(one(7, false).spans), BEGIN);
    store.tick(BEGIN + 5_000 * MS);
    assert_eq!(store.since(0).0.len(), 1);
    let before = store.trace(7).unwrap();
    let late =
        Sample::new(7).span((2, 1), Server, ("b", "GET /"), (1, 4), &[("error.type", "500")]);
    store.take(sample::request(late.spans), BEGIN + 9_000 * MS);
    let after = store.trace(7).unwrap();
    assert_eq!((before.spans.len(), after.spans.len()), (1, 2));
    assert_eq!((before.summary().errors, after.summary().errors), (0, 1));
    assert_eq!(number(&store, "traces_joined_late"), 1);
    store.tick(BEGIN + 20_000 * MS);
    // It is news again.
    assert_eq!(store.since(1).0.len(), 1);
}

#[test]
fn a_trace_ends_somewhere() {
    let mut store = Store::new(Limits::default());
    let mut spans = Vec::new();
    for id in 1..=trace::MOST_SPANS as u64 + 5 {
        spans.extend(Sample::new(1).span((id, 0), Server, ("a", "x"), (0, 1), &[]).spans);
    }
    store.take(sample::request(spans), BEGIN);
    let trace = store.trace(1).unwrap();
    assert_eq!((trace.spans.len(), trace.left_out), (trace::MOST_SPANS, 5));
    assert_eq!(number(&store, "spans_of_endless_traces"), 5);
}
