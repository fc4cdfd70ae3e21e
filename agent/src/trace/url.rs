//! Request targets and authorities taken apart (RFC 9112 §3.2, RFC 3986 §3.2).
//!
//! Wants nothing of a target but its parts: what cannot be told apart stays together, and nothing is normalised.

use memchr::{memchr, memrchr};

use crate::exchange::Asked;

/// A request target's parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::trace) struct Target<'a> {
    /// Of an absolute target.
    pub scheme: Option<&'a str>,
    /// Of an absolute target, or all there is of CONNECT's; user information included.
    pub authority: Option<&'a str>,
    /// Empty for CONNECT; `*` for the asterisk form.
    pub path: &'a str,
    /// Without `?`.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// What a request asks for, taken apart.
    pub(in crate::trace) fn asked(asked: &'a Asked) -> Self {
        Self::of(&asked.target, asked.method == "CONNECT")
    }

    /// Takes a target apart; `connect`: the method is CONNECT, the only one whose target is an authority (§3.2.3).
    pub(in crate::trace) fn of(target: &'a str, connect: bool) -> Self {
        if connect {
            return Self { authority: Some(target), ..Self::default() };
        }
        if target.starts_with('/') {
            return Self::of_path(target); // nearly all of them, and none of these has a scheme
        }
        let absolute = target.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
        let Some((scheme, rest)) = absolute else { return Self::of_path(target) };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        Self { scheme: Some(scheme), authority: Some(authority), ..Self::of_path(path) }
    }

    fn of_path(text: &'a str) -> Self {
        // A fragment has no place in a target (RFC 9110 §7.1): whoever sends one did not mean the server to see it.
        let text = memchr(b'#', text.as_bytes()).map_or(text, |at| &text[..at]);
        match memchr(b'?', text.as_bytes()) {
            Some(at) => Self { path: &text[..at], query: Some(&text[at + 1..]), ..Self::default() },
            None => Self { path: text, ..Self::default() },
        }
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3986 §3.1)
pub(in crate::trace) fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Host and port of an authority; user information is left out, an IPv6 address loses its brackets.
pub(in crate::trace) fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    let user = memrchr(b'@', authority.as_bytes());
    let authority = user.map_or(authority, |at| &authority[at + 1..]).trim();
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    let (first, last) = (memchr(b':', authority.as_bytes()), memrchr(b':', authority.as_bytes()));
    match first {
        // More than one colon: an IPv6 address without brackets.
        Some(_) if first != last => (authority, None),
        Some(at) => (&authority[..at], authority[at + 1..].parse().ok()),
        None => (authority, None),
    }
}

/// The port a scheme means when none is named.
pub(in crate::trace) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_four_forms() {
        let origin = |path, query| Target { path, query, ..Target::default() };
        let absolute = |authority, path, query| Target {
            scheme: Some("http"),
            authority: Some(authority),
            path,
            query,
        };
        for (text, expected) in [
            ("/", origin("/", None)),
            ("/a/b", origin("/a/b", None)),
            ("/a?b=c&d", origin("/a", Some("b=c&d"))),
            ("/a?", origin("/a", Some(""))),
            ("/a?b?c", origin("/a", Some("b?c"))),
            ("/a?b#c", origin("/a", Some("b"))),
            ("/a#c?d", origin("/a", None)),
            ("/?u=http://x/y", origin("/", Some("u=http://x/y"))),
            ("/http://x/", origin("/http://x/", None)),
            ("*", origin("*", None)),
            ("", origin("", None)),
            ("http://shop", absolute("shop", "", None)),
            ("http://me:pw@shop:81/a?b", absolute("me:pw@shop:81", "/a", Some("b"))),
            ("http://shop?b", absolute("shop", "", Some("b"))),
            ("http:///x", absolute("", "/x", None)),
        ] {
            assert_eq!(Target::of(text, false), expected, "{text:?}");
        }
        let connect = Target { authority: Some("shop:443"), ..Target::default() };
        assert_eq!(Target::of("shop:443", true), connect);
    }

    #[test]
    fn hosts_and_ports() {
        for (text, expected) in [
            ("shop", ("shop", None)),
            ("shop:8080", ("shop", Some(8080))),
            ("shop:", ("shop", None)),
            ("shop:99999", ("shop", None)),
            ("[::1]", ("::1", None)),
            ("[::1]:8080", ("::1", Some(8080))),
            ("::1", ("::1", None)),
            ("10.0.0.1:1", ("10.0.0.1", Some(1))),
            ("me:pw@shop:1", ("shop", Some(1))),
            ("[broken", ("[broken", None)),
            (":80", ("", Some(80))),
            ("", ("", None)),
        ] {
            assert_eq!(host_and_port(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text: String, connect: bool) {
            let target = Target::of(&text, connect);
            let _ = host_and_port(target.authority.unwrap_or(&text));
        }
    }
}
