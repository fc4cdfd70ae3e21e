//! Two traces side by side: the same calls in the same place, how often, how long, and what they cost the request.

use std::collections::HashMap;
use std::sync::Arc;

use super::pairs::pairs;
use super::path::critical_path;
use super::tree::{NONE, Tree};
use crate::viewer::span::Kind;
use crate::viewer::store::Trace;

/// What of one trace is in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) calls: u32,
    /// Sum of the calls' durations, ns.
    pub(crate) time: u64,
    /// Of it, on the critical path and the call's own, ns.
    pub(crate) path: u64,
    pub(crate) failed: bool,
    /// The first of the calls, for its attributes.
    pub(crate) span: Option<u64>,
}

/// A call path: siblings that do the same are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) depth: u32,
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    /// Who is asked, if only seen from outside.
    pub(crate) peer: Option<Arc<str>>,
    /// The mark of whom it asks.
    pub(crate) icon: &'static str,
    pub(crate) a: Side,
    pub(crate) b: Side,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct Key {
    parent: usize,
    service: Arc<str>,
    operation: Arc<str>,
    peer: Option<Arc<str>>,
    kind: Kind,
}

/// Compares the traces from their roots on, depth first. Differences on the path add up to the difference of the
/// roots' durations.
pub(crate) fn compare(a: &Trace, b: &Trace) -> Vec<Row> {
    let mut table = Table::default();
    table.add(a, |row| &mut row.a);
    table.add(b, |row| &mut row.b);
    table.rows()
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    children: Vec<Vec<usize>>,
    places: HashMap<Key, usize>,
    roots: Vec<usize>,
}

impl Table {
    fn add(&mut self, trace: &Trace, side: impl Fn(&mut Row) -> &mut Side) {
        let tree = Tree::of(trace);
        let other = pairs(trace, &tree);
        let Some(root) = tree.root() else { return };
        let mut path: HashMap<u32, u64> = HashMap::new();
        for segment in critical_path(trace, &tree, root) {
            *path.entry(segment.span).or_default() += segment.end - segment.start;
        }
        // The row of each span; a server's span is in its client's.
        let mut place = vec![usize::MAX; trace.spans.len()];
        for at in &tree.order {
            let at = *at as usize;
            let span = &trace.spans[at];
            let on_path = path.get(&(at as u32)).copied().unwrap_or(0);
            let parent = tree.parent[at];
            if span.kind == Kind::Server && other[at] != NONE {
                place[at] = place[other[at] as usize];
                side(&mut self.rows[place[at]]).path += on_path;
                continue;
            }
            let shown = if other[at] == NONE { span } else { &trace.spans[other[at] as usize] };
            let key = Key {
                parent: if parent == NONE { usize::MAX } else { place[parent as usize] },
                service: shown.service().clone(),
                operation: shown.operation.clone(),
                peer: shown.peer.clone(),
                kind: span.kind,
            };
            let icon = if key.peer.is_some() { super::icon(trace, shown) } else { "" };
            let row = self.row(key, icon);
            place[at] = row;
            let side = side(&mut self.rows[row]);
            side.calls += 1;
            side.time = side.time.saturating_add(span.duration());
            side.path += on_path;
            side.failed |= span.failed;
            side.span.get_or_insert(shown.id);
        }
    }

    fn row(&mut self, key: Key, icon: &'static str) -> usize {
        if let Some(row) = self.places.get(&key) {
            return *row;
        }
        let row = self.rows.len();
        let depth = self.rows.get(key.parent).map_or(0, |parent| parent.depth + 1);
        self.rows.push(Row {
            depth,
            service: key.service.clone(),
            operation: key.operation.clone(),
            peer: key.peer.clone(),
            icon,
            a: Side::default(),
            b: Side::default(),
        });
        self.children.push(Vec::new());
        match self.children.get_mut(key.parent) {
            Some(siblings) => siblings.push(row),
            None => self.roots.push(row),
        }
        self.places.insert(key, row);
        row
    }

    /// Depth first.
    fn rows(self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.rows.len());
        let mut stack: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(at) = stack.pop() {
            rows.push(self.rows[at].clone());
            stack.extend(self.children[at].iter().rev());
        }
        rows
    }
}

/// The typical one among `traces`: of those with the same entry that succeeded, the one of median duration; and how
/// many there are.
pub(crate) fn typical(of: &Trace, traces: &[Arc<Trace>]) -> Option<(Arc<Trace>, usize)> {
    let summary = of.summary();
    let mut alike: Vec<&Arc<Trace>> = traces
        .iter()
        .filter(|trace| {
            let other = trace.summary();
            trace.id != of.id
                && !other.failed
                && other.service == summary.service
                && other.operation == summary.operation
        })
        .collect();
    alike.sort_unstable_by_key(|trace| (trace.summary().duration, trace.id));
    let median = alike.get(alike.len().checked_sub(1)? / 2)?;
    Some(((*median).clone(), alike.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{MS, Sample, checkout};
    use crate::viewer::span::Kind::{Client, Server};

    fn quick(trace: u128, length: u64) -> Sample {
        Sample::new(trace)
            .span((1, 0), Server, ("edge", "POST /checkout"), (0, length), &[])
            .span((2, 1), Client, ("edge", "POST"), (1, length - 1), &[])
            .span((3, 2), Server, ("orders", "POST /orders"), (2, length - 2), &[])
            .span((4, 3), Client, ("orders", "INSERT"), (5, 10), &[("db.system.name", "mysql")])
    }

    #[test]
    fn differences_on_the_path_add_up() {
        let (a, b) = (quick(1, 100).trace(), checkout(2).trace());
        let rows = compare(&a, &b);
        let sum: i64 = rows.iter().map(|r| r.b.path.cast_signed() - r.a.path.cast_signed()).sum();
        assert_eq!(sum, 400 * MS.cast_signed());
        let shown: Vec<_> = rows
            .iter()
            .map(|r| (r.depth, &*r.service, &*r.operation, r.a.calls, r.b.calls))
            .collect();
        assert_eq!(
            shown,
            [
                (0, "edge", "POST /checkout", 1, 1),
                (1, "orders", "POST /orders", 1, 1),
                (2, "orders", "INSERT", 1, 0),
                (2, "inventory", "POST /reserve", 0, 1),
                (3, "inventory", "SELECT stock", 0, 10),
                (2, "payments", "Charge", 0, 2),
                (3, "payments", "POST", 0, 2),
            ]
        );
        assert!(rows[1].b.failed && !rows[1].a.failed);
    }

    #[test]
    fn the_median_success_is_typical() {
        let traces: Vec<_> =
            [(1, 100), (2, 90), (3, 200)].map(|(id, length)| quick(id, length).trace()).into();
        let (found, of) = typical(&checkout(9).trace(), &traces).unwrap();
        assert_eq!((found.id, of), (1, 3));
        assert!(typical(&traces[0], &traces[..1]).is_none());
    }
}
