//! Jaeger's query API (`/api/…`, JSON), as far as Grafana's data source and Jaeger's own UI use it; [`v3`] is what its
//! newer UI asks instead.
//!
//! The answers' shape is Jaeger's: times in µs, tags with types, references to parents. Its `tags` parameter is asked
//! by the same search as the page's queries. Where we differ from Jaeger 2 (an end-to-end test asks both): `error` and
//! `span.kind` can be asked for with any storage, and services that call themselves are no dependency.

mod duration;
mod v3;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value as Json, json};

use super::asked::{trace as find, trace_id};
use super::{Answered, Asked, Refused, Viewer};
use crate::viewer::analysis::{Node as Place, Window, edges};
use crate::viewer::attributes::{Attributes, Value};
use crate::viewer::search::{parse, read};
use crate::viewer::span::{Process, Span, span_hex, trace_hex};
use crate::viewer::store::Trace;

/// Traces in an answer, unless another number is asked for (Jaeger's default).
const LIMIT: usize = 100;
const MOST: usize = 1_500;
/// Without a range: the last two days, µs. The store forgets sooner.
const LOOKBACK: u64 = 172_800_000_000;

/// Answers what stands behind `/api/`; `None` when Jaeger has no such question.
pub(super) fn answer(viewer: &Viewer, path: &[&str], asked: &Asked) -> Option<Answered> {
    Some(match path {
        ["v3", rest @ ..] => return v3::answer(viewer, rest, asked),
        ["services"] => Ok(list(services(viewer))),
        ["services", service, "operations"] => {
            let service = percent(service);
            let names: BTreeSet<String> =
                operations(viewer, &service).into_iter().map(|(name, _)| name).collect();
            Ok(if names.is_empty() { nothing() } else { list(names) })
        }
        ["operations"] => {
            let kind = asked.get("spanKind");
            let Some(service) = asked.get("service") else { return Some(Err(no_service())) };
            let all = operations(viewer, service);
            let all = all.into_iter().filter(|(_, of)| kind.is_none_or(|kind| kind == *of));
            Ok(list(all.map(|(name, kind)| json!({ "name": name, "spanKind": kind }))))
        }
        ["traces"] => traces(viewer, asked),
        ["traces", id] => match find(viewer, id) {
            Ok(trace) => Ok(found([trace_json(&trace)])),
            Err(_) if trace_id(id).is_err() => {
                Err(refused(StatusCode::BAD_REQUEST, "a trace id is up to 32 hex digits"))
            }
            Err(_) => Err(refused(StatusCode::NOT_FOUND, "trace not found")),
        },
        ["dependencies"] => Ok(list(dependencies(viewer, asked))),
        _ => return None,
    })
}

fn list<T: Into<Json>>(all: impl IntoIterator<Item = T>) -> Json {
    let data: Vec<Json> = all.into_iter().map(Into::into).collect();
    json!({ "total": data.len(), "data": data, "limit": 0, "offset": 0, "errors": null })
}

/// Jaeger does not count traces.
fn found(traces: impl IntoIterator<Item = Json>) -> Json {
    let data: Vec<Json> = traces.into_iter().collect();
    json!({ "total": 0, "data": data, "limit": 0, "offset": 0, "errors": null })
}

fn nothing() -> Json {
    json!({ "total": 0, "data": null, "limit": 0, "offset": 0, "errors": null })
}

fn no_service() -> Refused {
    refused(StatusCode::BAD_REQUEST, "parameter 'service' is required")
}

fn refused(status: StatusCode, text: &str) -> Refused {
    let error = json!({ "code": status.as_u16(), "msg": text });
    Refused {
        status,
        body: json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": [error] }),
    }
}

fn percent(text: &str) -> String {
    let query = format!("x={}", text.replace('+', "%2B"));
    form_urlencoded::parse(query.as_bytes())
        .next()
        .map_or_else(String::new, |(_, v)| v.into_owned())
}

