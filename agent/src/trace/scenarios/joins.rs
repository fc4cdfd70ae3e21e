//! Both ends of a request: TCP, unix sockets, headers beside them, ourselves.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::host::{Host, MS, Request, from_outside, tcp, unix};
use crate::conn::{Address, Connection};
use crate::exchange::{Failure, Role};
use crate::input::Nanos;
use crate::service::attribute::number;
use crate::trace::{Count, Settings};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

fn header(flags: &str) -> String {
    format!("00-{TRACE:032x}-{PARENT:016x}-{flags}")
}

/// Both ends of one request over TCP.
fn both(number: u64) -> (Request, Request) {
    let (client, server) = tcp(number);
    (Request::client(&client, 7, 1, 10, 40), Request::server(&server, 7, 2, 20, 30))
}

#[test]
fn either_end_may_be_told_first() {
    for client_first in [true, false] {
        let mut host = Host::new();
        let (asks, serves) = both(1);
        host.all(&if client_first { [&asks, &serves] } else { [&serves, &asks] });
        host.span(&asks).is_root();
        host.span(&serves).is_child_of(&host, &asks, "same-host");
        assert_eq!(host.span(&serves).0.flags, 0x303);
    }
}

#[test]
fn a_server_may_read_long_after_the_client_gave_up() {
    let mut host = Host::new();
    let (asks, mut serves) = both(1);
    host.all(&[&asks]);
    assert!(host.has(&asks));
    serves.started.at = Nanos(30_000 * MS);
    serves.finished.end = Nanos(30_001 * MS);
    host.all(&[&serves]);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
}

#[test]
fn an_end_that_is_told_too_late_changes_nothing() {
    let mut host = Host::new();
    let (asks, serves) = both(1);
    host.all(&[&serves]);
    host.all(&[&asks]);
    host.span(&serves).is_root();
    host.span(&asks).is_root();
    assert_eq!(host.count(Count::JoinLate), 1);
}

#[test]
fn other_positions_ports_and_namespaces_are_other_requests() {
    let change = |change: fn(&mut Request)| {
        let mut host = Host::new();
        let (asks, mut serves) = both(1);
        change(&mut serves);
        host.all(&[&asks, &serves]);
        host.span(&serves).is_root();
    };
    change(|serves| {
        serves.started.id.position += 1;
        serves.finished.id.position += 1;
    });
    change(|serves| Arc::make_mut(&mut serves.started.conn).remote = tcp(2).1.remote.clone());
    change(|serves| Arc::make_mut(&mut serves.started.conn).netns = 2);
    change(|serves| serves.started.role = Role::Client);
}

/// Both ends of one request whose server's direction began at these numbers, as its client and as it itself knows them.
fn with_origins(number: u64, client: u32, server: u32) -> (Request, Request) {
    let (mut asks, mut serves) = both(number);
    Arc::make_mut(&mut asks.started.conn).origins = [3, client];
    Arc::make_mut(&mut serves.started.conn).origins = [server, 3];
    (asks, serves)
}

#[test]
fn addresses_may_be_changed_on_the_way() {
    for client_first in [true, false] {
        let mut host = Host::new();
        let (asks, mut serves) = with_origins(1, 700, 700);
        let conn = Arc::make_mut(&mut serves.started.conn);
        conn.local = Address::Inet([10, 0, 0, 9].into(), 80);
        conn.remote = Address::Inet([192, 0, 2, 4].into(), 61_000);
        conn.netns = 99;
        host.all(&if client_first { [&asks, &serves] } else { [&serves, &asks] });
        host.span(&serves).is_child_of(&host, &asks, "same-host");
    }
}

#[test]
fn a_server_may_have_opened_the_connection() {
    for server in [699, 700] {
        let mut host = Host::new();
        let (asks, mut serves) = with_origins(1, 700, server);
        Arc::make_mut(&mut serves.started.conn).remote = Address::Unknown;
        host.all(&[&asks, &serves]);
        host.span(&serves).is_child_of(&host, &asks, "same-host");
    }
}

#[test]
fn hosts_with_the_same_addresses_are_not_mixed_up() {
    let mut host = Host::new();
    let (asks, _) = with_origins(1, 700, 700);
    let (_, serves) = with_origins(1, 90_000, 90_000);
    host.all(&[&asks, &serves]);
    host.span(&serves).is_root();
    // Where one end does not know, the addresses tell.
    let mut host = Host::new();
    let (asks, _) = with_origins(2, 0, 700);
    let (_, told) = with_origins(2, 700, 700);
    host.all(&[&asks, &told]);
    host.span(&told).is_child_of(&host, &asks, "same-host");
}

