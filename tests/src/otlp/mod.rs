//! OTLP as a backend sees it: spans received over HTTP, or read from JSON, in one plain form to ask questions of.

mod json;
mod receiver;
mod span;

pub use json::{spans_from_json, spans_from_json_lines};
pub use receiver::Receiver;
pub use span::{Kind, Span, Spans, Status, Value, spans_from_protobuf};