fn services(viewer: &Viewer) -> BTreeSet<String> {
    let snapshot = viewer.store().between(0, u64::MAX);
    let spans = snapshot.traces.iter().flat_map(|trace| &trace.spans);
    let names: BTreeSet<&str> = spans.map(|span| &**span.service()).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn operations(viewer: &Viewer, service: &str) -> BTreeSet<(String, &'static str)> {
    let snapshot = viewer.store().between(0, u64::MAX);
    let spans = snapshot.traces.iter().flat_map(|trace| &trace.spans);
    let of_service = spans.filter(|span| &**span.service() == service);
    of_service.map(|span| (span.name.to_string(), span.kind.name())).collect()
}

fn traces(viewer: &Viewer, asked: &Asked) -> Answered {
    let ids: Vec<&str> = asked.all("traceID").collect();
    if !ids.is_empty() {
        let all = ids.iter().filter_map(|id| find(viewer, id).ok());
        return Ok(found(all.map(|trace| trace_json(&trace))));
    }
    let all = search(viewer, asked)?;
    Ok(found(all.iter().map(|trace| trace_json(trace))))
}

/// The newest traces that Jaeger's parameters ask for.
fn search(viewer: &Viewer, asked: &Asked) -> Result<Vec<Arc<Trace>>, Refused> {
    let Some(service) = asked.get("service") else {
        return Err(no_service());
    };
    let window = window(asked, "start", "end")?;
    let limit = match asked.get("limit").map(str::parse) {
        None => LIMIT,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => {
            return Err(refused(StatusCode::BAD_REQUEST, "unable to parse param 'limit'"));
        }
    };
    let text = query(service, asked).map_err(|what| {
        refused(StatusCode::BAD_REQUEST, &format!("unable to parse param '{what}'"))
    })?;
    let snapshot = viewer.store().between(window.from, window.to);
    let query = parse(&text).and_then(|node| read(&node, &snapshot.dictionary.keys()));
    let query = query.map_err(|mistake| refused(StatusCode::BAD_REQUEST, &mistake.text))?;
    let mut all: Vec<Arc<Trace>> =
        snapshot.traces.into_iter().filter(|trace| query.ask(trace).is_match()).collect();
    all.sort_by_key(|trace| (u64::MAX - trace.start, trace.id));
    all.truncate(limit.min(MOST));
    Ok(all)
}

/// Jaeger's parameters in our language.
fn query(service: &str, asked: &Asked) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut also = |key: &str, op: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!(" {key}{op}\"{value}\""));
    };
    also("service", "=", service);
    if let Some(operation) = asked.get("operation").filter(|operation| *operation != "all") {
        also("name", "=", operation);
    }
    for json in asked.all("tags") {
        let tags: BTreeMap<String, Json> = serde_json::from_str(json).map_err(|_| "tags")?;
        for (key, value) in tags {
            let value = match &value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            tag(&mut also, &key, &value);
        }
    }
    for tag_text in asked.all("tag") {
        let (key, value) = tag_text.split_once(':').ok_or("tag")?;
        tag(&mut also, key, value);
    }
    let duration = |name| match asked.get(name).map(duration::parse) {
        None => Ok(None),
        Some(Some(duration)) => Ok(Some(duration)),
        Some(None) => Err(name),
    };
    let (least, most) = (duration("minDuration")?, duration("maxDuration")?);
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        return Err("maxDuration");
    }
    for (op, duration) in [(">=", least), ("<=", most)] {
        if let Some(duration) = duration {
            text.push_str(&format!(" duration{op}{duration}ns"));
        }
    }
    Ok(text)
}

/// Jaeger knows errors by a tag of its own.
fn tag(also: &mut impl FnMut(&str, &str, &str), key: &str, value: &str) {
    let is_plain = !key.is_empty()
        && !key.chars().any(|c| c.is_whitespace() || "(){}\"',=!<>~:&|".contains(c));
    match (key, value) {
        ("error", "true") => also("error", "~", ""),
        ("span.kind", value) => also("kind", "=", value),
        (key, value) if is_plain => also(key, "=", value),
        // No attribute has such a key: nothing matches.
        _ => also("service", "=", "\u{0}"),
    }
}

/// A range in µs since 1970.
fn window(asked: &Asked, start: &str, end: &str) -> Result<Window, Refused> {
    let number = |name: &str| match asked.get(name) {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) => Ok(Some(number.saturating_mul(1_000))),
            Err(_) => {
                Err(refused(StatusCode::BAD_REQUEST, &format!("unable to parse param '{name}'")))
            }
        },
    };
    let to = number(end)?.unwrap_or(asked.now.saturating_add(1));
    let from = number(start)?.unwrap_or(to.saturating_sub(LOOKBACK * 1_000));
    Ok(Window { from, to })
}