#[test]
fn an_ipv4_connection_may_be_ipv6_on_one_side() {
    let mut host = Host::new();
    let (asks, mut serves) = both(1);
    let conn = Arc::make_mut(&mut serves.started.conn);
    for address in [&mut conn.local, &mut conn.remote] {
        let Address::Inet(ip, port) = address else { panic!() };
        let mapped = match ip {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(_) => panic!(),
        };
        *address = Address::Inet(mapped.into(), *port);
    }
    host.all(&[&asks, &serves]);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
}

#[test]
fn many_requests_of_one_connection_find_their_own() {
    let mut host = Host::new();
    let (client, server) = tcp(1);
    let pairs: Vec<_> = (0..50)
        .map(|n| {
            let at = 10 + n * 20;
            let asks = Request::client(&client, n * 100, 1, at, at + 9);
            (asks, Request::server(&server, n * 100, 2, at + 2, at + 5))
        })
        .collect();
    for (asks, _) in &pairs {
        host.all(&[asks]);
    }
    for (_, serves) in pairs.iter().rev() {
        host.all(&[serves]);
    }
    for (asks, serves) in &pairs {
        host.span(serves).is_child_of(&host, asks, "same-host");
    }
}

#[test]
fn requests_under_way_at_once_on_one_connection_find_their_own() {
    let mut host = Host::new();
    let (client, server) = tcp(1);
    // Streams of HTTP/2: begun one after the other, and ended the other way round.
    let pairs: Vec<_> = (0..50)
        .map(|n| {
            let (from, to) = (10 + n, 200 - n);
            let asks = Request::client(&client, n * 30, 1, from, to);
            (asks, Request::server(&server, n * 30, 2, from + 1, to - 1))
        })
        .collect();
    let all: Vec<_> = pairs.iter().flat_map(|(asks, serves)| [serves, asks]).collect();
    host.all(&all);
    for (asks, serves) in &pairs {
        host.span(serves).is_child_of(&host, asks, "same-host");
    }
}

#[test]
fn a_client_began_before_its_server_read() {
    let mut host = Host::new();
    let (mut asks, serves) = both(1);
    // Stamped when the send returned.
    asks.started.at = Nanos(25 * MS);
    host.all(&[&asks, &serves]);
    let (client, server) = (host.span(&asks).0, host.span(&serves).0);
    assert_eq!(client.start_time_unix_nano, server.start_time_unix_nano);
    assert_eq!(client.end_time_unix_nano - client.start_time_unix_nano, 20 * MS);
}

#[test]
fn no_span_ends_before_it_begins() {
    let mut host = Host::new();
    let (mut asks, _) = both(1);
    asks.finished.end = Nanos(5 * MS);
    host.all(&[&asks]);
    let span = host.span(&asks).0;
    assert_eq!(span.start_time_unix_nano, span.end_time_unix_nano);
}

#[test]
fn a_header_from_outside_is_the_parent() {
    let mut host = Host::new();
    let serves = Request::server(&from_outside(1), 7, 1, 10, 20)
        .traceparent(&header("01"))
        .tracestate("foo=1, bar=2")
        .tracestate("baz=3");
    host.all(&[&serves]);
    let span = host.span(&serves);
    assert_eq!(
        (span.trace(), span.parent(), span.rule()),
        (TRACE, Some(PARENT), Some("traceparent"))
    );
    assert_eq!(span.0.trace_state, "foo=1,bar=2,baz=3");
    // Sampled, not random, parent remote.
    assert_eq!(span.0.flags, 0x301);
}

#[test]
fn a_bad_header_is_none_and_a_state_without_it_neither() {
    let mut host = Host::new();
    let twice = Request::server(&from_outside(1), 7, 1, 10, 20)
        .traceparent(&header("01"))
        .traceparent(&header("01"))
        .tracestate("a=1");
    let alone = Request::server(&from_outside(2), 7, 1, 10, 20).tracestate("a=1");
    let spoilt = Request::server(&from_outside(3), 7, 1, 10, 20)
        .traceparent(&header("03"))
        .tracestate("a=1,B=2");
    host.all(&[&twice, &alone, &spoilt]);
    for request in [&twice, &alone] {
        host.span(request).is_root();
        assert_eq!(host.span(request).0.trace_state, "");
    }
    assert_eq!(host.span(&spoilt).trace(), TRACE);
    assert_eq!(host.span(&spoilt).0.flags, 0x303);
    assert_eq!(host.span(&spoilt).0.trace_state, "");
    assert_eq!(host.count(Count::TraceparentInvalid), 1);
    assert_eq!(host.count(Count::TracestateInvalid), 1);
}

