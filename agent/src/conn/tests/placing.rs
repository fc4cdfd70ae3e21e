//! Placing by position: order, overlap, holes, what is left out.

use abi::{DataHeader, Direction, NoData, data_flag};

use crate::conn::{Loss, reassemble};
use crate::protocols::Body;
use Direction::{Received, Sent};

/// A call that moved the text of the alphabet at `position`.
fn call(time: u64, direction: Direction, position: u64, len: u32) -> (DataHeader, Vec<u8>) {
    let payload = (position..position + u64::from(len)).map(letter).collect();
    let direction = direction as u8;
    let header =
        DataHeader { time, position, len, head: len, direction, tgid: 1, ..DataHeader::default() };
    (header, payload)
}

fn letter(position: u64) -> u8 {
    b'a' + (position % 26) as u8
}

/// The pieces as text: `S` or `R`, position, bytes or hole.
fn placed(told: Option<(u64, u64)>, events: &[(DataHeader, Vec<u8>)]) -> Vec<String> {
    let done = reassemble(told, events.iter().map(|(header, payload)| (header, &payload[..])));
    let pieces = done.pieces.iter().map(|kept| {
        let piece = kept.piece();
        let way = if piece.direction == Sent { 'S' } else { 'R' };
        match piece.body {
            Body::Bytes(bytes) => format!("{way}{} {}", piece.position, bytes.escape_ascii()),
            Body::Skip(n) => format!("{way}{} skip {n}", piece.position),
            Body::Gap(n) => format!("{way}{} gap {n}", piece.position),
            Body::Hidden(n) => format!("{way}{} hidden {n}", piece.position),
        }
    });
    let losses = done.losses.iter().filter(|(_, n)| *n > 0);
    let ended = done.ended.iter().map(|(direction, at)| format!("{direction:?} ended {}", at.0));
    pieces.chain(ended).chain(losses.map(|(loss, n)| format!("{} {n}", loss.name()))).collect()
}

#[test]
fn the_first_event_begins_the_stream_unless_told_otherwise() {
    let events = [call(1, Sent, 100, 2), call(2, Sent, 102, 1)];
    assert_eq!(placed(None, &events), ["S100 wx", "S102 y"]);
    assert_eq!(placed(Some((100, 0)), &events), ["S100 wx", "S102 y"]);
    assert_eq!(placed(Some((101, 0)), &events), ["S100 wx", "S102 y"]);
    let gap = ["S98 gap 2", "S100 wx", "S102 y", "bytes_never_announced 2"];
    assert_eq!(placed(Some((98, 0)), &events), gap);
}

#[test]
fn swapped_events_are_put_in_order_and_what_comes_after_waits() {
    let events = [
        call(1, Sent, 0, 1),
        call(4, Sent, 3, 1),
        call(3, Sent, 2, 1),
        call(5, Received, 0, 1),
        call(2, Sent, 1, 1),
        call(6, Received, 1, 1),
    ];
    assert_eq!(placed(None, &events), ["S0 a", "S1 b", "S2 c", "S3 d", "R0 a", "R1 b"]);
}

#[test]
fn a_hole_becomes_a_gap_after_a_while() {
    let wait = super::super::order::WAIT;
    let early = [call(1, Sent, 0, 1), call(2, Sent, 5, 1), call(3, Received, 0, 1)];
    let late = call(2 + wait, Received, 1, 1);
    let gap = ["S0 a", "S1 gap 4", "S5 f", "R0 a", "R1 b", "bytes_never_announced 4"];
    assert_eq!(placed(None, &[&early[..], &[late]].concat()), gap);
    let too_late = [call(2 + wait, Received, 1, 1), call(3 + wait, Sent, 1, 4)];
    let duplicate = [&gap[..], &["events_duplicate 1"]].concat();
    assert_eq!(placed(None, &[&early[..], &too_late].concat()), duplicate);
    let in_time = [call(1 + wait, Received, 1, 1), call(1 + wait, Sent, 1, 4)];
    let whole = ["S0 a", "S1 bcde", "S5 f", "R0 a", "R1 b"];
    assert_eq!(placed(None, &[&early[..], &in_time].concat()), whole);
}