fn dependencies(viewer: &Viewer, asked: &Asked) -> Vec<Json> {
    let ms = |name| asked.number(name).map(|ms| ms.saturating_mul(1_000_000));
    let to = ms("endTs").unwrap_or(asked.now);
    let from = to.saturating_sub(ms("lookback").unwrap_or(LOOKBACK * 1_000));
    let window = Window { from, to };
    let snapshot = viewer.store().between(from, to);
    let map = edges(&snapshot.traces, window);
    map.edges
        .iter()
        .filter_map(|((from, to), edge)| match (from, to) {
            (Place::Service(from), Place::Service(to)) => Some(json!({
                "parent": &**from, "child": &**to, "callCount": edge.stats.count(),
            })),
            _ => None,
        })
        .collect()
}

fn trace_json(trace: &Trace) -> Json {
    let mut processes: Vec<&Arc<Process>> = Vec::new();
    let spans: Vec<Json> = trace
        .spans
        .iter()
        .map(|span| {
            let at = processes.iter().position(|process| Arc::ptr_eq(process, &span.process));
            let at = at.unwrap_or_else(|| {
                processes.push(&span.process);
                processes.len() - 1
            });
            span_json(trace, span, at)
        })
        .collect();
    let processes: serde_json::Map<String, Json> = processes
        .into_iter()
        .enumerate()
        .map(|(at, process)| {
            let mut tags = tags(trace, &process.attributes);
            // Jaeger has it as the process's name.
            tags.retain(|tag| tag["key"] != "service.name");
            let process = json!({ "serviceName": &*process.service, "tags": tags });
            (format!("p{}", at + 1), process)
        })
        .collect();
    json!({ "traceID": trace_hex(trace.id), "spans": spans, "processes": processes, "warnings": null })
}

fn span_json(trace: &Trace, span: &Span, process: usize) -> Json {
    let mut tags = tags(trace, &span.attributes);
    let mut text = |key: &str, value: &str| {
        tags.push(json!({ "key": key, "type": "string", "value": value }));
    };
    text("span.kind", span.kind.name());
    text("otel.scope.name", &span.scope);
    if span.failed {
        text("otel.status_code", "ERROR");
        tags.push(json!({ "key": "error", "type": "bool", "value": true }));
    }
    let mut references = Vec::new();
    if span.parent != 0 {
        references.push(reference("CHILD_OF", trace.id, span.parent));
    }
    let more = span.more.as_deref();
    for link in more.iter().flat_map(|more| &more.links) {
        references.push(reference("FOLLOWS_FROM", link.trace, link.span));
    }
    let logs: Vec<Json> = more
        .iter()
        .flat_map(|more| &more.events)
        .map(|event| {
            let mut fields = self::tags(trace, &event.attributes);
            fields.insert(0, json!({ "key": "event", "type": "string", "value": event.name }));
            json!({ "timestamp": event.at / 1_000, "fields": fields })
        })
        .collect();
    json!({
        "traceID": trace_hex(trace.id),
        "spanID": span_hex(span.id),
        "operationName": &*span.name,
        "references": references,
        "startTime": span.start / 1_000,
        "duration": span.duration() / 1_000,
        "tags": tags,
        "logs": logs,
        "processID": format!("p{}", process + 1),
        "warnings": null,
    })
}

fn reference(kind: &str, trace: u128, span: u64) -> Json {
    json!({ "refType": kind, "traceID": trace_hex(trace), "spanID": span_hex(span) })
}

fn tags(trace: &Trace, attributes: &Attributes) -> Vec<Json> {
    attributes
        .iter(&trace.dictionary)
        .map(|(key, value)| {
            let (kind, value) = match value {
                Value::Int(_) => ("int64", value.json()),
                Value::Float(_) => ("float64", value.json()),
                Value::Bool(_) => ("bool", value.json()),
                Value::Text(_) | Value::Json(_) => ("string", value.display().into()),
            };
            json!({ "key": key, "type": kind, "value": value })
        })
        .collect()
}

#[cfg(test)]
mod tests;
