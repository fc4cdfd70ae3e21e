//! Requests that are open for long, for people: streams, long polls, tunnels, and what hangs.
//!
//! They are shown while they last and become spans at their end. Says no more than their spans will say.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// One of them, at one end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// Name of the service whose end it is.
    pub service: String,
    /// `server` or `client`.
    pub kind: Cow<'static, str>,
    /// As sent.
    pub method: String,
    /// Without query.
    pub path: String,
    /// The process.
    pub pid: u32,
    /// Since when, ns.
    pub open_ns: u64,
}

/// Characters of a path that a table shows.
const PATH_SHOWN: usize = 60;

/// A table of them, the oldest first; empty without any.
#[must_use]
pub fn table(open: &[OpenRequest]) -> String {
    let mut text = String::new();
    if !open.is_empty() {
        text.push_str("open for more than a minute\n");
    }
    for request in open {
        let OpenRequest { service, kind, method, path, pid, open_ns } = request;
        let seconds = open_ns / 1_000_000_000;
        // What strangers chose must not steer a terminal.
        let shown: String =
            path.chars().take(PATH_SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
        let method: String = method.chars().take(PATH_SHOWN).collect();
        let _ = writeln!(text, "  {seconds:>7} s  {service} ({kind}, pid {pid})  {method} {shown}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each_and_nothing_for_nothing() {
        let request = OpenRequest {
            service: "shop".into(),
            kind: "server".into(),
            method: "GET".into(),
            path: "/events\u{1b}[2J".into(),
            pid: 7,
            open_ns: 61_900_000_000,
        };
        assert_eq!(
            table(&[request]),
            "open for more than a minute\n       61 s  shop (server, pid 7)  GET /events?[2J\n"
        );
        assert_eq!(table(&[]), "");
    }
}
