//! What a span must look like, compared attribute by attribute.
//!
//! Every attribute of a span is accounted for: required ones must be there with their value, others must be on the
//! list of those that a span may have, with the right type. An attribute that nobody expected is a difference too.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::otlp::{Kind, Span, Status, Value};

/// A condition for one attribute.
enum Rule {
    /// This value.
    Is(Value),
    /// Any integer from 1 up: a port or a pid the test does not know.
    SomeNumber,
    /// This value, where it is there at all.
    IfThere(Value),
    /// It must not be there.
    Absent,
}

/// Attributes a span may have without being asked for, and the type each must then have. Their values are compared
/// when the test names them.
const OPTIONAL: &[(&str, Value)] = &[
    ("client.port", Value::Int(0)),
    ("http.request.body.size", Value::Int(0)),
    ("http.request.size", Value::Int(0)),
    ("http.response.body.size", Value::Int(0)),
    ("http.response.size", Value::Int(0)),
    ("network.local.address", Value::Text(String::new())),
    ("network.local.port", Value::Int(0)),
    ("network.transport", Value::Text(String::new())),
    ("network.type", Value::Text(String::new())),
    ("process.pid", Value::Int(0)),
    ("thread.id", Value::Int(0)),
];

/// Prefix of the product's own attributes, allowed wherever they stand.
const OWN: &str = "spanwire.";

/// What a span must look like.
pub struct Expected {
    name: String,
    kind: Kind,
    status: Status,
    rules: BTreeMap<String, Rule>,
}

impl Expected {
    /// A span with that name and kind, status unset, and no attribute yet.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, status: Status::Unset, rules: BTreeMap::new() }
    }

    /// With this attribute.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<Value>) -> Self {
        self.rule(key, Rule::Is(value.into()))
    }

    /// With this attribute and any positive number in it.
    #[must_use]
    pub fn with_some_number(self, key: &str) -> Self {
        self.rule(key, Rule::SomeNumber)
    }

    /// With this value if the span has the attribute.
    #[must_use]
    pub fn with_if_there(self, key: &str, value: impl Into<Value>) -> Self {
        self.rule(key, Rule::IfThere(value.into()))
    }

    /// Without this attribute, even if spans may have it.
    #[must_use]
    pub fn without(self, key: &str) -> Self {
        self.rule(key, Rule::Absent)
    }

    /// Failed, with this `error.type`.
    #[must_use]
    pub fn failed(mut self, error_type: &str) -> Self {
        self.status = Status::Error;
        self.with("error.type", error_type)
    }

    fn rule(mut self, key: &str, rule: Rule) -> Self {
        self.rules.insert(key.to_owned(), rule);
        self
    }

    /// Compares.
    ///
    /// # Errors
    /// All differences, one a line, and the span.
    pub fn check(&self, span: &Span) -> anyhow::Result<()> {
        let mut differences = String::new();
        let mut differ = |what: &str, expected: &str, found: &str| {
            let _ = writeln!(differences, "  {what}: expected {expected}, found {found}");
        };
        if span.name != self.name {
            differ("name", &self.name, &span.name);
        }
        if span.kind != self.kind {
            differ("kind", &format!("{:?}", self.kind), &format!("{:?}", span.kind));
        }
        if span.status != self.status {
            differ("status", &format!("{:?}", self.status), &format!("{:?}", span.status));
        }
        if !span.status_text.is_empty() && span.int("http.response.status_code").is_some() {
            differ("status description", "none beside a status code", &span.status_text);
        }
        if span.start == 0 || span.end < span.start {
            differ("times", "start <= end", &format!("{} … {}", span.start, span.end));
        }
        for (key, rule) in &self.rules {
            let found = span.attributes.get(key);
            let shown = found.map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"));
            match (rule, found) {
                (Rule::Is(value) | Rule::IfThere(value), Some(found)) if value == found => {}
                (Rule::IfThere(_), None) => {}
                (Rule::Is(value) | Rule::IfThere(value), _) => {
                    differ(key, &format!("{value:?}"), &shown);
                }
                (Rule::SomeNumber, Some(Value::Int(1..))) | (Rule::Absent, None) => {}
                (Rule::SomeNumber, _) => differ(key, "a positive number", &shown),
                (Rule::Absent, Some(_)) => differ(key, "nothing", &shown),
            }
        }
        for (key, value) in &span.attributes {
            let may_be = self.rules.contains_key(key)
                || key.starts_with(OWN)
                || OPTIONAL.iter().any(|(optional, kind)| {
                    optional == key && std::mem::discriminant(kind) == std::mem::discriminant(value)
                });
            if !may_be {
                differ(key, "no such attribute, or another type", &format!("{value:?}"));
            }
        }
        anyhow::ensure!(differences.is_empty(), "the span differs:\n{differences}  span: {span}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::spans_from_json_lines;

    fn span(attributes: &str) -> Span {
        let line = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c",
            "spanId":"b7ad6b7169203331","name":"GET","kind":2,"startTimeUnixNano":"5","endTimeUnixNano":"6",
            "attributes":[{attributes}]}}]}}]}}]}}"#
        );
        spans_from_json_lines(&line.replace('\n', " ")).unwrap().0.remove(0)
    }

    const PATH: &str = r#"{"key":"url.path","value":{"stringValue":"/a"}}"#;
    const ROUTE: &str = r#"{"key":"http.route","value":{"stringValue":"/a"}}"#;

    #[test]
    fn a_span_as_expected_passes_and_every_difference_is_told() {
        let expected = Expected::new("GET", Kind::Server).with("url.path", "/a");
        assert!(expected.check(&span(PATH)).is_ok());
        assert!(expected.check(&span("")).is_err(), "a missing attribute");
        assert!(expected.check(&span(&format!("{PATH},{ROUTE}"))).is_err(), "one nobody expected");
        assert!(expected.check(&span(&format!("{PATH},{PATH}"))).is_err(), "one that came twice");
        let other = Expected::new("GET", Kind::Client).with("url.path", "/b").failed("500");
        let told = other.check(&span(PATH)).unwrap_err().to_string();
        for what in ["kind", "status", "url.path", "error.type"] {
            assert!(told.contains(what), "{what} is missing in {told}");
        }
        assert!(expected.without("url.path").check(&span(PATH)).is_err());
    }
}
