//! The HTTP/2 reader over any pieces: frames, bytes, skips, gaps and ends in any order. No panic, every exchange told
//! once, memory bounded.
#![no_main]

use abi::Direction;
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spanwire::conn::CONNECTION_HELD;
use spanwire::exchange::Failure;
use spanwire::input::{Nanos, Runtime, Task, Waits};
use spanwire::protocols::{Before, Body, Detection, Ending, Piece, detect};
use spanwire_fuzz::{Stage, Told};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A request's head, as it may come in the middle of a connection.
const HEAD: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";

#[derive(Arbitrary, Debug)]
struct Input {
    from_birth: bool,
    server: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// A frame with its right length, so that frames are not all found by chance.
    Frame {
        request: bool,
        kind: u8,
        flags: u8,
        stream: u8,
        payload: Vec<u8>,
        /// What of it is seen.
        seen: u8,
    },
    /// A header block of one-octet representations.
    Head {
        request: bool,
        flags: u8,
        stream: u8,
        fields: Vec<u8>,
    },
    Bytes {
        request: bool,
        bytes: Vec<u8>,
    },
    Skip {
        request: bool,
        len: u16,
    },
    Gap {
        request: bool,
        len: u16,
    },
    Pause(u32),
    End {
        request: bool,
    },
}

fuzz_target!(|input: Input| {
    let requests_go = if input.server { Direction::Received } else { Direction::Sent };
    let before = Before { from_birth: input.from_birth, lost: [false; 2] };
    let first = if input.from_birth { PREFACE } else { HEAD };
    let Detection::Found(mut reader) = detect(first, requests_go, before) else {
        panic!("HTTP/2 is not recognised");
    };
    let mut stage = Stage::new();
    let mut told = Told::default();
    let mut positions = [0u64; 2];
    let mut now = 1u64;
    let mut steps = vec![Step::Bytes { request: true, bytes: first.to_vec() }];
    steps.extend(input.steps);
    for step in &steps {
        now += 1000;
        let way = |request: &bool| if *request { requests_go } else { requests_go.opposite() };
        let bytes;
        let (direction, body) = match step {
            Step::Frame { request, kind, flags, stream, payload, seen } => {
                let whole = frame(kind % 12, *flags, *stream, payload);
                bytes = whole[..whole.len() - usize::from(*seen).min(payload.len())].to_vec();
                (way(request), Body::Bytes(&bytes))
            }
            Step::Head { request, flags, stream, fields } => {
                let fields: Vec<u8> = fields.iter().map(|field| field | 0x80).collect();
                bytes = frame(1, flags & 0x5, *stream, &fields);
                (way(request), Body::Bytes(&bytes))
            }
            Step::Bytes { request, bytes } => (way(request), Body::Bytes(bytes)),
            Step::Skip { request, len } => (way(request), Body::Skip(u64::from(*len))),
            Step::Gap { request, len } => (way(request), Body::Gap(u64::from(*len))),
            Step::Pause(nanos) => {
                now += u64::from(*nanos);
                continue;
            }
            Step::End { request } => {
                reader.end(Ending::Finished(way(request)), Nanos(now), &mut stage.outlet());
                continue;
            }
        };
        let piece = Piece {
            direction,
            position: positions[direction as usize],
            body,
            began: Nanos(now - 1),
            ended: Nanos(now),
            task: Task::default(),
            serving: None,
            on_cpu: None,
            runtime: Runtime::NotAsked,
            thread_waits: Waits::Otherwise,
            request: false,
        };
        positions[direction as usize] = piece.stop();
        reader.piece(piece, &mut stage.outlet());
        assert!(reader.held() <= CONNECTION_HELD, "{} bytes held", reader.held());
        told.check(&mut stage.reports);
    }
    reader.end(Ending::Gone(Failure::ConnectionReset), Nanos(now), &mut stage.outlet());
    told.check(&mut stage.reports);
    told.finish();
});

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}