#[test]
fn a_header_on_a_joined_request_gives_the_trace_and_the_join_the_parent() {
    let mut host = Host::new();
    let (asks, serves) = both(1);
    let asks = asks.traceparent(&header("03")).tracestate("a=1");
    let serves = serves.traceparent(&header("03")).tracestate("a=1");
    host.all(&[&serves, &asks]);
    assert_eq!(host.span(&asks).trace(), TRACE);
    assert_eq!(host.span(&asks).parent(), Some(PARENT));
    assert_eq!(host.span(&asks).rule(), Some("traceparent"));
    // Whether the header was made here or only passed on is not known.
    assert_eq!(host.span(&asks).0.flags, 0x003);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
    assert_eq!(host.span(&serves).0.trace_state, "a=1");
}

#[test]
fn a_header_of_another_trace_beats_the_join() {
    let mut host = Host::new();
    let (asks, serves) = both(1);
    let serves = serves.traceparent(&header("01"));
    host.all(&[&asks, &serves]);
    host.span(&asks).is_root();
    assert_eq!(host.span(&serves).trace(), TRACE);
    assert_eq!(host.span(&serves).parent(), Some(PARENT));
    assert_eq!(host.count(Count::JoinContradicted), 1);
}

#[test]
fn what_is_not_sampled_comes_out_nowhere_down_the_line() {
    let mut host = Host::new();
    let first = Request::server(&from_outside(1), 7, 1, 10, 50).traceparent(&header("00"));
    let (client, server) = tcp(2);
    let asks = Request::client(&client, 7, 1, 15, 45).serving(&first);
    let serves = Request::server(&server, 7, 2, 20, 40);
    let other = Request::server(&from_outside(3), 7, 1, 10, 20).thread(9);
    host.all(&[&first, &asks, &serves, &other]);
    assert_eq!(host.spans.len(), 1);
    host.span(&other).is_root();
    assert_eq!(host.count(Count::NotSampled), 3);
    assert_eq!(host.count(Count::ThreadParents), 1);
}

#[test]
fn unix_ends_are_paired_by_their_sockets() {
    for (client_says, server_says) in [(true, true), (true, false), (false, true)] {
        let mut host = Host::new();
        let (mut client, mut server) = unix(1, 0xa0, 0xb0);
        if !client_says {
            Arc::make_mut(&mut client).peer_socket = 0;
        }
        if !server_says {
            Arc::make_mut(&mut server).peer_socket = 0;
        }
        let one = (Request::client(&client, 0, 1, 10, 40), Request::server(&server, 0, 2, 20, 30));
        let two =
            (Request::client(&client, 100, 1, 50, 80), Request::server(&server, 100, 2, 60, 70));
        host.all(&[&one.0, &one.1]);
        host.all(&[&two.1, &two.0]);
        for (asks, serves) in [&one, &two] {
            host.span(serves).is_child_of(&host, asks, "same-host");
        }
        assert_eq!(host.count(Count::JoinedUnix), 2);
    }
}

#[test]
fn strangers_on_unix_sockets_stay_strangers() {
    let mut host = Host::new();
    let (client, _) = unix(1, 0xa0, 0xb0);
    let (_, server) = unix(2, 0xc0, 0xd0);
    let (asks, serves) =
        (Request::client(&client, 0, 1, 10, 40), Request::server(&server, 0, 2, 20, 30));
    host.all(&[&asks, &serves]);
    host.span(&serves).is_root();
}

#[test]
fn a_socket_address_used_again_is_another_socket() {
    let mut host = Host::new();
    let (old, _) = unix(1, 0xa0, 0xb0);
    let asked_long_ago = Request::client(&old, 0, 1, 10, 40);
    host.all(&[&asked_long_ago]);
    host.tracer.closed(old.id);
    let (client, server) = unix(2, 0xa0, 0xb0);
    let (asks, serves) =
        (Request::client(&client, 0, 3, 2050, 2080), Request::server(&server, 0, 2, 2060, 2070));
    // The server's end is told first: at that moment only the old client has the address.
    host.all(&[&serves, &asks]);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
}

