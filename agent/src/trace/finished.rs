//! Finished spans: as they leave the tracer, encoded, and as those see them who look inside.
#![forbid(unsafe_code)]

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::service::Service;

/// A span that is complete, resolved and sampled, on its way out: nobody changes it any more, so it is OTLP's bytes already.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedSpan {
    /// Whose it is.
    pub service: Arc<Service>,
    /// Instrumentation scope: one for each protocol.
    pub scope: &'static str,
    /// `Span` of OTLP, as protobuf.
    pub bytes: Box<[u8]>,
}

/// The same for those who show it.
#[derive(Clone, Debug)]
pub struct FinishedSpan {
    /// Whose it is.
    pub service: Arc<Service>,
    /// Instrumentation scope: one for each protocol.
    pub scope: &'static str,
    /// As OTLP has it.
    pub span: Span,
}

impl From<EncodedSpan> for FinishedSpan {
    fn from(EncodedSpan { service, scope, bytes }: EncodedSpan) -> Self {
        // Nobody but ourselves has written it.
        let span = Span::decode(&*bytes).unwrap_or_default();
        Self { service, scope, span }
    }
}

impl From<FinishedSpan> for EncodedSpan {
    fn from(FinishedSpan { service, scope, span }: FinishedSpan) -> Self {
        Self { service, scope, bytes: span.encode_to_vec().into() }
    }
}
