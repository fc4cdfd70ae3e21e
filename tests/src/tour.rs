//! The tour: one request of each sort, that every client workload can make and every server workload answers alike.
//!
//! It is the known truth of most tests: what the client must have printed, and what each span must say.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::expect::Expected;
use crate::hex::hex;
use crate::otlp::Kind;

/// One request and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// Method.
    pub method: &'static str,
    /// Path without query.
    pub path: &'static str,
    /// Query as sent.
    pub query: &'static str,
    /// Query as a span may show it.
    pub shown_query: &'static str,
    /// Bytes of the request's body.
    pub sent: usize,
    /// The answer's status.
    pub status: i64,
    /// Bytes of the answer's body.
    pub received: usize,
}

const PLAIN: Stop = Stop {
    method: "GET",
    path: "/hello",
    query: "",
    shown_query: "",
    sent: 0,
    status: 200,
    received: 6,
};

/// All stops, in the order they are asked for. Methods and paths are not twice the same.
pub const TOUR: [Stop; 9] = [
    Stop { query: "name=x&sig=secret", shown_query: "name=x&sig=REDACTED", ..PLAIN },
    Stop { method: "HEAD", received: 0, ..PLAIN },
    Stop { path: "/chunked", received: 16, ..PLAIN },
    Stop { method: "POST", path: "/echo", sent: 20_000, received: 20_000, ..PLAIN },
    Stop { method: "DELETE", path: "/empty", status: 204, received: 0, ..PLAIN },
    Stop { path: "/cached", status: 304, received: 0, ..PLAIN },
    Stop { path: "/missing", status: 404, received: 8, ..PLAIN },
    Stop { path: "/fail", status: 500, received: 7, ..PLAIN },
    Stop { path: "/big", received: 1 << 20, ..PLAIN },
];

impl Stop {
    /// Its argument for a client workload.
    #[must_use]
    pub fn argument(&self) -> String {
        let mut argument = format!("{}:{}", self.method, self.target());
        if self.sent > 0 {
            let _ = write!(argument, ":{}", self.sent);
        }
        argument
    }

    /// Path and query as sent.
    #[must_use]
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// The answer's body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let body: Vec<u8> = match self.path {
            "/hello" if self.method != "HEAD" => b"hello\n".to_vec(),
            "/chunked" => b"one, two, three\n".to_vec(),
            "/echo" => b"0123456789".iter().copied().cycle().take(self.sent).collect(),
            "/missing" => b"missing\n".to_vec(),
            "/fail" => b"failed\n".to_vec(),
            "/big" => b"0123456789abcdef".repeat(65536),
            _ => Vec::new(),
        };
        assert_eq!(body.len(), self.received, "the table is wrong at {}", self.path);
        body
    }

    /// What a client workload prints for it.
    #[must_use]
    pub fn line(&self) -> String {
        let hash = hex(&Sha256::digest(self.body()));
        format!("{} {} {} {} {hash}", self.method, self.target(), self.status, self.received)
    }

    /// The span of a server that was asked directly on 127.0.0.1 by the tour's client.
    #[must_use]
    pub fn server_span(&self, port: u16) -> Expected {
        let mut expected = Expected::new(self.method, Kind::Server)
            .with("http.request.method", self.method)
            .with("http.response.status_code", self.status)
            .with("url.scheme", "http")
            .with("url.path", self.path)
            .with("server.address", "127.0.0.1")
            .with("server.port", i64::from(port))
            .with("client.address", "127.0.0.1")
            .with("network.peer.address", "127.0.0.1")
            .with_some_number("network.peer.port")
            .with("network.protocol.version", "1.1")
            .with("user_agent.original", "tour/1");
        expected = self.sizes(expected);
        if !self.shown_query.is_empty() {
            expected = expected.with("url.query", self.shown_query);
        }
        if self.status >= 500 { expected.failed(&self.status.to_string()) } else { expected }
    }

    /// Body sizes are opt-in; where they are told they must be right.
    fn sizes(&self, expected: Expected) -> Expected {
        let size = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        expected
            .with_if_there("http.request.body.size", size(self.sent))
            .with_if_there("http.response.body.size", size(self.received))
    }

    /// The span of the tour's client that asked a server on 127.0.0.1 directly.
    #[must_use]
    pub fn client_span(&self, port: u16) -> Expected {
        let shown = if self.shown_query.is_empty() {
            String::new()
        } else {
            format!("?{}", self.shown_query)
        };
        let expected = self
            .sizes(Expected::new(self.method, Kind::Client))
            .with("http.request.method", self.method)
            .with("http.response.status_code", self.status)
            .with("url.full", format!("http://127.0.0.1:{port}{}{shown}", self.path))
            .with("server.address", "127.0.0.1")
            .with("server.port", i64::from(port))
            .with("network.peer.address", "127.0.0.1")
            .with("network.peer.port", i64::from(port))
            .with("network.protocol.version", "1.1");
        if self.status >= 400 { expected.failed(&self.status.to_string()) } else { expected }
    }
}

/// The arguments of a client workload for the whole tour.
#[must_use]
pub fn arguments() -> Vec<String> {
    TOUR.iter().map(Stop::argument).collect()
}

/// What a client workload prints for the whole tour.
#[must_use]
pub fn lines() -> String {
    TOUR.iter().fold(String::new(), |text, stop| text + &stop.line() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_can_be_told_apart_by_method_and_path() {
        let mut keys: Vec<_> = TOUR.iter().map(|stop| (stop.method, stop.path)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), TOUR.len());
        assert_eq!(lines().lines().count(), TOUR.len());
    }
}
