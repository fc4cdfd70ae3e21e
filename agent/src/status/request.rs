//! Which requests the child answers, and with what: a pure function of the request and of what is known.
//!
//! Pages of other origins must not read it through a browser on this host (Host and Origin are checked), other users
//! of the host must not read it at all (the token is compared in constant time). The page's own files hold no data and
//! need no token: it is in the address that they are opened by, behind the `#`, which no browser sends.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};

use crate::viewer::{Viewer, page};

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
    pub(super) body: Cow<'static, [u8]>,
    /// The body is in gzip, which the asker reads.
    pub(super) is_gzip: bool,
}

/// What is asked, once it is known who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This, at once.
    Answer(Answer),
    /// Data, which takes a moment to compute.
    Data,
    /// News for as long as the page is open.
    Live,
}

/// Decides what a request wants and may have.
pub(super) fn wanted(access: &Access, method: &Method, path: &str, headers: &HeaderMap) -> Wanted {
    if let Some((status, why)) = access.foreign(headers) {
        return Wanted::Answer(text(status, why));
    }
    if method != Method::GET {
        return Wanted::Answer(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
    }
    if let Some(file) = page::file(path) {
        let (body, is_gzip) = file.bytes(reads_gzip(headers));
        let content_type = file.content_type;
        return Wanted::Answer(Answer { status: StatusCode::OK, content_type, body, is_gzip });
    }
    if let Some((content_type, icon)) = page::icon(path) {
        return Wanted::Answer(plain(StatusCode::OK, content_type, icon.as_bytes()));
    }
    if !access.knows(headers) {
        let why =
            "The token is needed: it is in the link that spanwire printed, and in agent.json.\n";
        return Wanted::Answer(text(StatusCode::UNAUTHORIZED, why));
    }
    if path == "/view/live" { Wanted::Live } else { Wanted::Data }
}

/// Answers a request for data at `now`, ns since 1970.
pub(super) fn data(viewer: &Viewer, path: &str, query: &str, now: u64) -> Answer {
    match path {
        "/api/counters" => json(StatusCode::OK, &viewer.counters()),
        "/api/open" => json(StatusCode::OK, &viewer.open()),
        "/metrics" => plain(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            viewer.counters().prometheus().into_bytes(),
        ),
        _ => match viewer.answer(path, query, now) {
            Some(Ok(body)) => json(StatusCode::OK, &body),
            Some(Err(refused)) => json(refused.status, &refused.body),
            None => text(StatusCode::NOT_FOUND, "no such page\n"),
        },
    }
}

/// In JSON.
pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => plain(status, "application/json", body),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written\n"),
    }
}

/// A sentence.
pub(super) fn text(status: StatusCode, body: &'static str) -> Answer {
    plain(status, "text/plain; charset=utf-8", body.as_bytes())
}

fn plain(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Cow<'static, [u8]>>,
) -> Answer {
    Answer { status, content_type, body: body.into(), is_gzip: false }
}

/// RFC 9110 §12.5.3, as far as it is about gzip: named, and not with a weight of nothing.
fn reads_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = all.flat_map(|list| list.split(',')).map(|coding| coding.split(';'));
    codings.any(|mut parts| {
        let is_gzip = parts.next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok());
        is_gzip && weight != Some(0.0)
    })
}

