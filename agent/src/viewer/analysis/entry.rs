//! Which request a trace is about: the first span that is not only passed on.

use super::tree::Tree;
use crate::viewer::attributes::Value;
use crate::viewer::span::{Kind, Span};
use crate::viewer::store::Trace;

/// A child that covers so much of its parent is the parent's work, passed on.
const COVERS: f64 = 0.8;

/// The entry below `root`: the last server of the line of servers that each only hand the request on (the same method,
/// one child that covers most of it).
pub(crate) fn entry(trace: &Trace, tree: &Tree, root: u32) -> u32 {
    let span = |at: u32| -> &Span { &trace.spans[at as usize] };
    let mut entry = root;
    let mut at = root;
    loop {
        let [next] = tree.children(at) else { return entry };
        let (here, below) = (span(at), span(*next));
        let covers = below.duration() as f64 >= here.duration() as f64 * COVERS;
        // Between a client and its server there is only the network.
        let is_handed_on = match (here.kind, below.kind) {
            (Kind::Client, Kind::Server) => true,
            (Kind::Server, Kind::Client) => covers && method(trace, here) == method(trace, below),
            _ => false,
        };
        if !is_handed_on {
            return entry;
        }
        at = *next;
        if below.kind == Kind::Server {
            entry = at;
        }
    }
}

fn method<'a>(trace: &'a Trace, span: &'a Span) -> Option<&'a str> {
    let method = span.attributes.get(&trace.dictionary, "http.request.method");
    method.and_then(Value::text).or_else(|| span.operation.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::Sample;
    use crate::viewer::span::Kind::{Client, Server};

    #[test]
    fn proxies_are_passed_through() {
        let proxied = |below: u64, method: &str| {
            let trace = Sample::new(1)
                .span((1, 0), Client, ("load", "POST"), (0, 100), &[])
                .span((2, 1), Server, ("edge", "POST"), (1, 99), &[])
                .span((3, 2), Client, ("edge", method), (2, below), &[])
                .span((4, 3), Server, ("shop", method), (3, below - 1), &[])
                .trace();
            let tree = Tree::of(&trace);
            trace.spans[entry(&trace, &tree, 0) as usize].service().to_string()
        };
        assert_eq!(proxied(98, "POST"), "shop");
        assert_eq!(proxied(50, "POST"), "edge");
        assert_eq!(proxied(98, "GET"), "edge");
    }
}
