//! One trace: columns for the waterfall, and one span's attributes when they are wanted.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::asked::trace as find;
use super::clocks::KnownClocks;
use super::traces::missing;
use super::{Answered, Asked, Refused, Viewer};
use crate::viewer::analysis::{
    self, Broken, Clock, Group, NONE, Reason, Tree, critical_path, icon, own_time, pairs, similar,
};
use crate::viewer::span::{Span, span_hex, trace_hex};
use crate::viewer::store::Trace;
use crate::viewer::underway;

/// Traces so long before and after a trace tell what is typical of its kind, ns: what is so now may not have been then.
const AROUND: u64 = 900_000_000_000;

/// Texts that columns name by number.
#[derive(Default)]
struct Strings<'a> {
    all: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Strings<'a> {
    fn of(&mut self, text: &'a str) -> usize {
        *self.places.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        })
    }
}

/// `/view/trace/ID`: spans in depth-first order, each a place in every column.
///
/// Times of hosts whose clocks cannot agree are moved, unless `skew=raw` is asked for. What is under way is there, too,
/// as spans that last until now, and counts for nothing.
pub(super) fn trace(viewer: &Viewer, id: &str, asked: &Asked) -> Answered {
    let stored = find(viewer, id)?;
    let clocks = KnownClocks::default().of(viewer, &stored);
    let is_raw = asked.get("skew") == Some("raw");
    let moves = !is_raw && clocks.iter().any(|clock| clock.ahead.is_some());
    let finished = if moves { Arc::new(analysis::moved(&stored, &clocks)) } else { stored };
    let whole = underway::with(&finished, &viewer.open(), asked.now);
    let trace = whole.as_ref().unwrap_or(&finished);
    let is_moved = analysis::is_moved(trace, if moves { &clocks } else { &[] });
    let tree = Tree::of(trace);
    let summary = finished.summary();
    let other = pairs(trace, &tree);
    let own = own_time(trace, &tree);
    let mut place = vec![0_u32; trace.spans.len()];
    for (at, span) in tree.order.iter().enumerate() {
        place[*span as usize] = at as u32;
    }
    let placed = |span: u32| if span == NONE { -1 } else { i64::from(place[span as usize]) };
    // What is under way comes behind what is finished.
    let is_open = |at: usize| at >= finished.spans.len();
    let begins = tree.root().filter(|root| is_open(*root as usize));
    let outcomes: Vec<String> = tree
        .order
        .iter()
        .map(|at| match *at as usize {
            at if is_open(at) => "still open".to_owned(),
            at => trace.spans[at].outcome(&trace.dictionary).unwrap_or_default(),
        })
        .collect();
    let mut strings = Strings::default();
    let mut columns: Vec<(&str, Vec<Value>)> = [
        "id",
        "parent",
        "pair",
        "service",
        "operation",
        "peer",
        "icon",
        "kind",
        "outcome",
        "failed",
        "start",
        "duration",
        "own",
        "orphan",
        "open",
        "moved",
        "lost",
    ]
    .map(|name| (name, Vec::with_capacity(trace.spans.len())))
    .into();
    for (at, outcome) in tree.order.iter().zip(&outcomes) {
        let at = *at as usize;
        let span = &trace.spans[at];
        let peer = span.peer.as_deref().unwrap_or_default();
        let icon = if span.kind.calls() && other[at] == NONE { icon(trace, span) } else { "" };
        let row: [Value; 17] = [
            span_hex(span.id).into(),
            placed(tree.parent[at]).into(),
            placed(other[at]).into(),
            strings.of(span.service()).into(),
            strings.of(&span.operation).into(),
            strings.of(peer).into(),
            strings.of(icon).into(),
            strings.of(span.kind.name()).into(),
            strings.of(outcome).into(),
            u8::from(span.failed).into(),
            // Within a trace µs with fractions are exact enough for a double.
            ((span.start - trace.start) as f64 / 1e3).into(),
            (span.duration() as f64 / 1e3).into(),
            (own[at] as f64 / 1e3).into(),
            orphan(span, tree.is_orphan[at]).into(),
            u8::from(is_open(at)).into(),
            u8::from(is_moved[at]).into(),
            u8::from(analysis::has_lost(trace, span)).into(),
        ];
        for ((_, column), value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    // Without what is under way, and so of a tree of its own.
    let finished_tree = Tree::of(&finished);
    let path: Vec<Value> = critical_path(&finished, &finished_tree, summary.root)
        .iter()
        .map(|segment| {
            json!([
                placed(segment.span),
                (segment.start - trace.start) as f64 / 1e3,
                (segment.end - trace.start) as f64 / 1e3,
            ])
        })
        .collect();
    let (groups, typical) = alike(viewer, &finished, &placed);
    let columns: Map<String, Value> =
        columns.into_iter().map(|(name, column)| (name.to_owned(), column.into())).collect();
    Ok(json!({
        "id": trace_hex(trace.id),
        "began": trace.start.to_string(),
        "length": (trace.end - trace.start) as f64 / 1e3,
        "whole": summary.duration as f64 / 1e3,
        "root": placed(summary.root),
        "entry": placed(begins.unwrap_or(summary.entry)),
        "failing": summary.failed,
        "slow": trace.is_slow,
        "services": summary.services,
        "errors": summary.errors,
        "incomplete": missing(analysis::incomplete(trace, &tree)),
        "open": trace.spans.len() - finished.spans.len(),
        "clocks": clocks.iter().map(clock).collect::<Vec<_>>(),
        "raw": is_raw,
        "left_out": trace.left_out,
        "broken": tree.broken.map(|broken| match broken {
            Broken::DuplicateId => "Two spans have the same id.",
            Broken::Cycle => "Spans name each other as parents.",
        }),
        "sentence": sentence(&finished, &placed),
        "cause": summary.why.failed.as_ref().map(|reason| placed(reason.span)),
        "shares": summary.shares.iter().map(|share| json!({
            "service": &*share.service, "peer": share.peer.as_deref(), "time": share.time as f64 / 1e3,
        })).collect::<Vec<_>>(),
        "said": said(&finished),
        "strings": strings.all,
        "columns": columns,
        "path": path,
        "similar": groups,
        "typical": typical,
    }))
}

/// Groups of calls that are alike, each with how often the typical request makes them; and that request.
fn alike(viewer: &Viewer, trace: &Trace, placed: &impl Fn(u32) -> i64) -> (Vec<Value>, Value) {
    let tree = Tree::of(trace);
    let groups = similar(trace, &tree);
    let typical = if groups.is_empty() {
        None
    } else {
        let (from, to) = (trace.start.saturating_sub(AROUND), trace.end.saturating_add(AROUND));
        let around = viewer.store().between(from, to).traces;
        analysis::typical(trace, &around)
    };
    let usual = typical
        .as_ref()
        .map(|(typical, _)| analysis::usual_calls(trace, &pairs(trace, &tree), &groups, typical));
    let one = |(number, group): (usize, &Group)| {
        let usual = usual.as_ref().map(|usual| usual[number]);
        json!({
            "members": group.members.iter().map(|at| placed(*at)).collect::<Vec<_>>(),
            "total": group.total as f64 / 1e3,
            "longest": group.longest as f64 / 1e3,
            "overlap": group.overlap,
            "usual": usual,
            "repeated": group.is_n_plus_one(usual),
        })
    };
    let groups = groups.iter().enumerate().map(one).collect();
    let typical = typical.map(|(typical, of)| json!({ "id": trace_hex(typical.id), "of": of }));
    (groups, typical.into())
}

fn clock(clock: &Clock) -> Value {
    json!({
        "host": clock.host,
        "ahead": clock.ahead.map(|(ahead, _)| ahead as f64 / 1e3),
        "within": clock.ahead.map(|(_, within)| within as f64 / 1e3),
    })
}

/// Why a span has no parent here, in a word; empty for one that has, or that never had any.
const fn orphan(span: &Span, is_orphan: bool) -> &'static str {
    match (is_orphan, span.remote_parent && span.kind.is_called()) {
        (false, _) => "",
        (true, true) => "caller is outside this host",
        (true, false) => "parent not seen",
    }
}

/// Why it failed and where the time went: texts, each with the span that it is about.
fn sentence(trace: &Trace, placed: &impl Fn(u32) -> i64) -> Vec<Value> {
    let why = &trace.summary().why;
    let mut out: Vec<Value> = Vec::new();
    let mut say = |text: &str, span: Option<u32>| {
        out.push(json!({ "text": text, "span": span.map(placed) }));
    };
    let mut clause = |before: &str, reason: &Reason| {
        say(before, None);
        for part in &reason.clause {
            say(&part.text, part.span);
        }
    };
    match (&why.failed, &why.time) {
        (Some(failed), time) => {
            clause("Failed because ", failed);
            if let Some(time) = time {
                clause(if trace.is_slow { "; slow because " } else { "; " }, time);
            }
        }
        (None, Some(time)) => {
            clause(if trace.is_slow { "Slow because " } else { "Nothing failed; " }, time);
        }
        (None, None) => return out,
    }
    say(".", None);
    out
}

/// What the trace says of its user or its order: business ids stand in the title.
fn said(trace: &Trace) -> Vec<(String, String)> {
    const WORTH: [&str; 5] = ["user.id", "enduser.id", "order.id", "session.id", "tenant.id"];
    let mut out: Vec<(String, String)> = Vec::new();
    for span in trace.spans.iter().take(200) {
        for (key, value) in span.attributes.iter(&trace.dictionary) {
            if WORTH.contains(&key) && !out.iter().any(|(known, _)| known == key) {
                out.push((key.to_owned(), value.display().into_owned()));
            }
        }
    }
    out
}

/// `/view/trace/ID/span/SPAN`
pub(super) fn span(viewer: &Viewer, trace_id: &str, id: &str, asked: &Asked) -> Answered {
    let stored = find(viewer, trace_id)?;
    let whole = underway::with(&stored, &viewer.open(), asked.now);
    let trace = whole.as_ref().unwrap_or(&stored);
    let wanted = u64::from_str_radix(id, 16).unwrap_or(0);
    let span = trace.spans.iter().find(|span| span.id == wanted);
    let Some(span) = span else { return Err(Refused::not_found("No span has this id.")) };
    let pairs_of = |attributes: &crate::viewer::attributes::Attributes| -> Vec<(String, Value)> {
        attributes
            .iter(&trace.dictionary)
            .map(|(key, value)| (key.to_owned(), value.json()))
            .collect()
    };
    let more = span.more.as_deref();
    Ok(json!({
        "id": span_hex(span.id),
        "name": &*span.name,
        "kind": span.kind.name(),
        "start": span.start.to_string(),
        "scope": &*span.scope,
        "message": more.map_or("", |more| &more.status_message),
        "attributes": pairs_of(&span.attributes),
        "process": pairs_of(&span.process.attributes),
        "events": more.map_or(Vec::new(), |more| {
            more.events
                .iter()
                .map(|event| json!({
                    "after": event.at.saturating_sub(span.start) as f64 / 1e3,
                    "name": event.name,
                    "attributes": pairs_of(&event.attributes),
                }))
                .collect()
        }),
        "links": more.map_or(Vec::new(), |more| {
            let link = |link: &crate::viewer::span::Link| json!([trace_hex(link.trace), span_hex(link.span)]);
            more.links.iter().map(link).collect()
        }),
    }))
}
