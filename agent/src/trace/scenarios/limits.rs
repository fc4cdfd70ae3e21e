//! More than fits, and more than is true: memory is bounded, and what is given up is counted.

use super::host::{Host, MS, Request, facts, from_outside, tcp};
use crate::trace::{Count, Settings};

fn small() -> Host {
    Host::with(Settings { max_contexts: 100, max_held: 20, ..Settings::default() })
}

/// Nothing is kept anywhere beyond what the contexts keep.
#[track_caller]
fn is_bounded(host: &Host) {
    let tracer = &host.tracer;
    assert!(tracer.contexts.len() <= 100);
    assert!(tracer.queue.len() <= 21);
    assert!(tracer.blocked.len() <= tracer.queue.len());
    assert!(tracer.joins.len() <= 2 * tracer.contexts.len());
    assert!(tracer.threads.tasks() <= tracer.contexts.len());
}

#[test]
fn requests_without_end_are_forgotten_oldest_first() {
    let mut host = small();
    let requests: Vec<_> = (0..300)
        .map(|n| {
            Request::server(&from_outside(1), n, 1, 10 + n, 1000).thread(u32::try_from(n).unwrap())
        })
        .collect();
    for request in &requests {
        host.start(request);
        is_bounded(&host);
    }
    assert_eq!(host.count(Count::UnfinishedEvicted), 200);
    for request in &requests {
        host.end(request);
        is_bounded(&host);
    }
    host.tick(3000);
    assert_eq!(host.count(Count::EndWithoutStart), 200);
    assert_eq!(host.spans.len(), 100);
    assert!(!host.has(&requests[199]));
    assert!(host.has(&requests[200]));
}

#[test]
fn finished_spans_go_out_early_rather_than_not_at_all() {
    let mut host = small();
    let requests: Vec<_> =
        (0..80).map(|n| Request::server(&from_outside(1), n, 1, 10, 20)).collect();
    for request in &requests {
        host.start(request);
        host.end(request);
        is_bounded(&host);
    }
    assert_eq!(host.count(Count::HeldOverflow), 60);
    host.tick(1000);
    assert_eq!(host.spans.len(), 80);
}

#[test]
fn released_contexts_make_room_before_live_ones() {
    let mut host = small();
    let stream = Request::server(&from_outside(1), 0, 1, 10, 5000);
    host.start(&stream);
    for n in 1..500 {
        let request = Request::server(&from_outside(1), n, 1, 10 + n, 11 + n).thread(9);
        host.start(&request);
        host.end(&request);
        host.wait(201);
        is_bounded(&host);
    }
    host.end(&stream);
    host.wait(1000);
    assert!(host.has(&stream));
    assert_eq!(host.count(Count::UnfinishedEvicted), 0);
    assert_eq!(host.count(Count::ContextsEvicted), 400);
    assert_eq!(host.spans.len(), 500);
}

/// However much is served meanwhile: its request is remembered until its own place is known, and no longer.
#[test]
fn a_call_that_takes_long_finds_its_request() {
    let mut host = small();
    let served = Request::server(&from_outside(1), 0, 1, 10, 50);
    let call = Request::client(&tcp(2).0, 7, 1, 20, 400_000).serving(&served);
    host.start(&served);
    host.start(&call);
    host.end(&served);
    for round in 0..2 {
        for n in 1..300 {
            let request =
                Request::server(&from_outside(2 + round), n, 1, 100 + n, 101 + n).thread(9);
            host.start(&request);
            host.end(&request);
            host.wait(201);
            is_bounded(&host);
        }
        if round == 0 {
            assert!(host.tracer.contexts.contains(served.span()));
            host.end(&call);
            host.wait(400_000);
            host.span(&call).is_child_of(&host, &served, "thread");
        }
    }
    assert!(!host.tracer.contexts.contains(served.span()));
    assert_eq!(host.count(Count::UnfinishedEvicted), 0);
}

#[test]
fn released_contexts_leave_room_that_live_ones_may_need() {
    let mut host = Host::with(Settings { max_released: 30, ..Settings::default() });
    for n in 0..200 {
        let request = Request::server(&from_outside(1), n, 1, 10 + n, 11 + n).thread(9);
        host.start(&request);
        host.end(&request);
        host.wait(201);
        assert!(host.tracer.contexts.len() <= 31);
    }
    assert_eq!(host.count(Count::ContextsEvicted), 200 - 31);
    assert_eq!(host.spans.len(), 200);
}

#[test]
fn calls_out_of_one_endless_request_are_bounded_too() {
    let mut host = small();
    let stream = Request::server(&from_outside(1), 0, 1, 10, 500_000);
    host.start(&stream);
    for n in 1..500 {
        let call = Request::client(&tcp(2).0, n, 1, 10 + n, 11 + n).serving(&stream);
        host.start(&call);
        host.end(&call);
        host.wait(50);
        is_bounded(&host);
    }
    assert!(host.count(Count::HeldOverflow) > 0);
    assert_eq!(host.spans.len() + host.tracer.queue.len(), 499);
}

