//! The same bytes whole and cut anywhere give the same exchanges.
#![no_main]

use abi::Direction;
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spanwire::exchange::{Failure, Report};
use spanwire::input::{Nanos, Runtime, Task, Waits};
use spanwire::protocols::{Before, Body, Detection, Ending, Piece, detect};
use spanwire_fuzz::Stage;

/// Calls of a conversation that is compared. An answer that is seen before its request is complete waits for it, and how
/// much may wait depends on the number of calls.
const CALLS: usize = 256;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Turns of a request's and an answer's bytes.
    turns: Vec<(Vec<u8>, Vec<u8>)>,
    cuts: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let whole = read(&input.turns, &[]);
    let cut = read(&input.turns, &input.cuts);
    // Where bytes are no messages any more, a message is looked for at the beginning of calls, and those differ.
    if let (Some(whole), Some(cut)) = (whole, cut) {
        assert_eq!(whole, cut);
    }
});

/// The exchanges as text; `None` when the framing was lost, or there were too many calls.
fn read(turns: &[(Vec<u8>, Vec<u8>)], cuts: &[u8]) -> Option<Vec<String>> {
    let before = Before { from_birth: true, lost: [false; 2] };
    let Detection::Found(mut reader) = detect(b"GET / HTTP/1.1\r\n", Direction::Sent, before)
    else {
        panic!("a request line is not recognised");
    };
    let mut stage = Stage::new();
    let mut positions = [0u64; 2];
    let mut calls = 0;
    let mut cuts = cuts.iter().map(|cut| usize::from(*cut).max(1)).cycle();
    for (request, answer) in turns {
        let request = [b"GET / HTTP/1.1\r\n", &request[..]].concat();
        let answer = [b"HTTP/1.1 200 OK\r\n", &answer[..]].concat();
        for (direction, bytes) in [(Direction::Sent, &request), (Direction::Received, &answer)] {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (call, after) =
                    rest.split_at(cuts.next().unwrap_or(rest.len()).min(rest.len()));
                rest = after;
                let piece = Piece {
                    direction,
                    position: positions[direction as usize],
                    body: Body::Bytes(call),
                    began: Nanos(1),
                    ended: Nanos(1),
                    task: Task::default(),
                    serving: None,
                    on_cpu: None,
                    runtime: Runtime::NotAsked,
                    thread_waits: Waits::Otherwise,
                    request: false,
                };
                positions[direction as usize] = piece.stop();
                calls += 1;
                reader.piece(piece, &mut stage.outlet());
            }
        }
    }
    reader.end(Ending::Gone(Failure::ConnectionReset), Nanos(2), &mut stage.outlet());
    if calls > CALLS || stage.losses.iter().any(|(_, count)| count > 0) {
        return None;
    }
    let text = |report: &Report| match report {
        Report::Started(started) => format!("{} {:?}", started.id.position, started.propagation),
        Report::Finished(done) => {
            format!("{} {:?} {:?} {:?}", done.id.position, done.bytes, done.failure, done.call)
        }
    };
    let mut told: Vec<_> = stage.reports.iter().map(text).collect();
    // A request may be told to have begun before or after the answer before it was complete.
    told.sort();
    Some(told)
}
