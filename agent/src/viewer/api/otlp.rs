//! A trace as OTLP/JSON, for download: what any OTLP file reader takes.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::asked::trace as find;
use super::{Answered, Viewer};
use crate::viewer::attributes::{Attributes, Value};
use crate::viewer::dictionary::Dictionary;
use crate::viewer::span::{Kind, Process, Span, span_hex, trace_hex};
use crate::viewer::store::Trace;

/// OTLP `SpanFlags`: whether the parent is remote is known, and it is.
const REMOTE_PARENT: u32 = 0x300;

/// A scope's name and its spans.
type Scope<'a> = (&'a Arc<str>, Vec<Json>);

/// `/view/trace/ID/otlp`
pub(super) fn trace(viewer: &Viewer, id: &str) -> Answered {
    let trace = find(viewer, id)?;
    let mut resources: Vec<(&Arc<Process>, Vec<Scope<'_>>)> = Vec::new();
    for span in &trace.spans {
        let at = resources.iter().position(|(process, _)| Arc::ptr_eq(process, &span.process));
        let at = at.unwrap_or_else(|| {
            resources.push((&span.process, Vec::new()));
            resources.len() - 1
        });
        let scopes = &mut resources[at].1;
        let made = span_json(&trace, span);
        match scopes.iter_mut().find(|(scope, _)| **scope == span.scope) {
            Some((_, spans)) => spans.push(made),
            None => scopes.push((&span.scope, vec![made])),
        }
    }
    let resources: Vec<Json> = resources
        .into_iter()
        .map(|(process, scopes)| {
            let scopes: Vec<Json> = scopes
                .into_iter()
                .map(|(name, spans)| json!({ "scope": { "name": &**name }, "spans": spans }))
                .collect();
            let attributes = attributes(&process.attributes, &trace.dictionary);
            json!({ "resource": { "attributes": attributes }, "scopeSpans": scopes })
        })
        .collect();
    Ok(json!({ "resourceSpans": resources }))
}

fn span_json(trace: &Trace, span: &Span) -> Json {
    let mut out = json!({
        "traceId": trace_hex(trace.id),
        "spanId": span_hex(span.id),
        "name": &*span.name,
        "kind": match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
        "startTimeUnixNano": span.start.to_string(),
        "endTimeUnixNano": span.end.to_string(),
        "attributes": attributes(&span.attributes, &trace.dictionary),
        "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
    });
    if span.parent != 0 {
        out["parentSpanId"] = span_hex(span.parent).into();
    }
    if span.remote_parent {
        out["flags"] = REMOTE_PARENT.into();
    }
    let Some(more) = &span.more else { return out };
    if !more.trace_state.is_empty() {
        out["traceState"] = more.trace_state.as_str().into();
    }
    if !more.status_message.is_empty() {
        out["status"]["message"] = more.status_message.as_str().into();
    }
    if !more.links.is_empty() {
        let links = more.links.iter();
        out["links"] = links
            .map(|link| json!({ "traceId": trace_hex(link.trace), "spanId": span_hex(link.span) }))
            .collect();
    }
    if !more.events.is_empty() {
        let events = more.events.iter();
        out["events"] = events
            .map(|event| {
                json!({
                    "timeUnixNano": event.at.to_string(),
                    "name": event.name,
                    "attributes": attributes(&event.attributes, &trace.dictionary),
                })
            })
            .collect();
    }
    out
}

fn attributes(from: &Attributes, dictionary: &Dictionary) -> Vec<Json> {
    from.iter(dictionary)
        .map(|(key, value)| {
            let value = match value {
                Value::Text(text) => json!({ "stringValue": text }),
                Value::Int(number) => json!({ "intValue": number.to_string() }),
                Value::Float(number) => json!({ "doubleValue": number }),
                Value::Bool(truth) => json!({ "boolValue": truth }),
                // Kept as OTLP/JSON has it.
                Value::Json(_) => value.json(),
            };
            json!({ "key": key, "value": value })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

    use super::*;
    use crate::export::batch;
    use crate::viewer::sample::{BEGIN, checkout};
    use crate::viewer::store::Limits;

    #[test]
    fn what_went_in_comes_out() {
        let mut sample = checkout(7);
        sample.spans[0].span.flags = REMOTE_PARENT;
        sample.spans[0].span.trace_state = "a=b".to_owned();
        let sent = batch::request(sample.spans);
        let viewer = Viewer::new(Limits::default());
        viewer.store().take(sent.clone(), BEGIN);
        let json = trace(&viewer, "7").unwrap();
        let back: ExportTraceServiceRequest = serde_json::from_value(json).unwrap();
        let spans = |request: &ExportTraceServiceRequest| {
            let mut spans: Vec<_> = request
                .resource_spans
                .iter()
                .flat_map(|r| r.scope_spans.iter().flat_map(|s| s.spans.iter().cloned()))
                .map(|mut span| {
                    span.status.get_or_insert_default();
                    span
                })
                .collect();
            spans.sort_by_key(|span| span.span_id.clone());
            spans
        };
        assert_eq!(spans(&back), spans(&sent));
        assert_eq!(back.resource_spans.len(), 4);
    }
}
