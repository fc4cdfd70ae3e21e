//! Jaeger's API v3 (`/api/v3/…`): whole traces are OTLP, lists are summaries. Jaeger's own UI asks it since 2.19.
//!
//! The parameters are those of `FindTraces` in Jaeger's `query_service.proto`, in either of the spellings that its
//! gateway takes; they are asked for by the same search as those of the older API.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Value as Json, json};

use super::{Asked, Refused, Viewer, find, operations, search, services, trace_id};
use crate::viewer::analysis::Tree;
use crate::viewer::api::Answered;
use crate::viewer::outgoing::otlp;
use crate::viewer::span::trace_hex;
use crate::viewer::store::Trace;

/// Our parameter for each of theirs, without `query.` and in lower case without `_`.
const PARAMETERS: [(&str, &str); 10] = [
    ("servicename", "service"),
    ("operationname", "operation"),
    ("spanname", "operation"),
    ("attributes", "tags"),
    ("durationmin", "minDuration"),
    ("durationmax", "maxDuration"),
    ("numtraces", "limit"),
    ("searchdepth", "limit"),
    ("starttimemin", "start"),
    ("starttimemax", "end"),
];

/// Answers what stands behind `/api/v3/`; `None` when Jaeger has no such question.
pub(super) fn answer(viewer: &Viewer, path: &[&str], asked: &Asked) -> Option<Answered> {
    let told = match path {
        ["services"] => Ok(json!({ "services": services(viewer) })),
        ["operations"] => {
            let kind = asked.get("span_kind").or_else(|| asked.get("spanKind"));
            let all = operations(viewer, asked.get("service").unwrap_or_default());
            let all: Vec<Json> = all
                .into_iter()
                .filter(|(_, of)| kind.is_none_or(|kind| kind == *of))
                .map(|(name, kind)| json!({ "name": name, "spanKind": kind }))
                .collect();
            Ok(json!({ "operations": all }))
        }
        ["traces", id] => match find(viewer, id) {
            Ok(trace) => Ok(result([&*trace])),
            Err(refused) if trace_id(id).is_err() => Err(refused),
            Err(_) => Err(Refused::new(StatusCode::NOT_FOUND, "trace not found")),
        },
        ["traces"] => wanted(asked).and_then(|asked| search(viewer, &asked)).and_then(|all| {
            let none = || Refused::new(StatusCode::NOT_FOUND, "No traces found");
            let any = !all.is_empty();
            any.then(|| result(all.iter().map(|trace| &**trace))).ok_or_else(none)
        }),
        ["trace-summaries"] => wanted(asked).and_then(|asked| search(viewer, &asked)).map(|all| {
            let all: Vec<Json> = all.iter().map(|trace| summary(trace)).collect();
            json!({ "summaries": all })
        }),
        _ => return None,
    };
    Some(told.map_err(in_words))
}

/// The older API's words for the same question.
fn wanted(asked: &Asked) -> Result<Asked, Refused> {
    let mut parameters = Vec::new();
    for (name, value) in asked.parameters() {
        let plain = name.trim_start_matches("query.").replace('_', "").to_lowercase();
        let Some((_, ours)) = PARAMETERS.iter().find(|(theirs, _)| *theirs == plain) else {
            continue;
        };
        let value = match *ours {
            "start" | "end" => micros(value).ok_or_else(|| {
                Refused::new(StatusCode::BAD_REQUEST, &format!("malformed parameter {name}"))
            })?,
            _ => value.to_owned(),
        };
        parameters.push(((*ours).to_owned(), value));
    }
    Ok(Asked::of(parameters, asked.now))
}

/// RFC 3339 as µs since 1970.
fn micros(text: &str) -> Option<String> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_micros().to_string())
}

/// Traces as one message of OTLP, in the gateway's envelope.
fn result<'a>(traces: impl IntoIterator<Item = &'a Trace>) -> Json {
    let all: Vec<Json> = traces
        .into_iter()
        .filter_map(|trace| serde_json::to_value(otlp(trace)).ok())
        .filter_map(|mut data| data.get_mut("resourceSpans").map(Json::take))
        .flat_map(|spans| spans.as_array().cloned().unwrap_or_default())
        .collect();
    json!({ "result": { "resourceSpans": all } })
}

fn summary(trace: &Trace) -> Json {
    let tree = Tree::of(trace);
    let root = &trace.spans[tree.root().unwrap_or(0) as usize];
    let mut services: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for span in &trace.spans {
        let (spans, errors) = services.entry(span.service()).or_default();
        *spans += 1;
        *errors += u32::from(span.failed);
    }
    let services: Vec<Json> = services
        .into_iter()
        .map(|(name, (spans, errors))| {
            json!({ "name": name, "spanCount": spans, "errorSpanCount": errors })
        })
        .collect();
    json!({
        "traceId": trace_hex(trace.id),
        "rootServiceName": &**root.service(),
        "rootOperationName": &*root.name,
        "minStartTimeUnixNano": trace.start.to_string(),
        "maxEndTimeUnixNano": trace.end.to_string(),
        "spanCount": trace.spans.len(),
        "errorSpanCount": trace.spans.iter().filter(|span| span.failed).count(),
        "orphanSpanCount": tree.is_orphan.iter().filter(|is_orphan| **is_orphan).count(),
        "services": services,
    })
}

/// As gRPC's gateway says it.
fn in_words(refused: Refused) -> Refused {
    let Refused { status, body } = refused;
    let text = [&body["error"], &body["errors"][0]["msg"]].into_iter().find_map(Json::as_str);
    let error = json!({ "httpCode": status.as_u16(), "message": text.unwrap_or_default() });
    Refused { status, body: json!({ "error": error }) }
}
