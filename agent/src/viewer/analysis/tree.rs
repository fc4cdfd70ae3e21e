//! A trace's spans as a tree, whatever ids they claim: no cycle, no span twice, nobody hung under a guess.

use std::collections::HashMap;

use crate::viewer::span::Kind;
use crate::viewer::store::Trace;

/// No span.
pub(crate) const NONE: u32 = u32::MAX;

/// What the ids said that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Two spans have one id: the later one is a root.
    DuplicateId,
    /// Spans are each other's ancestors: the earliest of them is a root.
    Cycle,
}

/// The tree. Spans are named by their places in [`Trace::spans`].
#[derive(Debug)]
pub(crate) struct Tree {
    /// Depth first; children by start, the longer first, then by id.
    pub(crate) order: Vec<u32>,
    /// [`NONE`] for roots.
    pub(crate) parent: Vec<u32>,
    pub(crate) depth: Vec<u32>,
    /// The one without a parent first, then those whose parent is not here.
    pub(crate) roots: Vec<u32>,
    /// Names a parent that is not here.
    pub(crate) is_orphan: Vec<bool>,
    pub(crate) broken: Option<Broken>,
    /// Children of all spans, one after the other.
    children: Vec<u32>,
    /// Where a span's begin.
    first: Vec<u32>,
}

impl Tree {
    pub(crate) fn of(trace: &Trace) -> Self {
        let spans = &trace.spans;
        let count = spans.len();
        let mut broken = None;
        let mut places = HashMap::with_capacity(count);
        for (at, span) in spans.iter().enumerate() {
            if places.insert(span.id, at as u32).is_some() {
                broken = Some(Broken::DuplicateId);
            }
        }
        let mut parent: Vec<u32> = spans
            .iter()
            .enumerate()
            .map(|(at, span)| {
                // Of two with one id, children belong to the last, and the first keeps its own place.
                let found = places.get(&span.parent).copied().filter(|_| span.parent != 0);
                found.filter(|parent| *parent != at as u32).unwrap_or(NONE)
            })
            .collect();
        let is_orphan: Vec<bool> = spans
            .iter()
            .zip(&parent)
            .map(|(span, parent)| span.parent != 0 && *parent == NONE)
            .collect();
        let key = |at: u32| {
            let span = &spans[at as usize];
            (span.start, u64::MAX - span.duration(), span.id, at)
        };
        if break_cycles(&mut parent, key) {
            broken = Some(Broken::Cycle);
        }
        let mut roots: Vec<u32> =
            (0..count as u32).filter(|at| parent[*at as usize] == NONE).collect();
        roots.sort_by_cached_key(|at| (is_orphan[*at as usize], key(*at)));
        let (first, children) = children(&parent, key);
        let mut tree = Self {
            order: Vec::with_capacity(count),
            depth: vec![0; count],
            parent,
            roots,
            is_orphan,
            broken,
            children,
            first,
        };
        tree.walk();
        tree
    }

    /// In their order.
    pub(crate) fn children(&self, of: u32) -> &[u32] {
        let of = of as usize;
        &self.children[self.first[of] as usize..self.first[of + 1] as usize]
    }

    /// Children that their parent may wait for: a consumer works on its own time.
    pub(crate) fn awaited<'a>(&'a self, trace: &'a Trace, of: u32) -> impl Iterator<Item = u32> {
        let is_awaited = |at: &u32| trace.spans[*at as usize].kind != Kind::Consumer;
        self.children(of).iter().copied().filter(is_awaited)
    }

    /// The root that the trace is about; `None` for a trace without spans.
    pub(crate) fn root(&self) -> Option<u32> {
        self.roots.first().copied()
    }

    fn walk(&mut self) {
        let mut stack: Vec<u32> = self.roots.iter().rev().copied().collect();
        while let Some(at) = stack.pop() {
            self.order.push(at);
            let (from, to) = (self.first[at as usize], self.first[at as usize + 1]);
            for child in self.children[from as usize..to as usize].iter().rev() {
                self.depth[*child as usize] = self.depth[at as usize] + 1;
                stack.push(*child);
            }
        }
    }
}

