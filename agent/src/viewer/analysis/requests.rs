//! Which span of a trace is the request that a question is about.

use crate::viewer::search::Match;
use crate::viewer::store::Trace;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) span: u32,
    /// ns since 1970.
    pub(crate) start: u64,
    /// ns.
    pub(crate) duration: u64,
    pub(crate) failed: bool,
}

/// The request of a trace that was found: the first matching span that was asked, else the first matching one; where
/// nothing was asked of spans, the trace's entry, for as long as its root took.
pub(crate) fn request(trace: &Trace, found: &Match) -> Option<Request> {
    let summary = trace.summary();
    let spans = match found {
        Match::No => return None,
        Match::Trace => {
            return Some(Request {
                span: summary.entry,
                start: summary.start,
                duration: summary.duration,
                failed: summary.failed,
            });
        }
        Match::Spans(spans) => spans,
    };
    let key = |at: &&u32| {
        let span = &trace.spans[**at as usize];
        (!span.kind.is_called(), span.start, u64::MAX - span.duration(), span.id)
    };
    let at = *spans.iter().min_by_key(key)?;
    let span = &trace.spans[at as usize];
    Some(Request { span: at, start: span.start, duration: span.duration(), failed: span.failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{MS, checkout};

    #[test]
    fn who_was_asked_is_the_request() {
        let trace = checkout(1).trace();
        let at = |id: u64| trace.spans.iter().position(|span| span.id == id).unwrap() as u32;
        let of = |found| request(&trace, &found).map(|request| (request.span, request.duration));
        assert_eq!(of(Match::No), None);
        assert_eq!(of(Match::Trace), Some((at(1), 500 * MS)));
        assert_eq!(of(Match::Spans(vec![at(40), at(41), at(51)])), Some((at(41), 76 * MS)));
        assert_eq!(of(Match::Spans(vec![at(50), at(40)])), Some((at(40), 80 * MS)));
    }
}
