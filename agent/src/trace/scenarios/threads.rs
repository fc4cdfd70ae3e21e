//! The thread rule: a parent where every condition holds, a reason where one does not.

use std::sync::Arc;

use super::host::{Host, MS, Request, from_outside, tcp};
use crate::exchange::{ExchangeId, Failure};
use crate::input::{Nanos, Waits};
use crate::service::ProcessFacts;
use crate::trace::Count;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request that is served from 10 to 50, and a call made meanwhile, from 20 to 30.
fn served_and_call() -> (Request, Request) {
    let served = Request::server(&from_outside(1), 7, 1, 10, 50);
    let call = Request::client(&tcp(2).0, 7, 1, 20, 30).serving(&served);
    (served, call)
}

/// With that change the call has no parent, for that reason.
#[track_caller]
fn rejected(reason: Count, change: impl FnOnce(&mut Host, &mut Request, &mut Request)) {
    let mut host = Host::new();
    let (mut served, mut call) = served_and_call();
    change(&mut host, &mut served, &mut call);
    host.all(&[&served, &call]);
    host.span(&call).is_root();
    assert_eq!(host.span(&call).0.links.len(), 0);
    assert_eq!(host.count(reason), 1, "{:?}", host.counted());
    assert_eq!(host.count(Count::ThreadParents), 0);
}

#[test]
fn where_all_holds_it_is_the_parent() {
    let mut host = Host::new();
    let (served, call) = served_and_call();
    host.all(&[&served, &call]);
    host.span(&call).is_child_of(&host, &served, "thread");
    // The parent is in the same process.
    assert_eq!(host.span(&call).0.flags, 0x103);
}

/// Sockets that do not block are no matter where it is known that threads serve one request each; but whoever reads for others
/// may be seen to call long after its own request's answer.
#[test]
fn a_known_server_may_poll() {
    for (at, is_child) in [(20, true), (60, false)] {
        let mut host = Host::new();
        host.tracer.process(ProcessFacts {
            pid: 1,
            exe: "/usr/sbin/apache2".to_owned(),
            arguments: vec!["/usr/sbin/apache2".to_owned()],
            ..ProcessFacts::default()
        });
        let mut served = Request::server(&from_outside(1), 7, 1, 10, 50);
        served.started.thread_waits = Waits::Polling;
        let call = Request::client(&tcp(2).0, 7, 1, at, at + 10).serving(&served);
        host.all(&[&served, &call]);
        if is_child {
            host.span(&call).is_child_of(&host, &served, "thread");
        } else {
            host.span(&call).is_root();
            assert_eq!(host.span(&call).0.links.len(), 0);
            assert_eq!(host.count(Count::ThreadNotWaiting), 1);
        }
    }
}

#[test]
fn every_condition_counts() {
    for waits in [Waits::Otherwise, Waits::Polling] {
        rejected(Count::ThreadNotWaiting, |_, served, _| served.started.thread_waits = waits);
    }
    rejected(Count::ThreadRevoked, |host, _, _| host.tracer.revoked(1));
    rejected(Count::ThreadOtherThread, |_, _, call| call.started.task.tid = 9);
    rejected(Count::ThreadOtherThread, |_, served, _| {
        served.finished.answered_by =
            served.finished.answered_by.map(|task| crate::input::Task { tid: 9, ..task });
    });
    rejected(Count::ThreadNotAnswered, |_, served, _| {
        *served = served.clone().failed(Failure::ConnectionClosed);
    });
    rejected(Count::ThreadOtherProcess, |_, _, call| call.started.task.pid = 2);
    rejected(Count::ThreadBeforeServer, |_, _, call| call.started.at = Nanos(9 * MS));
    rejected(Count::ThreadUnknownServer, |_, _, call| call.started.serving = Some(4711));
    rejected(Count::ThreadUnknownServer, |_, _, call| call.started.serving = Some(call.span()));
}

#[test]
fn a_revocation_counts_until_the_end_has_settled() {
    for joined in [false, true] {
        let mut host = Host::new();
        let (client, server) = tcp(1);
        let asked = Request::client(&client, 7, 3, 5, 55);
        let served = Request::server(&server, 7, 1, 10, 50);
        let call = Request::client(&tcp(2).0, 7, 1, 20, 30).serving(&served);
        if joined {
            host.start(&asked);
        }
        for request in [&served, &call] {
            host.start(request);
            host.end(request);
        }
        host.tick(249);
        host.tracer.revoked(1);
        host.wait(1000);
        host.span(&call).is_root();
        assert_eq!(host.count(Count::ThreadRevoked), 1);
    }
}

