//! The list of traces, and what stands above and beside it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::asked::Found;
use super::clocks::KnownClocks;
use super::{Answered, Asked, Viewer};
use crate::status::OpenRequest;
use crate::viewer::analysis::{
    Finding, Incomplete, NONE, Reason, Request, Stats, Summary, Window, findings, icon,
};
use crate::viewer::span::{Span, trace_hex};
use crate::viewer::store::Trace;
use crate::viewer::underway;

/// Rows in one answer, unless fewer are asked for.
const ROWS: usize = 100;
const MOST_ROWS: usize = 2_000;
/// Bars of the histogram.
const BARS: usize = 90;

/// `/view/traces`
pub(super) fn traces(viewer: &Viewer, asked: &Asked) -> Answered {
    let window = asked.window();
    let newest = viewer.store().since(u64::MAX).1;
    let (query, mut found) = asked.found(viewer, window)?;
    let before = if asked.is_known(viewer, asked.before()) {
        asked.found(viewer, asked.before())?.1
    } else {
        Vec::new()
    };
    let sort = asked.get("sort").unwrap_or("latest");
    let limit = asked.number("limit").map_or(ROWS, |limit| (limit as usize).min(MOST_ROWS));
    let counts = counts(&found, window);
    let totals = totals(&found, window);
    let all: Vec<Arc<Trace>> = found.iter().map(|(trace, _)| trace.clone()).collect();
    let beside = beside(&all, window);
    let findings = known_wrong(&all);
    drop(all);
    if sort == "failing" {
        found.retain(|(trace, request)| request.failed || trace.summary().failed);
    }
    if let Some(only) = asked.get("only") {
        found.retain(|(trace, _)| match only {
            "slow" => trace.is_slow,
            "incomplete" => trace.summary().incomplete.is_some(),
            _ => true,
        });
    }
    match sort {
        "slowest" => found.sort_by_key(|(trace, request)| (u64::MAX - request.duration, trace.id)),
        _ => found.sort_by_key(|(trace, request)| (u64::MAX - request.start, trace.id)),
    }
    let excluding = if found.is_empty() { excluding(viewer, asked, window) } else { Vec::new() };
    let shown = &found[..found.len().min(limit)];
    let rows = rows(viewer, shown, &mut KnownClocks::default());
    Ok(json!({
        "from": window.from.to_string(),
        "to": window.to.to_string(),
        "rows": rows,
        "counts": counts,
        "totals": totals,
        "before": totals_before(&before, asked.before()),
        "beside": beside,
        "findings": findings,
        "guesses": query.guesses,
        "excluding": excluding,
        "newest": newest,
        "opens": query.trace().filter(|_| !found.is_empty()).map(trace_hex),
    }))
}

/// What is known to be wrong with these traces.
pub(super) fn known_wrong(traces: &[Arc<Trace>]) -> Vec<Value> {
    let told = |finding: Finding| {
        json!({
            "kind": finding.kind.name(),
            "title": finding.title,
            "detail": finding.detail,
            "query": finding.query,
            "traces": finding.traces,
        })
    };
    findings(traces).into_iter().map(told).collect()
}

/// Lines of the list, by the clock of each trace's first span.
pub(super) fn rows(viewer: &Viewer, found: &[Found], known: &mut KnownClocks) -> Vec<Value> {
    let open = viewer.open();
    let one = |(trace, request): &Found| match known.corrected(viewer, trace) {
        None => row(trace, *request, &open),
        Some(moved) => {
            let start = moved.spans[request.span as usize].start;
            row(&moved, Request { start, ..*request }, &open)
        }
    };
    found.iter().map(one).collect()
}

/// One line of the list.
fn row(trace: &Trace, request: Request, open: &[OpenRequest]) -> Value {
    let summary = trace.summary();
    let active = underway::of_trace(trace, open).count();
    let mut shares: Vec<(&str, u64)> = Vec::new();
    for share in &summary.shares {
        match shares.iter_mut().find(|(service, _)| *service == &*share.service) {
            Some((_, time)) => *time += share.time,
            None => shares.push((&share.service, share.time)),
        }
    }
    json!({
        "id": trace_hex(trace.id),
        "service": &*summary.service,
        "operation": &*summary.operation,
        "outcome": summary.outcome,
        "failed": summary.failed,
        "slow": trace.is_slow,
        "start": summary.start.to_string(),
        "at": request.start.to_string(),
        "duration": summary.duration,
        "shares": shares,
        "why": why(trace, summary, active),
        "spans": trace.spans.len(),
        "services": summary.services,
        "errors": summary.errors,
        "incomplete": missing(summary.incomplete).filter(|_| active == 0),
        "active": active,
    })
}

/// Only what stands out has a reason in the list.
fn why(trace: &Trace, summary: &Summary, active: usize) -> Option<Value> {
    let told = |reason: &Reason, level| json!({ "kind": reason.kind.name(), "text": reason.short, "level": level });
    if let Some(reason) = &summary.why.failed {
        return Some(told(reason, "error"));
    }
    if trace.is_slow {
        return summary.why.time.as_ref().map(|reason| told(reason, "warn"));
    }
    if active > 0 {
        // Who is waited for is no missing one.
        let text =
            if active == 1 { "still open".to_owned() } else { format!("{active} still open") };
        return Some(json!({ "kind": "open", "text": text, "level": "" }));
    }
    let text = missing(summary.incomplete)?;
    Some(json!({ "kind": "incomplete", "text": text, "level": "" }))
}

