//! One trace as the store keeps it: the spans that have come so far, and what is asked of it again and again.

use std::sync::{Arc, OnceLock};

use crate::trace::probability;
use crate::viewer::analysis::Summary;
use crate::viewer::dictionary::Dictionary;
use crate::viewer::span::{Span, TraceId};

/// Most spans of one trace. A trace beyond that is a loop or a job, and its beginning tells enough.
pub(crate) const MOST_SPANS: usize = 20_000;

/// A trace. Cheap to clone: readers keep what they read while it grows.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// In the order in which they came.
    pub(crate) spans: Vec<Arc<Span>>,
    /// The earliest start, ns since 1970.
    pub(crate) start: u64,
    /// The latest end, ns since 1970.
    pub(crate) end: u64,
    /// When the last span came, ns since 1970 by the child's clock.
    pub(crate) last: u64,
    /// What the bound counts for it.
    pub(crate) bytes: usize,
    /// Any of its spans failed.
    pub(crate) has_errors: bool,
    /// It took longer than most of its kind.
    pub(crate) is_slow: bool,
    /// How many traces it stands for: 1 unless sampling left others out.
    pub(crate) weight: f64,
    /// Spans beyond [`MOST_SPANS`].
    pub(crate) left_out: u64,
    pub(crate) dictionary: Arc<Dictionary>,
    summary: OnceLock<Arc<Summary>>,
}

impl Trace {
    pub(crate) fn new(id: TraceId, dictionary: Arc<Dictionary>) -> Self {
        /// The map's entry and the queue's, and the trace's own allocation.
        const ENTRY: usize = 96;
        Self {
            id,
            spans: Vec::new(),
            start: u64::MAX,
            end: 0,
            last: 0,
            bytes: size_of::<Self>() + size_of::<Summary>() + ENTRY,
            has_errors: false,
            is_slow: false,
            weight: 1.0,
            left_out: 0,
            dictionary,
            summary: OnceLock::new(),
        }
    }

    /// Takes one more span; false when there is no room for it.
    pub(crate) fn add(&mut self, span: Span, now: u64) -> bool {
        self.last = now;
        if self.spans.len() >= MOST_SPANS {
            self.left_out += 1;
            return false;
        }
        self.start = self.start.min(span.start);
        self.end = self.end.max(span.end);
        self.has_errors |= span.failed;
        let state = span.more.as_ref().map_or("", |more| &more.trace_state);
        if !state.is_empty() {
            self.weight = self.weight.max(probability::stands_for(state));
        }
        self.bytes += span.bytes();
        self.spans.push(Arc::new(span));
        self.summary = OnceLock::new();
        true
    }

    /// The same with other times: `time` makes a span's start and end from what they are; spans go by their places.
    pub(crate) fn with_times(&self, time: impl Fn(usize, u64) -> u64) -> Self {
        let mut other = Self { start: u64::MAX, end: 0, summary: OnceLock::new(), ..self.clone() };
        for (at, span) in other.spans.iter_mut().enumerate() {
            let (start, end) = (time(at, span.start), time(at, span.end));
            if (start, end) != (span.start, span.end) {
                let span = Arc::make_mut(span);
                (span.start, span.end) = (start, end.max(start));
            }
            (other.start, other.end) = (other.start.min(span.start), other.end.max(span.end));
        }
        other
    }

    /// What is said of it in a list; computed once for as long as nothing comes.
    pub(crate) fn summary(&self) -> &Arc<Summary> {
        self.summary.get_or_init(|| Arc::new(Summary::of(self)))
    }
}
