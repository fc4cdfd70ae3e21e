//! How often the typical request makes the calls that a trace repeats: what tells a query for each row from one that is
//! always made so often.

use super::compare::compare;
use super::similar::Group;
use super::tree::NONE;
use crate::viewer::store::Trace;

/// Calls of each group's kind, in the same place, in the typical trace. `other` is the other end of each span.
pub(crate) fn usual_calls(
    trace: &Trace,
    other: &[u32],
    groups: &[Group],
    typical: &Trace,
) -> Vec<u32> {
    let rows = compare(typical, trace);
    let calls = |group: &Group| {
        let ids: Vec<u64> = group
            .members
            .iter()
            .flat_map(|at| [*at, other[*at as usize]])
            .filter(|at| *at != NONE)
            .map(|at| trace.spans[at as usize].id)
            .collect();
        // Rows are named by their first call: where two groups do the same in one place, both are in it.
        let row = rows.iter().find(|row| row.b.span.is_some_and(|id| ids.contains(&id)));
        row.map_or(0, |row| row.a.calls)
    };
    groups.iter().map(calls).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::analysis::{Tree, pairs, similar};
    use crate::viewer::sample::{Sample, checkout};
    use crate::viewer::span::Kind::{Client, Server};

    /// A checkout whose `inventory` asks its database so often.
    fn asks(id: u128, times: u64) -> Sample {
        let sample = Sample::new(id)
            .span((1, 0), Server, ("edge", "POST /checkout"), (0, 500), &[])
            .span((2, 1), Client, ("edge", "POST"), (1, 499), &[])
            .span((3, 2), Server, ("inventory", "POST /reserve"), (2, 498), &[]);
        (0..times).fold(sample, |sample, call| {
            let at = 10 + call * 20;
            let query = [("db.system.name", "postgresql"), ("server.address", "postgres")];
            sample.span(
                (10 + call, 3),
                Client,
                ("inventory", "SELECT stock"),
                (at, at + 15),
                &query,
            )
        })
    }

    #[test]
    fn the_typical_request_is_the_measure() {
        let many = asks(1, 12).trace();
        let tree = Tree::of(&many);
        let (other, groups) = (pairs(&many, &tree), similar(&many, &tree));
        assert_eq!(groups.len(), 1);
        let usual = |typical: Sample| usual_calls(&many, &other, &groups, &typical.trace())[0];
        assert_eq!(usual(asks(2, 1)), 1);
        assert_eq!(usual(asks(2, 11)), 11);
        assert_eq!(usual(asks(2, 0)), 0);
        assert!(groups[0].is_n_plus_one(None));
        assert!(groups[0].is_n_plus_one(Some(2)));
        assert!(groups[0].is_n_plus_one(Some(3)), "a quarter");
        assert!(!groups[0].is_n_plus_one(Some(4)));
        assert!(!groups[0].is_n_plus_one(Some(11)));
        let few = asks(1, 9).trace();
        assert!(!similar(&few, &Tree::of(&few))[0].is_n_plus_one(Some(1)));
    }

    #[test]
    fn calls_with_both_ends_seen_are_found_by_either() {
        let trace = checkout(1).trace();
        let tree = Tree::of(&trace);
        let (other, groups) = (pairs(&trace, &tree), similar(&trace, &tree));
        assert_eq!(usual_calls(&trace, &other, &groups, &checkout(2).trace()), [10]);
    }
}