#[test]
fn a_revocation_outlives_its_process_and_is_forgotten_then() {
    let mut host = Host::new();
    host.tracer.revoked(1);
    host.tracer.process_gone(1);
    let (served, call) = served_and_call();
    host.all(&[&served, &call]);
    host.span(&call).is_root();
    host.wait(200_000);
    // The pid is another process's by now.
    let served = Request::server(&from_outside(3), 7, 1, 210_000, 210_050);
    let call = Request::client(&tcp(4).0, 7, 1, 210_020, 210_030).serving(&served);
    host.all(&[&served, &call]);
    host.span(&call).is_child_of(&host, &served, "thread");
}

#[test]
fn lost_control_events_may_have_been_revocations() {
    let mut host = Host::new();
    let (served, call) = served_and_call();
    host.start(&served);
    host.tracer.control_lost();
    host.all(&[&call]);
    host.end(&served);
    host.wait(1000);
    host.span(&call).is_root();
    assert_eq!(host.count(Count::ThreadControlLost), 1);
    // What begins later is as good as ever.
    let served = Request::server(&from_outside(3), 7, 1, 60, 90);
    let call = Request::client(&tcp(4).0, 7, 1, 70, 80).serving(&served);
    host.all(&[&served, &call]);
    host.span(&call).is_child_of(&host, &served, "thread");
}

#[test]
fn a_call_after_the_answer_is_linked() {
    let mut host = Host::new();
    let (served, mut call) = served_and_call();
    call.started.at = Nanos(60 * MS);
    call.finished.end = Nanos(70 * MS);
    host.all(&[&served, &call]);
    host.span(&call).is_root();
    let span = host.span(&call).0;
    let [link] = span.links.as_slice() else { panic!("{:?}", span.links) };
    assert_eq!(link.span_id, served.span().to_be_bytes());
    assert_eq!(link.trace_id, host.span(&served).0.trace_id);
    assert_ne!(link.trace_id, span.trace_id);
    assert_eq!(link.flags, 0x103);
    assert_eq!(link.attributes[0].key, "spanwire.link.rule");
    assert_eq!(host.count(Count::ThreadLinks), 1);
}

#[test]
fn a_link_too_needs_all_the_other_conditions() {
    rejected(Count::ThreadOtherThread, |_, _, call| {
        call.started.at = Nanos(60 * MS);
        call.finished.end = Nanos(70 * MS);
        call.started.task.tid = 9;
    });
}

/// Two requests of one thread that overlap, and a call for each.
fn overlapping(pipelined: bool) -> (Host, [Request; 4]) {
    let mut host = Host::new();
    let one = Request::server(&from_outside(1), 7, 1, 10, 50);
    let conn = if pipelined { Arc::clone(&one.started.conn) } else { from_outside(2) };
    let two = Request::server(&conn, 107, 1, 20, 60);
    let for_one = Request::client(&tcp(3).0, 7, 1, 15, 40).serving(&one);
    let for_two = Request::client(&tcp(4).0, 7, 1, 30, 55).serving(&two);
    let all = [one, two, for_one, for_two];
    host.all(&all.each_ref());
    (host, all)
}

#[test]
fn a_thread_that_mixes_requests_says_nothing_even_if_the_kernel_missed_it() {
    let (mut host, [.., for_one, for_two]) = overlapping(false);
    host.span(&for_one).is_root();
    host.span(&for_two).is_root();
    // Nor does any other thread of that process, from then on.
    let served = Request::server(&from_outside(5), 7, 1, 2000, 2050).thread(77);
    let call = Request::client(&tcp(6).0, 7, 1, 2020, 2030).thread(77).serving(&served);
    host.all(&[&served, &call]);
    host.span(&call).is_root();
    assert!(host.count(Count::ThreadRevoked) >= 1);
}

#[test]
fn pipelining_says_nothing_about_the_calls_and_nothing_against_the_process() {
    let (mut host, [.., for_one, for_two]) = overlapping(true);
    host.span(&for_one).is_root();
    host.span(&for_two).is_root();
    assert_eq!(host.count(Count::ThreadOverlapped), 2);
    let served = Request::server(&from_outside(5), 7, 1, 2000, 2050);
    let call = Request::client(&tcp(6).0, 7, 1, 2020, 2030).serving(&served);
    host.all(&[&served, &call]);
    host.span(&call).is_child_of(&host, &served, "thread");
}

#[test]
fn a_request_still_open_on_the_thread_is_an_overlap() {
    let mut host = Host::new();
    let open = Request::server(&from_outside(9), 7, 1, 5, 5000);
    host.start(&open);
    let (served, call) = served_and_call();
    host.all(&[&served, &call]);
    host.span(&call).is_root();
    assert_eq!(host.count(Count::ThreadOverlapped), 1);
}

