//! The table of what is run: which runtimes stand in which graph, and what is promised of each.
//!
//! A new case is one line here. Never wrong is promised of all of them.

use super::graph::Graph;
use super::services::{self, PYTHON_THREADS, Runtime};

/// The promise where a thread serves one request at a time.
pub const EXACT: f64 = 99.9;
/// Where a runtime tells. Not always: whoever wants a request written may not wait for that yet when it is.
const PROVEN: f64 = 90.0;
/// The same, where workers that wait for work when the agent comes are known from their second piece of it on: of few requests that
/// is a part.
const WARM: f64 = 80.0;
/// Where a call's request cannot be known it has no parent: nothing is promised but that nothing is wrong.
const HONEST: f64 = 0.0;

/// A graph of services of certain runtimes.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it is, for the table.
    pub about: &'static str,
    /// The runtime of each level, the client's first.
    pub levels: &'static [Runtime],
    /// The least share of calls inside services that have their true parent, percent.
    pub floor: f64,
}

/// Calls that a service makes for each request.
pub const FAN_OUT: usize = 3;

/// All cases.
pub const ALL: &[Case] = &[
    Case {
        name: "python-threads",
        about: "Python ThreadingHTTPServer",
        levels: &[PYTHON_THREADS; 4],
        floor: EXACT,
    },
    Case {
        name: "gunicorn-sync",
        about: "gunicorn, sync workers",
        levels: &[services::GUNICORN_SYNC; 4],
        floor: EXACT,
    },
    Case {
        name: "gunicorn-gthread",
        about: "gunicorn, gthread workers",
        levels: &[services::GUNICORN_GTHREAD; 4],
        floor: EXACT,
    },
    Case {
        name: "c-threads",
        about: "C, a thread for each connection",
        levels: &[services::C_THREADS; 4],
        floor: EXACT,
    },
    Case {
        name: "java",
        about: "Java HttpServer, HttpURLConnection",
        levels: &[services::JAVA; 4],
        // Its dispatcher may still have the connection in its epoll set when the thread of the pool reads the request.
        floor: 50.0,
    },
    // The sockets of Ruby and PHP never block, which is what event loops are told by.
    Case { name: "php", about: "PHP, built-in server", levels: &[services::PHP; 4], floor: HONEST },
    Case {
        name: "ruby-webrick",
        about: "Ruby WEBrick",
        levels: &[services::RUBY_WEBRICK; 4],
        floor: HONEST,
    },
    Case {
        name: "ruby-puma",
        about: "Ruby Puma",
        levels: &[services::RUBY_PUMA; 4],
        floor: HONEST,
    },
    Case {
        name: "python-pool",
        about: "Python ThreadingHTTPServer, calls by a ThreadPoolExecutor",
        levels: &[services::PYTHON_POOL; 4],
        floor: PROVEN,
    },
    Case {
        name: "python-pool-fanout",
        about: "Python ThreadingHTTPServer, three calls at once by a ThreadPoolExecutor",
        levels: &[services::PYTHON_POOL_FANOUT; 4],
        floor: PROVEN,
    },
    Case {
        name: "python-asyncio",
        about: "Python asyncio",
        levels: &[services::PYTHON_ASYNCIO; 4],
        floor: HONEST,
    },
    Case {
        name: "python-polling",
        about: "Python, select over blocking sockets",
        levels: &[services::PYTHON_POLLING; 4],
        floor: HONEST,
    },
    Case { name: "node", about: "Node http", levels: &[services::NODE; 4], floor: HONEST },
    Case { name: "go", about: "Go net/http", levels: &[services::GO; 4], floor: PROVEN },
    Case {
        name: "go-fanout",
        about: "Go net/http, a goroutine for each call",
        levels: &[services::GO_FANOUT; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-middle",
        about: "Go net/http, goroutines started by one that makes no call",
        levels: &[services::GO_MIDDLE; 4],
        floor: HONEST,
    },
    Case {
        name: "go-pool-context",
        about: "Go net/http, a pool that is handed the context",
        levels: &[services::GO_POOL_CONTEXT; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-pool",
        about: "Go net/http, a pool that is not",
        levels: &[services::GO_POOL; 4],
        floor: HONEST,
    },
    Case {
        name: "go-channel",
        about: "Go net/http, a pool that is not, with `rules_on: go-channel`",
        levels: &[services::GO_CHANNEL; 4],
        floor: WARM,
    },
    Case {
        name: "go-old-channel",
        about: "Go 1.19 net/http, the same",
        levels: &[services::GO_OLD_CHANNEL; 4],
        floor: WARM,
    },
    Case {
        name: "go-old",
        about: "Go 1.19 net/http",
        levels: &[services::GO_OLD; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-old-pool",
        about: "Go 1.19 net/http, a pool that is handed the context",
        levels: &[services::GO_OLD_POOL; 4],
        floor: PROVEN,
    },
    Case { name: "go-chi", about: "Go chi", levels: &[services::GO_CHI; 4], floor: PROVEN },
    Case { name: "go-gin", about: "Go gin", levels: &[services::GO_GIN; 4], floor: PROVEN },
    Case { name: "go-echo", about: "Go echo", levels: &[services::GO_ECHO; 4], floor: PROVEN },
    Case {
        name: "go-frameworks",
        about: "Go chi, gin, echo, fasthttp",
        levels: &[services::GO_CHI, services::GO_GIN, services::GO_ECHO, services::GO_FASTHTTP],
        floor: PROVEN,
    },
    // Nothing in it says which request a goroutine of its pool serves.
    Case {
        name: "go-fasthttp",
        about: "Go fasthttp",
        levels: &[services::GO_FASTHTTP; 4],
        floor: HONEST,
    },
    Case {
        name: "go-databases",
        about: "Go net/http, with calls to PostgreSQL and Redis between the others",
        levels: &[services::GO_DATABASES, services::GO_DATABASES, services::GO, services::GO],
        floor: PROVEN,
    },
    Case {
        name: "go-http2",
        about: "Go net/http, HTTP/2",
        levels: &[services::GO_HTTP2; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-http2-fanout",
        about: "Go net/http, HTTP/2, a goroutine for each call",
        levels: &[services::GO_HTTP2_FANOUT; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-http2-pool",
        about: "Go net/http, HTTP/2, a pool that is handed no context",
        levels: &[services::GO_HTTP2_POOL; 4],
        floor: HONEST,
    },
    Case {
        name: "go-x-http2",
        about: "Go golang.org/x/net/http2",
        levels: &[services::GO_X_HTTP2; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-grpc",
        about: "Go grpc-go, unary calls and streams",
        levels: &[services::GO_GRPC; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-grpc-fanout",
        about: "Go grpc-go, a goroutine for each call",
        levels: &[services::GO_GRPC_FANOUT; 4],
        floor: PROVEN,
    },
    Case {
        name: "go-grpc-pool",
        about: "Go grpc-go, a pool that is handed no context",
        levels: &[services::GO_GRPC_POOL; 4],
        floor: HONEST,
    },
    Case {
        name: "nginx",
        about: "nginx before Python ThreadingHTTPServer",
        levels: &[services::NGINX, PYTHON_THREADS, PYTHON_THREADS, PYTHON_THREADS],
        floor: HONEST,
    },
    Case {
        name: "apache",
        about: "Apache httpd before Python ThreadingHTTPServer",
        levels: &[services::APACHE, PYTHON_THREADS, PYTHON_THREADS, PYTHON_THREADS],
        floor: EXACT,
    },
    Case {
        name: "mixed",
        about: "Python threads, Node, Go, C threads",
        levels: &[PYTHON_THREADS, services::NODE, services::GO, services::C_THREADS],
        floor: HONEST,
    },
];

impl Case {
    /// The case of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|case| case.name == name)
    }

    /// The name of the service at a level.
    #[must_use]
    pub fn service(&self, level: usize) -> String {
        format!("{}-{level}", self.levels[level].name)
    }

    /// Its graph, asked by the client of that name. `names` are those of its services.
    #[must_use]
    pub fn graph(&self, client: &str, names: &[String], fan_out: usize) -> Graph {
        let levels: Vec<(&str, bool)> =
            names.iter().zip(self.levels).map(|(name, it)| (&**name, it.proxies)).collect();
        Graph::levels(client, &levels, fan_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_case_each() {
        for case in ALL {
            let found = Case::named(case.name).unwrap();
            assert_eq!(found.about, case.about);
            assert!(!case.levels.last().unwrap().proxies, "{}: a proxy of nothing", case.name);
        }
    }
}
