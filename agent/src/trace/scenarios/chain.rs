//! Four services in a row, one thread for each request: one trace with the right parents, in whatever order news come.

use proptest::prelude::*;

use super::host::{Host, Request, WALL, from_outside, tcp};
use crate::exchange::Report;
use crate::input::Nanos;
use crate::trace::Count;

/// The seven requests of one chain: the first service's, then client and server of each further call.
fn chain(number: u64, began: u64) -> Vec<Request> {
    let thread = 100 + u32::try_from(number).unwrap();
    let mut requests =
        vec![Request::server(&from_outside(number * 10), 0, 1, began, began + 60).thread(thread)];
    for hop in 1..4 {
        let (client, server) = tcp(number * 10 + hop);
        let caller = u32::try_from(hop).unwrap();
        let inner = 10 * hop;
        let position = 1_000 * hop;
        let asks =
            Request::client(&client, position, caller, began + inner - 5, began + 65 - inner)
                .thread(thread)
                .serving(requests.last().unwrap());
        // The two ends extend the wire's 32 bits on their own.
        let serves = Request::server(
            &server,
            position + (7 << 32),
            caller + 1,
            began + inner,
            began + 60 - inner,
        )
        .thread(thread);
        requests.extend([asks, serves]);
    }
    requests
}

#[track_caller]
fn is_whole(host: &Host, requests: &[Request]) {
    host.span(&requests[0]).is_root();
    for (at, request) in requests.iter().enumerate().skip(1) {
        let rule = if at % 2 == 1 { "thread" } else { "same-host" };
        host.span(request).is_child_of(host, &requests[at - 1], rule);
    }
}

#[test]
fn one_chain_is_one_trace() {
    let mut host = Host::new();
    let requests = chain(1, 10);
    host.all(&requests.iter().collect::<Vec<_>>());
    is_whole(&host, &requests);
    assert_eq!(host.spans.len(), 7);
    assert_eq!(host.count(Count::JoinedTcp), 3);
    assert_eq!(host.count(Count::ThreadParents), 3);
    let names: Vec<_> = host.spans.iter().map(|span| span.service.name.as_str()).collect();
    for name in ["service1", "service2", "service3", "service4"] {
        assert!(names.contains(&name));
    }
}

#[test]
fn times_are_wall_clock_and_durations_monotonic() {
    let mut host = Host::new();
    let requests = chain(1, 10);
    host.start(&requests[0]);
    // The wall clock is set while the request is served.
    host.tick_with(WALL + 5_000_000_000);
    host.all(&requests[1..].iter().collect::<Vec<_>>());
    host.end(&requests[0]);
    host.wait(1000);
    let span = host.span(&requests[0]).0;
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_010_000_000);
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 60_000_000);
}

#[test]
fn nothing_comes_out_before_it_is_decided() {
    let mut host = Host::new();
    let requests = chain(1, 10);
    for request in &requests {
        host.start(request);
    }
    for request in requests[1..].iter().rev() {
        host.end(request);
    }
    // All calls are long over, but the first service has not answered: who called is not proven.
    host.tick(5_000);
    assert_eq!(host.spans.len(), 0);
    let mut last = requests[0].clone();
    last.finished.end = Nanos(5_000_000_000);
    host.end(&last);
    host.tick(5_199);
    assert_eq!(host.spans.len(), 0);
    host.tick(5_200);
    is_whole(&host, &requests);
}

#[test]
fn a_call_out_of_a_stream_without_end_does_not_wait_for_ever() {
    let mut host = Host::new();
    let requests = chain(1, 10);
    for request in &requests {
        host.start(request);
    }
    for request in &requests[1..] {
        host.end(request);
    }
    host.tick(60_000);
    assert_eq!(host.spans.len(), 0);
    host.tick(61_000);
    assert_eq!(host.spans.len(), 6);
    assert_eq!(host.count(Count::ThreadTimedOut), 1);
    host.span(&requests[1]).is_root();
    for (at, request) in requests.iter().enumerate().skip(2) {
        assert_eq!(host.span(request).parent(), Some(requests[at - 1].span()));
        assert_eq!(host.span(request).trace(), host.span(&requests[1]).trace());
    }
}

