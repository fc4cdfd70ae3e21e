//! The critical path: what the request's end had to wait for, without gap or overlap.
//!
//! Walked from the end: of the children that had ended by then, the one that ended last was waited for; what lies
//! between its end and now is the span's own. A child that still runs was not waited for. Iterative, since depth is the
//! strangers' choice.

use super::tree::Tree;
use crate::viewer::store::Trace;

/// A time in which the request waited for one span itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) span: u32,
    /// ns since 1970.
    pub(crate) start: u64,
    /// ns since 1970.
    pub(crate) end: u64,
}

/// A span being walked through.
struct Frame {
    span: u32,
    /// It is clipped to its parent.
    start: u64,
    /// Its path is known from here on.
    until: u64,
    /// Children with their clipped times, the one that ends last at the end.
    children: Vec<(u64, u64, u32)>,
}

/// The path of `root`, in the order of time. Its segments tile the root's duration exactly.
pub(crate) fn critical_path(trace: &Trace, tree: &Tree, root: u32) -> Vec<Segment> {
    let span = &trace.spans[root as usize];
    let mut path = Vec::new();
    let mut stack = vec![frame(trace, tree, root, span.start, span.end)];
    while let Some(top) = stack.last_mut() {
        let Some((start, end, child)) = top.children.pop() else {
            own(&mut path, top.span, top.start, top.until);
            let start = top.start;
            stack.pop();
            if let Some(parent) = stack.last_mut() {
                parent.until = start;
            }
            continue;
        };
        if end > top.until {
            continue; // it still ran
        }
        own(&mut path, top.span, end, top.until);
        top.until = end;
        stack.push(frame(trace, tree, child, start, end));
    }
    path.reverse();
    path
}

fn frame(trace: &Trace, tree: &Tree, span: u32, start: u64, end: u64) -> Frame {
    let mut children: Vec<_> = tree
        .awaited(trace, span)
        .filter_map(|child| {
            let times = &trace.spans[child as usize];
            let (from, to) = (times.start.max(start), times.end.min(end));
            (to > from).then_some((from, to, child))
        })
        .collect();
    // Of two that end together the one that began first was waited for longer.
    children.sort_unstable_by_key(|(from, to, child)| (*to, u64::MAX - from, *child));
    Frame { span, start, until: end, children }
}

fn own(path: &mut Vec<Segment>, span: u32, start: u64, end: u64) {
    if end > start {
        path.push(Segment { span, start, end });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::viewer::sample::{BEGIN, MS, Sample};
    use crate::viewer::span::Kind::Internal;

    fn path(sample: Sample) -> Vec<(u64, u64, u64)> {
        let trace = sample.trace();
        let tree = Tree::of(&trace);
        critical_path(&trace, &tree, tree.root().unwrap())
            .into_iter()
            .map(|s| {
                (trace.spans[s.span as usize].id, (s.start - BEGIN) / MS, (s.end - BEGIN) / MS)
            })
            .collect()
    }

    #[test]
    fn the_last_to_end_was_waited_for() {
        let at = ("a", "x");
        let sample = Sample::new(1)
            .span((1, 0), Internal, at, (0, 100), &[])
            .span((2, 1), Internal, at, (10, 60), &[])
            .span((3, 1), Internal, at, (20, 90), &[])
            .span((4, 3), Internal, at, (30, 80), &[])
            .span((5, 1), Internal, at, (2, 8), &[])
            // Runs on after the answer: nobody waited for it.
            .span((6, 1), Internal, at, (50, 300), &[]);
        // Clipped, 6 ends with the root: it is taken for awaited from 50 on.
        assert_eq!(path(sample), [(1, 0, 2), (5, 2, 8), (1, 8, 50), (6, 50, 100)]);
    }

    #[test]
    fn what_overlaps_the_one_that_was_waited_for_is_not_on_it() {
        let at = ("a", "x");
        let sample = Sample::new(1)
            .span((1, 0), Internal, at, (0, 100), &[])
            .span((2, 1), Internal, at, (10, 60), &[])
            .span((3, 1), Internal, at, (40, 90), &[])
            .span((4, 3), Internal, at, (50, 80), &[])
            .span((5, 1), Internal, at, (5, 40), &[]);
        assert_eq!(
            path(sample),
            [(1, 0, 5), (5, 5, 40), (3, 40, 50), (4, 50, 80), (3, 80, 90), (1, 90, 100)]
        );
    }

    proptest! {
        #[test]
        fn it_tiles_the_root(
            spans in prop::collection::vec((0..8_u64, 0..1_000_u64, 0..1_000_u64), 0..40),
            length in 1..1_000_u64,
        ) {
            let at = ("a", "x");
            let mut sample = Sample::new(1).span((1, 0), Internal, at, (100, 100 + length), &[]);
            for (place, (parent, start, length)) in spans.iter().enumerate() {
                let id = place as u64 + 2;
                let parent = 1 + parent % (id - 1);
                sample = sample.span((id, parent), Internal, at, (*start, start + length), &[]);
            }
            let trace = sample.trace();
            let tree = Tree::of(&trace);
            let mut until = trace.spans[0].start;
            for segment in critical_path(&trace, &tree, 0) {
                prop_assert_eq!(segment.start, until);
                let span = &trace.spans[segment.span as usize];
                prop_assert!(span.start <= segment.start && segment.end <= span.end);
                prop_assert!(segment.end > segment.start);
                until = segment.end;
            }
            prop_assert_eq!(until, trace.spans[0].end);
        }
    }
}
