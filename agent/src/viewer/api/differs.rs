//! What the requests in a box have that the rest have not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answered, Asked, Viewer};
use crate::viewer::analysis::{self, LEAST_SELECTED, heat_row};
use crate::viewer::span::trace_hex;
use crate::viewer::store::Trace;

/// `/view/differs`: `box=T0,T1,D0,D1`, ms since 1970 and µs.
pub(super) fn differs(viewer: &Viewer, asked: &Asked) -> Answered {
    let window = asked.window();
    let (_, found) = asked.found(viewer, window)?;
    let sides: Vec<f64> =
        asked.get("box").unwrap_or("").split(',').filter_map(|n| n.parse().ok()).collect();
    let inside = |request: &analysis::Request| match sides.as_slice() {
        [from, to, shortest, longest] => {
            let at = request.start as f64 / 1e6;
            let row = heat_row(request.duration);
            let rows = heat_row((*shortest * 1e3) as u64)..heat_row((*longest * 1e3) as u64);
            *from <= at && at < *to && rows.contains(&row)
        }
        _ => request.failed,
    };
    let (mut selected, mut rest) = (Vec::new(), Vec::new());
    for one in found {
        if inside(&one.1) { selected.push(one) } else { rest.push(one) }
    }
    let mut newest = selected.clone();
    newest.sort_by_key(|(trace, request)| (u64::MAX - request.start, trace.id));
    newest.truncate(50);
    let rows = super::traces::rows(viewer, &newest, &mut super::clocks::KnownClocks::default());
    let typical = |found: &[(Arc<Trace>, analysis::Request)]| {
        let mut sorted: Vec<_> = found.iter().collect();
        sorted.sort_by_key(|(trace, request)| (request.duration, trace.id));
        let median = sorted.get(sorted.len().checked_sub(1)? / 2)?;
        Some(trace_hex(median.0.id))
    };
    let both = (typical(&rest), typical(&selected));
    let found = analysis::differs(selected, rest);
    let extra: Vec<Value> = found
        .extra
        .iter()
        .map(|extra| {
            json!({
                "service": &*extra.service,
                "operation": &*extra.operation,
                "peer": extra.peer.as_deref(),
                "time": extra.time,
            })
        })
        .collect();
    let facts: Vec<Value> = found
        .facts
        .iter()
        .map(|fact| {
            json!({
                "text": fact.text,
                "term": fact.term,
                "selected": fact.selected,
                "rest": fact.rest,
                "bound": fact.bound,
                "also": fact.also,
            })
        })
        .collect();
    Ok(json!({
        "selected": found.selected,
        "rest": found.rest,
        "slower": found.slower,
        "extra": extra,
        "facts": facts,
        "tested": found.tested,
        "sampled": found.sampled,
        "least": LEAST_SELECTED,
        "rows": rows,
        "typical": both,
    }))
}