#[test]
fn a_close_may_overtake_the_data() {
    let mut host = Host::new();
    let (client, server) = unix(1, 0xa0, 0xb0);
    for conn in [&client, &server] {
        host.tracer.opened(&abi::Opened {
            header: abi::ControlHeader { time: 10 * MS, ..abi::ControlHeader::default() },
            connection: conn.id.0,
            socket: conn.socket,
            peer_socket: conn.peer_socket,
            family: abi::Family::Unix as u16,
            ..abi::Opened::default()
        });
    }
    host.tick(50);
    host.tracer.closed(client.id);
    host.tracer.closed(server.id);
    let (asks, serves) =
        (Request::client(&client, 0, 1, 10, 40), Request::server(&server, 0, 2, 20, 30));
    host.all(&[&asks, &serves]);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
}

/// A keep-alive connection with a request of 100 bytes under way when we came: the server's count is ahead.
fn old_unix(host: &mut Host, late: bool) -> Vec<(Request, Request)> {
    let (client, server) = unix(1, 0xa0, 0xb0);
    let under_way = Request::server(&server, 0, 2, 2, 5);
    host.all(&[&under_way]);
    (0..5)
        .map(|n| {
            let at = 10 + n * 40;
            // With `late`, sends are stamped when the peer has long answered.
            let sent = if late { at + 20 } else { at };
            let asks = Request::client(&client, n * 100, 1, sent, at + 30);
            let serves = Request::server(&server, n * 100 + 100, 2, at + 5, at + 10);
            host.all(&[&serves, &asks]);
            (asks, serves)
        })
        .collect()
}

#[test]
fn the_counts_of_an_old_unix_connection_are_learned() {
    for late in [false, true] {
        let mut host = Host::new();
        let pairs = old_unix(&mut host, late);
        for (asks, serves) in &pairs {
            host.span(serves).is_child_of(&host, asks, "same-host");
        }
        assert_eq!(host.count(Count::UnixOffsetsDoubted), 0);
    }
}

#[test]
fn a_unix_pair_that_does_not_fit_is_joined_no_more() {
    let mut host = Host::new();
    let (client, server) = unix(1, 0xa0, 0xb0);
    let fits = (Request::client(&client, 0, 1, 10, 40), Request::server(&server, 0, 2, 20, 30));
    host.all(&[&fits.0, &fits.1]);
    host.span(&fits.1).is_child_of(&host, &fits.0, "same-host");
    // Read long after its answer was: somebody else's count.
    let wrong =
        (Request::client(&client, 100, 1, 50, 60), Request::server(&server, 100, 2, 80, 90));
    let after =
        (Request::client(&client, 200, 1, 110, 140), Request::server(&server, 200, 2, 120, 130));
    host.all(&[&wrong.0]);
    host.all(&[&wrong.1]);
    host.all(&[&after.0, &after.1]);
    host.span(&wrong.1).is_root();
    host.span(&after.1).is_root();
    assert_eq!(host.count(Count::UnixOffsetsDoubted), 1);
}

#[test]
fn a_request_under_way_when_we_came_is_not_taken_for_the_next() {
    let mut host = Host::new();
    let (client, server) = unix(1, 0xa0, 0xb0);
    let mut under_way = Request::server(&server, 0, 2, 2, 5);
    under_way.finished.bytes.request = 77;
    // Its answer reached the client; of the next request we saw the client's end only.
    let next = Request::client(&client, 0, 1, 10, 40);
    host.all(&[&under_way, &next]);
    host.span(&under_way).is_root();
    assert_eq!(host.count(Count::JoinedUnix), 0);
}

#[test]
fn a_unix_send_may_be_stamped_after_its_answer() {
    let mut host = Host::new();
    let (client, server) = unix(1, 0xa0, 0xb0);
    let (asks, serves) =
        (Request::client(&client, 0, 1, 35, 40), Request::server(&server, 0, 2, 20, 30));
    host.all(&[&asks, &serves]);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
    assert_eq!(host.span(&asks).0.start_time_unix_nano, host.span(&serves).0.start_time_unix_nano);
    // Counted from where the span begins, wherever the request was stamped: 20 ms to 40.
    let first_byte = number("spanwire.time_to_first_byte_ns", 20 * MS);
    assert!(host.span(&asks).0.attributes.contains(&first_byte), "{:?}", host.span(&asks).0);
}

#[test]
fn what_is_open_is_shown_from_where_its_span_begins() {
    let mut host = Host::new();
    let (client, server) = tcp(1);
    let (asks, serves) =
        (Request::client(&client, 0, 1, 35, 90_000), Request::server(&server, 0, 2, 20, 80_000));
    host.start(&serves);
    host.start(&asks);
    host.tick(60_000);
    let shown: Vec<u64> = host.tracer.active(10).oldest.iter().map(|open| open.start).collect();
    host.end(&serves);
    host.end(&asks);
    host.tick(91_000);
    let spans = [&serves, &asks].map(|request| host.span(request).0.start_time_unix_nano);
    assert_eq!(shown, spans);
    assert_eq!(spans[0], spans[1]);
}

