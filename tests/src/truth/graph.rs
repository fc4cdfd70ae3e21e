//! Who calls whom, and so the true tree of each request.
//!
//! Services do what their path and their command line say and nothing else, so a tree is a pure function of the graph and of
//! the request's number.

use crate::otlp::Kind;

/// Paths of calls that belong to a request: its id follows, digits with dots between them, one for each level.
pub const CALL: &str = "/call/";
/// Paths of the client's pings: requests of their own, answered at once.
pub const PING: &str = "/ping/";
/// Paths of calls that a service makes by its own clock.
pub const TIMER: &str = "/timer/";
/// Paths of calls that another thread or task makes on behalf of a request that does not wait for them. The request's id
/// follows: it is the cause, and may be told to be the parent or not.
pub const LATER: &str = "/later/";
/// Paths of calls made by the thread or task that served a request, once that was answered. A cause, and no parent.
pub const AFTER: &str = "/after/";

/// A service of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its `service.name`.
    pub name: String,
    /// It passes a request on as it is, path included, and makes no calls of its own.
    pub proxies: bool,
    /// The services it asks for each request, one after the other, by their place in the graph.
    pub calls: Vec<usize>,
}

/// Services and who asks whom. It has no cycles: a service asks only those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// `service.name` of the client.
    pub client: String,
    /// The services; the client asks the first.
    pub services: Vec<Service>,
}

/// One end of a call: what a span stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// Whose end it is.
    pub service: String,
    /// Client or server.
    pub kind: Kind,
    /// The call's path: its name.
    pub path: String,
}

/// An end in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The end.
    pub end: End,
    /// Its parent, by its place in the tree; none for the root.
    pub parent: Option<usize>,
}

impl Graph {
    /// Services in a row: each asks the one behind it `fan_out` times, proxies once.
    #[must_use]
    pub fn levels(client: &str, names: &[(&str, bool)], fan_out: usize) -> Self {
        let last = names.len().saturating_sub(1);
        let services = names.iter().enumerate().map(|(at, &(name, proxies))| Service {
            name: name.to_owned(),
            proxies,
            calls: match at {
                _ if at == last => Vec::new(),
                _ if proxies => vec![at + 1],
                _ => vec![at + 1; fan_out],
            },
        });
        Self { client: client.to_owned(), services: services.collect() }
    }

    /// The true tree of the client's request of that number, each parent before its children.
    #[must_use]
    pub fn tree(&self, number: usize) -> Vec<Node> {
        let mut tree = Vec::new();
        self.call(&mut tree, None, &self.client, 0, &format!("{CALL}{number}"));
        tree
    }

    /// The tree of a ping at one service. Proxies pass it on; whoever they ask answers it.
    #[must_use]
    pub fn ping(&self, service: usize, number: usize) -> Vec<Node> {
        let mut tree = Vec::new();
        let path = ping_path(&self.services[service].name, number);
        let (mut parent, mut from, mut at) = (None, &self.client, service);
        loop {
            let Service { name, proxies, calls } = &self.services[at];
            parent = Some(self.ends(&mut tree, parent, from, name, &path));
            match calls.first() {
                Some(&next) if *proxies => (from, at) = (name, next),
                _ => return tree,
            }
        }
    }

    /// Adds both ends of a call to the service at `to`, and everything below.
    fn call(&self, tree: &mut Vec<Node>, parent: Option<usize>, from: &str, to: usize, path: &str) {
        let service = &self.services[to];
        let served = self.ends(tree, parent, from, &service.name, path);
        for (number, &next) in service.calls.iter().enumerate() {
            debug_assert!(next > to, "a service asks only those behind it");
            let below = if service.proxies { path.to_owned() } else { format!("{path}.{number}") };
            self.call(tree, Some(served), &service.name, next, &below);
        }
    }

    /// Adds both ends of one call; gives the place of the server's.
    fn ends(
        &self,
        tree: &mut Vec<Node>,
        parent: Option<usize>,
        from: &str,
        to: &str,
        path: &str,
    ) -> usize {
        let end =
            |service: &str, kind| End { service: service.to_owned(), kind, path: path.to_owned() };
        tree.push(Node { end: end(from, Kind::Client), parent });
        tree.push(Node { end: end(to, Kind::Server), parent: Some(tree.len() - 1) });
        tree.len() - 1
    }
}

/// The path of a ping.
#[must_use]
pub fn ping_path(service: &str, number: usize) -> String {
    format!("{PING}{service}.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_both_ends_of_each_call() {
        let graph = Graph::levels("us", &[("front", true), ("a", false), ("b", false)], 2);
        let told: Vec<String> = graph
            .tree(7)
            .iter()
            .map(|Node { end, parent }| {
                format!("{parent:?} {} {:?} {}", end.service, end.kind, end.path)
            })
            .collect();
        assert_eq!(
            told,
            [
                "None us Client /call/7",
                "Some(0) front Server /call/7",
                "Some(1) front Client /call/7",
                "Some(2) a Server /call/7",
                "Some(3) a Client /call/7.0",
                "Some(4) b Server /call/7.0",
                "Some(3) a Client /call/7.1",
                "Some(6) b Server /call/7.1",
            ]
        );
    }

    #[test]
    fn a_ping_ends_behind_the_proxies() {
        let graph = Graph::levels("us", &[("front", true), ("a", false), ("b", false)], 2);
        let ends = graph.ping(0, 3);
        let services: Vec<&str> = ends.iter().map(|node| &*node.end.service).collect();
        assert_eq!(services, ["us", "front", "front", "a"]);
        assert!(ends.iter().all(|node| node.end.path == "/ping/front.3"));
        assert_eq!(graph.ping(1, 3).len(), 2);
    }

    #[test]
    fn four_levels_of_three_are_forty_calls() {
        let levels = [("a", false), ("b", false), ("c", false), ("d", false)];
        assert_eq!(Graph::levels("us", &levels, 3).tree(0).len(), 2 * (1 + 3 + 9 + 27));
    }
}
