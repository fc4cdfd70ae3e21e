//! Which request a trace is about: the first span that is not only passed on.

use super::tree::Tree;
use crate::viewer::attributes::Value;
use crate::viewer::operation::path_of;
use crate::viewer::span::{Kind, Span};
use crate::viewer::store::Trace;

/// A child that covers so much of its parent is the parent's work, passed on.
const COVERS: f64 = 0.8;

/// The entry below `root`: the last server of the line of servers that each only hand the request on (the same method
/// and path, or one without its prefix; one child that covers most of it).
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
            (Kind::Server, Kind::Client) => covers && is_same(trace, here, below),
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

/// Both ask for the same. A service that asks another one for something else is no proxy, however long that takes.
fn is_same(trace: &Trace, here: &Span, below: &Span) -> bool {
    let text = |span: &'_ Span, key| {
        let value = span.attributes.get(&trace.dictionary, key);
        value.and_then(Value::text).map(str::to_owned)
    };
    let path = |span| {
        let path = text(span, "url.path");
        path.or_else(|| text(span, "url.full").map(|url| path_of(&url).to_owned()))
    };
    let method = |span: &Span| text(span, "http.request.method");
    match (path(here), path(below)) {
        // Proxies take a prefix away, or put one before.
        (Some(a), Some(b)) => {
            method(here) == method(below)
                && (a == b || (b.len() > 1 && a.ends_with(&b)) || (a.len() > 1 && b.ends_with(&a)))
        }
        _ => here.operation == below.operation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::Sample;
    use crate::viewer::span::Kind::{Client, Server};

    #[test]
    fn proxies_are_passed_through() {
        let proxied = |below: u64, name: &str| {
            let trace = Sample::new(1)
                .span((1, 0), Client, ("load", "POST /orders"), (0, 100), &[])
                .span((2, 1), Server, ("edge", "POST /orders"), (1, 99), &[])
                .span((3, 2), Client, ("edge", name), (2, below), &[])
                .span((4, 3), Server, ("shop", name), (3, below - 1), &[])
                .trace();
            let tree = Tree::of(&trace);
            trace.spans[entry(&trace, &tree, 0) as usize].service().to_string()
        };
        assert_eq!(proxied(98, "POST /orders"), "shop");
        assert_eq!(proxied(50, "POST /orders"), "edge");
        assert_eq!(proxied(98, "GET /orders"), "edge");
        assert_eq!(proxied(98, "POST /charges"), "edge");
    }

    #[test]
    fn a_proxy_may_take_a_prefix_away() {
        let entry_of = |path: &str| {
            let span = |path| [("http.request.method", "GET"), ("url.path", path)];
            let trace = Sample::new(1)
                .span((1, 0), Server, ("edge", "GET /api/{x}"), (0, 99), &span("/api/orders"))
                .span((2, 1), Client, ("edge", "GET"), (1, 98), &span(path))
                .span((3, 2), Server, ("shop", "GET"), (2, 97), &span(path))
                .trace();
            let tree = Tree::of(&trace);
            trace.spans[entry(&trace, &tree, 0) as usize].service().to_string()
        };
        for (path, entry) in [
            ("/api/orders", "shop"),
            ("/orders", "shop"),
            ("/v2/api/orders", "shop"),
            ("/", "edge"),
            ("/carts", "edge"),
        ] {
            assert_eq!(entry_of(path), entry, "{path}");
        }
    }
}
