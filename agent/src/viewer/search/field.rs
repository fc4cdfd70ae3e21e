//! What can be asked of a span or a trace: short names, attributes, and how a value of them is found.

use crate::viewer::attributes::Value;
use crate::viewer::span::{STATUS, Span};
use crate::viewer::store::Trace;

/// Something that has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Service,
    Name,
    /// The answer's status, whatever protocol it is of.
    Status,
    /// ns.
    Duration,
    /// ns.
    Own,
    Error,
    Kind,
    Peer,
    /// Any of these attributes, the first that is there.
    Attribute(Vec<String>),
    /// Failed attempts before this one.
    Retry,
    /// The largest group of alike siblings of the trace.
    Similar,
    Incomplete,
    TraceDuration,
    TraceSpans,
    TraceServices,
    TraceErrors,
    TraceRoot,
}

/// A value that a field has on one span.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'a> {
    Value(Value<'a>),
    Owned(String),
    Number(f64),
}

impl Field {
    /// A short name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let attributes =
            |keys: &[&str]| Self::Attribute(keys.iter().map(ToString::to_string).collect());
        Some(match name {
            "service" | "service.name" => Self::Service,
            "name" | "operation" => Self::Name,
            "status" => Self::Status,
            "duration" => Self::Duration,
            "own" => Self::Own,
            "error" => Self::Error,
            "kind" | "span.kind" => Self::Kind,
            "peer" => Self::Peer,
            "route" => attributes(&["http.route", "url.template"]),
            "method" => attributes(&["http.request.method", "http.method", "rpc.method"]),
            "db" => attributes(&["db.system.name", "db.system"]),
            "host" => attributes(&["host.name"]),
            "pid" => attributes(&["spanwire.process.pid", "process.pid"]),
            "retry" => Self::Retry,
            "similar" => Self::Similar,
            "incomplete" => Self::Incomplete,
            "trace.duration" | "traceduration" => Self::TraceDuration,
            "trace.spans" => Self::TraceSpans,
            "trace.services" => Self::TraceServices,
            "trace.errors" => Self::TraceErrors,
            "trace.root" | "rootname" | "rootservicename" => Self::TraceRoot,
            _ => return None,
        })
    }

    /// Short names that complete.
    pub(crate) const NAMES: [&'static str; 21] = [
        "service",
        "name",
        "status",
        "duration",
        "own",
        "error",
        "kind",
        "peer",
        "route",
        "method",
        "db",
        "host",
        "pid",
        "retry",
        "similar",
        "incomplete",
        "trace.duration",
        "trace.spans",
        "trace.services",
        "trace.errors",
        "trace.root",
    ];

    /// It is about the trace, not about one span.
    pub(super) const fn is_of_trace(&self) -> bool {
        matches!(
            self,
            Self::Similar
                | Self::Incomplete
                | Self::TraceDuration
                | Self::TraceSpans
                | Self::TraceServices
                | Self::TraceErrors
                | Self::TraceRoot
        )
    }

    /// Its numbers are times.
    pub(super) const fn is_time(&self) -> bool {
        matches!(self, Self::Duration | Self::Own | Self::TraceDuration)
    }

    /// What a span itself says; ancestors are asked elsewhere.
    pub(super) fn of_span<'a>(&self, trace: &'a Trace, at: u32) -> Option<Found<'a>> {
        let span: &Span = &trace.spans[at as usize];
        Some(match self {
            Self::Service => Found::Value(Value::Text(span.service())),
            Self::Name => Found::Value(Value::Text(&span.operation)),
            Self::Status => {
                Found::Value(STATUS.iter().find_map(|key| attribute(trace, span, key))?)
            }
            Self::Duration => Found::Number(span.duration() as f64),
            Self::Own => Found::Number(own_time(trace, at) as f64),
            Self::Error => match attribute(trace, span, "error.type") {
                Some(value) => Found::Value(value),
                None if span.failed => Found::Value(Value::Text("error")),
                None => return None,
            },
            Self::Kind => Found::Value(Value::Text(span.kind.name())),
            Self::Peer => match &span.peer {
                Some(peer) => Found::Value(Value::Text(peer)),
                None => Found::Value(attribute(trace, span, "network.peer.address")?),
            },
            Self::Attribute(keys) => {
                Found::Value(keys.iter().find_map(|key| span.get(&trace.dictionary, key))?)
            }
            Self::Retry => Found::Number(attempts_before(trace, at)?),
            _ => return None,
        })
    }

    /// What the trace says.
    pub(super) fn of_trace<'a>(&self, trace: &'a Trace) -> Option<Found<'a>> {
        let summary = trace.summary();
        Some(match self {
            Self::Similar => Found::Number(f64::from(summary.similar)),
            Self::Incomplete => Found::Value(Value::Bool(summary.incomplete.is_some())),
            Self::TraceDuration => Found::Number(summary.duration as f64),
            Self::TraceSpans => Found::Number(trace.spans.len() as f64),
            Self::TraceServices => Found::Number(f64::from(summary.services)),
            Self::TraceErrors => Found::Number(f64::from(summary.errors)),
            Self::TraceRoot => {
                let root = &trace.spans[summary.root as usize];
                Found::Owned(format!("{} {}", root.service(), root.operation))
            }
            _ => return None,
        })
    }
}

impl Found<'_> {
    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Value(value) => value.display(),
            Self::Owned(text) => text.into(),
            Self::Number(number) => number.to_string().into(),
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Value(value) => value.number(),
            Self::Owned(_) => None,
            Self::Number(number) => Some(*number),
        }
    }
}

fn attribute<'a>(trace: &'a Trace, span: &'a Span, key: &str) -> Option<Value<'a>> {
    span.attributes.get(&trace.dictionary, key)
}

/// As `analysis::own_time`, for one span only.
fn own_time(trace: &Trace, at: u32) -> u64 {
    let span = &trace.spans[at as usize];
    let parents = trace.summary();
    let children = trace.spans.iter().zip(&parents.parents).filter(|(child, parent)| {
        **parent == at && child.kind != crate::viewer::span::Kind::Consumer
    });
    let mut times: Vec<(u64, u64)> =
        children.map(|(child, _)| (child.start, child.end.min(span.end))).collect();
    times.sort_unstable();
    let (mut own, mut covered) = (span.duration(), span.start);
    for (start, end) in times {
        let from = start.max(covered);
        if end > from {
            own -= end - from;
            covered = end;
        }
    }
    own
}

/// How many calls like this one had failed under the same parent before it; `None` for none.
fn attempts_before(trace: &Trace, at: u32) -> Option<f64> {
    let span: &Span = &trace.spans[at as usize];
    if !span.kind.calls() {
        return None;
    }
    if let Some(count) = attribute(trace, span, "http.request.resend_count") {
        return count.number();
    }
    let summary = trace.summary();
    let parent = summary.parents[at as usize];
    if parent == u32::MAX {
        return None;
    }
    let before = trace.spans.iter().zip(&summary.parents).filter(|(other, of)| {
        **of == parent
            && other.failed
            && other.end <= span.start
            && other.operation == span.operation
            && other.peer == span.peer
    });
    Some(before.count() as f64).filter(|count| *count > 0.0)
}
