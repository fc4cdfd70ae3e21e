//! HTTP exchanges in the words of the semantic conventions (1.44, HTTP spans, stable).
//!
//! Names a span by its method and never by its path: paths are without bound. Takes no header's value beyond those
//! that the conventions ask for, and no body ever.
//!
//! Own attributes: `spanwire.time_to_first_byte_ns` (int, ns from the request's first byte to the answer's first),
//! `spanwire.request.size` and `spanwire.response.size` (int, bytes on the wire, heads, framing and what a tunnel carried
//! included) and `spanwire.incomplete` (bool, true when bytes were lost by us and the end of the exchange was not seen).

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{Status, status::StatusCode};

use crate::conn::{Address, Connection};
use crate::exchange::{Failure, Finished, Http, Role};
use crate::input::Nanos;
use crate::service::attribute::{number, text, truth};
use crate::trace::ends::{peer, server_address};
use crate::trace::failure::error_type;
use crate::trace::forwarded::{Forwarded, values};
use crate::trace::url::{Target, default_port};
use crate::trace::{Settings, redact};

/// Instrumentation scope of these spans.
pub(in crate::trace) const SCOPE: &str = "spanwire.http";

/// Methods that keep their name by default (semconv 1.44: RFC 9110 §9, PATCH and QUERY).
pub(in crate::trace) const KNOWN_METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

/// Longest name of a protocol that is believed to be one.
const PROTOCOL_MAX: usize = 32;

/// What a protocol says about a span.
pub(in crate::trace) struct Described {
    /// The span's name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// `None`: unset.
    pub status: Option<Status>,
}

/// Describes one end of an exchange that began at `at`.
pub(in crate::trace) fn describe(
    http: &Http,
    finished: &Finished,
    role: Role,
    conn: &Connection,
    at: Nanos,
    settings: &Settings,
) -> Described {
    let mut attributes = Vec::with_capacity(20);
    let name = method(http, settings, &mut attributes);
    let connect = http.method.as_deref() == Some("CONNECT");
    let target = http.target.as_deref().map(|target| Target::of(target, connect));
    let target = target.unwrap_or_default();
    match role {
        Role::Server => server(http, target, conn, settings, &mut attributes),
        Role::Client => client(http, target, conn, settings, &mut attributes),
    }
    peer(conn, &mut attributes);
    version(http, role, &mut attributes);
    sizes(http, finished, at, &mut attributes);
    let status = outcome(http, finished.failure, role, &mut attributes);
    Described { name, attributes, status }
}

/// The method, and with it the name: `HTTP` stands for a method we do not know.
fn method(http: &Http, settings: &Settings, out: &mut Vec<KeyValue>) -> String {
    match &http.method {
        Some(method) if settings.known_methods.contains(method) => {
            out.push(text("http.request.method", method.as_str()));
            return method.clone();
        }
        Some(method) => {
            out.push(text("http.request.method", "_OTHER"));
            out.push(text("http.request.method_original", method.as_str()));
        }
        None => {}
    }
    "HTTP".to_owned()
}

/// What a server knows of the request: as the first client meant it, where proxies have said.
fn server(
    http: &Http,
    target: Target<'_>,
    conn: &Connection,
    settings: &Settings,
    out: &mut Vec<KeyValue>,
) {
    let forwarded = Forwarded::of(&http.request_headers);
    let scheme = forwarded.scheme.unwrap_or_else(|| own_scheme(http, target));
    if !target.path.is_empty() {
        out.push(text("url.path", target.path));
    } else if target.scheme.is_some() {
        // An absolute target without path means the root (RFC 9112 §3.2.1).
        out.push(text("url.path", "/"));
    }
    if let Some(query) = target.query.filter(|query| !query.is_empty()) {
        out.push(text("url.query", redact::query(query, &settings.redacted_query_keys)));
    }
    let host = forwarded.host.or_else(|| authority(http, target));
    server_address(host.as_deref(), default_port(&scheme), &conn.local, out);
    out.push(text("url.scheme", scheme));
    match (forwarded.client, &conn.remote) {
        (Some(Some(client)), _) => out.push(text("client.address", client)),
        (None, Address::Inet(ip, _)) => {
            out.push(text("client.address", ip.to_canonical().to_string()));
        }
        _ => {}
    }
    if let Some(agent) = values(&http.request_headers, "user-agent").next() {
        out.push(text("user_agent.original", agent));
    }
}

/// What a client knows of the request: where it meant to go.
fn client(
    http: &Http,
    target: Target<'_>,
    conn: &Connection,
    settings: &Settings,
    out: &mut Vec<KeyValue>,
) {
    let scheme = own_scheme(http, target);
    let host = authority(http, target);
    server_address(host.as_deref(), default_port(&scheme), &conn.remote, out);
    // Without its path a URL is another one. CONNECT has none.
    let is_whole = http.target.is_some() || http.method.as_deref() == Some("CONNECT");
    if let Some(base) = base(host.as_deref(), &scheme, &conn.remote).filter(|_| is_whole) {
        let mut full = base;
        // The asterisk form has no path of its own (RFC 9112 §3.3).
        if target.path != "*" {
            full.push_str(target.path);
        }
        if let Some(query) = target.query {
            full.push('?');
            full.push_str(&redact::query(query, &settings.redacted_query_keys));
        }
        out.push(text("url.full", full));
    }
}