#[test]
fn a_forgotten_client_still_shares_its_trace_with_its_server() {
    let mut host = small();
    let (client, server) = tcp(1);
    let asks = Request::client(&client, 7, 1, 10, 40);
    let serves = Request::server(&server, 7, 2, 20, 30);
    host.all(&[&asks]);
    host.start(&serves);
    for n in 0..300 {
        let request = Request::client(&tcp(2).0, n, 1, 100, 110);
        host.start(&request);
        host.end(&request);
        host.wait(201);
        if n == 60 {
            host.end(&serves);
        }
    }
    host.wait(1000);
    host.span(&serves).is_child_of(&host, &asks, "same-host");
}

#[test]
fn a_server_whose_client_is_pushed_out_unfinished_keeps_the_clients_trace() {
    let mut host = small();
    let (client, server) = tcp(1);
    let asks = Request::client(&client, 7, 1, 10, 4000);
    let serves = Request::server(&server, 7, 2, 20, 30);
    host.start(&asks);
    host.start(&serves);
    for n in 0..99 {
        host.start(&Request::client(&tcp(2).0, n, 1, 100, 110));
    }
    assert_eq!(host.count(Count::UnfinishedEvicted), 1);
    host.end(&serves);
    host.wait(1000);
    let [high, low] = abi::id::trace(super::host::SEED, asks.span());
    assert_eq!(host.span(&serves).trace(), u128::from(high) << 64 | u128::from(low));
    assert_eq!(host.span(&serves).parent(), Some(asks.span()));
}

#[test]
fn contexts_are_forgotten_by_age() {
    let mut host = Host::new();
    let (_, server) = tcp(1);
    let serves = Request::server(&server, 7, 2, 20, 30);
    host.all(&[&serves]);
    assert_eq!(host.tracer.contexts.len(), 1);
    host.wait(301_000);
    assert_eq!(host.tracer.contexts.len(), 0);
    assert_eq!(host.tracer.joins.len(), 0);
    assert_eq!(host.tracer.threads.tasks(), 0);
    assert_eq!(host.count(Count::ContextsEvicted), 0);
}

#[test]
fn what_is_told_twice_is_counted_once() {
    let mut host = Host::new();
    let request = Request::server(&from_outside(1), 0, 1, 10, 20);
    host.start(&request);
    host.start(&request);
    host.end(&request);
    host.end(&request);
    host.wait(1000);
    host.end(&request);
    assert_eq!(host.spans.len(), 1);
    assert_eq!(host.count(Count::DuplicateStart), 1);
    assert_eq!(host.count(Count::EndWithoutStart), 2);
}

/// Services that call each other in a row, all within one moment, each span with its true parent or none.
fn row(length: u64) -> (Host, usize) {
    let mut host = Host::new();
    let mut requests: Vec<Request> = Vec::new();
    for n in 0..length {
        let pid = u32::try_from(n).unwrap() + 1000;
        let conn = if n == 0 { from_outside(20_000) } else { tcp(n).1 };
        let served = Request::server(&conn, 7, pid, 10, 50);
        let call = Request::client(&tcp(n + 1).0, 7, pid, 10, 50).serving(&served);
        requests.extend([served, call]);
    }
    host.all(&requests.iter().rev().collect::<Vec<_>>());
    let mut children = 0;
    for (at, request) in requests.iter().enumerate() {
        let span = host.span(request);
        if let Some(parent) = span.parent() {
            children += 1;
            assert_eq!(parent, requests[at - 1].span());
            assert_eq!(span.trace(), host.span(&requests[at - 1]).trace());
        }
    }
    (host, children)
}

#[test]
fn a_long_chain_is_whole() {
    let (host, children) = row(100);
    assert_eq!(children, 199);
    assert_eq!(host.count(Count::ThreadCycle), 0);
}

#[test]
fn a_chain_without_bottom_is_cut() {
    let (host, children) = row(1000);
    assert!(children < 1999);
    assert!(host.count(Count::ThreadCycle) > 0);
}

/// A host on which processes live for a moment: what was kept of them is gone when nothing can come of them any more.
#[test]
fn short_lived_processes_leave_nothing_behind() {
    let mut host = Host::new();
    let before = host.tracer.processes().len();
    for number in 0..1000u32 {
        let pid = 1000 + number;
        let from = u64::from(number) * 10;
        let (client, server) = tcp(u64::from(number));
        let asks = Request::client(&client, 7, pid, from, from + 4);
        let serves = Request::server(&server, 7, 1, from + 1, from + 3);
        host.tracer.process(facts(pid));
        host.tracer.process_began(pid);
        for request in [&asks, &serves] {
            host.start(request);
        }
        for request in [&serves, &asks] {
            host.end(request);
        }
        host.tracer.process_gone(pid);
        host.tick(from + 9);
    }
    host.wait(1000);
    host.wait(Settings::default().context_age / MS + 31_000);
    assert_eq!(host.spans.len(), 2000);
    let tracer = &host.tracer;
    assert_eq!(tracer.processes().len(), before);
    assert_eq!((tracer.contexts.len(), tracer.joins.len(), tracer.threads.tasks()), (0, 0, 0));
    assert_eq!((tracer.queue.len(), tracer.blocked.len()), (0, 0));
}