impl Access {
    /// Why this request is not for us, if it is not.
    fn foreign(&self, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        // A name that an attacker points at 127.0.0.1 is not ours (DNS rebinding).
        if !only(headers, &HOST).is_some_and(|host| self.is_us(host)) {
            return Some((StatusCode::FORBIDDEN, "wrong Host\n"));
        }
        let own_page =
            |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|h| self.is_us(h));
        if headers.contains_key(ORIGIN) && !only(headers, &ORIGIN).is_some_and(own_page) {
            return Some((StatusCode::FORBIDDEN, "wrong Origin\n"));
        }
        None
    }

    /// The token is shown: as `Bearer`, or as the password of `Basic` with any user's name (Grafana sends either).
    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = only(headers, &AUTHORIZATION) else { return false };
        if let Some(token) = shown.strip_prefix(b"Bearer ") {
            return equal(token, self.token.as_bytes());
        }
        let basic =
            shown.strip_prefix(b"Basic ").and_then(|basic| BASE64_STANDARD.decode(basic).ok());
        let password = basic.as_deref().and_then(|both| {
            let colon = both.iter().position(|byte| *byte == b':')?;
            both.get(colon + 1..)
        });
        password.is_some_and(|password| equal(password, self.token.as_bytes()))
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
    use crate::status::{Counters, Meaning, OpenRequest, Snapshot};
    use crate::viewer::Limits;

    fn ask(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        let access = Access { port: 7726, token: "abc".to_owned() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut counters = Counters::default();
        counters.add("kernel", "faults", Meaning::Loss, 4);
        let viewer = Viewer::new(Limits::default());
        let open = OpenRequest {
            service: "shop".into(),
            kind: "server".into(),
            method: "GET".into(),
            path: "/events".into(),
            pid: 7,
            open_ns: 61_000_000_000,
            ..OpenRequest::default()
        };
        viewer.set_snapshot(Snapshot { counters, open: vec![open] }, 0);
        let answer = match wanted(&access, method, path, &map) {
            Wanted::Answer(answer) => answer,
            Wanted::Data => data(&viewer, path, "", 0),
            Wanted::Live => text(StatusCode::OK, "live"),
        };
        (answer.status.as_u16(), String::from_utf8(answer.body.into_owned()).unwrap())
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
        assert_eq!(ask(&Method::GET, "/nothing", &[HOST, TOKEN]).0, 404);
        assert_eq!(ask(&Method::GET, "/view/live", &[HOST, TOKEN]).1, "live");
        assert_eq!(ask(&Method::GET, "/view/traces", &[HOST, TOKEN]).0, 200);
        let basic = ("authorization", "Basic YWRtaW46YWJj"); // admin:abc
        assert_eq!(ask(&Method::GET, "/api/services", &[HOST, basic]).0, 200);
        // The page itself tells nothing, so it needs no token.
        assert!(ask(&Method::GET, "/", &[HOST]).1.contains("<title>"));
        assert_eq!(ask(&Method::POST, "/metrics", &[HOST, TOKEN]).0, 405);
    }

    #[test]
    fn gzip_is_for_who_reads_it() {
        let reads = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            reads_gzip(&headers)
        };
        assert!(reads("gzip, deflate, br, zstd") && reads("br;q=1.0, GZIP;q=0.5"));
        assert!(!reads("br") && !reads("gzip;q=0") && !reads("identity") && !reads(""));
        assert!(!reads_gzip(&HeaderMap::new()));
        let Wanted::Answer(answer) = wanted(
            &Access { port: 7726, token: "abc".to_owned() },
            &Method::GET,
            "/assets/main.js",
            &[(hyper::header::HOST, "127.0.0.1:7726"), (ACCEPT_ENCODING, "gzip")]
                .map(|(name, value)| (name, value.parse().unwrap()))
                .into_iter()
                .collect(),
        ) else {
            panic!("a file is answered at once")
        };
        assert!(answer.is_gzip && answer.body.starts_with(&[0x1f, 0x8b]));
    }

    #[test]
    fn any_other_is_refused_and_told_nothing() {
        let cases: [(u16, &[(&'static str, &str)]); 15] = [
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
            (401, &[HOST, ("authorization", "Basic YWJjOmFiYw")]),
            (401, &[HOST, ("authorization", "Basic YWJjOmFiYmM=")]),
            (401, &[HOST, TOKEN, TOKEN]),
        ];
        for (status, headers) in cases {
            for path in ["/metrics", "/view/traces", "/view/live", "/api/traces", "/view/host"] {
                let (found, body) = ask(&Method::GET, path, headers);
                assert_eq!(found, status, "{path} {headers:?}");
                assert!(!body.contains("spanwire_") && !body.contains('{'));
            }
            // Another origin's page may not even have the page.
            let page = ask(&Method::GET, "/", headers).0;
            assert_eq!(page, if status == 403 { 403 } else { 200 }, "{headers:?}");
        }
    }
}
