//! HTTP spans attribute by attribute.

use std::net::IpAddr;

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::exchange::{Call, ExchangeId, Sizes, Version};
use crate::input::{ConnId, Nanos};

fn inet(ip: &str, port: u16) -> Address {
    Address::Inet(ip.parse::<IpAddr>().unwrap(), port)
}

fn conn(local: Address, remote: Address) -> Connection {
    Connection {
        id: ConnId(1),
        local,
        remote,
        socket: 1,
        peer_socket: 2,
        inode: 0,
        netns: 0,
        origins: [0; 2],
        pid: 1,
    }
}

/// A client's end, from 10.0.0.1:40000 to 10.0.0.2:8080.
fn to_server() -> Connection {
    conn(inet("10.0.0.1", 40_000), inet("10.0.0.2", 8080))
}

/// Its server's end.
fn from_client() -> Connection {
    conn(inet("10.0.0.2", 8080), inet("10.0.0.1", 40_000))
}

fn get(target: &str, headers: &[(&'static str, &str)]) -> Http {
    Http {
        method: Some("GET".into()),
        target: Some(target.into()),
        response_version: Some(Version::Http11),
        status: Some(200),
        request_headers: headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec()))
            .collect(),
        ..Http::default()
    }
}

struct Read {
    name: String,
    attributes: Vec<(String, String)>,
    failed: bool,
}

impl Read {
    fn of(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn has(&self, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            assert_eq!(self.of(key), Some(*value), "{key} of {:#?}", self.attributes);
        }
    }

    #[track_caller]
    fn lacks(&self, keys: &[&str]) {
        for key in keys {
            assert_eq!(self.of(key), None, "{key}");
        }
    }
}

fn read(http: &Http, role: Role, conn: &Connection, failure: Option<Failure>) -> Read {
    let finished = Finished {
        id: ExchangeId { conn: conn.id, position: 0 },
        end: Nanos(5000),
        first_answer: failure.is_none().then_some(Nanos(3000)),
        answered_by: None,
        on_cpu: None,
        bytes: Sizes { request: 90, response: 112 },
        failure,
        call: Call::Http(http.clone()),
    };
    let mut out = SpanWriter::default();
    let settings = Settings::default();
    let said = describe(http, &finished, role, conn, &settings, &mut out);
    let attributes: Vec<_> = out
        .attributes()
        .into_iter()
        .map(|attribute| {
            let value = match attribute.value.and_then(|value| value.value) {
                Some(Value::StringValue(text)) => text,
                Some(Value::IntValue(number)) => format!("#{number}"),
                Some(Value::BoolValue(truth)) => format!("{truth}?"),
                other => panic!("{other:?}"),
            };
            (attribute.key, value)
        })
        .collect();
    let mut keys: Vec<_> = attributes.iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), attributes.len(), "a key twice: {attributes:#?}");
    let failed = said.status.is_some_and(|status| {
        assert_eq!(status.code, i32::from(StatusCode::Error));
        assert_eq!(status.message, "");
        true
    });
    Read { name: said.name.of(out.written()).to_owned(), attributes, failed }
}

fn server(http: &Http) -> Read {
    read(http, Role::Server, &from_client(), None)
}

fn client(http: &Http) -> Read {
    read(http, Role::Client, &to_server(), None)
}

#[test]
fn a_server_span_in_full() {
    let mut http =
        get("/cart/7?a=1&sig=secret", &[("host", "shop.example"), ("user-agent", "curl/8")]);
    http.request_body = Some(0);
    http.response_body = Some(12);
    let read = server(&http);
    assert_eq!(read.name, "GET");
    assert!(!read.failed);
    let expected = [
        ("http.request.method", "GET"),
        ("url.path", "/cart/7"),
        ("url.query", "a=1&sig=REDACTED"),
        ("server.address", "shop.example"),
        ("server.port", "#80"),
        ("url.scheme", "http"),
        ("client.address", "10.0.0.1"),
        ("user_agent.original", "curl/8"),
        ("network.peer.address", "10.0.0.1"),
        ("network.peer.port", "#40000"),
        ("network.protocol.version", "1.1"),
        ("http.request.body.size", "#0"),
        ("http.response.body.size", "#12"),
        ("spanwire.request.size", "#90"),
        ("spanwire.response.size", "#112"),
        ("http.response.status_code", "#200"),
    ];
    read.has(&expected);
    assert_eq!(read.attributes.len(), expected.len(), "{:#?}", read.attributes);
}

