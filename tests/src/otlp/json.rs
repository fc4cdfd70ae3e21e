//! OTLP/JSON, as `replay --json` prints it and Jaeger's `/api/v3` answers it.
//!
//! Read by hand and leniently in one point only: a 64-bit number may be a JSON number or a string. Ids must be hex,
//! as OTLP/JSON says.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value as Json;

use super::span::{Span, Spans, Value, add, kind, status_code};

/// The spans of a text with one export request a line.
///
/// # Errors
/// When a line is not OTLP/JSON.
pub fn spans_from_json_lines(text: &str) -> anyhow::Result<Spans> {
    let mut spans = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let json = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        spans.extend(spans_from_json(&json)?.0);
    }
    Ok(Spans(spans))
}

/// The spans of one export request (`{"resourceSpans": […]}`).
///
/// # Errors
/// When it is not one.
pub fn spans_from_json(request: &Json) -> anyhow::Result<Spans> {
    let mut spans = Vec::new();
    for resource_spans in list(request, "resourceSpans") {
        let resource = attributes(&resource_spans["resource"])?;
        let service = match resource.get("service.name") {
            Some(Value::Text(name)) => name.clone(),
            _ => String::new(),
        };
        for scope_spans in list(resource_spans, "scopeSpans") {
            for span in list(scope_spans, "spans") {
                spans.push(Span {
                    service: service.clone(),
                    resource: resource.clone(),
                    scope: text(&scope_spans["scope"], "name"),
                    trace_id: id(span, "traceId", 32)?,
                    span_id: id(span, "spanId", 16)?,
                    parent: match text(span, "parentSpanId").as_str() {
                        "" => String::new(),
                        _ => id(span, "parentSpanId", 16)?,
                    },
                    trace_state: text(span, "traceState"),
                    flags: u32::try_from(number(&span["flags"])).context("flags")?,
                    name: text(span, "name"),
                    kind: kind(i32::try_from(number(&span["kind"])).context("kind")?),
                    start: number(&span["startTimeUnixNano"]).cast_unsigned(),
                    end: number(&span["endTimeUnixNano"]).cast_unsigned(),
                    attributes: attributes(span)?,
                    status: status_code(
                        i32::try_from(number(&span["status"]["code"])).context("status")?,
                    ),
                    status_text: text(&span["status"], "message"),
                });
            }
        }
    }
    Ok(Spans(spans))
}

fn list<'a>(object: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    object[key].as_array().into_iter().flatten()
}

fn text(object: &Json, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

fn id(object: &Json, key: &str, digits: usize) -> anyhow::Result<String> {
    let id = text(object, key);
    let is_hex = id.len() == digits && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    anyhow::ensure!(is_hex, "{key} {id:?} is not {digits} lower-case hex digits");
    Ok(id)
}

/// A number that may be quoted; 0 when it is absent, as in protobuf.
fn number(json: &Json) -> i64 {
    json.as_i64().or_else(|| json.as_str()?.parse().ok()).unwrap_or(0)
}

fn attributes(object: &Json) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut map = BTreeMap::new();
    for pair in list(object, "attributes") {
        add(&mut map, text(pair, "key"), value(&pair["value"])?);
    }
    Ok(map)
}

fn value(any: &Json) -> anyhow::Result<Value> {
    let Some((variant, inner)) = any.as_object().and_then(|object| object.iter().next()) else {
        return Ok(Value::Strange(any.to_string()));
    };
    Ok(match variant.as_str() {
        "stringValue" => Value::Text(inner.as_str().unwrap_or_default().to_owned()),
        "intValue" => Value::Int(number(inner)),
        "boolValue" => Value::Bool(inner.as_bool().context("boolValue")?),
        "doubleValue" => Value::Double(inner.as_f64().context("doubleValue")?),
        "arrayValue" => {
            Value::List(list(inner, "values").map(value).collect::<anyhow::Result<_>>()?)
        }
        _ => Value::Strange(any.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Kind, Status};

    #[test]
    fn one_span_is_read_with_everything_in_it() {
        let line = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
            "scopeSpans":[{"scope":{"name":"http"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331",
            "name":"GET","kind":2,"startTimeUnixNano":"1544712660000000001","endTimeUnixNano":"1544712661000000000","flags":257,
            "attributes":[{"key":"http.response.status_code","value":{"intValue":"500"}},{"key":"url.path","value":{"stringValue":"/a"}}],
            "status":{"code":2}}]}]}]}"#
            .replace('\n', " ");
        let spans = spans_from_json_lines(&line).unwrap();
        let span = spans.single().unwrap();
        assert_eq!(
            (span.service.as_str(), span.kind, span.status),
            ("shop", Kind::Server, Status::Error)
        );
        assert_eq!(
            (span.start, span.int("http.response.status_code")),
            (1_544_712_660_000_000_001, Some(500))
        );
        assert_eq!((span.path(), span.flags, span.parent.as_str()), ("/a", 257, ""));
    }

    #[test]
    fn an_id_that_is_not_hex_is_refused() {
        let line = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"CvdlGRbNQ92ESOshHIAxnA==","spanId":"b7ad6b7169203331"}]}]}]}"#;
        assert!(spans_from_json_lines(line).is_err());
    }
}
