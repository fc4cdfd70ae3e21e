//! Export: finished spans leave the agent here, as OTLP or as text.
//!
//! Everything in this folder takes finished spans and nothing from the stages before `trace`. A destination may be
//! slow, down or hostile: what waits for it is bounded, what is dropped is counted by its reason, and the capture side
//! is never made to wait.
#![forbid(unsafe_code)]

pub mod batch;
pub mod json;
pub mod otlp;
pub mod terminal;

pub(crate) use crate::trace::{EncodedSpan, FinishedSpan};

/// Schema of every resource and scope that is sent: the semantic conventions the attribute names are from.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

#[cfg(test)]
pub(crate) mod sample {
    //! Spans for the tests of this folder.

    use std::sync::Arc;

    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value::Value},
        resource::v1::Resource,
        trace::v1::{Span, span::SpanKind},
    };

    use crate::{
        service::Service,
        trace::{EncodedSpan, FinishedSpan},
    };

    pub(crate) fn text(key: &str, value: &str) -> KeyValue {
        attribute(key, Value::StringValue(value.to_owned()))
    }

    pub(crate) fn number(key: &str, value: i64) -> KeyValue {
        attribute(key, Value::IntValue(value))
    }

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    pub(crate) fn service(name: &str) -> Arc<Service> {
        Arc::new(Service {
            name: name.to_owned(),
            version: None,
            environment: None,
            instance_id: name.to_owned(),
            pid: 1,
            resource: Resource {
                attributes: vec![text("service.name", name)],
                ..Resource::default()
            },
        })
    }

    /// An export request as those see it who take it apart.
    pub(crate) fn request(spans: Vec<FinishedSpan>) -> ExportTraceServiceRequest {
        let spans: Vec<EncodedSpan> = spans.into_iter().map(Into::into).collect();
        super::batch::message(&spans)
    }

    /// A root server span of trace 7 whose id ends in `id`.
    pub(crate) fn outgoing(service: &Arc<Service>, scope: &'static str, id: u64) -> FinishedSpan {
        FinishedSpan {
            service: service.clone(),
            scope,
            span: Span {
                trace_id: 7_u128.to_be_bytes().to_vec(),
                span_id: id.to_be_bytes().to_vec(),
                name: "GET".to_owned(),
                kind: SpanKind::Server.into(),
                start_time_unix_nano: 1_700_000_000_000_000_000 + id,
                end_time_unix_nano: 1_700_000_000_001_000_000 + id,
                ..Span::default()
            },
        }
    }
}