/// Makes a root of the earliest span of each cycle.
fn break_cycles<K: Ord>(parent: &mut [u32], key: impl Fn(u32) -> K) -> bool {
    // In which walk a span was met; 0 is in none.
    let mut met = vec![0_u32; parent.len()];
    let mut found = false;
    for from in 0..parent.len() {
        let walk = from as u32 + 1;
        let mut at = from as u32;
        while at != NONE && met[at as usize] == 0 {
            met[at as usize] = walk;
            at = parent[at as usize];
        }
        if at == NONE || met[at as usize] != walk {
            continue;
        }
        found = true;
        let (mut earliest, mut next) = (at, parent[at as usize]);
        while next != at {
            if key(next) < key(earliest) {
                earliest = next;
            }
            next = parent[next as usize];
        }
        parent[earliest as usize] = NONE;
    }
    found
}

/// Where each span's children begin, and all children in that order.
fn children<K: Ord>(parent: &[u32], key: impl Fn(u32) -> K) -> (Vec<u32>, Vec<u32>) {
    let mut first = vec![0; parent.len() + 1];
    for parent in parent.iter().filter(|parent| **parent != NONE) {
        first[*parent as usize + 1] += 1;
    }
    for at in 1..first.len() {
        first[at] += first[at - 1];
    }
    let mut all: Vec<u32> =
        (0..parent.len() as u32).filter(|at| parent[*at as usize] != NONE).collect();
    all.sort_by_cached_key(|at| (parent[*at as usize], key(*at)));
    (first, all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::viewer::sample::Sample;

    fn tree(ids: &[(u64, u64)]) -> (std::sync::Arc<Trace>, Tree) {
        let sample = ids.iter().enumerate().fold(Sample::new(1), |sample, (at, id)| {
            let at = at as u64;
            sample.span(*id, Kind::Internal, ("a", "x"), (at, at + 10), &[])
        });
        let trace = sample.trace();
        let tree = Tree::of(&trace);
        (trace, tree)
    }

    #[test]
    fn children_follow_their_parents_in_time() {
        let (_, tree) = tree(&[(1, 0), (3, 1), (2, 1), (4, 3), (5, 99)]);
        assert_eq!(tree.order, [0, 1, 3, 2, 4]);
        assert_eq!(tree.depth, [0, 1, 1, 2, 0]);
        assert_eq!(tree.roots, [0, 4]);
        assert_eq!(tree.is_orphan, [false, false, false, false, true]);
        assert_eq!(tree.broken, None);
        assert_eq!(tree.children(0), [1, 2]);
    }

    #[test]
    fn what_cannot_be_is_said() {
        assert_eq!(tree(&[(1, 0), (2, 1), (2, 1)]).1.broken, Some(Broken::DuplicateId));
        let (_, cycle) = tree(&[(1, 0), (2, 3), (3, 4), (4, 2), (5, 4)]);
        assert_eq!(cycle.broken, Some(Broken::Cycle));
        assert_eq!(cycle.order.len(), 5);
        assert_eq!(tree(&[(7, 7)]).1.roots, [0]);
    }

    proptest! {
        #[test]
        fn every_span_is_there_once(ids in prop::collection::vec((1..12_u64, 0..12_u64), 1..30)) {
            let (trace, tree) = tree(&ids);
            let mut order = tree.order.clone();
            order.sort_unstable();
            prop_assert_eq!(order, (0..trace.spans.len() as u32).collect::<Vec<_>>());
            for at in &tree.order {
                let parent = tree.parent[*at as usize];
                if parent != NONE {
                    prop_assert_eq!(tree.depth[*at as usize], tree.depth[parent as usize] + 1);
                }
            }
        }
    }
}
