//! A span as the store keeps it, and the process that it is of.

use std::sync::Arc;

use super::attributes::{Attributes, Value};
use super::dictionary::Dictionary;

/// A trace's id, as a number.
pub(crate) type TraceId = u128;
/// A span's id; 0 is none.
pub(crate) type SpanId = u64;

/// OTLP's `SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    /// In lower case, as Jaeger's tag `span.kind` and our search have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// It asks somebody else.
    pub(crate) const fn calls(self) -> bool {
        matches!(self, Self::Client | Self::Producer)
    }

    /// It was asked.
    pub(crate) const fn is_called(self) -> bool {
        matches!(self, Self::Server | Self::Consumer)
    }
}

/// Attributes that tell how a call was answered; the last ones are of SDKs from before the conventions were stable.
pub(crate) const STATUS: [&str; 5] = [
    "http.response.status_code",
    "rpc.response.status_code",
    "db.response.status_code",
    "http.status_code",
    "rpc.grpc.status_code",
];

/// Whose spans they are: one for each resource that was seen.
#[derive(Debug)]
pub(crate) struct Process {
    /// `service.name`.
    pub(crate) service: Arc<str>,
    /// All of the resource.
    pub(crate) attributes: Attributes,
}

/// A span.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) id: SpanId,
    pub(crate) parent: SpanId,
    /// ns since 1970.
    pub(crate) start: u64,
    /// ns since 1970; never before `start`.
    pub(crate) end: u64,
    pub(crate) kind: Kind,
    /// OTLP's status is `Error`.
    pub(crate) failed: bool,
    /// The parent is known to be in another process (OTLP `Span.flags`).
    pub(crate) remote_parent: bool,
    pub(crate) process: Arc<Process>,
    /// As it came.
    pub(crate) name: Arc<str>,
    /// What was done, in words of few kinds: groups requests that are alike.
    pub(crate) operation: Arc<str>,
    /// Whom it asks: the system or address, for spans that call.
    pub(crate) peer: Option<Arc<str>>,
    pub(crate) scope: Arc<str>,
    pub(crate) attributes: Attributes,
    /// What few spans have.
    pub(crate) more: Option<Box<More>>,
}

/// What few spans have.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    pub(crate) links: Vec<Link>,
    pub(crate) events: Vec<Event>,
    pub(crate) trace_state: String,
    pub(crate) status_message: String,
}

/// A span that has to do with it and is no parent.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
}

/// Something that happened at one time.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// ns since 1970.
    pub(crate) at: u64,
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
}

impl Span {
    /// ns.
    pub(crate) const fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub(crate) fn service(&self) -> &Arc<str> {
        &self.process.service
    }

    /// The value of an attribute: its own, else its process's.
    pub(crate) fn get<'a>(&'a self, dictionary: &'a Dictionary, key: &str) -> Option<Value<'a>> {
        self.attributes
            .get(dictionary, key)
            .or_else(|| self.process.attributes.get(dictionary, key))
    }

    /// How it ended, in one word: the answer's status, else what went wrong.
    pub(crate) fn outcome(&self, dictionary: &Dictionary) -> Option<String> {
        let of = |key| self.attributes.get(dictionary, key);
        let status = STATUS.into_iter().find_map(of).or_else(|| of("error.type"));
        let error = || self.failed.then(|| "error".to_owned());
        status.map(|value| value.display().into_owned()).or_else(error)
    }

    /// Bytes that it takes, roughly: what the store's bound counts.
    pub(crate) fn bytes(&self) -> usize {
        /// What an allocation costs beyond its contents.
        const ALLOCATION: usize = 16;
        let more = self.more.as_ref().map_or(0, |more| {
            let texts = more.trace_state.len() + more.status_message.len();
            let events: usize = more
                .events
                .iter()
                .map(|event| size_of::<Event>() + event.name.len() + event.attributes.len())
                .sum();
            size_of::<More>() + texts + events + more.links.len() * size_of::<Link>()
        });
        // The Arc's two counters, its pointer in the trace, and two allocations.
        size_of::<Self>() + self.attributes.len() + more + 3 * size_of::<usize>() + 2 * ALLOCATION
    }
}

/// 32 hex digits.
pub(crate) fn trace_hex(id: TraceId) -> String {
    format!("{id:032x}")
}

/// 16 hex digits.
pub(crate) fn span_hex(id: SpanId) -> String {
    format!("{id:016x}")
}
