//! Segments that were sent again, and the requests they are told with.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::host::{Host, MS, Request, Seen, from_outside, tcp};
use crate::input::Nanos;
use crate::trace::Count;

fn number(seen: &Seen<'_>, key: &str) -> Option<i64> {
    let found = seen.0.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => Some(*number),
        other => panic!("{other:?}"),
    }
}

/// The spans' counts after segments of the first one's connection were sent again at these milliseconds.
fn counted(requests: &[&Request], sent_again: &[u64]) -> (Vec<Option<i64>>, u64) {
    let mut host = Host::new();
    for request in requests {
        host.start(request);
        host.end(request);
    }
    for at in sent_again {
        host.tracer.retransmitted(requests[0].started.id.conn, Nanos(at * MS), 1);
    }
    host.wait(5000);
    let counts = requests.iter().map(|request| number(&host.span(request), "spanwire.retransmits"));
    (counts.collect(), host.count(Count::RetransmitsUnassigned))
}

#[test]
fn they_are_the_open_requests_or_the_last_ones() {
    let (conn, _) = tcp(1);
    let first = Request::client(&conn, 7, 1, 10, 20);
    let second = Request::client(&conn, 200, 1, 30, 40);
    let other = Request::client(&from_outside(3), 7, 1, 10, 40);
    // Before any, in the first, after it, and in the second.
    let (counts, unassigned) = counted(&[&first, &second, &other], &[5, 12, 25, 35, 36]);
    assert_eq!(counts, [Some(2), Some(2), None]);
    assert_eq!(unassigned, 1);
}

#[test]
fn of_several_open_requests_none_is_told() {
    let (conn, _) = tcp(1);
    let one = Request::client(&conn, 7, 1, 10, 40);
    let two = Request::client(&conn, 200, 1, 20, 30);
    let (counts, unassigned) = counted(&[&one, &two], &[15, 25, 35]);
    assert_eq!(counts, [Some(2), None]);
    assert_eq!(unassigned, 1);
}

#[test]
fn no_more_are_kept_than_a_tick_may_take() {
    let (conn, _) = tcp(1);
    let request = Request::client(&conn, 7, 1, 10, 20);
    let (counts, unassigned) = counted(&[&request], &[15; 5000]);
    assert_eq!(counts, [Some(4096)]);
    assert_eq!(unassigned, 5000 - 4096);
}

#[test]
fn those_since_the_last_tick_are_told_at_the_end() {
    let (conn, _) = tcp(1);
    let request = Request::client(&conn, 7, 1, 10, 20);
    let mut host = Host::new();
    host.start(&request);
    host.end(&request);
    host.tracer.retransmitted(request.started.id.conn, Nanos(15 * MS), 3);
    host.flush();
    assert_eq!(number(&host.span(&request), "spanwire.retransmits"), Some(3));
}

#[test]
fn the_first_request_of_a_connection_says_how_long_that_took() {
    let (conn, _) = tcp(1);
    let mut request = Request::client(&conn, 7, 1, 10, 20);
    request.started.connected_in = Some(1234);
    let mut host = Host::new();
    host.all(&[&request]);
    assert_eq!(number(&host.span(&request), "spanwire.time_to_connect_ns"), Some(1234));
}
