//! What a list says of a trace.

use std::sync::Arc;

use super::entry::entry;
use super::pairs::pairs;
use super::path::critical_path;
use super::tree::{NONE, Tree};
use super::why::{Why, why};
use crate::viewer::span::{Kind, Span};
use crate::viewer::store::Trace;

/// One service's part of the critical path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) service: Arc<str>,
    /// Whom it waited for, if that one is seen from outside only.
    pub(crate) peer: Option<Arc<str>>,
    /// ns.
    pub(crate) time: u64,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// So many spans name a parent on this host that is not here.
    ParentNotSeen(u32),
    /// Ends of so many requests were lost.
    EndNotSeen(u32),
}

/// The summary.
#[derive(Debug)]
pub(crate) struct Summary {
    /// The first span.
    pub(crate) root: u32,
    /// The span that the request is named by.
    pub(crate) entry: u32,
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) outcome: Option<String>,
    pub(crate) failed: bool,
    /// ns since 1970.
    pub(crate) start: u64,
    /// The root's, ns.
    pub(crate) duration: u64,
    /// In the order of time.
    pub(crate) shares: Vec<Share>,
    pub(crate) why: Why,
    pub(crate) services: u32,
    pub(crate) errors: u32,
    pub(crate) incomplete: Option<Incomplete>,
    /// Largest group of alike siblings.
    pub(crate) similar: u32,
    /// For each span its parent's place, or `NONE`: what a search asks ancestors by.
    pub(crate) parents: Box<[u32]>,
}

impl Summary {
    pub(crate) fn of(trace: &Trace) -> Self {
        let tree = Tree::of(trace);
        let other = pairs(trace, &tree);
        // A trace is only made with its first span.
        let root = tree.root().unwrap_or(0);
        let entry = entry(trace, &tree, root);
        let path = critical_path(trace, &tree, root);
        let mut shares: Vec<Share> = Vec::new();
        for segment in &path {
            let span = &trace.spans[segment.span as usize];
            let is_outside = span.kind.calls() && other[segment.span as usize] == NONE;
            let peer = span.peer.clone().filter(|_| is_outside);
            let time = segment.end - segment.start;
            match shares.iter_mut().find(|s| s.service == *span.service() && s.peer == peer) {
                Some(share) => share.time += time,
                None => shares.push(Share { service: span.service().clone(), peer, time }),
            }
        }
        let span = &trace.spans[entry as usize];
        let first = &trace.spans[root as usize];
        let mut services: Vec<&str> = trace.spans.iter().map(|span| &**span.service()).collect();
        services.sort_unstable();
        services.dedup();
        let similar = super::similar(trace, &tree);
        Self {
            root,
            entry,
            service: span.service().clone(),
            operation: span.operation.clone(),
            outcome: span.outcome(&trace.dictionary),
            failed: span.failed,
            start: first.start,
            duration: first.duration(),
            why: why(trace, &tree, &other, entry, &path),
            shares,
            services: services.len() as u32,
            errors: trace.spans.iter().filter(|span| span.failed).count() as u32,
            incomplete: incomplete(trace, &tree),
            similar: similar.iter().map(|group| group.members.len() as u32).max().unwrap_or(0),
            parents: tree.parent.into(),
        }
    }
}

/// Bytes of it were lost by us, and its end was not seen.
pub(crate) fn has_lost(trace: &Trace, span: &Span) -> bool {
    span.attributes.get(&trace.dictionary, "spanwire.incomplete").is_some()
}

/// What is missing of a trace. A parent on another host is not: it was never ours to see.
pub(crate) fn incomplete(trace: &Trace, tree: &Tree) -> Option<Incomplete> {
    let lost = trace.spans.iter().filter(|span| has_lost(trace, span));
    let missing = trace.spans.iter().enumerate().filter(|(at, span)| {
        let outside = span.remote_parent && span.kind == Kind::Server;
        tree.is_orphan[*at] && !outside
    });
    match (lost.count() as u32, missing.count() as u32) {
        (0, 0) => None,
        (0, missing) => Some(Incomplete::ParentNotSeen(missing)),
        (lost, _) => Some(Incomplete::EndNotSeen(lost)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{MS, Sample, checkout};
    use crate::viewer::span::Kind::{Client, Server};

    #[test]
    fn a_checkout_in_one_line() {
        let trace = checkout(1).trace();
        let summary = trace.summary();
        // edge asks orders for something else: it is no proxy.
        assert_eq!((&*summary.service, &*summary.operation), ("edge", "POST /checkout"));
        assert_eq!(summary.outcome.as_deref(), Some("502"));
        assert!(summary.failed);
        assert_eq!(summary.duration, 500 * MS);
        assert_eq!((summary.services, summary.errors, summary.similar), (4, 9, 10));
        assert_eq!(summary.incomplete, None);
        assert_eq!(summary.shares.iter().map(|share| share.time).sum::<u64>(), 500 * MS);
        let postgres =
            summary.shares.iter().find(|s| s.peer.as_deref() == Some("postgres")).unwrap();
        assert_eq!(postgres.time, 220 * MS);
        let named: Vec<_> =
            summary.shares.iter().filter(|s| s.peer.is_none()).map(|s| &*s.service).collect();
        assert_eq!(named, ["edge", "orders", "inventory", "payments"]);
    }

    #[test]
    fn only_a_parent_of_this_host_is_missing() {
        let mut sample = Sample::new(1).span((1, 99), Server, ("a", "GET"), (0, 10), &[]).span(
            (2, 98),
            Client,
            ("a", "GET"),
            (0, 10),
            &[],
        );
        sample.spans[0].span.flags = 0x300;
        assert_eq!(sample.trace().summary().incomplete, Some(Incomplete::ParentNotSeen(1)));
        let cut = Sample::new(1).span(
            (1, 0),
            Server,
            ("a", "GET"),
            (0, 10),
            &[("spanwire.incomplete", "true")],
        );
        assert_eq!(cut.trace().summary().incomplete, Some(Incomplete::EndNotSeen(1)));
    }
}
