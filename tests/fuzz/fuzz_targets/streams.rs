//! Two streams from any events about a known text: what is delivered is that text, in order, without holes between
//! the pieces, and every byte that is not there is counted.
#![no_main]

use abi::{DataHeader, Direction, NoData, data_flag};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spanwire::conn::{Loss, reassemble};
use spanwire::protocols::Body;

#[derive(Arbitrary, Debug)]
struct Input {
    told: Option<(u16, u16)>,
    calls: Vec<Call>,
}

#[derive(Arbitrary, Debug)]
struct Call {
    received: bool,
    position: u16,
    len: u8,
    head: u8,
    tail: u8,
    no_data: u8,
    pause: u32,
    end: bool,
    after_silence: bool,
}

/// The text: every position has its letter.
fn letter(direction: Direction, position: u64) -> u8 {
    (position.wrapping_mul(31) >> 3) as u8 ^ direction as u8
}

fuzz_target!(|input: Input| {
    let mut time = 0;
    let mut lost = 0;
    let events: Vec<(DataHeader, Vec<u8>)> =
        input.calls.iter().map(|call| event(call, &mut time)).collect();
    for (header, payload) in &events {
        if header.no_data != 0 {
            lost += u64::from(header.len) - payload.len() as u64;
        }
    }
    let told = input.told.map(|(sent, received)| (u64::from(sent), u64::from(received)));
    let done = reassemble(told, events.iter().map(|(header, payload)| (header, &payload[..])));

    let mut next = [None; 2];
    let mut gaps = 0;
    for kept in &done.pieces {
        let piece = kept.piece();
        assert!(!piece.is_empty());
        assert!(piece.began <= piece.ended || matches!(piece.body, Body::Gap(_)));
        let next = &mut next[piece.direction as usize];
        assert!(next.is_none_or(|next| next == piece.position), "hole at {}", piece.position);
        *next = Some(piece.stop());
        match piece.body {
            Body::Bytes(bytes) => {
                for (position, byte) in (piece.position..).zip(bytes) {
                    assert_eq!(*byte, letter(piece.direction, position), "at {position}");
                }
            }
            Body::Gap(n) | Body::Hidden(n) => gaps += n,
            Body::Skip(_) => {}
        }
    }
    // What was announced without data may overlap with what was there; the rest of the gaps was never announced.
    let missing = done.losses.count(Loss::Missing);
    assert!(missing <= gaps && gaps <= missing + lost, "{gaps} of {missing} + {lost}");
    assert_eq!(done.losses.count(Loss::Malformed), 0);
});

fn event(call: &Call, time: &mut u64) -> (DataHeader, Vec<u8>) {
    *time += u64::from(call.pause) % 200_000_000;
    let direction = if call.received { Direction::Received } else { Direction::Sent };
    let len = if call.end { 0 } else { u32::from(call.len) };
    let head = u32::from(call.head).min(len);
    let tail = u32::from(call.tail).min(len - head);
    let no_data = if head + tail == len { 0 } else { call.no_data % NoData::ALL.len() as u8 };
    let position = u64::from(call.position);
    let stop = position + u64::from(len);
    let flags = u16::from(call.end) * data_flag::END
        | u16::from(call.after_silence) * data_flag::AFTER_SILENCE;
    let payload = (position..position + u64::from(head)).chain(stop - u64::from(tail)..stop);
    let header = DataHeader {
        time: *time,
        connection: 1,
        position,
        len,
        head,
        tail,
        direction: direction as u8,
        no_data,
        flags,
        ..DataHeader::default()
    };
    (header, payload.map(|position| letter(direction, position)).collect())
}
