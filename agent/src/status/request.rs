//! Which requests the child answers, and with what: a pure function of the request.
//!
//! Pages of other origins must not read it through a browser on this host (Host and Origin are checked), other users
//! of the host must not read it at all (the token is compared in constant time).
#![forbid(unsafe_code)]

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::Snapshot;

/// Who may ask.
#[derive(Debug)]
pub(super) struct Access {
    /// The port that a right Host names.
    pub(super) port: u16,
    /// The bearer token.
    pub(super) token: String,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// Answers one request.
pub(super) fn answer(
    access: &Access,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    snapshot: &Snapshot,
) -> Answer {
    if let Some((status, why)) = access.refusal(headers) {
        return text(status, why);
    }
    if method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match path {
        "/api/counters" => json(&snapshot.counters),
        "/api/open" => json(&snapshot.open),
        "/metrics" => Answer {
            status: StatusCode::OK,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: snapshot.counters.prometheus(),
        },
        _ => text(StatusCode::NOT_FOUND, "/api/counters, /api/open or /metrics\n"),
    }
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => Answer { status: StatusCode::OK, content_type: "application/json", body },
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "it cannot be written\n"),
    }
}

fn text(status: StatusCode, body: &str) -> Answer {
    Answer { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

impl Access {
    /// Why this request is not answered, if it is not.
    fn refusal(&self, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        // A name that an attacker points at 127.0.0.1 is not ours (DNS rebinding).
        if !only(headers, &HOST).is_some_and(|host| self.is_us(host)) {
            return Some((StatusCode::FORBIDDEN, "wrong Host\n"));
        }
        let own_page =
            |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|h| self.is_us(h));
        if headers.contains_key(ORIGIN) && !only(headers, &ORIGIN).is_some_and(own_page) {
            return Some((StatusCode::FORBIDDEN, "wrong Origin\n"));
        }
        let shown = only(headers, &AUTHORIZATION).and_then(|v| v.strip_prefix(b"Bearer "));
        if !shown.is_some_and(|token| equal(token, self.token.as_bytes())) {
            return Some((StatusCode::UNAUTHORIZED, "the token of agent.json is needed\n"));
        }
        None
    }

    fn is_us(&self, authority: &[u8]) -> bool {
        ["127.0.0.1", "localhost"]
            .iter()
            .any(|name| authority == format!("{name}:{}", self.port).as_bytes())
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// Equality in a time that tells nothing but the length, which is known.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b)));
    a.len() == b.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Counters, Meaning, OpenRequest};

    fn ask(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        let access = Access { port: 7726, token: "abc".to_owned() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut counters = Counters::default();
        counters.add("kernel", "faults", Meaning::Loss, 4);
        let open = OpenRequest {
            service: "shop".into(),
            kind: "server".into(),
            method: "GET".into(),
            path: "/events".into(),
            pid: 7,
            open_ns: 61_000_000_000,
        };
        let snapshot = Snapshot { counters, open: vec![open] };
        let answer = answer(&access, method, path, &map, &snapshot);
        (answer.status.as_u16(), answer.body)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7726");
    const TOKEN: (&str, &str) = ("authorization", "Bearer abc");

    #[test]
    fn the_right_request_is_answered() {
        let (status, body) = ask(&Method::GET, "/metrics", &[HOST, TOKEN]);
        assert_eq!(status, 200);
        assert!(body.contains("spanwire_kernel_faults_total 4\n"));
        let own = ("origin", "http://localhost:7726");
        let (status, body) =
            ask(&Method::GET, "/api/counters", &[("host", "localhost:7726"), TOKEN, own]);
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_str::<Counters>(&body).unwrap().groups[0].counters[0].value, 4);
        let (status, body) = ask(&Method::GET, "/api/open", &[HOST, TOKEN]);
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_str::<Vec<OpenRequest>>(&body).unwrap()[0].path, "/events");
        assert_eq!(ask(&Method::GET, "/", &[HOST, TOKEN]).0, 404);
        assert_eq!(ask(&Method::POST, "/metrics", &[HOST, TOKEN]).0, 405);
    }

    #[test]
    fn any_other_is_refused_and_told_nothing() {
        let cases: [(u16, &[(&'static str, &str)]); 13] = [
            (403, &[TOKEN]),
            (403, &[("host", "127.0.0.1"), TOKEN]),
            (403, &[("host", "127.0.0.1:80"), TOKEN]),
            (403, &[("host", "evil.example:7726"), TOKEN]),
            (403, &[HOST, HOST, TOKEN]),
            (403, &[HOST, TOKEN, ("origin", "http://evil.example")]),
            (403, &[HOST, TOKEN, ("origin", "null")]),
            (403, &[HOST, TOKEN, ("origin", "https://127.0.0.1:7726")]),
            (401, &[HOST]),
            (401, &[HOST, ("authorization", "Bearer ab")]),
            (401, &[HOST, ("authorization", "Bearer abcd")]),
            (401, &[HOST, ("authorization", "Basic abc")]),
            (401, &[HOST, TOKEN, TOKEN]),
        ];
        for (status, headers) in cases {
            let (found, body) = ask(&Method::GET, "/metrics", headers);
            assert_eq!(found, status, "{headers:?}");
            assert!(!body.contains("spanwire_"));
        }
    }
}
