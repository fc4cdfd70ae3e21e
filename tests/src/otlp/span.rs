//! A span as it arrived, flattened: its resource's and scope's facts beside its own.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use crate::hex::hex;

/// Spans that are written out in a message.
const SHOWN: usize = 40;

/// A span's kind; only those that this product makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// OTLP 2.
    Server,
    /// OTLP 3.
    Client,
    /// Anything else, by its number.
    Other(i32),
}

/// A span's status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// OTLP 0.
    Unset,
    /// OTLP 1.
    Ok,
    /// OTLP 2.
    Error,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A 64-bit integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A floating-point number.
    Double(f64),
    /// An array.
    List(Vec<Value>),
    /// Something that no attribute of this product should be.
    Strange(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// A span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// `service.name` of its resource; empty when it has none.
    pub service: String,
    /// All attributes of its resource.
    pub resource: BTreeMap<String, Value>,
    /// Name of its instrumentation scope.
    pub scope: String,
    /// Lower-case hex, 32 digits.
    pub trace_id: String,
    /// Lower-case hex, 16 digits.
    pub span_id: String,
    /// Lower-case hex; empty for a root.
    pub parent: String,
    /// `tracestate` as carried.
    pub trace_state: String,
    /// OTLP flags.
    pub flags: u32,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Its attributes. A key that came twice is kept under the key with `#2` behind it, so that no test misses it.
    pub attributes: BTreeMap<String, Value>,
    /// Its status.
    pub status: Status,
    /// The status's description.
    pub status_text: String,
}

impl Span {
    /// A text attribute; empty when it is absent or of another type.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        match self.attributes.get(key) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// An integer attribute.
    #[must_use]
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.attributes.get(key) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// The HTTP path, without query: `url.path`, or the path of `url.full`.
    #[must_use]
    pub fn path(&self) -> &str {
        let full = self.text("url.full");
        let Some((_, rest)) = full.split_once("://") else { return self.text("url.path") };
        let path = rest.find('/').map_or("/", |start| &rest[start..]);
        path.split(['?', '#']).next().unwrap_or(path)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {:?} {} trace {} span {} parent {} {:?} {:?}",
            self.service,
            self.kind,
            self.name,
            self.path(),
            self.trace_id,
            self.span_id,
            if self.parent.is_empty() { "-" } else { &self.parent },
            self.status,
            self.attributes,
        )
    }
}

/// Spans, and questions to ask of them.
#[derive(Clone, Debug, Default)]
pub struct Spans(pub Vec<Span>);

impl Spans {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those for which `wanted` says yes.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&Span) -> bool) -> Self {
        Self(self.0.iter().filter(|span| wanted(span)).cloned().collect())
    }

    /// Those of one service and kind.
    #[must_use]
    pub fn of(&self, service: &str, kind: Kind) -> Self {
        self.only(|span| span.service == service && span.kind == kind)
    }

    /// Those of one path.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        self.only(|span| span.path() == path)
    }

    /// The only one.
    ///
    /// # Errors
    /// When there is none, or more than one; they are in the error.
    pub fn single(&self) -> anyhow::Result<&Span> {
        match self.0.as_slice() {
            [span] => Ok(span),
            others => anyhow::bail!("expected one span, there are {}:\n{self}", others.len()),
        }
    }

    /// The one with that id.
    #[must_use]
    pub fn by_id(&self, span_id: &str) -> Option<&Span> {
        self.0.iter().find(|span| span.span_id == span_id)
    }
}

impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(SHOWN).try_for_each(|span| writeln!(f, "  {span}"))?;
        match self.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  … and {more} more"),
        }
    }
}

/// The spans of export requests as `replay --protobuf` writes them, each behind its length.
///
/// # Errors
/// When that is not what it is.
pub fn spans_from_protobuf(mut bytes: &[u8]) -> anyhow::Result<Spans> {
    let mut spans = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (request, rest) = rest.split_at_checked(length).context("a request is cut off")?;
        spans.extend(flatten(ExportTraceServiceRequest::decode(request)?));
        bytes = rest;
    }
    anyhow::ensure!(bytes.is_empty(), "a length is cut off");
    Ok(Spans(spans))
}

/// All spans of an export request, in its order.
pub(super) fn flatten(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let resource =
            attributes(resource_spans.resource.map(|it| it.attributes).unwrap_or_default());
        let service = match resource.get("service.name") {
            Some(Value::Text(name)) => name.clone(),
            _ => String::new(),
        };
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.map(|it| it.name).unwrap_or_default();
            spans.extend(scope_spans.spans.into_iter().map(|span| {
                let status = span.status.unwrap_or_default();
                Span {
                    service: service.clone(),
                    resource: resource.clone(),
                    scope: scope.clone(),
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    trace_state: span.trace_state,
                    flags: span.flags,
                    name: span.name,
                    kind: kind(span.kind),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                    attributes: attributes(span.attributes),
                    status: status_code(status.code),
                    status_text: status.message,
                }
            }));
        }
    }
    spans
}

/// A kind's number as OTLP has it.
pub(super) fn kind(number: i32) -> Kind {
    match SpanKind::try_from(number) {
        Ok(SpanKind::Server) => Kind::Server,
        Ok(SpanKind::Client) => Kind::Client,
        _ => Kind::Other(number),
    }
}

/// A status code's number as OTLP has it.
pub(super) fn status_code(number: i32) -> Status {
    match StatusCode::try_from(number) {
        Ok(StatusCode::Error) => Status::Error,
        Ok(StatusCode::Ok) => Status::Ok,
        _ => Status::Unset,
    }
}

/// Adds an attribute, keeping a second one of the same key visible.
pub(super) fn add(map: &mut BTreeMap<String, Value>, mut key: String, value: Value) {
    while map.contains_key(&key) {
        key.push_str("#2");
    }
    map.insert(key, value);
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        add(&mut map, pair.key, value(pair.value));
    }
    map
}

fn value(any: Option<AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        Some(any_value::Value::StringValue(text)) => Value::Text(text),
        Some(any_value::Value::IntValue(number)) => Value::Int(number),
        Some(any_value::Value::BoolValue(yes)) => Value::Bool(yes),
        Some(any_value::Value::DoubleValue(number)) => Value::Double(number),
        Some(any_value::Value::ArrayValue(list)) => {
            Value::List(list.values.into_iter().map(|it| value(Some(it))).collect())
        }
        other => Value::Strange(format!("{other:?}")),
    }
}
