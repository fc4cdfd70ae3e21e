//! Services, Map and Latency: the same requests from other sides.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Answered, Asked, Viewer};
use crate::viewer::analysis::{self, Edge, Node, ServiceMap, Side, Stats, Window};
use crate::viewer::histogram::Histogram;
use crate::viewer::store::Trace;

/// Fewer say nothing about the slowest in a hundred.
const ENOUGH_FOR_P99: u64 = 100;

/// `/view/red`
pub(super) fn red(viewer: &Viewer, asked: &Asked) -> Answered {
    let side = if asked.get("side") == Some("made") { Side::Made } else { Side::Called };
    let window = asked.window();
    let rows = analysis::red(&matching(viewer, asked, window)?, window, side);
    let earlier = asked.before();
    let before = if asked.is_known(viewer, earlier) {
        analysis::red(&matching(viewer, asked, earlier)?, earlier, side)
    } else {
        Vec::new()
    };
    let rows: Vec<Value> = rows
        .iter()
        .map(|red| {
            let before = before.iter().find(|b| b.name == red.name && b.outside == red.outside);
            let operations: Vec<Value> = red
                .operations
                .iter()
                .map(|(name, stats)| {
                    let before = before.and_then(|b| b.operations.iter().find(|(n, _)| n == name));
                    let mut row = numbers(stats, window);
                    row.insert("name".to_owned(), (&**name).into());
                    row.insert(
                        "before".to_owned(),
                        earlier_numbers(before.map(|(_, s)| s), earlier),
                    );
                    row.into()
                })
                .collect();
            let mut row = numbers(&red.stats, window);
            row.insert("name".to_owned(), (&*red.name).into());
            row.insert("outside".to_owned(), red.outside.into());
            row.insert("icon".to_owned(), red.icon.into());
            row.insert("before".to_owned(), earlier_numbers(before.map(|b| &b.stats), earlier));
            row.insert("operations".to_owned(), operations.into());
            row.into()
        })
        .collect();
    Ok(json!({ "rows": rows, "from": window.from.to_string(), "to": window.to.to_string() }))
}

/// `/view/edges`
pub(super) fn edges(viewer: &Viewer, asked: &Asked) -> Answered {
    let window = asked.window();
    let map = analysis::edges(&matching(viewer, asked, window)?, window);
    let nodes: Vec<Value> = map
        .nodes
        .iter()
        .map(|(node, stats)| {
            let mut out = numbers(stats, window);
            let (name, kind) = named(node, &map);
            out.insert("name".to_owned(), name.into());
            out.insert("kind".to_owned(), kind.into());
            out.insert("icon".to_owned(), map.icons.get(node).copied().unwrap_or("web").into());
            out.into()
        })
        .collect();
    let edges: Vec<Value> = map
        .edges
        .iter()
        .map(|((from, to), edge)| {
            let mut out = edge_json(edge, window);
            out.insert("from".to_owned(), named(from, &map).0.into());
            out.insert("to".to_owned(), named(to, &map).0.into());
            out.into()
        })
        .collect();
    Ok(json!({ "nodes": nodes, "edges": edges }))
}

fn edge_json(edge: &Edge, window: Window) -> Map<String, Value> {
    let mut out = numbers(&edge.stats, window);
    let mut reasons: Vec<(&String, &u64)> = edge.reasons.iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    // What one of its calls stands for.
    let weight = edge.stats.weight / edge.stats.count().max(1) as f64;
    let seconds = window.seconds();
    let mut operations: Vec<_> = edge.operations.iter().collect();
    operations.sort_by(|(a, (x, _)), (b, (y, _))| y.cmp(x).then(a.cmp(b)));
    let operations: Vec<Value> = operations
        .into_iter()
        .map(|(name, (calls, errors))| {
            json!({
                "name": &**name,
                "rate": *calls as f64 * weight / seconds,
                "errors": *errors as f64 / (*calls).max(1) as f64,
            })
        })
        .collect();
    for (key, value) in [
        ("network", network(&edge.network)),
        ("reasons", json!(reasons)),
        ("operations", operations.into()),
    ] {
        out.insert(key.to_owned(), value);
    }
    out
}

fn network(histogram: &Histogram) -> Value {
    if histogram.count() == 0 { Value::Null } else { histogram.mean().into() }
}

/// A node's name, which no other one has, and its kind. Whether an address that is called like a service is that
/// service is not known: they are two.
fn named(node: &Node, map: &ServiceMap) -> (String, &'static str) {
    match node {
        Node::Clients => ("clients".to_owned(), "clients"),
        Node::Service(name) => (name.to_string(), "service"),
        Node::Peer(name) if map.nodes.contains_key(&Node::Service(name.clone())) => {
            (format!("{name} (from outside)"), "peer")
        }
        Node::Peer(name) => (name.to_string(), "peer"),
    }
}

/// `/view/heat`
pub(super) fn heat(viewer: &Viewer, asked: &Asked) -> Answered {
    let window = asked.window();
    let (query, found) = asked.found(viewer, window)?;
    let requests = found.iter().map(|(_, request)| *request);
    let heat = analysis::heat(requests, window);
    let cells: Vec<_> = heat
        .cells
        .iter()
        .map(|((column, row), (count, errors))| (column, row, count, errors))
        .collect();
    let mut operations: std::collections::HashMap<(&str, &str), u64> =
        std::collections::HashMap::new();
    for (trace, request) in &found {
        let span = &trace.spans[request.span as usize];
        *operations.entry((span.service(), &span.operation)).or_default() += 1;
    }
    let mut operations: Vec<_> = operations.into_iter().collect();
    operations.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    operations.truncate(12);
    Ok(json!({
        "from": window.from.to_string(),
        "to": window.to.to_string(),
        "columns": heat.columns,
        "cells": cells,
        "requests": found.len(),
        "operations": operations,
        "guesses": query.guesses,
    }))
}

fn matching(
    viewer: &Viewer,
    asked: &Asked,
    window: Window,
) -> Result<Vec<Arc<Trace>>, super::Refused> {
    let query = asked.query(viewer)?;
    let snapshot = viewer.store().between(window.from, window.to);
    Ok(snapshot.traces.into_iter().filter(|trace| query.ask(trace).is_match()).collect())
}

/// Rate, errors, durations.
fn numbers(stats: &Stats, window: Window) -> Map<String, Value> {
    let percentiles = stats.durations.percentiles([0.5, 0.95, 0.99]);
    let count = stats.count();
    let rate = stats.rate(window);
    let p99 = percentiles.filter(|_| count >= ENOUGH_FOR_P99).map(|p| p[2]);
    let values = [
        ("count", json!(count)),
        ("rate", json!(rate)),
        ("estimated", json!(stats.is_estimated())),
        ("errors", json!(stats.errors as f64 / count.max(1) as f64)),
        ("p50", json!(percentiles.map(|p| p[0]))),
        ("p95", json!(percentiles.map(|p| p[1]))),
        ("p99", json!(p99)),
        ("longest", json!(stats.durations.percentiles([1.0]).map(|p| p[0]))),
        ("mean", json!(stats.durations.mean())),
        ("exact", json!(stats.durations.is_exact())),
        ("in_flight", json!(rate * stats.durations.mean() as f64 / 1e9)),
        ("series", json!(stats.series.to_vec())),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn earlier_numbers(stats: Option<&Stats>, window: Window) -> Value {
    let Some(stats) = stats else { return Value::Null };
    let mut numbers = numbers(stats, window);
    numbers.remove("series");
    numbers.into()
}
