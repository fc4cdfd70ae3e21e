//! Made-up HTTP/1 conversations as the kernel would report them.
//!
//! Each request has its own number, which its path and its answer's status carry: a wrong pair cannot hide. Bodies
//! are full of lines that look like messages.

use abi::{DataHeader, Direction, data_flag, insert::Boundary};
use proptest::prelude::*;

use crate::conn::Connections;
use crate::exchange::{Call, Finished, Report};
use crate::input::Nanos;

/// Every status is this and the request's number.
const STATUS: u16 = 210;
const MS: u64 = 1_000_000;
/// What bodies are made of.
const GHOSTS: &[u8] =
    b"GET /ghost HTTP/1.1\r\nHost: g\r\n\r\nHTTP/1.1 599 Ghost\r\nContent-Length: 3\r\n\r\nxxx";

/// One request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    head: bool,
    request: Body,
    interim: bool,
    answer: Body,
    /// Where the two messages are cut into calls: lengths, used in turn.
    cuts: Vec<usize>,
}

/// A body and its framing.
#[derive(Clone, Debug)]
enum Body {
    None,
    Length(usize),
    Chunks(Vec<usize>),
}

/// How a conversation is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// Every byte.
    Whole,
    /// Heads, and of chunked bodies the beginning and the end of each call.
    Frugal,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) header: DataHeader,
    pub(super) payload: Vec<u8>,
    /// Which request or answer it is of.
    pub(super) turn: usize,
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::None),
        (0..400usize).prop_map(Body::Length),
        (2000..70_000usize).prop_map(Body::Length),
        prop::collection::vec(1..300usize, 0..5).prop_map(Body::Chunks),
        prop::collection::vec(1000..9000usize, 1..4).prop_map(Body::Chunks),
    ]
}

prop_compose! {
    fn turn()(
        head in prop::bool::weighted(0.1),
        request in body(),
        interim in prop::bool::weighted(0.2),
        answer in body(),
        cuts in prop_oneof![
            Just(vec![usize::MAX]),
            prop::collection::vec(1..40usize, 1..6),
            prop::collection::vec(1..5000usize, 1..6),
        ],
    ) -> Turn {
        Turn { head, request, interim, answer, cuts }
    }
}

/// Some turns.
pub(super) fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec(turn(), 1..12)
}

/// A message: its bytes and how many of them are its head.
struct Message {
    bytes: Vec<u8>,
    head: usize,
    chunked: bool,
}

impl Turn {
    fn request(&self, number: usize) -> Message {
        let method = if self.head { "HEAD" } else { "POST" };
        message(&format!("{method} /{number} HTTP/1.1\r\nHost: h\r\n"), &self.request, number, true)
    }

    fn answer(&self, number: usize) -> Message {
        let line = format!("HTTP/1.1 {} Fine\r\nServer: x\r\n", STATUS as usize + number);
        // Without a length it would last until the close: none then has one of zero.
        let body = if matches!(self.answer, Body::None) { &Body::Length(0) } else { &self.answer };
        let mut message = message(&line, body, number, !self.head);
        if self.interim {
            let interim = b"HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n";
            message.bytes.splice(..0, interim.iter().copied());
            message.head += interim.len();
        }
        message
    }
}

