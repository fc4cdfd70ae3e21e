//! The HTTP/1 reader over any pieces: bytes, skips, gaps and ends in any order. No panic, every exchange told once,
//! memory bounded.
#![no_main]

use abi::Direction;
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spanwire::conn::CONNECTION_HELD;
use spanwire::exchange::Failure;
use spanwire::input::{Nanos, Runtime, Task, Waits};
use spanwire::protocols::{Before, Body, Detection, Ending, Piece, detect};
use spanwire_fuzz::{Stage, Told};

#[derive(Arbitrary, Debug)]
struct Input {
    from_birth: bool,
    server: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Bytes {
        request: bool,
        bytes: Vec<u8>,
    },
    /// Whole lines, so that heads are not all found by chance.
    Line {
        request: bool,
        which: u8,
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

const LINES: [&[u8]; 12] = [
    b"GET /a HTTP/1.1\r\n\r\n",
    b"POST /b HTTP/1.1\r\nContent-Length: 10\r\n\r\n",
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HEAD /d HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    b"CONNECT h:1 HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0123456789",
];

fuzz_target!(|input: Input| {
    let requests_go = if input.server { Direction::Received } else { Direction::Sent };
    let before = Before { from_birth: input.from_birth, lost: [false; 2] };
    let Detection::Found(mut reader) = detect(b"GET / HTTP/1.1\r\n\r\n", requests_go, before)
    else {
        panic!("a request line is not recognised");
    };
    let mut stage = Stage::new();
    let mut told = Told::default();
    let mut positions = [0u64; 2];
    let mut now = 1u64;
    for step in &input.steps {
        now += 1000;
        let way = |request| if request { requests_go } else { requests_go.opposite() };
        let (direction, body) = match step {
            Step::Bytes { request, bytes } => (way(*request), Body::Bytes(bytes)),
            Step::Line { request, which } => {
                (way(*request), Body::Bytes(LINES[usize::from(*which) % LINES.len()]))
            }
            Step::Skip { request, len } => (way(*request), Body::Skip(u64::from(*len))),
            Step::Gap { request, len } => (way(*request), Body::Gap(u64::from(*len))),
            Step::Pause(nanos) => {
                now += u64::from(*nanos);
                continue;
            }
            Step::End { request } => {
                reader.end(Ending::Finished(way(*request)), Nanos(now), &mut stage.outlet());
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
