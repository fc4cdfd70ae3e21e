//! One span as one line: who did what on the left, how it went and how long it took on the right.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::Style;
use super::text::{cut, duration, safe, width};
use crate::export::FinishedSpan;

/// Columns for a result such as `200` or `timeout`, and for a duration.
const RESULT: usize = 9;
const DURATION: usize = 9;
/// Left of those there are at least so many columns, even where the terminal has less.
const LEAST_LEFT: usize = 20;

/// Colours: of services, of what is of minor interest, of errors.
pub(super) const SERVICE: &str = "\x1b[36m";
pub(super) const MINOR: &str = "\x1b[2m";
pub(super) const ERROR: &str = "\x1b[31m";
pub(super) const PLAIN: &str = "\x1b[0m";

/// Writes the line of `span` after the branches of its tree.
pub(super) fn write(out: &mut String, branches: &str, span: &FinishedSpan, style: Style) {
    let failed =
        span.span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
    let room = style.width.saturating_sub(RESULT + DURATION + 2).max(LEAST_LEFT);
    let branches = cut(branches, room - LEAST_LEFT / 2);
    let service = cut(&safe(&span.service.name), room - width(&branches));
    let left = width(&branches) + width(&service);
    let what = cut(&format!(" {}", what(span)), room - left);
    let blank = " ".repeat(room - left - width(&what));
    let result = cut(&result(span), RESULT);
    let result = format!("{}{result}", " ".repeat(RESULT - width(&result)));
    let took = span.span.end_time_unix_nano.saturating_sub(span.span.start_time_unix_nano);
    let took = duration(took);
    let took = format!("{}{took}", " ".repeat(DURATION.saturating_sub(width(&took))));
    let line = match (style.color, failed) {
        (false, _) => format!("{branches}{service}{what}{blank} {result} {took}"),
        (true, true) => {
            format!("{MINOR}{branches}{PLAIN}{ERROR}{service}{what}{blank} {result} {took}{PLAIN}")
        }
        (true, false) => format!(
            "{MINOR}{branches}{PLAIN}{SERVICE}{service}{PLAIN}{what}{blank} {result} {MINOR}{took}{PLAIN}"
        ),
    };
    out.push_str(&line);
    out.push('\n');
}

/// Method and path of HTTP, else the span's name.
fn what(span: &FinishedSpan) -> String {
    let method =
        text(span, "http.request.method_original").or_else(|| text(span, "http.request.method"));
    let target = text(span, "url.full").or_else(|| {
        let path = text(span, "url.path")?;
        Some(text(span, "url.query").map_or(path.clone(), |query| format!("{path}?{query}")))
    });
    let what = match (method, target) {
        (Some(method), Some(target)) => {
            format!("{method} {}", target.strip_prefix("http://").unwrap_or(&target))
        }
        _ => span.span.name.clone(),
    };
    let outward = matches!(span.span.kind(), SpanKind::Client | SpanKind::Producer);
    safe(&if outward { format!("→ {what}") } else { what })
}

/// The status code of HTTP or gRPC, else the kind of the error, else nothing.
fn result(span: &FinishedSpan) -> String {
    let status = value(span, "http.response.status_code").and_then(|v| match v {
        Value::IntValue(code) => Some(code.to_string()),
        _ => None,
    });
    let status = status.or_else(|| text(span, "rpc.response.status_code"));
    safe(&status.or_else(|| text(span, "error.type")).unwrap_or_default())
}

fn text(span: &FinishedSpan, key: &str) -> Option<String> {
    match value(span, key)? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn value<'a>(span: &'a FinishedSpan, key: &str) -> Option<&'a Value> {
    span.span.attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}
