//! Many services' spans as one export request: grouped by resource, then by scope, in the order of first appearance.
//!
//! A pure function of its input, so that a replay writes the same bytes each time.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

use super::SCHEMA_URL;
use crate::{service::Service, trace::FinishedSpan};

/// One request that carries all of `spans`. No envelope is empty (OTLP: do not send empty envelopes).
#[must_use]
pub fn request(spans: Vec<FinishedSpan>) -> ExportTraceServiceRequest {
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    let mut places: HashMap<*const Service, usize> = HashMap::new();
    for FinishedSpan { service, scope, span } in spans {
        let place = *places.entry(Arc::as_ptr(&service)).or_insert_with(|| {
            resource_spans.push(ResourceSpans {
                resource: Some(service.resource.clone()),
                scope_spans: Vec::new(),
                schema_url: SCHEMA_URL.to_owned(),
            });
            resource_spans.len() - 1
        });
        // A service speaks a handful of protocols: a search is cheaper than a second map.
        let scopes = &mut resource_spans[place].scope_spans;
        let of_scope =
            scopes.iter().position(|s| s.scope.as_ref().is_some_and(|s| s.name == scope));
        let at = of_scope.unwrap_or_else(|| {
            scopes.push(scope_envelope(scope));
            scopes.len() - 1
        });
        scopes[at].spans.push(span);
    }
    ExportTraceServiceRequest { resource_spans }
}

fn scope_envelope(name: &str) -> ScopeSpans {
    ScopeSpans {
        scope: Some(InstrumentationScope {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        spans: Vec::new(),
        schema_url: SCHEMA_URL.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;

    #[test]
    fn one_request_carries_many_services() {
        let (a, b) = (sample::service("a"), sample::service("b"));
        let spans = vec![
            sample::outgoing(&a, "spanwire/http1", 1),
            sample::outgoing(&b, "spanwire/http1", 2),
            sample::outgoing(&a, "spanwire/redis", 3),
            sample::outgoing(&a, "spanwire/http1", 4),
        ];
        let request = request(spans);
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
