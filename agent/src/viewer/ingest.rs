//! OTLP spans into the store's own form: whatever is said more than once is kept once.
//!
//! What it is given may come from strangers (`--otlp-in`): a span without valid ids is left out and counted, times that
//! run backwards are none, and the tables that texts and processes are shared by have a size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, status::StatusCode};
use prost::Message;

use super::attributes::Attributes;
use super::dictionary::{Dictionary, Writer};
use super::operation::{operation, peer};
use super::span::{Event, Kind, Link, More, Process, Span, TraceId};

/// OTLP `SpanFlags`: the parent is known to be in another process.
const PARENT_IS_REMOTE: u32 = 0x300;
/// Most resources remembered; beyond it the memory starts anew.
const MOST_PROCESSES: usize = 4_096;
/// Most names remembered; beyond it those that nobody uses any more are forgotten.
const MOST_NAMES: usize = 16_384;
/// Links and events that are kept of one span, each.
const MOST_MORE: usize = 128;

/// Turns requests into spans.
pub(crate) struct Ingest {
    dictionary: Arc<Dictionary>,
    /// By the resource's bytes.
    processes: HashMap<Vec<u8>, Arc<Process>>,
    names: HashSet<Arc<str>>,
    /// Spans without valid ids.
    pub(crate) malformed: u64,
}

impl Ingest {
    pub(crate) fn new(dictionary: Arc<Dictionary>) -> Self {
        Self { dictionary, processes: HashMap::new(), names: HashSet::new(), malformed: 0 }
    }

    /// The spans of a request, each with its trace's id.
    pub(crate) fn take(
        &mut self,
        request: ExportTraceServiceRequest,
        mut give: impl FnMut(TraceId, Span),
    ) {
        let dictionary = self.dictionary.clone();
        let mut writer = dictionary.writer();
        for resource in request.resource_spans {
            let process = self.process(&resource.resource.unwrap_or_default(), &mut writer);
            for scope in resource.scope_spans {
                let scope_name = scope.scope.map(|scope| scope.name).unwrap_or_default();
                let scope_name = self.name(&scope_name);
                for span in scope.spans {
                    match self.span(span, &process, &scope_name, &mut writer) {
                        Some((trace, span)) => give(trace, span),
                        None => self.malformed += 1,
                    }
                }
            }
        }
    }

    fn process(&mut self, resource: &Resource, writer: &mut Writer<'_>) -> Arc<Process> {
        let bytes = resource.encode_to_vec();
        if let Some(process) = self.processes.get(&bytes) {
            return process.clone();
        }
        if self.processes.len() >= MOST_PROCESSES {
            self.processes.clear();
        }
        let text = |key: &str| {
            let found = resource.attributes.iter().find(|a| a.key == key)?.value.as_ref()?;
            match found.value.as_ref()? {
                opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text) => {
                    Some(text.clone())
                }
                _ => None,
            }
        };
        let service = text("service.name").filter(|name| !name.is_empty());
        let process = Arc::new(Process {
            service: self.name(service.as_deref().unwrap_or("unknown_service")),
            attributes: Attributes::pack(&resource.attributes, writer),
        });
        self.processes.insert(bytes, process.clone());
        process
    }

    fn span(
        &mut self,
        span: OtlpSpan,
        process: &Arc<Process>,
        scope: &Arc<str>,
        writer: &mut Writer<'_>,
    ) -> Option<(TraceId, Span)> {
        let trace = number16(&span.trace_id).filter(|id| *id != 0)?;
        let id = number8(&span.span_id).filter(|id| *id != 0)?;
        let kind = match span.kind() {
            SpanKind::Server => Kind::Server,
            SpanKind::Client => Kind::Client,
            SpanKind::Producer => Kind::Producer,
            SpanKind::Consumer => Kind::Consumer,
            SpanKind::Internal | SpanKind::Unspecified => Kind::Internal,
        };
        let attributes = Attributes::pack(&span.attributes, writer);
        let peer = if kind.calls() { peer(&span.attributes) } else { None };
        let status = span.status.as_ref();
        let start = span.start_time_unix_nano;
        Some((
            trace,
            Span {
                id,
                parent: number8(&span.parent_span_id).unwrap_or(0),
                start,
                end: span.end_time_unix_nano.max(start),
                kind,
                failed: status.is_some_and(|status| status.code() == StatusCode::Error),
                remote_parent: span.flags & PARENT_IS_REMOTE == PARENT_IS_REMOTE,
                process: process.clone(),
                name: self.name(&span.name),
                operation: self.name(&operation(&span.name, &span.attributes)),
                peer: peer.map(|peer| self.name(&peer)),
                scope: scope.clone(),
                attributes,
                more: more(span, writer),
            },
        ))
    }

    /// The one copy of a name.
    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Arc<str> = text.into();
        if self.names.len() >= MOST_NAMES {
            self.names.retain(|name| Arc::strong_count(name) > 1);
        }
        if self.names.len() < MOST_NAMES {
            self.names.insert(name.clone());
        }
        name
    }
}

fn more(span: OtlpSpan, writer: &mut Writer<'_>) -> Option<Box<More>> {
    let status_message = span.status.map(|status| status.message).unwrap_or_default();
    let is_usual = span.links.is_empty()
        && span.events.is_empty()
        && span.trace_state.is_empty()
        && status_message.is_empty();
    if is_usual {
        return None;
    }
    let link = |link: &opentelemetry_proto::tonic::trace::v1::span::Link| {
        Some(Link { trace: number16(&link.trace_id)?, span: number8(&link.span_id)? })
    };
    Some(Box::new(More {
        links: span.links.iter().filter_map(link).take(MOST_MORE).collect(),
        events: span
            .events
            .into_iter()
            .take(MOST_MORE)
            .map(|event| Event {
                at: event.time_unix_nano,
                attributes: Attributes::pack(&event.attributes, writer),
                name: event.name,
            })
            .collect(),
        trace_state: span.trace_state,
        status_message,
    }))
}

fn number16(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

fn number8(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use crate::viewer::attributes::Value;

    #[test]
    fn what_is_shared_is_kept_once_and_bad_ids_are_counted() {
        let dictionary = Arc::new(Dictionary::default());
        let mut ingest = Ingest::new(dictionary.clone());
        let shop = sample::service("shop");
        let mut spans: Vec<_> =
            (1..=3).map(|id| sample::outgoing(&shop, "spanwire.http", id)).collect();
        spans[1].span.attributes =
            vec![sample::text("url.path", "/cart/1"), sample::text("http.request.method", "GET")];
        spans[2].span.span_id = vec![0; 8];
        spans[0].span.end_time_unix_nano = 5;
        let mut taken = Vec::new();
        ingest.take(sample::request(spans), |trace, span| taken.push((trace, span)));
        assert_eq!(ingest.malformed, 1);
        let [(trace, first), (_, second)] = taken.as_slice() else { panic!("{}", taken.len()) };
        assert_eq!(*trace, 7);
        assert_eq!((first.id, first.duration(), first.kind), (1, 0, Kind::Server));
        assert_eq!(&*second.operation, "GET /cart/{id}");
        assert!(Arc::ptr_eq(&first.process, &second.process));
        assert!(Arc::ptr_eq(&first.name, &second.name));
        assert_eq!(&**second.service(), "shop");
        assert_eq!(second.get(&dictionary, "url.path").and_then(Value::text), Some("/cart/1"));
    }
}
