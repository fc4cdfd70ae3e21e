//! What the trace stage is told before it starts: who we are, what to redact, and how much to remember.
//!
//! Everything has a default that is safe to run with; nothing here changes while the agent runs, but which
//! requests are selected and sampled.

use crate::selection::Selection;
use crate::trace::routes::RouteSettings;
use crate::trace::{CheckRule, Sampler, http, redact};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Settings of a [`Tracer`](crate::trace::Tracer).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Processes that are ourselves (agent, viewer): what they say, and what is said to them, is never a span.
    pub own_pids: Vec<u32>,
    /// This host's name, for `host.name`; empty when not known.
    pub host_name: String,
    /// Methods that keep their name; all others become `_OTHER` (semconv 1.44, HTTP spans). Case-sensitive.
    pub known_methods: Vec<String>,
    /// Query keys whose values are replaced (D13). Case-sensitive, compared after percent-decoding.
    pub redacted_query_keys: Vec<String>,
    /// Health checks, probes and scrapes: traces that begin with one are left out.
    pub checks: Vec<CheckRule>,
    /// How `http.route` is known.
    pub routes: RouteSettings,
    /// How long a request must be open to be counted as open for long, ns of event time.
    pub active_after: u64,
    /// How long a request must be open to be shown while it lasts, ns of event time.
    pub shown_after: u64,
    /// Which processes and requests are traced; may be changed by [`Tracer::select`](crate::trace::Tracer::select).
    pub selection: Selection,
    /// Which traces are kept; likewise.
    pub sampler: Sampler,
    /// How long after its end a span waits for late news of its other end, ns of event time.
    pub settle: u64,
    /// How long after its end a span waits for the end of the request that may be its parent, ns of event time.
    pub parent_wait: u64,
    /// How long a released context is kept for children to come, ns of event time.
    pub context_age: u64,
    /// Most contexts kept, released or not. One is about half a KiB until its span goes out, without its exchange.
    pub max_contexts: usize,
    /// Most of them that are released: some 300 bytes each, with all that leads to them.
    pub max_released: usize,
    /// Most finished spans held back at once. One is one or two KiB with its exchange.
    pub max_held: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            own_pids: Vec::new(),
            host_name: String::new(),
            known_methods: http::KNOWN_METHODS.iter().map(ToString::to_string).collect(),
            redacted_query_keys: redact::QUERY_KEYS.iter().map(ToString::to_string).collect(),
            checks: CheckRule::defaults(),
            routes: RouteSettings::default(),
            active_after: 60 * SECOND,
            // By then nearly every other is in the viewer already.
            shown_after: 2 * SECOND,
            selection: Selection::default(),
            sampler: Sampler::default(),
            // Both ends of a request are read from the same rings; they differ by a drain (10 ms) and by what is
            // reordered in between.
            settle: SECOND / 5,
            // Longer requests are streams: their calls should not stay invisible for as long.
            parent_wait: 60 * SECOND,
            context_age: 300 * SECOND,
            // Three times what waits where 100,000 exchanges end a second.
            max_contexts: 65_536,
            // All of 3 s where 5,000 requests are served a second. What calls under way were made for is kept for longer; one that is
            // made later than that is no child any more, and loses its link at most.
            max_released: 16_384,
            max_held: 32_768,
        }
    }
}
