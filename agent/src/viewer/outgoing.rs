//! The store's spans as OTLP again: for download, and for the file that they survive a restart in.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Otlp;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, status::StatusCode,
};

use super::attributes::{Attributes, Value};
use super::dictionary::Dictionary;
use super::span::{Kind, Process, Span};
use super::store::Trace;

/// OTLP `SpanFlags`: whether the parent is remote is known, and it is.
const REMOTE_PARENT: u32 = 0x300;

/// A trace as one export request.
pub(crate) fn otlp(trace: &Trace) -> ExportTraceServiceRequest {
    let mut processes: Vec<&Arc<Process>> = Vec::new();
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    for span in &trace.spans {
        let at = processes.iter().position(|process| Arc::ptr_eq(process, &span.process));
        let at = at.unwrap_or_else(|| {
            let attributes = attributes(&span.process.attributes, &trace.dictionary);
            processes.push(&span.process);
            resource_spans.push(ResourceSpans {
                resource: Some(Resource { attributes, ..Resource::default() }),
                ..ResourceSpans::default()
            });
            processes.len() - 1
        });
        let scopes = &mut resource_spans[at].scope_spans;
        let is_it = |of: &ScopeSpans| of.scope.as_ref().is_some_and(|s| s.name == *span.scope);
        let scope = scopes.iter().position(is_it).unwrap_or_else(|| {
            let name = span.scope.to_string();
            let scope = InstrumentationScope { name, ..InstrumentationScope::default() };
            scopes.push(ScopeSpans { scope: Some(scope), ..ScopeSpans::default() });
            scopes.len() - 1
        });
        scopes[scope].spans.push(one(trace, span));
    }
    ExportTraceServiceRequest { resource_spans }
}

fn one(trace: &Trace, span: &Span) -> OtlpSpan {
    let of = |from: &Attributes| attributes(from, &trace.dictionary);
    let more = span.more.as_deref();
    OtlpSpan {
        trace_id: trace.id.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: match span.parent {
            0 => Vec::new(),
            parent => parent.to_be_bytes().to_vec(),
        },
        flags: if span.remote_parent { REMOTE_PARENT } else { 0 },
        trace_state: more.map(|more| more.trace_state.clone()).unwrap_or_default(),
        name: span.name.to_string(),
        kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        }
        .into(),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: of(&span.attributes),
        events: more
            .iter()
            .flat_map(|more| &more.events)
            .map(|event| Event {
                time_unix_nano: event.at,
                name: event.name.clone(),
                attributes: of(&event.attributes),
                ..Event::default()
            })
            .collect(),
        links: more
            .iter()
            .flat_map(|more| &more.links)
            .map(|link| Link {
                trace_id: link.trace.to_be_bytes().to_vec(),
                span_id: link.span.to_be_bytes().to_vec(),
                ..Link::default()
            })
            .collect(),
        status: Some(Status {
            code: if span.failed { StatusCode::Error } else { StatusCode::Unset }.into(),
            message: more.map(|more| more.status_message.clone()).unwrap_or_default(),
        }),
        ..OtlpSpan::default()
    }
}

fn attributes(from: &Attributes, dictionary: &Dictionary) -> Vec<KeyValue> {
    from.iter(dictionary)
        .map(|(key, value)| {
            let value = match value {
                Value::Text(text) => {
                    Some(AnyValue { value: Some(Otlp::StringValue(text.to_owned())) })
                }
                Value::Int(number) => Some(AnyValue { value: Some(Otlp::IntValue(number)) }),
                Value::Float(number) => Some(AnyValue { value: Some(Otlp::DoubleValue(number)) }),
                Value::Bool(truth) => Some(AnyValue { value: Some(Otlp::BoolValue(truth)) }),
                // Kept as OTLP/JSON has it; one that was cut for its length is no JSON any more.
                Value::Json(text) => serde_json::from_str(text)
                    .ok()
                    .or_else(|| Some(AnyValue { value: Some(Otlp::StringValue(text.to_owned())) })),
            };
            KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use crate::viewer::sample::{BEGIN, checkout};
    use crate::viewer::store::{Limits, Store};

    /// All spans, in the order of their ids.
    fn spans(request: ExportTraceServiceRequest) -> Vec<OtlpSpan> {
        let scopes = request.resource_spans.into_iter().flat_map(|of| of.scope_spans);
        let mut spans: Vec<OtlpSpan> = scopes.flat_map(|scope| scope.spans).collect();
        for span in &mut spans {
            span.status.get_or_insert_default();
        }
        spans.sort_by_key(|span| span.span_id.clone());
        spans
    }

    #[test]
    fn what_went_in_comes_out() {
        let mut sample = checkout(7);
        sample.spans[0].span.flags = REMOTE_PARENT;
        sample.spans[0].span.trace_state = "a=b".to_owned();
        let link = Link { trace_id: vec![1; 16], span_id: vec![2; 8], ..Link::default() };
        sample.spans[1].span.links = vec![link];
        sample.spans[2].span.events = vec![Event {
            time_unix_nano: BEGIN,
            name: "retry".to_owned(),
            attributes: vec![sample::number("attempt", -2)],
            ..Event::default()
        }];
        let sent = sample::request(sample.spans);
        let mut store = Store::new(Limits::default());
        store.take(sent.clone(), BEGIN);
        let back = otlp(&store.trace(7).unwrap());
        assert_eq!(back.resource_spans.len(), sent.resource_spans.len());
        assert_eq!(spans(back), spans(sent));
    }
}
