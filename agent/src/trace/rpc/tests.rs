//! RPC spans attribute by attribute.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::conn::Address;
use crate::exchange::{Call, ExchangeId, Sizes};
use crate::input::ConnId;

const MS: u64 = 1_000_000;

fn conn() -> Connection {
    let inet = |ip: [u8; 4], port| Address::Inet(ip.into(), port);
    Connection {
        id: ConnId(1),
        local: inet([10, 0, 0, 1], 40_000),
        remote: inet([10, 0, 0, 2], 50_051),
        socket: 1,
        peer_socket: 2,
        inode: 0,
        netns: 0,
        origins: [0; 2],
        pid: 1,
    }
}

fn add(status: Option<u32>) -> Rpc {
    Rpc {
        method: Some("shop.Cart/Add".into()),
        authority: Some("cart:50051".into()),
        http_status: Some(200),
        status,
        ..Rpc::default()
    }
}

struct Read {
    name: String,
    attributes: Vec<(String, String)>,
    /// The status, if it is an error: its description.
    error: Option<String>,
}

impl Read {
    fn of(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// A call that took 100 ms.
fn read(rpc: &Rpc, role: Role, failure: Option<Failure>) -> Read {
    let conn = conn();
    let finished = Finished {
        id: ExchangeId { conn: conn.id, position: 0 },
        end: Nanos(101 * MS),
        first_answer: rpc.http_status.map(|_| Nanos(51 * MS)),
        answered_by: None,
        on_cpu: None,
        bytes: Sizes::default(),
        failure,
        call: Call::Rpc(rpc.clone()),
    };
    let mut out = SpanWriter::default();
    let said = describe(rpc, &finished, role, &conn, Nanos(MS), &mut out);
    let value = |value| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => format!("#{number}"),
        Some(Value::BoolValue(truth)) => format!("{truth}?"),
        other => panic!("{other:?}"),
    };
    let attributes = out.attributes().into_iter();
    Read {
        name: said.name.of(out.written()).to_owned(),
        attributes: attributes
            .map(|attribute| (attribute.key, value(attribute.value.and_then(|value| value.value))))
            .collect(),
        error: said.status.map(|status| {
            assert_eq!(status.code, i32::from(StatusCode::Error));
            status.message
        }),
    }
}

#[test]
fn a_client_span_in_full() {
    let rpc = Rpc {
        request_messages: Some(1),
        response_messages: Some(3),
        timeout: Some(250 * MS),
        ..add(Some(0))
    };
    let read = read(&rpc, Role::Client, None);
    assert_eq!(read.name, "shop.Cart/Add");
    assert_eq!(read.error, None);
    let expected = [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "shop.Cart/Add"),
        ("server.address", "cart"),
        ("server.port", "#50051"),
        ("network.peer.address", "10.0.0.2"),
        ("network.peer.port", "#50051"),
        ("spanwire.rpc.request.messages", "#1"),
        ("spanwire.rpc.response.messages", "#3"),
        ("spanwire.rpc.timeout_ns", "#250000000"),
        ("rpc.response.status_code", "OK"),
    ];
    let attributes: Vec<_> =
        read.attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(attributes, expected);
}

#[test]
fn what_is_not_known_is_absent() {
    let unknown = Rpc::default();
    let read = read(&unknown, Role::Server, Some(Failure::Unseen));
    assert_eq!(read.name, "grpc");
    assert_eq!(read.error, None);
    assert_eq!(read.of("spanwire.incomplete"), Some("true?"));
    assert_eq!(read.of("server.address"), Some("10.0.0.1"));
    for key in ["rpc.method", "rpc.response.status_code", "error.type"] {
        assert_eq!(read.of(key), None, "{key}");
    }
}

#[test]
fn each_side_has_its_own_errors() {
    for (code, name, server_fails) in [
        (0, "OK", false),
        (1, "CANCELLED", false),
        (2, "UNKNOWN", true),
        (3, "INVALID_ARGUMENT", false),
        (4, "DEADLINE_EXCEEDED", true),
        (5, "NOT_FOUND", false),
        (6, "ALREADY_EXISTS", false),
        (7, "PERMISSION_DENIED", false),
        (8, "RESOURCE_EXHAUSTED", false),
        (9, "FAILED_PRECONDITION", false),
        (10, "ABORTED", false),
        (11, "OUT_OF_RANGE", false),
        (12, "UNIMPLEMENTED", true),
        (13, "INTERNAL", true),
        (14, "UNAVAILABLE", true),
        (15, "DATA_LOSS", true),
        (16, "UNAUTHENTICATED", false),
        (17, "UNKNOWN", true),
    ] {
        let rpc = Rpc { message: Some("no tea".into()), ..add(Some(code)) };
        for (role, fails) in [(Role::Server, server_fails), (Role::Client, code != 0)] {
            let read = read(&rpc, role, None);
            assert_eq!(read.of("rpc.response.status_code"), Some(name));
            assert_eq!(read.of("error.type"), fails.then_some(name), "{name}");
            assert_eq!(read.error.as_deref(), fails.then_some("no tea"), "{name}");
        }
    }
}

#[test]
fn a_method_the_server_does_not_know_names_nothing() {
    let server = read(&add(Some(12)), Role::Server, None);
    assert_eq!(server.name, "grpc");
    assert_eq!(server.of("rpc.method"), Some("_OTHER"));
    assert_eq!(server.of("rpc.method_original"), Some("shop.Cart/Add"));
    // The client has it from its stub.
    let client = read(&add(Some(12)), Role::Client, None);
    assert_eq!(client.name, "shop.Cart/Add");
}

#[test]
fn a_status_follows_from_what_came_instead() {
    let of = |rpc: &Rpc, failure| {
        read(rpc, Role::Client, failure).of("rpc.response.status_code").map(str::to_owned)
    };
    for (status, name) in [
        (200, None),
        (401, Some("UNAUTHENTICATED")),
        (404, Some("UNIMPLEMENTED")),
        (502, Some("UNAVAILABLE")),
        (500, Some("UNKNOWN")),
    ] {
        let rpc = Rpc { http_status: Some(status), ..add(None) };
        assert_eq!(of(&rpc, None).as_deref(), name, "{status}");
    }
    for (code, name) in [
        (0x2, "INTERNAL"),
        (0x7, "UNAVAILABLE"),
        (0x8, "CANCELLED"),
        (0xb, "RESOURCE_EXHAUSTED"),
        (0xc, "PERMISSION_DENIED"),
    ] {
        let reset = of(&add(None), Some(Failure::StreamReset(code)));
        assert_eq!(reset.as_deref(), Some(name), "{code}");
    }
    for (timeout, name) in [(100 * MS, "DEADLINE_EXCEEDED"), (200 * MS, "CANCELLED")] {
        let rpc = Rpc { timeout: Some(timeout), ..add(None) };
        assert_eq!(of(&rpc, Some(Failure::StreamReset(0x8))).as_deref(), Some(name));
    }
}

#[test]
fn a_broken_connection_has_no_status() {
    let read = read(&add(None), Role::Client, Some(Failure::ConnectionReset));
    assert_eq!(read.of("rpc.response.status_code"), None);
    assert_eq!(read.of("error.type"), Some("connection_reset"));
    assert_eq!(read.error.as_deref(), Some(""));
}
