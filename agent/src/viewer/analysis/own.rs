//! Own time: how long a span was not waiting for any of its children.

use super::tree::Tree;
use crate::viewer::store::Trace;

/// For each span its duration less the union of its awaited children's, clipped to it, ns.
pub(crate) fn own_time(trace: &Trace, tree: &Tree) -> Vec<u64> {
    let spans = &trace.spans;
    (0..spans.len() as u32)
        .map(|at| {
            let span = &spans[at as usize];
            let mut own = span.duration();
            let mut covered = span.start;
            // They come in the order of their starts.
            for child in tree.awaited(trace, at) {
                let child = &spans[child as usize];
                let from = child.start.max(covered);
                let to = child.end.min(span.end);
                if to > from {
                    own -= to - from;
                    covered = to;
                }
            }
            own
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{MS, Sample};
    use crate::viewer::span::Kind::{Consumer, Internal};

    #[test]
    fn children_count_once_and_only_inside() {
        let at = ("a", "x");
        let trace = Sample::new(1)
            .span((1, 0), Internal, at, (10, 110), &[])
            .span((2, 1), Internal, at, (20, 40), &[])
            .span((3, 1), Internal, at, (30, 50), &[])
            .span((4, 1), Internal, at, (35, 45), &[])
            .span((5, 1), Internal, at, (100, 200), &[])
            .span((6, 1), Internal, at, (0, 12), &[])
            .span((7, 1), Consumer, at, (60, 90), &[])
            .trace();
        let own = own_time(&trace, &Tree::of(&trace));
        assert_eq!(own[0], (100 - 30 - 10 - 2) * MS);
        assert_eq!(own[1], 20 * MS);
    }
}