/// What is missing, in words.
pub(super) fn missing(what: Option<Incomplete>) -> Option<String> {
    Some(match what? {
        Incomplete::ParentNotSeen(1) => "incomplete: 1 parent not seen".to_owned(),
        Incomplete::ParentNotSeen(count) => format!("incomplete: {count} parents not seen"),
        Incomplete::EndNotSeen(1) => "incomplete: bytes of 1 span were lost".to_owned(),
        Incomplete::EndNotSeen(count) => format!("incomplete: bytes of {count} spans were lost"),
    })
}

/// Requests and errors over time.
fn counts(found: &[Found], window: Window) -> Vec<(u32, u32)> {
    let mut bars = vec![(0, 0); BARS];
    for (trace, request) in found {
        let bar = &mut bars[window.part(request.start, BARS)];
        bar.0 += 1;
        bar.1 += u32::from(request.failed || trace.summary().failed);
    }
    bars
}

/// The four numbers, and how many there are of each result.
fn totals(found: &[Found], window: Window) -> Value {
    let (mut slow, mut incomplete) = (0, 0);
    for (trace, _) in found {
        slow += u32::from(trace.is_slow);
        incomplete += u32::from(trace.summary().incomplete.is_some());
    }
    let mut totals = totals_before(found, window);
    totals["slow"] = slow.into();
    totals["incomplete"] = incomplete.into();
    totals
}

fn totals_before(found: &[Found], window: Window) -> Value {
    let mut stats = Stats::default();
    for (trace, request) in found {
        stats.add(window, trace.weight, request.start, request.duration, request.failed);
    }
    let percentiles = stats.durations.percentiles([0.5, 0.95, 0.99]);
    json!({
        "count": stats.count(),
        "rate": stats.rate(window),
        "errors": stats.errors,
        "p50": percentiles.map(|p| p[0]),
        "p95": percentiles.map(|p| p[1]),
        "p99": percentiles.map(|p| p[2]),
    })
}

/// Services with their requests and errors, and whom they talk to.
fn beside(traces: &[Arc<Trace>], window: Window) -> Value {
    let mut services: HashMap<&str, Beside> = HashMap::new();
    let mut peers: HashMap<&str, (Beside, &'static str)> = HashMap::new();
    for trace in traces {
        let mut answered = vec![false; trace.spans.len()];
        let parents = &trace.summary().parents;
        for (span, parent) in trace.spans.iter().zip(parents) {
            if span.kind.is_called() && *parent != NONE {
                answered[*parent as usize] = true;
            }
        }
        for (span, answered) in trace.spans.iter().zip(answered) {
            if span.kind.is_called() {
                services.entry(span.service()).or_default().add(trace, span);
            } else if span.kind.calls()
                && !answered
                && let Some(peer) = &span.peer
            {
                let entry = peers.entry(peer);
                let entry = entry.or_insert_with(|| (Beside::default(), icon(trace, span)));
                entry.0.add(trace, span);
            }
        }
    }
    let seconds = window.seconds();
    let mut services: Vec<_> = services.into_iter().collect();
    services.sort_by(|(a, x), (b, y)| y.calls.cmp(&x.calls).then_with(|| a.cmp(b)));
    let mut peers: Vec<_> = peers.into_iter().collect();
    peers.sort_by(|(a, (x, _)), (b, (y, _))| y.calls.cmp(&x.calls).then_with(|| a.cmp(b)));
    let line = |name: &str, of: &Beside| {
        json!({
            "name": name,
            "rate": of.weight / seconds,
            "errors": of.errors as f64 / of.calls.max(1) as f64,
        })
    };
    let peer = |(name, (of, icon)): &(&str, (Beside, &str))| {
        let mut line = line(name, of);
        line["icon"] = (*icon).into();
        line
    };
    json!({
        "services": services.iter().map(|(name, of)| line(name, of)).collect::<Vec<_>>(),
        "peers": peers.iter().map(peer).collect::<Vec<_>>(),
    })
}

/// Calls of one who stands beside the list.
#[derive(Default)]
struct Beside {
    calls: u64,
    errors: u64,
    /// How many calls these stand for.
    weight: f64,
}

impl Beside {
    fn add(&mut self, trace: &Trace, span: &Span) {
        self.calls += 1;
        self.errors += u64::from(span.failed);
        self.weight += trace.weight;
    }
}

/// For a query that finds nothing: how many each of its parts leaves when it is taken away.
fn excluding(viewer: &Viewer, asked: &Asked, window: Window) -> Vec<Value> {
    use crate::viewer::search::{Node, parse, read};
    let Ok(Node::And(all)) = parse(asked.get("q").unwrap_or("")) else { return Vec::new() };
    let snapshot = viewer.store().between(window.from, window.to);
    let keys = snapshot.dictionary.keys();
    let mut out = Vec::new();
    for left_out in 0..all.len().min(8) {
        let mut rest = all.clone();
        let without = rest.remove(left_out);
        let Ok(query) = read(&Node::And(rest), &keys) else { continue };
        let count = snapshot.traces.iter().filter(|trace| query.ask(trace).is_match()).count();
        if count > 0 {
            out.push(json!({ "without": without.to_string(), "count": count }));
        }
    }
    out
}
