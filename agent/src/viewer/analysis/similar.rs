//! Siblings that did the same thing again and again: one row for 47 queries.

use std::collections::{HashMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

use super::tree::Tree;
use crate::viewer::store::Trace;

/// From so many on they are one group.
const LEAST: usize = 5;
/// Members may be so far apart among their siblings: A B A B A B are two groups.
const PERIOD: usize = 3;
/// From so many on, one after another, it looks like a query for each row of another (N+1).
const REPEATED: usize = 10;

/// What the typical request makes of these calls: one or two are no repetition,
const USUAL: u32 = 2;
/// and so many times fewer are the same query over fewer rows.
const FEWER: u32 = 4;

/// Siblings that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// In the order of time, all under one parent.
    pub(crate) members: Vec<u32>,
    /// Sum of their durations, ns.
    pub(crate) total: u64,
    /// The longest, ns.
    pub(crate) longest: u64,
    /// In how much of the sum two of them ran at once, 0 to 1.
    pub(crate) overlap: f64,
}

impl Group {
    /// One after another.
    pub(crate) fn is_sequential(&self) -> bool {
        self.overlap < 0.1
    }

    /// Many, one after another: what one call could have done.
    pub(crate) fn is_repeated(&self) -> bool {
        self.members.len() >= REPEATED && self.is_sequential()
    }

    /// So many only here: a query for each row of another one's answer. `usual` is how many the typical request of the
    /// kind makes, if there is one.
    pub(crate) fn is_n_plus_one(&self, usual: Option<u32>) -> bool {
        let calls = self.members.len() as u32;
        let is_unusual = |usual: u32| usual <= USUAL || usual.saturating_mul(FEWER) <= calls;
        self.is_repeated() && usual.is_none_or(is_unusual)
    }
}

/// All groups of a trace, in the order of their first members.
pub(crate) fn similar(trace: &Trace, tree: &Tree) -> Vec<Group> {
    let shapes = shapes(trace, tree);
    let mut groups = Vec::new();
    for parent in &tree.order {
        let siblings = tree.children(*parent);
        if siblings.len() < LEAST {
            continue;
        }
        // Last member's place among the siblings, and the members, of the group that is growing.
        let mut open: HashMap<u64, (usize, Vec<u32>)> = HashMap::new();
        let mut closed = Vec::new();
        for (place, at) in siblings.iter().enumerate() {
            let group = open.entry(shapes[*at as usize]).or_insert_with(|| (place, Vec::new()));
            if place - group.0 > PERIOD {
                closed.push(std::mem::take(&mut group.1));
            }
            group.0 = place;
            group.1.push(*at);
        }
        closed.extend(open.into_values().map(|(_, members)| members));
        closed.retain(|members| members.len() >= LEAST);
        closed.sort_unstable_by_key(|members| {
            siblings.iter().position(|sibling| *sibling == members[0])
        });
        groups.extend(closed.into_iter().map(|members| group(trace, members)));
    }
    groups
}

fn group(trace: &Trace, members: Vec<u32>) -> Group {
    let durations = members.iter().map(|at| trace.spans[*at as usize].duration());
    let (mut total, mut longest) = (0_u64, 0);
    for duration in durations {
        total = total.saturating_add(duration);
        longest = longest.max(duration);
    }
    let (mut covered, mut union) = (0, 0_u64);
    for at in &members {
        let span = &trace.spans[*at as usize];
        let from = span.start.max(covered);
        if span.end > from {
            union += span.end - from;
            covered = span.end;
        }
    }
    let overlap = if total == 0 { 0.0 } else { total.saturating_sub(union) as f64 / total as f64 };
    Group { members, total, longest, overlap }
}

/// What each span did, its descendants included: equal numbers are alike. How often a descendant was repeated does not
/// count.
fn shapes(trace: &Trace, tree: &Tree) -> Vec<u64> {
    let mut shapes = vec![0; trace.spans.len()];
    for at in tree.order.iter().rev() {
        let span = &trace.spans[*at as usize];
        let mut below: Vec<u64> =
            tree.children(*at).iter().map(|child| shapes[*child as usize]).collect();
        below.sort_unstable();
        below.dedup();
        let mut hasher = DefaultHasher::new();
        (span.service(), span.kind, &span.operation, &span.peer, below).hash(&mut hasher);
        let statement = span.attributes.get(&trace.dictionary, "db.query.text");
        statement.map(|statement| statement.display().into_owned()).hash(&mut hasher);
        shapes[*at as usize] = hasher.finish();
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{Sample, checkout};
    use crate::viewer::span::Kind::{Client, Server};

    #[test]
    fn ten_queries_are_one_group() {
        let trace = checkout(1).trace();
        let groups = similar(&trace, &Tree::of(&trace));
        let [group] = groups.as_slice() else { panic!("{groups:?}") };
        assert_eq!(group.members.len(), 10);
        assert!(group.is_repeated());
        assert_eq!(group.total, 220_000_000);
        assert_eq!(group.longest, 22_000_000);
    }

    #[test]
    fn interleaved_ones_are_two_and_distant_ones_none() {
        let mut sample = Sample::new(1).span((1, 0), Server, ("a", "x"), (0, 1000), &[]);
        for call in 0..12 {
            let name = if call % 2 == 0 { "GET a" } else { "GET b" };
            sample = sample.span((10 + call, 1), Client, ("a", name), (5, 15), &[]);
        }
        for call in 0..20 {
            let name = if call % 5 == 0 { "GET c".to_owned() } else { format!("other {call}") };
            sample = sample.span((100 + call, 1), Client, ("a", &name), (30, 40), &[]);
        }
        let trace = sample.trace();
        let groups = similar(&trace, &Tree::of(&trace));
        assert_eq!(groups.iter().map(|group| group.members.len()).collect::<Vec<_>>(), [6, 6]);
        assert!(!groups[0].is_sequential());
        assert!((groups[0].overlap - 5.0 / 6.0).abs() < 1e-9);
    }
}