#[test]
fn a_client_span_in_full() {
    let mut http =
        get("/cart/7?a=1&sig=secret", &[("host", "inner:8080"), ("user-agent", "curl/8")]);
    http.response_version = Some(Version::Http10);
    let read = client(&http);
    assert_eq!(read.name, "GET");
    let expected = [
        ("http.request.method", "GET"),
        ("server.address", "inner"),
        ("server.port", "#8080"),
        ("url.full", "http://inner:8080/cart/7?a=1&sig=REDACTED"),
        ("network.peer.address", "10.0.0.2"),
        ("network.peer.port", "#8080"),
        ("network.protocol.version", "1.0"),
        ("spanwire.request.size", "#90"),
        ("spanwire.response.size", "#112"),
        ("http.response.status_code", "#200"),
    ];
    read.has(&expected);
    assert_eq!(read.attributes.len(), expected.len(), "{:#?}", read.attributes);
}

#[test]
fn methods_are_known_or_other() {
    for method in KNOWN_METHODS {
        let read = server(&Http { method: Some(method.into()), ..get("/", &[]) });
        assert_eq!(read.name, method);
        read.has(&[("http.request.method", method)]);
        read.lacks(&["http.request.method_original"]);
    }
    for method in ["get", "PROPFIND", "Get", ""] {
        let read = server(&Http { method: Some(method.into()), ..get("/", &[]) });
        assert_eq!(read.name, "HTTP");
        read.has(&[("http.request.method", "_OTHER"), ("http.request.method_original", method)]);
    }
}

#[test]
fn a_status_fails_whom_it_concerns() {
    for (status, server_fails, client_fails) in [
        (101, false, false),
        (200, false, false),
        (302, false, false),
        (400, false, true),
        (404, false, true),
        (499, false, true),
        (500, true, true),
        (503, true, true),
        (600, true, true),
        (99, true, true),
    ] {
        let http = Http { status: Some(status), ..get("/", &[]) };
        for (read, fails) in [(server(&http), server_fails), (client(&http), client_fails)] {
            let expected = status.to_string();
            assert_eq!(read.failed, fails, "{status}");
            assert_eq!(read.of("error.type"), fails.then_some(expected.as_str()), "{status}");
            assert_eq!(read.of("http.response.status_code"), Some(format!("#{status}").as_str()));
        }
    }
}

#[test]
fn failures_have_their_names() {
    for (failure, expected) in [
        (Failure::ConnectionReset, "connection_reset"),
        (Failure::ConnectionClosed, "connection_closed"),
        (Failure::Timeout, "timeout"),
        (Failure::Cancelled, "cancelled"),
        (Failure::StreamReset(0x8), "cancelled"),
        (Failure::StreamReset(0x7), "refused_stream"),
        (Failure::StreamReset(0x99), "stream_reset"),
    ] {
        for status in [None, Some(200), Some(404)] {
            let http = Http { status, ..get("/", &[]) };
            for (role, conn) in [(Role::Server, from_client()), (Role::Client, to_server())] {
                let read = read(&http, role, &conn, Some(failure));
                assert!(read.failed);
                read.has(&[("error.type", expected)]);
                read.lacks(&["spanwire.incomplete"]);
            }
        }
    }
}

