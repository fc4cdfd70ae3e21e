//! HTTP exchanges in the words of the semantic conventions (1.44, HTTP spans, stable).
//!
//! Names a span by its method and never by its path: paths are without bound. Takes no header's value beyond those
//! that the conventions ask for, and no body ever.
//!
//! Own attributes: `spanwire.request.size` and `spanwire.response.size` (int, bytes on the wire, heads, framing and what a tunnel carried
//! included) and `spanwire.incomplete` (bool, true when bytes were lost by us and the end of the exchange was not seen).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::trace::v1::{Status, status::StatusCode};

use crate::conn::{Address, Connection};
use crate::exchange::{Failure, Finished, Http, Role};
use crate::trace::described::{Name, Said};
use crate::trace::ends::{peer, server_address};
use crate::trace::failure::error_type;
use crate::trace::forwarded::{Forwarded, values};
use crate::trace::span_writer::{Place, SpanWriter};
use crate::trace::url::{Target, default_port};
use crate::trace::{Settings, redact};

/// Instrumentation scope of these spans.
pub(in crate::trace) const SCOPE: &str = "spanwire.http";

/// Methods that keep their name by default (semconv 1.44: RFC 9110 §9, PATCH and QUERY).
pub(in crate::trace) const KNOWN_METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

/// Longest name of a protocol that is believed to be one.
const PROTOCOL_MAX: usize = 32;

/// Describes one end of an exchange: writes its attributes.
pub(in crate::trace) fn describe(
    http: &Http,
    finished: &Finished,
    role: Role,
    conn: &Connection,
    settings: &Settings,
    out: &mut SpanWriter,
) -> Said {
    let name = method(http, settings, out);
    let connect = http.method.as_deref() == Some("CONNECT");
    let target = http.target.as_deref().map(|target| Target::of(target, connect));
    let target = target.unwrap_or_default();
    let path = match role {
        Role::Server => server(http, target, conn, settings, out),
        Role::Client => {
            client(http, target, conn, settings, out);
            None
        }
    };
    peer(conn, out);
    version(http, role, out);
    sizes(http, finished, out);
    let status = outcome(http, finished.failure, role, out);
    Said { name, path, status }
}

/// The method, and with it the name: `HTTP` stands for a method we do not know.
fn method(http: &Http, settings: &Settings, out: &mut SpanWriter) -> Name {
    match &http.method {
        Some(method) if settings.known_methods.contains(method) => {
            return Name::Written(out.text("http.request.method", method));
        }
        Some(method) => {
            out.text("http.request.method", "_OTHER");
            out.text("http.request.method_original", method);
        }
        None => {}
    }
    Name::Fixed("HTTP")
}

/// What a server knows of the request: as the first client meant it, where proxies have said. Where its path is.
fn server(
    http: &Http,
    target: Target<'_>,
    conn: &Connection,
    settings: &Settings,
    out: &mut SpanWriter,
) -> Option<Place> {
    let forwarded = Forwarded::of(&http.request_headers);
    let scheme = forwarded.scheme.map_or_else(|| own_scheme(http, target), Cow::Owned);
    let path = if !target.path.is_empty() {
        Some(out.text("url.path", target.path))
    } else if target.scheme.is_some() {
        // An absolute target without path means the root (RFC 9112 §3.2.1).
        Some(out.text("url.path", "/"))
    } else {
        None
    };
    if let Some(query) = target.query.filter(|query| !query.is_empty()) {
        out.text("url.query", &redact::query(query, &settings.redacted_query_keys));
    }
    let host = forwarded.host.map(Cow::Owned).or_else(|| authority(http, target));
    server_address(host.as_deref(), default_port(&scheme), &conn.local, out);
    out.text("url.scheme", &scheme);
    match (forwarded.client, &conn.remote) {
        (Some(Some(client)), _) => {
            out.text("client.address", &client);
        }
        (None, Address::Inet(ip, _)) => {
            out.address("client.address", *ip);
        }
        _ => {}
    }
    if let Some(agent) = values(&http.request_headers, "user-agent").next() {
        out.text("user_agent.original", &agent);
    }
    path
}

/// What a client knows of the request: where it meant to go.
fn client(
    http: &Http,
    target: Target<'_>,
    conn: &Connection,
    settings: &Settings,
    out: &mut SpanWriter,
) {
    let scheme = own_scheme(http, target);
    let host = authority(http, target);
    server_address(host.as_deref(), default_port(&scheme), &conn.remote, out);
    // Without its path a URL is another one. CONNECT has none.
    let is_whole = http.target.is_some() || http.method.as_deref() == Some("CONNECT");
    if let Some(base) = Base::of(host.as_deref(), &conn.remote).filter(|_| is_whole) {
        out.composed("url.full", |full| {
            base.write(&scheme, full);
            // The asterisk form has no path of its own (RFC 9112 §3.3).
            if target.path != "*" {
                full.push_str(target.path);
            }
            if let Some(query) = target.query {
                full.push('?');
                full.push_str(&redact::query(query, &settings.redacted_query_keys));
            }
        });
    }
}