/// Scheme and authority of an absolute URL: as the request says, else where the socket goes.
fn base(host: Option<&str>, scheme: &str, remote: &Address) -> Option<String> {
    match (host, remote) {
        (Some(host), _) => Some(format!("{scheme}://{}", redact::authority(host))),
        (None, Address::Inet(ip, port)) => {
            Some(format!("{scheme}://{}", std::net::SocketAddr::new(ip.to_canonical(), *port)))
        }
        // As clients of unix sockets write it: the socket's path, escaped, in the host's place.
        (None, Address::Unix(Some(path))) => {
            Some(format!("http+unix://{}", path.replace('%', "%25").replace('/', "%2F")))
        }
        (None, Address::Unix(None) | Address::Unknown) => None,
    }
}

/// The scheme this end saw itself. Only what was sent in the clear is seen here.
fn own_scheme(http: &Http, target: Target<'_>) -> String {
    let scheme = target.scheme.or(http.scheme.as_deref());
    scheme.map_or_else(|| "http".to_owned(), str::to_ascii_lowercase)
}

/// The authority asked for: an absolute target's beats `Host` (RFC 9112 §3.2.2), and so does `:authority` (RFC 9113
/// §8.3.1).
fn authority(http: &Http, target: Target<'_>) -> Option<String> {
    let host = || values(&http.request_headers, "host").next().map(|host| host.trim().to_owned());
    let asked = target.authority.or(http.authority.as_deref());
    asked.map(str::to_owned).or_else(host).filter(|host| !host.is_empty())
}

/// The protocol spoken, if it is not HTTP any more, and its version.
fn version(http: &Http, role: Role, out: &mut Vec<KeyValue>) {
    if let Some((name, version)) = switched(http) {
        out.push(text("network.protocol.name", name));
        if let Some(version) = version {
            out.push(text("network.protocol.version", version));
        }
        return;
    }
    let version = match role {
        Role::Server => http.version,
        Role::Client => http.response_version.unwrap_or(http.version),
    };
    out.push(text("network.protocol.version", version.name()));
}

/// Name and version of the protocol that a 101 went over to (RFC 9110 §7.8): the answer names it. WebSocket's version is
/// told apart from its name (RFC 6455 §4.1).
fn switched(http: &Http) -> Option<(String, Option<String>)> {
    if http.status != Some(101) {
        return None;
    }
    let upgrade = values(&http.response_headers, "upgrade").next()?;
    let first = upgrade.split(',').next()?.trim();
    let (name, version) = match first.split_once('/') {
        Some((name, version)) => (name, Some(version.to_owned())),
        None => (first, None),
    };
    let is_token = |text: &str| {
        (1..=PROTOCOL_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let name = name.to_ascii_lowercase();
    let version = version.or_else(|| {
        let told = || values(&http.request_headers, "sec-websocket-version").next();
        (name == "websocket").then(told)?.map(std::borrow::Cow::into_owned)
    });
    is_token(&name).then(|| (name, version.filter(|version| is_token(version))))
}

/// Sizes where known, and the time to the answer's first byte.
fn sizes(http: &Http, finished: &Finished, at: Nanos, out: &mut Vec<KeyValue>) {
    if let Some(bytes) = http.request_body {
        out.push(number("http.request.body.size", bytes));
    }
    if let Some(bytes) = http.response_body {
        out.push(number("http.response.body.size", bytes));
    }
    // Of an exchange whose end we did not see these would be any number.
    if finished.failure != Some(Failure::Unseen) {
        out.push(number("spanwire.request.size", finished.bytes.request));
        out.push(number("spanwire.response.size", finished.bytes.response));
    }
    if let Some(first) = finished.first_answer {
        out.push(number("spanwire.time_to_first_byte_ns", first.since(at)));
    }
}

/// Status code, `error.type` and the span's status (semconv 1.44, HTTP spans, "Status").
fn outcome(
    http: &Http,
    failure: Option<Failure>,
    role: Role,
    out: &mut Vec<KeyValue>,
) -> Option<Status> {
    if let Some(code) = http.status {
        out.push(number("http.response.status_code", code));
    }
    if failure == Some(Failure::Unseen) {
        out.push(truth("spanwire.incomplete", true));
    }
    let error = failure.and_then(error_type).map(str::to_owned).or_else(|| {
        let code = http.status?;
        let failed = match code {
            100..400 => false,
            // A client's mistake is no failure of the server.
            400..500 => role == Role::Client,
            _ => true,
        };
        failed.then(|| code.to_string())
    })?;
    out.push(text("error.type", error));
    // No description: status code and error.type say it all.
    Some(Status { code: StatusCode::Error.into(), message: String::new() })
}

#[cfg(test)]
mod tests;