fn message(line: &str, body: &Body, offset: usize, with_body: bool) -> Message {
    let mut bytes = line.as_bytes().to_vec();
    let mut text = GHOSTS.iter().copied().cycle().skip(offset * 17 % GHOSTS.len());
    let mut data = Vec::new();
    match body {
        Body::None => {}
        Body::Length(n) => {
            bytes.extend_from_slice(format!("Content-Length: {n}\r\n").as_bytes());
            data.extend(text.by_ref().take(*n));
        }
        Body::Chunks(sizes) => {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            for size in sizes {
                data.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                data.extend(text.by_ref().take(*size));
                data.extend_from_slice(b"\r\n");
            }
            data.extend_from_slice(b"0\r\n\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    let head = bytes.len();
    if with_body {
        bytes.extend_from_slice(&data);
    }
    Message { bytes, head, chunked: matches!(body, Body::Chunks(_)) && with_body }
}

/// The calls of a conversation at one end. `requests_go` says whose; so many requests are sent before their answers
/// as `ahead` says.
pub(super) fn calls(
    turns: &[Turn],
    requests_go: Direction,
    ahead: usize,
    capture: Capture,
) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut positions = [4_000_000_000, 77];
    let mut time = 1000 * MS;
    for (group, some) in turns.chunks(ahead).enumerate() {
        for direction in [requests_go, requests_go.opposite()] {
            for (i, turn) in some.iter().enumerate() {
                let number = group * ahead + i;
                let message = if direction == requests_go {
                    turn.request(number)
                } else {
                    turn.answer(number)
                };
                let mut at = 0;
                let mut cuts = turn.cuts.iter().cycle();
                while at < message.bytes.len() {
                    let cut = cuts.next().copied().unwrap_or(usize::MAX);
                    // Not more than two hundred calls for one message, and not more than an event carries.
                    let len = cut.max(message.bytes.len() / 200).min(abi::MAX_PAYLOAD);
                    let len = len.min(message.bytes.len() - at);
                    let bytes = &message.bytes[at..at + len];
                    let (head, tail) = match capture {
                        Capture::Whole => (len, 0),
                        Capture::Frugal => copied(&message, at, len),
                    };
                    time += MS / 100;
                    let header = DataHeader {
                        time,
                        connection: 1,
                        position: positions[direction as usize],
                        len: len as u32,
                        head: head as u32,
                        tail: tail as u32,
                        direction: direction as u8,
                        tgid: 5,
                        tid: 6,
                        ..DataHeader::default()
                    };
                    positions[direction as usize] += len as u64;
                    let payload = [&bytes[..head], &bytes[len - tail..]].concat();
                    all.push(Seen { header, payload, turn: number });
                    at += len;
                }
            }
        }
    }
    all
}

/// What the kernel copies of a call at `at` of a message: head and tail.
fn copied(message: &Message, at: usize, len: usize) -> (usize, usize) {
    let of_head = message.head.saturating_sub(at).min(len);
    if !message.chunked {
        return (of_head, 0);
    }
    let head = (of_head + 64).min(len);
    (head, (len - head).min(64))
}

/// Where the requests of a conversation begin, and where the one after the last will.
pub(super) fn boundaries(events: &[Seen], requests_go: Direction) -> Vec<u64> {
    let mut all = Vec::new();
    let mut turn = None;
    let mut stop = 0;
    let of_requests = |seen: &&Seen| seen.header.direction == requests_go as u8;
    for seen in events.iter().filter(of_requests) {
        if turn.replace(seen.turn) != Some(seen.turn) {
            all.push(seen.header.position);
        }
        stop = seen.header.position + u64::from(seen.header.len);
    }
    all.push(stop);
    all
}

/// Plays events into a table that saw the connection's birth, with a tick before each, and ends it.
pub(super) fn play(events: &[Seen]) -> Vec<Report> {
    play_asking(events).0
}

/// The same; and what is said while it goes on of where the next request begins.
pub(super) fn play_asking(events: &[Seen]) -> (Vec<Report>, Vec<u64>) {
    let mut table = Connections::default();
    let mut told = Vec::new();
    let opened = abi::Opened {
        connection: 1,
        sent: 4_000_000_000,
        received: 77,
        family: 2,
        born: 1,
        ..abi::Opened::default()
    };
    table.opened(&opened, &mut told);
    table.boundary(&Boundary { connection: 1, ..Boundary::default() });
    let mut rests = Vec::new();
    let mut last = 0;
    let mut stop = 77;
    for seen in events {
        table.tick(Nanos(seen.header.time.saturating_sub(1)), &mut told);
        rests.extend(table.boundaries());
        table.data(&seen.header, &seen.payload, &mut told);
        assert!(table.held() <= crate::conn::CONNECTION_HELD);
        last = seen.header.time.max(last);
        if seen.header.direction == 1 {
            stop = stop.max(seen.header.position + u64::from(seen.header.len));
        }
    }
    table.tick(Nanos(last + 150 * MS), &mut told);
    rests.extend(table.boundaries());
    let end = DataHeader {
        time: last + 200 * MS,
        connection: 1,
        direction: 1,
        flags: data_flag::END,
        position: stop,
        ..DataHeader::default()
    };
    table.data(&end, &[], &mut told);
    table.finish(&mut told);
    assert!(table.is_empty());
    (told, rests.into_iter().map(|(_, position)| position).collect())
}

/// What was told without its times, in the order of the requests. Checks that every exchange was started and
/// finished once, and that no answer was given to the wrong request.
pub(super) fn exchanges(told: &[Report], turns: usize) -> Vec<(u64, String)> {
    let mut started = Vec::new();
    let mut finished = Vec::new();
    for report in told {
        match report {
            Report::Started(start) => {
                assert!(!started.contains(&start.id.position), "started twice");
                started.push(start.id.position);
            }
            Report::Finished(done) => {
                let open = started.contains(&done.id.position);
                assert!(
                    open && !finished.iter().any(|(at, _)| *at == done.id.position),
                    "{done:?}"
                );
                finished.push((done.id.position, text(done, turns)));
            }
        }
    }
    assert_eq!(started.len(), finished.len(), "not all finished: {told:?}");
    finished.sort_unstable();
    finished
}

fn text(done: &Finished, turns: usize) -> String {
    let Call::Http(http) = &done.call else { panic!("{done:?}") };
    let target = http.target.as_deref().unwrap_or_default();
    let number: usize = target.strip_prefix('/').unwrap_or("").parse().unwrap_or(usize::MAX);
    assert!(number < turns, "ghost: {done:?}");
    if let Some(status) = http.status {
        assert_eq!(status as usize, STATUS as usize + number, "wrong pair: {done:?}");
    }
    assert!(done.first_answer.is_none_or(|first| first <= done.end), "{done:?}");
    format!("{target} {:?} {} {:?}", http.status, done.bytes.response, done.failure)
}

/// Lengths that are known: of the request's body and the request, and of the answer's body.
type Known = (Option<(u64, u64)>, Option<u64>);

/// What is not known of a request or an answer whose framing was lost: its body's length, and the request's size
/// too, because it is told with its answer, perhaps before its last bytes.
pub(super) fn sizes(told: &[Report]) -> Vec<Known> {
    let mut all: Vec<_> = told
        .iter()
        .filter_map(|report| match report {
            Report::Started(_) => None,
            Report::Finished(done) => {
                let Call::Http(http) = &done.call else { panic!("{done:?}") };
                let request = http.request_body.map(|body| (body, done.bytes.request));
                Some((done.id.position, (request, http.response_body)))
            }
        })
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, sizes)| sizes).collect()
}