/// What an absolute URL begins with.
enum Base<'a> {
    /// As the request says.
    Authority(&'a str),
    /// Where the socket goes.
    Socket(SocketAddr),
    /// Likewise: its path.
    Unix(&'a str),
}

impl<'a> Base<'a> {
    fn of(host: Option<&'a str>, remote: &'a Address) -> Option<Self> {
        match (host, remote) {
            (Some(host), _) => Some(Self::Authority(host)),
            (None, Address::Inet(ip, port)) => {
                Some(Self::Socket(SocketAddr::new(ip.to_canonical(), *port)))
            }
            (None, Address::Unix(Some(path))) => Some(Self::Unix(path)),
            (None, Address::Unix(None) | Address::Unknown) => None,
        }
    }

    fn write(&self, scheme: &str, out: &mut String) {
        // Writing into memory does not fail.
        let _ = match self {
            Self::Authority(host) => write!(out, "{scheme}://{}", redact::authority(host)),
            Self::Socket(address) => write!(out, "{scheme}://{address}"),
            // As clients of unix sockets write it: the socket's path, escaped, in the host's place.
            Self::Unix(path) => {
                write!(out, "http+unix://{}", path.replace('%', "%25").replace('/', "%2F"))
            }
        };
    }
}

/// The scheme this end saw itself. Only what was sent in the clear is seen here.
fn own_scheme<'a>(http: &'a Http, target: Target<'a>) -> Cow<'a, str> {
    match target.scheme.or(http.scheme.as_deref()) {
        None => Cow::Borrowed("http"),
        Some(scheme) if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Cow::Owned(scheme.to_ascii_lowercase())
        }
        Some(scheme) => Cow::Borrowed(scheme),
    }
}

/// The authority asked for: an absolute target's beats `Host` (RFC 9112 §3.2.2), and so does `:authority` (RFC 9113
/// §8.3.1).
fn authority<'a>(http: &'a Http, target: Target<'a>) -> Option<Cow<'a, str>> {
    let host = || {
        Some(match values(&http.request_headers, "host").next()? {
            Cow::Borrowed(host) => Cow::Borrowed(host.trim()),
            Cow::Owned(host) => Cow::Owned(host.trim().to_owned()),
        })
    };
    let asked = target.authority.or(http.authority.as_deref());
    asked.map(Cow::Borrowed).or_else(host).filter(|host| !host.is_empty())
}

/// The protocol spoken, if it is not HTTP any more, and its version.
fn version(http: &Http, role: Role, out: &mut SpanWriter) {
    if let Some((name, version)) = switched(http) {
        out.text("network.protocol.name", &name);
        if let Some(version) = version {
            out.text("network.protocol.version", &version);
        }
        return;
    }
    let version = match role {
        Role::Server => http.version,
        Role::Client => http.response_version.unwrap_or(http.version),
    };
    out.text("network.protocol.version", version.name());
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
        (name == "websocket").then(told)?.map(Cow::into_owned)
    });
    is_token(&name).then(|| (name, version.filter(|version| is_token(version))))
}

/// Sizes where known.
fn sizes(http: &Http, finished: &Finished, out: &mut SpanWriter) {
    if let Some(bytes) = http.request_body {
        out.number("http.request.body.size", bytes);
    }
    if let Some(bytes) = http.response_body {
        out.number("http.response.body.size", bytes);
    }
    // Of an exchange whose end we did not see these would be any number.
    if finished.failure != Some(Failure::Unseen) {
        out.number("spanwire.request.size", finished.bytes.request);
        out.number("spanwire.response.size", finished.bytes.response);
    }
}

/// Status code, `error.type` and the span's status (semconv 1.44, HTTP spans, "Status").
fn outcome(
    http: &Http,
    failure: Option<Failure>,
    role: Role,
    out: &mut SpanWriter,
) -> Option<Status> {
    if let Some(code) = http.status {
        out.number("http.response.status_code", code);
    }
    if failure == Some(Failure::Unseen) {
        out.truth("spanwire.incomplete", true);
    }
    let error = failure.and_then(error_type).map(Cow::Borrowed).or_else(|| {
        let code = http.status?;
        let failed = match code {
            100..400 => false,
            // A client's mistake is no failure of the server.
            400..500 => role == Role::Client,
            _ => true,
        };
        failed.then(|| Cow::Owned(code.to_string()))
    })?;
    out.text("error.type", &error);
    // No description: status code and error.type say it all.
    Some(Status { code: StatusCode::Error.into(), message: String::new() })
}

#[cfg(test)]
mod tests;
