//! Many services' spans as one export request: grouped by resource, then by scope, in the order of first appearance.
//!
//! A pure function of its input, so that a replay writes the same bytes each time.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::SCHEMA_URL;
use crate::{service::Service, trace::EncodedSpan};

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.scope_spans`.
const SCOPE_SPANS: u32 = 2;
/// `ScopeSpans.spans`.
const SPANS: u32 = 2;

/// One request that carries all of `spans`, as protobuf. No envelope is empty (OTLP: do not send empty envelopes).
#[must_use]
pub fn request(spans: &[EncodedSpan]) -> Vec<u8> {
    request_in_steps(spans, || ())
}

/// The same. `step` is called twice for each span: thousands of them take a millisecond.
#[must_use]
pub(crate) fn request_in_steps(spans: &[EncodedSpan], mut step: impl FnMut()) -> Vec<u8> {
    let mut resources: Vec<OfResource<'_>> = Vec::new();
    let mut places: HashMap<*const Service, usize> = HashMap::new();
    for span in spans {
        let place = *places.entry(Arc::as_ptr(&span.service)).or_insert_with(|| {
            resources.push(OfResource::new(&span.service));
            resources.len() - 1
        });
        resources[place].take(span);
        step();
    }
    let lengths: Vec<usize> = resources.iter().map(OfResource::len).collect();
    let mut out = Vec::with_capacity(lengths.iter().map(|length| field_len(*length)).sum());
    for (resource, length) in resources.iter().zip(lengths) {
        field(RESOURCE_SPANS, length, &mut out);
        resource.write(&mut out, &mut step);
    }
    out
}

/// The same for those who look inside.
#[must_use]
pub fn message(spans: &[EncodedSpan]) -> ExportTraceServiceRequest {
    // Nobody but ourselves has written it.
    ExportTraceServiceRequest::decode(&*request(spans)).unwrap_or_default()
}

/// The spans of one service.
struct OfResource<'a> {
    /// `ResourceSpans` without scopes.
    envelope: Vec<u8>,
    scopes: Vec<OfScope<'a>>,
}

impl<'a> OfResource<'a> {
    fn new(service: &Service) -> Self {
        let envelope = ResourceSpans {
            resource: Some(service.resource.clone()),
            scope_spans: Vec::new(),
            schema_url: SCHEMA_URL.to_owned(),
        };
        Self { envelope: envelope.encode_to_vec(), scopes: Vec::new() }
    }

    fn take(&mut self, span: &'a EncodedSpan) {
        // A service speaks a handful of protocols: a search is cheaper than a second map.
        let at = self.scopes.iter().position(|of| of.scope == span.scope).unwrap_or_else(|| {
            self.scopes.push(OfScope::new(span.scope));
            self.scopes.len() - 1
        });
        self.scopes[at].spans.push(&span.bytes);
    }

    fn len(&self) -> usize {
        self.envelope.len() + self.scopes.iter().map(|of| field_len(of.len())).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>, step: &mut impl FnMut()) {
        out.extend_from_slice(&self.envelope);
        for scope in &self.scopes {
            field(SCOPE_SPANS, scope.len(), out);
            scope.write(out, step);
        }
    }
}

/// Those of one scope.
struct OfScope<'a> {
    scope: &'static str,
    /// `ScopeSpans` without spans.
    envelope: Vec<u8>,
    spans: Vec<&'a [u8]>,
}

impl OfScope<'_> {
    fn new(scope: &'static str) -> Self {
        let envelope = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: scope.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: Vec::new(),
            schema_url: SCHEMA_URL.to_owned(),
        };
        Self { scope, envelope: envelope.encode_to_vec(), spans: Vec::new() }
    }

    fn len(&self) -> usize {
        self.envelope.len() + self.spans.iter().map(|span| field_len(span.len())).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>, step: &mut impl FnMut()) {
        out.extend_from_slice(&self.envelope);
        for span in &self.spans {
            field(SPANS, span.len(), out);
            out.extend_from_slice(span);
            step();
        }
    }
}

/// The beginning of a field that is so long.
fn field(number: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// Bytes of a field of such a length; its number is below 16.
fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;

    #[test]
    fn others_can_have_the_cpu_at_each_span() {
        let a = sample::service("a");
        let spans = (1..=3).map(|n| sample::outgoing(&a, "spanwire/http1", n).into());
        let spans: Vec<EncodedSpan> = spans.collect();
        let mut steps = 0;
        let bytes = request_in_steps(&spans, || steps += 1);
        assert_eq!((steps, bytes), (2 * spans.len(), request(&spans)));
    }

    #[test]
    fn one_request_carries_many_services() {
        let (a, b) = (sample::service("a"), sample::service("b"));
        let spans = vec![
            sample::outgoing(&a, "spanwire/http1", 1),
            sample::outgoing(&b, "spanwire/http1", 2),
            sample::outgoing(&a, "spanwire/redis", 3),
            sample::outgoing(&a, "spanwire/http1", 4),
        ];
        let spans: Vec<EncodedSpan> = spans.into_iter().map(Into::into).collect();
        let request = message(&spans);
        assert_eq!(request.encoded_len(), super::request(&spans).len(), "nothing else is in it");
        let shape: Vec<Vec<(&str, Vec<u8>)>> = request
            .resource_spans
            .iter()
            .map(|r| {
                r.scope_spans
                    .iter()
                    .map(|s| {
                        let scope = s.scope.as_ref().unwrap();
                        assert_eq!(scope.version, env!("CARGO_PKG_VERSION"));
                        (scope.name.as_str(), s.spans.iter().map(|s| s.span_id[7]).collect())
                    })
                    .collect()
            })
            .collect();
        assert_eq!(
            shape,
            vec![
                vec![("spanwire/http1", vec![1, 4]), ("spanwire/redis", vec![3])],
                vec![("spanwire/http1", vec![2])],
            ]
        );
        assert_eq!(request.resource_spans[0].schema_url, SCHEMA_URL);
        assert_eq!(request.resource_spans[0].resource.as_ref(), Some(&a.resource));
    }
}