#[test]
fn one_request_after_the_other_is_no_overlap() {
    let mut host = Host::new();
    for n in 0..100 {
        let at = 10 + n * 50;
        // The next is read at the very moment the last was answered.
        let served = Request::server(&from_outside(1), 7 + n, 1, at, at + 50);
        let call = Request::client(&tcp(2).0, 7 + n, 1, at + 10, at + 20).serving(&served);
        host.start(&served);
        host.start(&call);
        host.end(&call);
        host.end(&served);
        host.tick(at + 50);
    }
    host.wait(1000);
    assert_eq!(host.count(Count::ThreadParents), 100);
}

/// A request of a thread from 10 to 90 with two calls of it, the second of which begins at 30; and a request with a call long after
/// that, in the same process. `change` says what is different of the first call, which ends at 40, and the second.
fn two_calls(change: impl FnOnce(&mut Request, &mut Request)) -> (Host, [Request; 4]) {
    let mut host = Host::new();
    let served = Request::server(&from_outside(1), 7, 1, 10, 90);
    let mut one = Request::client(&tcp(2).0, 7, 1, 20, 40).serving(&served);
    let mut two = Request::client(&tcp(3).0, 7, 1, 30, 60).serving(&served);
    change(&mut one, &mut two);
    host.all(&[&served, &one, &two]);
    let later = Request::server(&from_outside(5), 7, 1, 2000, 2050).thread(77);
    let call = Request::client(&tcp(6).0, 7, 1, 2020, 2030).thread(77).serving(&later);
    host.all(&[&later, &call]);
    (host, [one, two, later, call])
}

#[test]
fn a_thread_that_does_not_wait_for_its_answers_is_a_loop() {
    let (host, [one, two, _, call]) = two_calls(|_, _| {});
    for call in [one, two, call] {
        host.span(&call).is_root();
    }
    assert_eq!(host.count(Count::ThreadMixedCalls), 1);
}

#[test]
fn calls_that_are_not_mixed_say_nothing_against_a_thread() {
    type Change = fn(&mut Request, &mut Request);
    let changes: [Change; 4] = [
        // The answer had begun.
        |one, _| one.finished.first_answer = Some(Nanos(30 * MS)),
        // On one connection it is pipelining.
        |one, two| {
            let (conn, position) = (one.started.id.conn, two.started.id.position + 100);
            two.started.conn = Arc::clone(&one.started.conn);
            two.started.id = ExchangeId { conn, position };
            two.finished.id = two.started.id;
        },
        // Its answer may have been among what was lost.
        |one, _| *one = one.clone().failed(Failure::Unseen),
        // Another thread's.
        |one, _| *one = one.clone().thread(9),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (host, [.., later, call]) = two_calls(change);
        host.span(&call).is_child_of(&host, &later, "thread");
        assert_eq!(host.count(Count::ThreadMixedCalls), 0, "{number}");
    }
}

#[test]
fn a_header_passed_on_gives_the_trace_and_the_thread_the_parent() {
    let mut host = Host::new();
    let (served, call) = served_and_call();
    let (served, call) = (served.traceparent(HEADER), call.traceparent(HEADER).tracestate("a=1"));
    host.all(&[&served, &call]);
    assert_eq!(host.span(&served).trace(), TRACE);
    host.span(&call).is_child_of(&host, &served, "thread");
    assert_eq!(host.span(&call).0.trace_state, "a=1");
}

#[test]
fn a_header_of_another_trace_stays_as_it_is_and_is_linked() {
    let mut host = Host::new();
    let (served, call) = served_and_call();
    let call = call.traceparent(HEADER);
    host.all(&[&served, &call]);
    host.span(&served).is_root();
    let span = host.span(&call);
    assert_eq!((span.trace(), span.parent()), (TRACE, Some(0x00f0_67aa_0ba9_02b7)));
    assert_eq!(span.rule(), Some("traceparent"));
    let [link] = span.0.links.as_slice() else { panic!("{:?}", span.0.links) };
    assert_eq!(link.span_id, served.span().to_be_bytes());
}

#[test]
fn nobody_is_their_own_ancestor() {
    let mut host = Host::new();
    // A process calls itself on one thread: the kernel cannot mean it, but might say it.
    let (client, server) = tcp(1);
    let mut serves = Request::server(&server, 7, 1, 10, 50);
    let asks = Request::client(&client, 7, 1, 10, 50).serving(&serves);
    serves.finished.end = Nanos(50 * MS);
    host.all(&[&asks, &serves]);
    host.span(&asks).is_root();
    host.span(&serves).is_child_of(&host, &asks, "same-host");
    assert_eq!(host.count(Count::ThreadCycle), 1);
}
