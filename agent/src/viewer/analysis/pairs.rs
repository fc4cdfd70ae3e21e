//! The two ends of one request: a client's span and the server's that answered it.

use super::tree::{NONE, Tree};
use crate::viewer::span::Kind;
use crate::viewer::store::Trace;

/// For each span the other end of its request, or `NONE`: a client span whose only child is a server's, and that child.
pub(crate) fn pairs(trace: &Trace, tree: &Tree) -> Vec<u32> {
    let mut other = vec![NONE; trace.spans.len()];
    for at in 0..trace.spans.len() as u32 {
        if let [child] = tree.children(at)
            && trace.spans[at as usize].kind == Kind::Client
            && trace.spans[*child as usize].kind == Kind::Server
        {
            other[at as usize] = *child;
            other[*child as usize] = at;
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::checkout;

    #[test]
    fn a_client_and_its_server_are_one_request() {
        let trace = checkout(1).trace();
        let other = pairs(&trace, &Tree::of(&trace));
        let of = |id: u64| {
            let at = trace.spans.iter().position(|span| span.id == id).unwrap();
            Some(other[at]).filter(|at| *at != NONE).map(|at| trace.spans[at as usize].id)
        };
        assert_eq!(
            [of(1), of(2), of(3), of(4), of(20), of(40), of(42)],
            [None, Some(3), Some(2), Some(5), None, Some(41), None]
        );
    }
}