#[test]
fn the_time_to_the_first_byte_is_told_where_there_was_one() {
    let mut host = Host::new();
    let (mut asks, serves) = both(1);
    asks.finished.first_answer = Some(Nanos(25 * MS));
    let cut = Request::client(&tcp(2).0, 7, 1, 10, 40).failed(Failure::ConnectionClosed);
    host.all(&[&asks, &serves, &cut]);
    let first_byte = number("spanwire.time_to_first_byte_ns", 15 * MS);
    assert!(host.span(&asks).0.attributes.contains(&first_byte));
    let is_it = |known: &KeyValue| known.key == first_byte.key;
    assert!(!host.span(&cut).0.attributes.iter().any(is_it));
}

#[test]
fn a_client_is_forgotten_once_both_ends_have_gone_out() {
    for client_first in [true, false] {
        let mut host = Host::new();
        let (asks, serves) = both(1);
        host.start(&asks);
        host.start(&serves);
        let (first, then) = if client_first { (&asks, &serves) } else { (&serves, &asks) };
        host.end(first);
        host.wait(1000);
        assert!(host.tracer.contexts.contains(asks.span()), "its server may still need its trace");
        host.end(then);
        host.wait(1000);
        assert!(host.has(&asks) && host.has(&serves));
        assert!(!host.tracer.contexts.contains(asks.span()));
        assert!(host.tracer.contexts.contains(serves.span()), "its calls may still come");
        host.span(&serves).is_child_of(&host, &asks, "same-host");
    }
}

#[test]
fn what_we_say_and_what_is_said_to_us_is_no_span() {
    let (mut host, client, server) = tracing_as(50);
    host.tracer.opened(&opened_by(50, &client));
    let exports = Request::client(&client, 7, 50, 10, 40);
    let collects = Request::server(&server, 7, 2, 20, 30);
    let (asks, serves) = both(2);
    host.all(&[&exports, &collects, &asks, &serves]);
    assert_eq!(host.spans.len(), 2);
    assert_eq!(host.count(Count::OwnTraffic), 2);
    assert_eq!(host.count(Count::EndWithoutStart), 0);
}

/// Our call is told when it has returned; by then the other end may have read what it sent, and answered.
#[test]
fn that_a_connection_is_ours_may_be_told_late() {
    let (mut host, client, server) = tracing_as(50);
    let collects = Request::server(&server, 7, 2, 20, 30);
    host.start(&collects);
    host.end(&collects);
    host.tracer.opened(&opened_by(50, &client));
    let (asks, serves) = both(2);
    host.all(&[&asks, &serves]);
    assert_eq!(host.spans.len(), 2, "the collector's span is not among them");
    assert_eq!(host.count(Count::OwnTraffic), 1);
}

/// A host whose agent is process `pid`, and both ends of a connection.
fn tracing_as(pid: u32) -> (Host, Arc<Connection>, Arc<Connection>) {
    let settings = Settings { own_pids: vec![pid], ..Settings::default() };
    let (client, server) = tcp(1);
    (Host::with(settings), client, server)
}

fn opened_by(pid: u32, conn: &Connection) -> abi::Opened {
    let Address::Inet(_, port) = conn.local else { panic!() };
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[127, 0, 0, 1]);
    abi::Opened {
        connection: conn.id.0,
        local_address: address,
        remote_address: address,
        local_port: port,
        remote_port: 8080,
        family: abi::Family::Inet as u16,
        tgid: pid,
        ..abi::Opened::default()
    }
}

#[test]
fn a_process_nobody_knows_is_said_to_be_unknown() {
    let mut host = Host::new();
    let serves = Request::server(&from_outside(1), 7, 5000, 10, 20);
    host.all(&[&serves]);
    assert_eq!(host.spans[0].service.name, "unknown_service");
    assert_eq!(host.count(Count::ServiceUnknown), 1);
}

#[test]
fn connections_without_addresses_are_joined_to_nothing() {
    let mut host = Host::new();
    let (asks, serves) = both(1);
    let unknown = |request: Request| {
        let conn = Connection {
            local: Address::Unknown,
            remote: Address::Unknown,
            ..(*request.started.conn).clone()
        };
        let mut request = request;
        request.started.conn = Arc::new(conn);
        request
    };
    let (asks, serves) = (unknown(asks), unknown(serves));
    host.all(&[&asks, &serves]);
    host.span(&serves).is_root();
}
