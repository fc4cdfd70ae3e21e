//! Contexts that came by the wire, and that went: whom they make the parent, and what stays as it went.

use abi::Direction;
use abi::wire::Carried;

use super::host::{Host, Request, SEED, from_outside, tcp};
use crate::exchange::{Asked, Http};
use crate::trace::{Count, Sampler, Settings, Share};

const TRACE: [u64; 2] = [0x4bf9_2f35_77b3_4da6, 0xa3ce_929d_0e0e_4736];
const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

fn carried(request: &Request, direction: Direction, trace: [u64; 2], span: u64) -> Carried {
    Carried {
        connection: request.started.id.conn.0,
        position: request.started.id.position,
        trace,
        span,
        sampled: 1,
        direction: direction as u32,
        ..Carried::default()
    }
}

fn came(request: &Request) -> Carried {
    carried(request, Direction::Received, TRACE, SPAN)
}

fn number(trace: [u64; 2]) -> u128 {
    u128::from(trace[0]) << 64 | u128::from(trace[1])
}

/// A request from another host.
fn served() -> Request {
    Request::server(&from_outside(1), 7, 2, 20, 30)
}

#[test]
fn what_came_is_the_parent() {
    let mut host = Host::new();
    let serves = served();
    let calls = Request::client(&tcp(2).0, 9, 2, 22, 28).serving(&serves);
    host.tracer.carried(&came(&serves));
    host.all(&[&serves, &calls]);
    let span = host.span(&serves);
    assert_eq!((span.parent(), span.rule()), (Some(SPAN), Some("tcp-option")));
    assert_eq!(span.trace(), number(TRACE));
    // Known, and not of this process: 0x300; sampled: 1.
    assert_eq!(span.0.flags, 0x301);
    host.span(&calls).is_child_of(&host, &serves, "thread");
    assert_eq!(host.count(Count::WireUsed), 1);
}

#[test]
fn another_position_is_another_request() {
    let mut host = Host::new();
    let serves = served();
    host.tracer.carried(&Carried { position: 8, ..came(&serves) });
    host.all(&[&serves]);
    host.span(&serves).is_root();
}

#[test]
fn what_is_not_sampled_is_not_exported() {
    let mut host = Host::new();
    let serves = served();
    host.tracer.carried(&Carried { sampled: 0, ..came(&serves) });
    host.all(&[&serves]);
    assert!(!host.has(&serves));
    assert_eq!(host.count(Count::NotSampled), 1);
}

#[test]
fn a_header_of_another_trace_beats_it_and_one_of_the_same_does_not() {
    let header = |trace: u128| format!("00-{trace:032x}-00000000000000ab-01");
    let mut host = Host::new();
    let other = served().traceparent(&header(77));
    host.tracer.carried(&came(&other));
    host.all(&[&other]);
    assert_eq!((host.span(&other).trace(), host.span(&other).parent()), (77, Some(0xab)));
    assert_eq!(host.count(Count::WireContradicted), 1);

    let mut host = Host::new();
    let same = served().traceparent(&header(number(TRACE))).tracestate("a=1");
    host.tracer.carried(&came(&same));
    host.all(&[&same]);
    assert_eq!(
        (host.span(&same).parent(), host.span(&same).rule()),
        (Some(SPAN), Some("tcp-option"))
    );
    assert_eq!(host.span(&same).0.trace_state, "a=1");
}

#[test]
fn checks_are_left_out_though_they_came_with_one() {
    let mut host = Host::new();
    let mut serves = served();
    serves.started.asked = Asked::of("GET", "/healthz", None);
    serves.finished.call = crate::exchange::Call::Http(Http {
        method: Some("GET".into()),
        target: Some("/healthz".into()),
        status: Some(200),
        ..Http::default()
    });
    host.tracer.carried(&came(&serves));
    host.all(&[&serves]);
    assert!(!host.has(&serves));
    assert_eq!(host.count(Count::Checks), 1);
}

#[test]
fn a_call_that_went_with_its_own_trace_begins_it() {
    let mut host = Host::new();
    let calls = Request::client(&tcp(2).0, 9, 2, 22, 28);
    let trace = abi::id::trace(SEED, calls.span());
    host.tracer.carried(&carried(&calls, Direction::Sent, trace, calls.span()));
    host.all(&[&calls]);
    host.span(&calls).is_root();
    assert_eq!(host.count(Count::WireUnparented), 0);
}

#[test]
fn what_went_has_decided_whether_its_trace_is_kept() {
    for (share, sampled) in [(Share::NONE, 1), (Share::ALL, 0)] {
        let sampler = Sampler::parent_based(share);
        let mut host = Host::with(Settings { sampler, ..Settings::default() });
        let calls = Request::client(&tcp(2).0, 9, 2, 22, 28);
        let trace = abi::id::trace(SEED, calls.span());
        let went = carried(&calls, Direction::Sent, trace, calls.span());
        host.tracer.carried(&Carried { sampled, ..went });
        host.all(&[&calls]);
        assert_eq!(host.has(&calls), sampled == 1);
    }
}

#[test]
fn a_call_stays_in_the_trace_it_went_with_though_its_thread_tells_nothing() {
    let mut host = Host::new();
    let serves = served();
    let calls = Request::client(&tcp(2).0, 9, 2, 22, 28).serving(&serves);
    let trace = abi::id::trace(SEED, serves.span());
    host.tracer.carried(&carried(&calls, Direction::Sent, trace, calls.span()));
    host.tracer.revoked(2);
    host.all(&[&serves, &calls]);
    host.span(&serves).is_root();
    assert_eq!((host.span(&calls).parent(), host.span(&calls).trace()), (None, number(trace)));
    assert_eq!(host.count(Count::WireUnparented), 1);
}

#[test]
fn a_call_stays_in_the_trace_it_went_with_whoever_is_found_to_have_made_it() {
    let serves = served();
    let calls = Request::client(&tcp(2).0, 9, 2, 22, 28).serving(&serves);
    for trace in [TRACE, abi::id::trace(SEED, calls.span())] {
        let mut host = Host::new();
        host.tracer.carried(&carried(&calls, Direction::Sent, trace, calls.span()));
        host.all(&[&serves, &calls]);
        let (call, request) = (host.span(&calls), host.span(&serves));
        assert_eq!((call.parent(), call.trace()), (None, number(trace)));
        let [link] = call.0.links.as_slice() else { panic!("{:?}", call.0.links) };
        assert_eq!(link.span_id, serves.span().to_be_bytes());
        assert_eq!(link.trace_id, request.0.trace_id);
        assert_eq!(host.count(Count::WireContradicted), 1);
    }
}
