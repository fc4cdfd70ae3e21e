//! Who calls whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::red::{Stats, Window};
use super::tree::NONE;
use crate::viewer::histogram::Histogram;
use crate::viewer::span::Span;
use crate::viewer::store::Trace;

/// Most reasons and operations told of one edge.
const MOST: usize = 50;

/// What stands at an edge's end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    /// Whoever calls from outside.
    Clients,
    Service(Arc<str>),
    /// Seen from outside only.
    Peer(Arc<str>),
}

/// All calls from one to another.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    pub(crate) stats: Stats,
    /// What the two ends' durations differ by, where both were seen.
    pub(crate) network: Histogram,
    /// Why calls failed, and how many.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Calls and errors by operation.
    pub(crate) operations: BTreeMap<Arc<str>, (u64, u64)>,
}

/// Nodes with what was asked of them, and edges.
#[derive(Debug, Default)]
pub(crate) struct Map {
    pub(crate) nodes: BTreeMap<Node, Stats>,
    pub(crate) edges: BTreeMap<(Node, Node), Edge>,
    /// Marks of those seen from outside only.
    pub(crate) icons: BTreeMap<Node, &'static str>,
}

/// The map of these traces.
pub(crate) fn edges(traces: &[Arc<Trace>], window: Window) -> Map {
    let mut map = Map::default();
    for trace in traces {
        let parents = &trace.summary().parents;
        // Each calling span's answer.
        let mut answers: HashMap<u32, &Span> = HashMap::new();
        for (span, parent) in trace.spans.iter().zip(parents) {
            if span.kind.is_called() && *parent != NONE {
                answers.insert(*parent, span);
            }
        }
        for (at, span) in trace.spans.iter().enumerate() {
            if !window.has(span.start) {
                continue;
            }
            let own = Node::Service(span.service().clone());
            if span.kind.is_called() {
                map.node(trace, own.clone(), window, span);
                let parent = trace.spans.get(parents[at] as usize);
                match parent {
                    // Told of where the call is looked at.
                    Some(parent) if parent.kind.calls() => {}
                    Some(parent) if parent.service() == span.service() => {}
                    Some(parent) => {
                        let from = Node::Service(parent.service().clone());
                        map.edge(trace, (from, own), window, span, None);
                    }
                    None => map.edge(trace, (Node::Clients, own), window, span, None),
                }
            } else if span.kind.calls() {
                match (answers.get(&(at as u32)), &span.peer) {
                    (Some(server), _) => {
                        let to = Node::Service(server.service().clone());
                        map.edge(trace, (own, to), window, span, Some(server));
                    }
                    (None, Some(peer)) => {
                        let peer = Node::Peer(peer.clone());
                        map.node(trace, peer.clone(), window, span);
                        map.icons.entry(peer.clone()).or_insert_with(|| super::icon(trace, span));
                        map.edge(trace, (own, peer), window, span, None);
                    }
                    (None, None) => {}
                }
            }
        }
    }
    map.complete();
    map
}

impl Map {
    fn node(&mut self, trace: &Trace, node: Node, window: Window, span: &Span) {
        let stats = self.nodes.entry(node).or_default();
        stats.add(window, trace.weight, span.start, span.duration(), span.failed);
    }

    fn edge(
        &mut self,
        trace: &Trace,
        ends: (Node, Node),
        window: Window,
        span: &Span,
        server: Option<&Span>,
    ) {
        let edge = self.edges.entry(ends).or_default();
        edge.stats.add(window, trace.weight, span.start, span.duration(), span.failed);
        if let Some(server) = server {
            edge.network.add(span.duration().saturating_sub(server.duration()));
        }
        if span.failed {
            let reason = span.outcome(&trace.dictionary).unwrap_or_default();
            if edge.reasons.len() < MOST || edge.reasons.contains_key(&reason) {
                *edge.reasons.entry(reason).or_default() += 1;
            }
        }
        let operation = server.map_or(&span.operation, |server| &server.operation);
        if edge.operations.len() < MOST || edge.operations.contains_key(operation) {
            let (calls, errors) = edge.operations.entry(operation.clone()).or_default();
            *calls += 1;
            *errors += u64::from(span.failed);
        }
    }

    /// A node for each end, also of those that nobody asks.
    fn complete(&mut self) {
        for (from, to) in self.edges.keys() {
            for end in [from, to] {
                self.nodes.entry(end.clone()).or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{BEGIN, MS, checkout};

    #[test]
    fn the_shop_as_a_map() {
        let traces: Vec<_> = (1..=2).map(|id| checkout(id).trace()).collect();
        let map = edges(&traces, Window { from: BEGIN, to: BEGIN + 1_000 * MS });
        let service = |name: &str| Node::Service(name.into());
        let peer = |name: &str| Node::Peer(name.into());
        let calls: Vec<_> =
            map.edges.iter().map(|(ends, edge)| (ends.clone(), edge.stats.count())).collect();
        assert_eq!(
            calls,
            [
                ((Node::Clients, service("edge")), 2),
                ((service("edge"), service("orders")), 2),
                ((service("inventory"), peer("postgres")), 20),
                ((service("orders"), service("inventory")), 2),
                ((service("orders"), service("payments")), 4),
                ((service("payments"), peer("api.cardpay.example")), 4),
            ]
        );
        let edge = &map.edges[&(service("orders"), service("payments"))];
        assert_eq!(edge.network.mean(), 4 * MS);
        assert_eq!(edge.reasons, BTreeMap::from([("UNAVAILABLE".to_owned(), 4)]));
        assert_eq!(edge.operations, BTreeMap::from([("Charge".into(), (4, 4))]));
        assert_eq!(map.nodes[&service("payments")].errors, 4);
        assert_eq!(map.nodes[&Node::Clients].count(), 0);
    }
}
