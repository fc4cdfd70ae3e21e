//! One decision for a trace, at both ends and all the way down.

use super::host::{Host, Request, from_outside, tcp};
use crate::selection::Selection;
use crate::trace::{Count, Sampler, Settings, Share};

fn host(sampler: Sampler) -> Host {
    Host::with(Settings { sampler, ..Settings::default() })
}

fn half() -> Share {
    Share::ratio(0.5).unwrap()
}

/// A request from elsewhere to process 2, which asks process 3.
fn chain(number: u64) -> [Request; 3] {
    let (client, server) = tcp(number);
    // One after the other: a thread that mixes requests has no children.
    let at = |ms| number * 10_000 + ms;
    let serves = Request::server(&from_outside(number + 1), 7, 2, at(10), at(50));
    let asks = Request::client(&client, 7, 2, at(20), at(40)).serving(&serves);
    [serves, asks, Request::server(&server, 7, 3, at(25), at(35))]
}

#[test]
fn a_trace_is_kept_whole_or_not_at_all() {
    let mut host = host(Sampler::parent_based(half()));
    for number in 0..100 {
        let requests = chain(2 * number + 1);
        host.all(&requests.each_ref());
        let kept = requests.each_ref().map(|request| host.has(request));
        assert!(kept == [true; 3] || kept == [false; 3], "{kept:?}");
        if kept[0] {
            assert!(requests.iter().all(|request| host.span(request).0.trace_state == "ot=th:8"));
            assert!(requests.iter().all(|request| host.span(request).0.flags & 0xff == 3));
        }
    }
    let kept = host.spans.len() / 3;
    assert!((20..=80).contains(&kept), "{kept} of 100");
    assert_eq!(host.count(Count::NotSampled) as usize + host.spans.len(), 300);
}

#[test]
fn the_callers_decision_holds_unless_nobody_asks_him() {
    let high = "00-00000000000000000fffffffffffffff-00f067aa0ba902b7";
    let low = "00-00000000000000000f00000000000000-00f067aa0ba902b7";
    let keeps = |sampler: &Sampler, header: &str, flags: &str| {
        let mut host = host(sampler.clone());
        let [serves, asks, serves_too] = chain(1);
        let serves = serves.traceparent(&format!("{header}-{flags}"));
        host.all(&[&serves, &asks, &serves_too]);
        let kept = [&serves, &asks, &serves_too].map(|request| host.has(request));
        assert!(kept == [true; 3] || kept == [false; 3], "{kept:?}");
        kept[0]
    };
    for (sampler, expected) in [
        (Sampler::default(), [true, true, false, false]),
        (Sampler::parent_based(Share::NONE), [true, true, false, false]),
        (Sampler::parent_based(half()), [true, true, false, false]),
        (Sampler::always(Share::ALL), [true; 4]),
        (Sampler::always(Share::NONE), [false; 4]),
        (Sampler::always(half()), [true, false, true, false]),
    ] {
        let of = [(high, "03"), (low, "03"), (high, "02"), (low, "02")];
        assert_eq!(
            of.map(|(header, flags)| keeps(&sampler, header, flags)),
            expected,
            "{sampler:?}"
        );
    }
}

#[test]
fn another_sampler_decides_on_the_traces_that_come() {
    let mut host = host(Sampler::default());
    let [serves, asks, serves_too] = chain(1);
    host.start(&serves);
    host.start(&asks);
    host.start(&serves_too);
    host.tracer.select(Selection::default(), Sampler::always(Share::NONE));
    host.all(&[&serves, &asks, &serves_too]);
    let [later, ..] = chain(3);
    host.all(&[&later]);
    // Nothing was decided when it changed: one decision all the same.
    assert!(host.spans.is_empty());
    host.tracer.select(Selection::default(), Sampler::default());
    let requests = chain(5);
    host.all(&requests.each_ref());
    assert_eq!(host.spans.len(), 3);
}