#[test]
fn a_child_that_comes_late_gets_the_trace_its_parent_went_out_with() {
    let mut host = Host::new();
    let requests = chain(1, 10);
    host.all(&[&requests[0]]);
    assert_eq!(host.spans.len(), 1);
    host.all(&requests[1..].iter().collect::<Vec<_>>());
    is_whole(&host, &requests);
}

#[test]
fn a_replay_is_the_same_to_the_byte() {
    let run = || {
        let mut host = Host::new();
        let chains: Vec<_> = (1..20).flat_map(|number| chain(number, 10 * number)).collect();
        host.all(&chains.iter().collect::<Vec<_>>());
        host.spans.iter().map(|span| format!("{span:?}")).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn stopping_hands_out_what_there_is() {
    let mut host = Host::new();
    let requests = chain(1, 10);
    for request in &requests {
        host.start(request);
    }
    for request in &requests[1..] {
        host.end(request);
    }
    host.flush();
    assert_eq!(host.spans.len(), 6);
    assert_eq!(host.count(Count::UnfinishedAtFlush), 1);
    host.span(&requests[1]).is_root();
    host.span(&requests[6]).is_child_of(&host, &requests[5], "same-host");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Four chains at once; every start before its end, otherwise any order, with time going on at any moment within
    /// the settle time.
    #[test]
    fn any_order_is_the_same_trace(order in proptest::collection::vec(any::<u32>(), 4 * 7 * 2)) {
        let chains: Vec<_> = (1..5).map(|number| chain(number, 10)).collect();
        let mut reports: Vec<(u32, Report)> = Vec::new();
        for (request, keys) in chains.iter().flatten().zip(order.chunks(2)) {
            let (first, second) = (keys[0].min(keys[1]), keys[0].max(keys[1]));
            reports.push((first, request.start()));
            reports.push((second, request.end()));
        }
        reports.sort_by_key(|(key, _)| *key);
        let mut host = Host::new();
        for (at, (_, report)) in reports.into_iter().enumerate() {
            host.tracer.report(report);
            host.tick(10 + u64::try_from(at).unwrap() * 3);
        }
        host.wait(1000);
        for chain in &chains {
            is_whole(&host, chain);
        }
    }

    /// Whatever is lost of four chains, and whatever time passes: nobody gets a wrong parent, and both ends of a
    /// request that are joined have one trace.
    #[test]
    fn losses_make_traces_smaller_never_wrong(
        lost in proptest::collection::vec(0u8..6, 4 * 7 * 2),
        waits in proptest::collection::vec(0u64..400, 4 * 7 * 2),
    ) {
        let chains: Vec<_> = (1..5).map(|number| chain(number, 10)).collect();
        let mut host = Host::new();
        let mut facts = lost.iter().zip(&waits);
        for end in [false, true] {
            for request in chains.iter().flatten() {
                let (lost, wait) = facts.next().unwrap();
                if *lost > 0 {
                    host.tracer.report(if end { request.end() } else { request.start() });
                }
                if *lost > 4 {
                    host.wait(*wait);
                }
            }
        }
        host.wait(70_000);
        host.flush();
        for chain in &chains {
            for (at, request) in chain.iter().enumerate().filter(|(_, request)| host.has(request)) {
                let span = host.span(request);
                if let Some(parent) = span.parent() {
                    prop_assert!(at > 0);
                    prop_assert_eq!(parent, chain[at - 1].span());
                    if host.has(&chain[at - 1]) {
                        prop_assert_eq!(span.trace(), host.span(&chain[at - 1]).trace());
                    }
                }
            }
        }
    }
}
