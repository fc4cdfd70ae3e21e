//! `spanwire trace ID`: one trace as a tree, and in a sentence why it failed and where its time went.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{answer, say};
use crate::cli::TraceArgs;
use crate::export::terminal::{self, text::safe};
use crate::service::Service;
use crate::trace::FinishedSpan;

/// Prints it.
///
/// # Errors
/// No agent runs, it may not be asked, or it has no such trace.
pub fn trace(args: &TraceArgs) -> Result<()> {
    let id = &args.id;
    ensure!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "a trace id is hex digits");
    let told = answer(&format!("/view/trace/{id}"))?;
    let otlp = answer(&format!("/view/trace/{id}/otlp"))?;
    if args.json {
        return say(&format!("{otlp}\n"));
    }
    let parts = told["sentence"].as_array().map_or(&[][..], Vec::as_slice);
    let sentence: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let color = std::io::stdout().is_terminal();
    let mut out = terminal::tree(&spans(serde_json::from_value(otlp)?), color);
    if !sentence.is_empty() {
        out.push_str(&safe(&sentence));
        out.push('\n');
    }
    say(&out)
}

/// OTLP's envelopes taken off.
fn spans(request: ExportTraceServiceRequest) -> Vec<FinishedSpan> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let service = Arc::new(service(of_resource.resource.unwrap_or_default()));
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(FinishedSpan { service: service.clone(), scope: "", span });
        }
    }
    spans
}

/// As much of a service as is shown: its name.
fn service(resource: Resource) -> Service {
    let name = resource.attributes.iter().find(|attribute| attribute.key == "service.name");
    let name = name.and_then(|name| match name.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => Some(name.clone()),
        _ => None,
    });
    Service {
        name: name.unwrap_or_default(),
        version: None,
        environment: None,
        instance_id: String::new(),
        pid: 0,
        resource,
    }
}
