//! Finished traces as trees of text, for a person at a terminal.
//!
//! A pure function of spans and time. A trace is printed when it has been quiet for a while, a span that comes later
//! as an addition. Memory is bounded: what does not fit is printed earlier, not dropped. No byte of an attribute that
//! a terminal would obey gets through ([`text`]).

mod line;
pub(crate) mod text;
mod tree;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;

use super::FinishedSpan;
use crate::input::Nanos;

/// A trace of which no parent is missing is printed after so long without a new span, ns.
const QUIET: u64 = 500_000_000;
/// Any trace is printed after so long without a new span: the missing parent may be on another host.
const QUIET_INCOMPLETE: u64 = 2_000_000_000;
/// A trace that never goes quiet is printed, as far as it has come, after so long.
const LONGEST: u64 = 30_000_000_000;
/// Spans held in all traces: about 1 KiB each.
const MOST_SPANS: usize = 20_000;
/// Spans for which room is made at once: to find the oldest traces takes a look at all of them.
const ROOM: usize = MOST_SPANS / 4;
/// Traces remembered as printed.
const MOST_PRINTED: usize = 4_096;
/// Traces printed in a second: more than a person can read. The others are counted.
const MOST_A_SECOND: u32 = 20;
/// OTLP `SpanFlags`: the parent is known to be in another process.
const PARENT_IS_REMOTE: u32 = 0x300;

/// How to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// With ANSI colours.
    pub color: bool,
}

/// One trace that is known whole, as wide as it needs.
#[must_use]
pub fn tree(spans: &[FinishedSpan], color: bool) -> String {
    let mut out = String::new();
    tree::write(&mut out, spans, false, Style { width: 120, color });
    out
}

type TraceId = Vec<u8>;

/// Traces on their way to the terminal.
#[derive(Debug)]
pub struct Trees {
    style: Style,
    open: HashMap<TraceId, Open>,
    /// Spans in `open`.
    spans: usize,
    printed: HashSet<TraceId>,
    /// `printed`, oldest first.
    printed_order: VecDeque<TraceId>,
    /// The second in which `in_second` traces were printed.
    second: u64,
    in_second: u32,
    not_shown: u64,
}

/// A trace that may still grow.
#[derive(Debug)]
struct Open {
    spans: Vec<FinishedSpan>,
    first: Nanos,
    last: Nanos,
}

impl Trees {
    /// Nothing yet.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self {
            style,
            open: HashMap::new(),
            spans: 0,
            printed: HashSet::new(),
            printed_order: VecDeque::new(),
            second: 0,
            in_second: 0,
            not_shown: 0,
        }
    }

    /// The terminal has another size now.
    pub const fn resize(&mut self, width: usize) {
        self.style.width = width;
    }

    /// Takes finished spans; returns text when there was no room for more.
    #[must_use = "text that is to be printed"]
    pub fn add(&mut self, spans: Vec<impl Into<FinishedSpan>>, now: Nanos) -> String {
        let mut out = String::new();
        for span in spans {
            let span: FinishedSpan = span.into();
            if self.spans >= MOST_SPANS {
                self.print_oldest(now, &mut out);
            }
            let id = span.span.trace_id.clone();
            let open = self.open.entry(id).or_insert_with(|| Open {
                spans: Vec::new(),
                first: now,
                last: now,
            });
            open.last = now;
            open.spans.push(span);
            self.spans += 1;
        }
        out
    }

    /// Time has gone on: the text of every trace that is finished now.
    #[must_use = "text that is to be printed"]
    pub fn tick(&mut self, now: Nanos) -> String {
        let due = |open: &Open| {
            let quiet = now.since(open.last);
            quiet >= QUIET_INCOMPLETE
                || now.since(open.first) >= LONGEST
                || (quiet >= QUIET && self.is_complete(&open.spans))
        };
        let due =
            self.open.iter().filter(|(_, open)| due(open)).map(|(id, _)| id.clone()).collect();
        let mut out = String::new();
        self.print_all(due, now, &mut out);
        out
    }

    /// The end: the text of everything that is left.
    #[must_use = "text that is to be printed"]
    pub fn finish(&mut self, now: Nanos) -> String {
        let mut out = String::new();
        self.print_all(self.open.keys().cloned().collect(), now, &mut out);
        if self.not_shown > 0 {
            let _ = writeln!(out, "… {} more traces", std::mem::take(&mut self.not_shown));
        }
        out
    }

    /// No parent that this host could have seen is missing.
    fn is_complete(&self, spans: &[FinishedSpan]) -> bool {
        let here: HashSet<&[u8]> = spans.iter().map(|s| s.span.span_id.as_slice()).collect();
        spans.iter().all(|s| {
            let parent = s.span.parent_span_id.as_slice();
            parent.is_empty()
                || s.span.flags & PARENT_IS_REMOTE == PARENT_IS_REMOTE
                || here.contains(parent)
                // Its parent may be above, in what was printed.
                || self.printed.contains(&s.span.trace_id)
        })
    }

    fn print_oldest(&mut self, now: Nanos, out: &mut String) {
        let mut oldest: Vec<_> =
            self.open.iter().map(|(id, open)| (open.last, id, open.spans.len())).collect();
        oldest.sort_unstable();
        let mut room = 0;
        let enough = oldest.iter().take_while(|(_, _, spans)| {
            let goes = room < ROOM;
            room += spans;
            goes
        });
        self.print_all(enough.map(|(_, id, _)| (*id).clone()).collect(), now, out);
    }

    /// In the order in which they began.
    fn print_all(&mut self, ids: Vec<TraceId>, now: Nanos, out: &mut String) {
        let mut traces: Vec<(TraceId, Vec<FinishedSpan>)> = ids
            .into_iter()
            .filter_map(|id| self.open.remove(&id).map(|open| (id, open.spans)))
            .collect();
        let began =
            |spans: &[FinishedSpan]| spans.iter().map(|s| s.span.start_time_unix_nano).min();
        traces.sort_by_cached_key(|(id, spans)| (began(spans), id.clone()));
        for (id, spans) in traces {
            self.spans -= spans.len();
            let continued = !self.remember(id);
            if !self.may_print(now) {
                self.not_shown += 1;
                continue;
            }
            if self.not_shown > 0 {
                let _ = writeln!(out, "… {} more traces\n", std::mem::take(&mut self.not_shown));
            }
            tree::write(out, &spans, continued, self.style);
            out.push('\n');
        }
    }

    fn may_print(&mut self, now: Nanos) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.in_second = 0;
        }
        self.in_second = self.in_second.saturating_add(1);
        self.in_second <= MOST_A_SECOND
    }

    /// False: this trace has been printed before.
    fn remember(&mut self, id: TraceId) -> bool {
        if !self.printed.insert(id.clone()) {
            return false;
        }
        self.printed_order.push_back(id);
        if self.printed_order.len() > MOST_PRINTED
            && let Some(oldest) = self.printed_order.pop_front()
        {
            self.printed.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests;
