//! Traces: exchanges become OpenTelemetry spans on services, linked into traces.
//!
//! A pure function of its input: no clock, no randomness, no files, so that a replay gives byte-identical spans.
//! Memory is bounded whatever arrives, and everything that is given up is counted ([`Counts`]).
//!
//! Who is whose parent, in the order of how much is known:
//!
//! | rule          | child            | parent                                  | decided by                              |
//! |---------------|------------------|-----------------------------------------|-----------------------------------------|
//! | `same-host`   | server's request | the client's span at the other end      | reversed address pair, equal position   |
//! | `tcp-option`  | server's request | the client's span, as its host's agent says | an option beside the request's first byte |
//! | `traceparent` | server's request | the span named in the header            | W3C Trace Context Level 2               |
//! | `traceparent` | client's request | the span named in the header it carries | only where no span of its own trace is served |
//! | `thread`      | client's request | the request its thread was serving      | every condition of `thread_rule.rs`     |
//! | `go-…`        | client's request | the request its goroutine works for     | the runtime's own record, and every condition of `runtime_rule.rs` |
//!
//! A span that has a parent by a rule says so in its attribute `spanwire.link.rule`. A parent that cannot be confirmed
//! is no parent: absent is honest, wrong is not.
#![forbid(unsafe_code)]

mod absences;
mod active;
mod admission;
mod arrivals;
mod checks;
mod context;
mod counts;
mod described;
mod encode;
mod ends;
mod failure;
mod finished;
mod forwarded;
mod http;
mod join;
mod mixed_calls;
mod needs;
mod own;
pub(crate) mod probability;
mod quiet;
mod redact;
mod release;
mod resolve;
mod retransmits;
mod routes;
mod rpc;
mod runtime_rule;
mod sampler;
mod sdk;
mod settings;
mod shelves;
mod span_writer;
mod streams;
mod thread_rule;
mod traceparent;
mod tracer;
mod tracestate;
mod unix;
mod url;
mod wire;

pub use active::Active;
pub use checks::CheckRule;
pub use counts::{Count, Counts};
pub use finished::{EncodedSpan, FinishedSpan};
pub use needs::Need;
pub use routes::{RouteRule, RouteSettings};
pub use sampler::{Sampler, Share};
pub use settings::Settings;
pub use tracer::Tracer;

/// Schema that attribute names follow: semantic conventions 1.44.0.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

#[cfg(test)]
mod scenarios;