#[test]
fn what_we_lost_is_nobodys_failure() {
    let unseen = |status| {
        read(&Http { status, ..get("/", &[]) }, Role::Client, &to_server(), Some(Failure::Unseen))
    };
    for status in [None, Some(200)] {
        let read = unseen(status);
        assert!(!read.failed);
        read.has(&[("spanwire.incomplete", "true?")]);
        read.lacks(&["error.type", "spanwire.request.size", "spanwire.response.size"]);
    }
    assert!(unseen(Some(500)).failed);
}

#[test]
fn a_server_behind_proxies_says_what_the_first_client_meant() {
    let headers = [
        ("host", "inner:8080"),
        ("forwarded", "for=203.0.113.9;host=shop.example;proto=https, for=10.0.0.9"),
    ];
    server(&get("/", &headers)).has(&[
        ("client.address", "203.0.113.9"),
        ("server.address", "shop.example"),
        ("server.port", "#443"),
        ("url.scheme", "https"),
        ("network.peer.address", "10.0.0.1"),
    ]);
    let old = [
        ("host", "inner"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.9"),
        ("x-forwarded-proto", "https"),
    ];
    server(&get("/", &old)).has(&[
        ("client.address", "203.0.113.9"),
        ("server.address", "inner"),
        ("server.port", "#443"),
    ]);
    server(&get("/", &[("forwarded", "for=unknown")])).lacks(&["client.address"]);
    // A client's own request says nothing of the sort.
    client(&get("/", &headers)).has(&[("server.address", "inner"), ("server.port", "#8080")]);
}

#[test]
fn targets_of_all_forms() {
    let absolute = get("http://me:pw@shop.example:81/a?b=c", &[("host", "other")]);
    client(&absolute).has(&[
        ("url.full", "http://REDACTED:REDACTED@shop.example:81/a?b=c"),
        ("server.address", "shop.example"),
        ("server.port", "#81"),
    ]);
    server(&absolute).has(&[
        ("url.path", "/a"),
        ("url.query", "b=c"),
        ("server.address", "shop.example"),
    ]);
    server(&get("http://shop.example", &[])).has(&[("url.path", "/")]);

    let connect =
        Http { method: Some("CONNECT".into()), ..get("shop.example:443", &[("host", "x")]) };
    client(&connect).has(&[
        ("url.full", "http://shop.example:443"),
        ("server.address", "shop.example"),
        ("server.port", "#443"),
    ]);

    let asterisk = Http { method: Some("OPTIONS".into()), ..get("*", &[("host", "shop.example")]) };
    client(&asterisk).has(&[("url.full", "http://shop.example")]);
    server(&asterisk).has(&[("url.path", "*")]);
    server(&get("/a?", &[])).lacks(&["url.query"]);
}

#[test]
fn without_a_host_the_socket_says_where() {
    client(&get("/a", &[])).has(&[
        ("url.full", "http://10.0.0.2:8080/a"),
        ("server.address", "10.0.0.2"),
        ("server.port", "#8080"),
    ]);
    server(&get("/a", &[("host", " ")]))
        .has(&[("server.address", "10.0.0.2"), ("server.port", "#8080")]);
    let six = conn(inet("::1", 40_000), inet("::1", 80));
    read(&get("/a", &[]), Role::Client, &six, None).has(&[
        ("url.full", "http://[::1]:80/a"),
        ("server.address", "::1"),
        ("network.peer.address", "::1"),
    ]);
    let mapped = conn(inet("::ffff:10.0.0.1", 1), inet("::ffff:10.0.0.2", 2));
    read(&get("/a", &[]), Role::Client, &mapped, None)
        .has(&[("url.full", "http://10.0.0.2:2/a"), ("network.peer.address", "10.0.0.2")]);
    let unknown = conn(Address::Unknown, Address::Unknown);
    for role in [Role::Client, Role::Server] {
        read(&get("/a", &[]), role, &unknown, None).lacks(&[
            "server.address",
            "network.peer.address",
            "network.transport",
            "client.address",
            "url.full",
        ]);
    }
}

#[test]
fn unix_sockets_say_so() {
    let path = || Address::Unix(Some("/run/app.sock".into()));
    let to = conn(Address::Unix(None), path());
    let from = conn(path(), Address::Unix(None));
    read(&get("/a", &[("host", "app")]), Role::Client, &to, None).has(&[
        ("network.transport", "unix"),
        ("network.peer.address", "/run/app.sock"),
        ("url.full", "http://app/a"),
        ("server.address", "app"),
    ]);
    let bare = read(&get("/a", &[]), Role::Client, &to, None);
    bare.has(&[
        ("server.address", "/run/app.sock"),
        ("url.full", "http+unix://%2Frun%2Fapp.sock/a"),
    ]);
    bare.lacks(&["server.port", "network.peer.port"]);
    let served = read(&get("/a", &[("host", "app")]), Role::Server, &from, None);
    served.has(&[("network.transport", "unix"), ("server.address", "app"), ("server.port", "#80")]);
    served.lacks(&["network.peer.address", "client.address"]);
}

#[test]
fn what_http_was_left_for_is_named() {
    let switched = |upgrade: &str, request: &[(&'static str, &str)]| {
        let mut http = Http { status: Some(101), ..get("/ws", request) };
        http.response_headers = vec![("upgrade", upgrade.as_bytes().to_vec())];
        http
    };
    let websocket = switched("WebSocket", &[("sec-websocket-version", "13")]);
    for read in [server(&websocket), client(&websocket)] {
        read.has(&[
            ("network.protocol.name", "websocket"),
            ("network.protocol.version", "13"),
            ("http.response.status_code", "#101"),
        ]);
        assert!(!read.failed);
    }
    server(&switched("SPDY/3.1, other", &[]))
        .has(&[("network.protocol.name", "spdy"), ("network.protocol.version", "3.1")]);
    let tcp = server(&switched("tcp", &[("sec-websocket-version", "13")]));
    tcp.has(&[("network.protocol.name", "tcp")]);
    tcp.lacks(&["network.protocol.version"]);
    for not_one in ["", "a b", "a\u{e9}", &"x".repeat(33)] {
        let read = server(&switched(not_one, &[]));
        read.lacks(&["network.protocol.name"]);
        read.has(&[("network.protocol.version", "1.1")]);
    }
    let offered = Http { status: Some(200), ..switched("websocket", &[]) };
    server(&offered).lacks(&["network.protocol.name"]);
}

#[test]
fn no_other_header_is_told() {
    let headers = [("host", "shop"), ("authorization", "Bearer s3cret"), ("cookie", "id=s3cret")];
    for read in [server(&get("/", &headers)), client(&get("/", &headers))] {
        assert!(read.attributes.iter().all(|(_, value)| !value.contains("s3cret")));
    }
}

#[test]
fn http2_says_where_it_goes_in_its_own_fields() {
    let http = Http {
        scheme: Some("http".into()),
        authority: Some("shop.example:8443".into()),
        version: Version::Http2,
        response_version: Some(Version::Http2),
        ..get("/a?b=c", &[])
    };
    client(&http).has(&[
        ("url.full", "http://shop.example:8443/a?b=c"),
        ("server.address", "shop.example"),
        ("server.port", "#8443"),
        ("network.protocol.version", "2"),
    ]);
    server(&http).has(&[
        ("url.path", "/a"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("network.protocol.version", "2"),
    ]);
    let connect = Http { method: Some("CONNECT".into()), target: None, scheme: None, ..http };
    client(&connect).has(&[("url.full", "http://shop.example:8443")]);
}

#[test]
fn what_a_table_older_than_us_hides_is_absent() {
    let http = Http { method: None, target: None, version: Version::Http2, ..get("", &[]) };
    for read in [client(&http), server(&http)] {
        assert_eq!(read.name, "HTTP");
        read.lacks(&[
            "http.request.method",
            "http.request.method_original",
            "url.full",
            "url.path",
        ]);
        read.has(&[("http.response.status_code", "#200")]);
    }
}
