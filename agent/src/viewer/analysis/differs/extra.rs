//! Where the extra time is: mean time on the critical path by service and operation, selected less the rest.

use std::collections::HashMap;
use std::sync::Arc;

use super::Found;
use crate::viewer::analysis::{Tree, critical_path};

/// A part of the difference of two means.
#[derive(Debug)]
pub(crate) struct Extra {
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) peer: Option<Arc<str>>,
    /// ns; negative where the selected spend less.
    pub(crate) time: f64,
}

type Key = (Arc<str>, Arc<str>, Option<Arc<str>>);

/// Difference of the mean durations, ns, and its parts.
pub(super) fn extra(selected: &[Found], rest: &[Found]) -> (f64, Vec<Extra>) {
    if selected.is_empty() || rest.is_empty() {
        return (0.0, Vec::new());
    }
    let (mean, parts) = means(selected);
    let (rest_mean, rest_parts) = means(rest);
    let mut difference = parts;
    for (key, time) in rest_parts {
        *difference.entry(key).or_default() -= time;
    }
    let mut extra: Vec<Extra> = difference
        .into_iter()
        .map(|((service, operation, peer), time)| Extra { service, operation, peer, time })
        .collect();
    extra.sort_by(|a, b| {
        b.time.abs().total_cmp(&a.time.abs()).then_with(|| {
            (&a.service, &a.operation, &a.peer).cmp(&(&b.service, &b.operation, &b.peer))
        })
    });
    (mean - rest_mean, extra)
}

/// Mean duration and mean path times, ns.
fn means(found: &[Found]) -> (f64, HashMap<Key, f64>) {
    let count = found.len() as f64;
    // Strangers choose how long a span is: thousands of the longest must fit.
    let mut total = 0_u128;
    let mut parts: HashMap<Key, u128> = HashMap::new();
    for (trace, request) in found {
        let tree = Tree::of(trace);
        // The request as its root saw it, where it is the trace's entry: that is what its duration says.
        let summary = trace.summary();
        let is_whole = request.span == summary.entry && request.duration == summary.duration;
        let from = if is_whole { summary.root } else { request.span };
        for segment in critical_path(trace, &tree, from) {
            let span = &trace.spans[segment.span as usize];
            let key = (span.service().clone(), span.operation.clone(), span.peer.clone());
            let time = u128::from(segment.end - segment.start);
            *parts.entry(key).or_default() += time;
            total += time;
        }
    }
    let parts = parts.into_iter().map(|(key, time)| (key, time as f64 / count)).collect();
    (total as f64 / count, parts)
}