#[test]
fn overlap_is_cut_and_what_was_delivered_is_dropped() {
    let events = [call(1, Sent, 0, 4), call(2, Sent, 1, 3), call(3, Sent, 2, 4)];
    assert_eq!(placed(None, &events), ["S0 abcd", "S4 ef", "events_duplicate 1"]);
}

#[test]
fn the_middle_is_a_skip_or_a_gap_with_its_reason() {
    let (mut header, _) = call(1, Sent, 10, 100);
    (header.head, header.tail) = (2, 1);
    let skip = placed(None, &[(header, b"xyz".to_vec())]);
    assert_eq!(skip, ["S10 xy", "S12 skip 97", "S109 z"]);
    header.no_data = NoData::KernelPages as u8;
    let gap = placed(None, &[(header, b"xyz".to_vec())]);
    assert_eq!(gap, ["S10 xy", "S12 hidden 97", "S109 z", "bytes_kernel_pages 97"]);
    (header.head, header.tail) = (0, 0);
    let nothing = placed(None, &[call(0, Sent, 0, 50), (header, Vec::new())]);
    assert_eq!(nothing[1..], ["S50 hidden 60", "bytes_kernel_pages 100"]);
}

#[test]
fn silence_is_a_skip_and_is_not_waited_for() {
    let (mut header, payload) = call(2, Sent, 50, 1);
    header.flags = data_flag::AFTER_SILENCE;
    let events = [call(1, Sent, 0, 1), (header, payload), call(3, Sent, 51, 1)];
    assert_eq!(placed(None, &events), ["S0 a", "S1 skip 49", "S50 y", "S51 z"]);
}

#[test]
fn the_end_has_its_place_among_the_data() {
    let end = |time, position| {
        let (header, payload) = call(time, Received, position, 0);
        (DataHeader { flags: data_flag::END, ..header }, payload)
    };
    let late_data = [call(1, Received, 0, 1), end(3, 2), call(2, Received, 1, 1)];
    assert_eq!(placed(None, &late_data), ["R0 a", "R1 b", "Received ended 3"]);
    let counted_fin = [call(1, Received, 0, 1), end(3, 2)];
    assert_eq!(placed(None, &counted_fin), ["R0 a", "Received ended 3"]);
    let lost_data = [call(1, Received, 0, 1), end(3, 9)];
    let gap = ["R0 a", "R1 gap 8", "Received ended 3", "bytes_never_announced 8"];
    assert_eq!(placed(None, &lost_data), gap);
}

#[test]
fn what_waits_is_bounded() {
    let mut events = vec![call(1, Sent, 0, 1)];
    events.extend((0..200).map(|i| call(2, Sent, 1000 + i * 2, 1)));
    let placed_few = placed(None, &events);
    assert_eq!(placed_few[1], "S1 gap 999");
    // Two bytes were missing for each, and all but the last 64 were given up before the end.
    assert!(placed_few.contains(&format!("bytes_never_announced {}", 999 + 199)));
    assert_eq!(placed_few.len(), 1 + 1 + 200 + 199 + 1);
}

#[test]
fn positions_at_the_edge_do_not_overflow() {
    let mut far = call(2, Sent, 0, 10);
    far.0.position = u64::MAX - 10;
    let whole = placed(Some((0, 0)), &[far]);
    assert_eq!(whole[0], format!("S0 gap {}", u64::MAX - 10));
    let mut beyond = call(2, Sent, 0, 10);
    beyond.0.position = u64::MAX - 9;
    assert_eq!(placed(None, &[beyond]), ["events_malformed 1"]);
    assert_eq!(reassemble(None, []).losses.count(Loss::Missing), 0);
}
