//! Properties of the whole stage over made-up conversations: however a conversation is cut, shortened or shuffled, it
//! is the same; whatever is lost, nothing false is told; whatever comes, memory is bounded.

use abi::{DataHeader, Direction, NoData};
use proptest::prelude::*;
use proptest::sample::Index;

use super::conversation::{
    Capture, Seen, boundaries, calls, exchanges, play, play_asking, sizes, turns,
};
use crate::conn::{CONNECTION_HELD, Connections};
use crate::input::Nanos;

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Sent), Just(Direction::Received)]
}

/// Swaps neighbours where told; `within`: only calls of the same exchange.
fn shuffle(events: &mut [Seen], swaps: &[Index], within: bool) {
    let mut free = vec![true; events.len()];
    for swap in swaps {
        let Some(last) = events.len().checked_sub(2) else { return };
        let at = swap.index(last + 1);
        if free[at] && free[at + 1] && !(within && events[at].turn != events[at + 1].turn) {
            // The kernel writes them in the other order; their times stay with the calls.
            events.swap(at, at + 1);
            free[at] = false;
            free[at + 1] = false;
        }
    }
}

/// Loses the bytes of calls, said to be lost (`true`) or not said at all.
fn lose(events: &mut Vec<Seen>, lost: Vec<(Index, bool)>) {
    for (at, announced) in lost {
        let at = at.index(events.len());
        if announced {
            let no_data = NoData::Fault as u8;
            events[at].header = DataHeader { head: 0, no_data, ..events[at].header };
            events[at].payload.clear();
        } else if events.len() > 1 {
            events.remove(at);
        }
    }
}

proptest! {
    #[test]
    fn cut_and_shuffled_is_the_same(
        turns in turns(),
        requests_go in direction(),
        ahead in 1..5usize,
        swaps in prop::collection::vec(any::<Index>(), 0..10),
    ) {
        let mut events = calls(&turns, requests_go, ahead, Capture::Whole);
        let whole = play(&events);
        prop_assert_eq!(exchanges(&whole, turns.len()).len(), turns.len());
        for (_, text) in exchanges(&whole, turns.len()) {
            prop_assert!(text.ends_with(" None"), "{}", text);
        }
        shuffle(&mut events, &swaps, false);
        let shuffled = play(&events);
        prop_assert_eq!(exchanges(&shuffled, turns.len()), exchanges(&whole, turns.len()));
        prop_assert_eq!(sizes(&shuffled), sizes(&whole));
    }

    #[test]
    fn where_the_next_request_begins_is_known_or_not_said(
        turns in turns(),
        requests_go in direction(),
        ahead in 1..5usize,
        frugal in any::<bool>(),
        swaps in prop::collection::vec(any::<Index>(), 0..10),
        lost in prop::collection::vec((any::<Index>(), any::<bool>()), 0..6),
    ) {
        let capture = if frugal { Capture::Frugal } else { Capture::Whole };
        let mut events = calls(&turns, requests_go, ahead, capture);
        let true_ones = boundaries(&events, requests_go);
        let unharmed = play_asking(&events).1;
        if !frugal && requests_go == Direction::Sent {
            // All requests that are sent at a time are answered before the next ones.
            let rests: Vec<u64> = (ahead..turns.len()).step_by(ahead).map(|i| true_ones[i]).collect();
            let last = true_ones.last().copied();
            prop_assert_eq!(unharmed, rests.into_iter().chain(last).collect::<Vec<_>>());
        }
        shuffle(&mut events, &swaps, false);
        lose(&mut events, lost);
        for position in play_asking(&events).1 {
            prop_assert_eq!(requests_go, Direction::Sent, "nobody asks a server");
            prop_assert!(true_ones.contains(&position), "no request begins at {}", position);
        }
    }

    #[test]
    fn what_the_kernel_leaves_out_changes_nothing(
        turns in turns(),
        requests_go in direction(),
        swaps in prop::collection::vec(any::<Index>(), 0..10),
    ) {
        let whole = play(&calls(&turns, requests_go, 1, Capture::Whole));
        let mut events = calls(&turns, requests_go, 1, Capture::Frugal);
        shuffle(&mut events, &swaps, true);
        let frugal = play(&events);
        prop_assert_eq!(exchanges(&frugal, turns.len()), exchanges(&whole, turns.len()));
        for (seen, truth) in sizes(&frugal).into_iter().zip(sizes(&whole)) {
            prop_assert!(seen.0.is_none() || seen.0 == truth.0);
            prop_assert!(seen.1.is_none() || seen.1 == truth.1);
        }
    }

    #[test]
    fn what_is_lost_makes_nothing_false(
        turns in turns(),
        requests_go in direction(),
        lost in prop::collection::vec((any::<Index>(), any::<bool>()), 1..6),
        // Two swaps around a loss can make two conversations look alike; one cannot.
        swap in prop::option::of(any::<Index>()),
        step in prop_oneof![Just(1), Just(1000), Just(6000)],
    ) {
        let mut events = calls(&turns, requests_go, 1, Capture::Whole);
        // From 10 µs between two calls up to 60 ms.
        let first = events[0].header.time;
        for seen in &mut events {
            seen.header.time = first + (seen.header.time - first) * step;
        }
        shuffle(&mut events, swap.as_slice(), true);
        lose(&mut events, lost);
        // A wrong pair, a ghost, or two ends of one exchange make this panic.
        exchanges(&play(&events), turns.len());
    }

    #[test]
    fn anything_is_bounded(
        events in prop::collection::vec(
            (0..3u64, 0..4000u32, 0..2u8, 0..6u8, 0..16u16, prop::collection::vec(any::<u8>(), 0..200), 0..3usize),
            0..200,
        ),
    ) {
        let mut table = Connections::default();
        let mut told = Vec::new();
        for (n, (connection, position, direction, no_data, flags, noise, kind)) in
            events.into_iter().enumerate()
        {
            let payload: &[u8] = match kind {
                0 => &noise,
                1 => b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            };
            let header = DataHeader {
                time: n as u64 * 1_000_000,
                connection,
                position: u64::from(position),
                len: payload.len() as u32 + position % 3,
                head: payload.len() as u32,
                direction,
                no_data,
                flags,
                ..DataHeader::default()
            };
            table.data(&header, payload, &mut told);
            prop_assert!(table.held() <= 3 * CONNECTION_HELD);
        }
        table.tick(Nanos(u64::MAX), &mut told);
        table.finish(&mut told);
        prop_assert_eq!(table.held(), 0);
        exchanges_are_finished_once(&told);
    }
}

fn exchanges_are_finished_once(told: &[crate::exchange::Report]) {
    use crate::exchange::Report;
    let mut open = std::collections::HashSet::new();
    for report in told {
        match report {
            Report::Started(started) => assert!(open.insert(started.id)),
            Report::Finished(done) => assert!(open.remove(&done.id)),
        }
    }
    assert!(open.is_empty());
}
