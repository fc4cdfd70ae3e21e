//! Two traces side by side.

use serde_json::{Value, json};

use super::asked::trace as find;
use super::{Answered, Asked, Refused, Viewer};
use crate::viewer::analysis::{self, ComparedSide, Row};
use crate::viewer::span::{span_hex, trace_hex};
use crate::viewer::store::Trace;

/// `/view/compare/A/B`
pub(super) fn compare(viewer: &Viewer, a: &str, b: &str) -> Answered {
    let (a, b) = (find(viewer, a)?, find(viewer, b)?);
    let rows: Vec<Value> = analysis::compare(&a, &b).iter().map(row).collect();
    Ok(json!({ "a": head(&a), "b": head(&b), "rows": rows }))
}

/// `/view/typical/ID`
pub(super) fn typical(viewer: &Viewer, id: &str, asked: &Asked) -> Answered {
    let trace = find(viewer, id)?;
    let window = asked.window();
    let snapshot = viewer.store().between(window.from, window.to);
    let found = analysis::typical(&trace, &snapshot.traces);
    let Some((typical, of)) = found else {
        return Err(Refused::not_found("No other request of this kind succeeded in the range."));
    };
    Ok(json!({ "id": trace_hex(typical.id), "of": of }))
}

fn head(trace: &Trace) -> Value {
    let summary = trace.summary();
    json!({
        "id": trace_hex(trace.id),
        "service": &*summary.service,
        "operation": &*summary.operation,
        "duration": summary.duration,
        "outcome": summary.outcome,
        "failed": summary.failed,
        "start": summary.start.to_string(),
    })
}

fn row(row: &Row) -> Value {
    let side = |side: &ComparedSide| {
        json!({
            "calls": side.calls,
            "time": side.time,
            "path": side.path,
            "failed": side.failed,
            "span": side.span.map(span_hex),
        })
    };
    json!({
        "depth": row.depth,
        "service": &*row.service,
        "operation": &*row.operation,
        "peer": row.peer.as_deref(),
        "icon": row.icon,
        "a": side(&row.a),
        "b": side(&row.b),
    })
}
