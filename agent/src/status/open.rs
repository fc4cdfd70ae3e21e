//! Requests that are under way, for people: streams, long polls, tunnels, and what hangs.
//!
//! They are shown while they last and become spans at their end. Says no more than their spans will say.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// One of them, at one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// For how long, ns.
    pub open_ns: u64,
    /// That is long, by the operator's setting.
    #[serde(default)]
    pub long: bool,
    /// Since when, ns since 1970: as its span will have it.
    pub start: u64,
    /// Its span's id, in hex.
    pub span: String,
    /// Its trace's id, in hex, once that is decided: with the first of its calls that has gone out.
    pub trace: Option<String>,
    /// Its parent's span id, in hex; likewise.
    pub parent: Option<String>,
}

/// Characters of a path that a table shows.
const PATH_SHOWN: usize = 60;

/// A table of those that are open for long, the oldest first; empty without any.
#[must_use]
pub fn table(open: &[OpenRequest]) -> String {
    let mut text = String::new();
    let mut long = open.iter().filter(|request| request.long).peekable();
    if long.peek().is_some() {
        text.push_str("open for long\n");
    }
    for request in long {
        let OpenRequest { service, kind, method, path, pid, open_ns, .. } = request;
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
            long: true,
            ..OpenRequest::default()
        };
        let young = OpenRequest { long: false, ..request.clone() };
        assert_eq!(
            table(&[request, young]),
            "open for long\n       61 s  shop (server, pid 7)  GET /events?[2J\n"
        );
        assert_eq!(table(&[]), "");
    }
}
