//! Our own reader over a case: as the pipeline would feed it, without the pipeline.

use std::sync::Arc;

use abi::Direction;
use spanwire::conn::{Address, Connection, Losses};
use spanwire::exchange::{Call, Failure, Finished, Report};
use spanwire::input::{ConnId, Nanos, Runtime, Task, Waits};
use spanwire::protocols::{Before, Body, Detection, Ending, Outlet, Piece, detect};

use crate::messages::{Case, Kind};

/// Where requests go: we are the server.
const REQUESTS: Direction = Direction::Received;

/// Where each message ends, and the bytes of its body; only those that were read to their ends.
pub(crate) fn read(case: &Case) -> Vec<(u64, u64)> {
    let finished = match case.kind {
        Kind::Request => feed(&[(REQUESTS, &case.bytes)], case.closed),
        Kind::Response => {
            let requests: Vec<u8> = case
                .methods
                .iter()
                .flat_map(|method| format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes())
                .collect();
            feed(&[(REQUESTS, &requests), (REQUESTS.opposite(), &case.bytes)], case.closed)
        }
    };
    let mut messages = Vec::new();
    // Empty lines before a request are nobody's.
    let mut end = 0;
    for exchange in finished {
        let Call::Http(http) = &exchange.call else { break };
        let (whole, body) = match case.kind {
            Kind::Request => {
                end = exchange.id.position + exchange.bytes.request;
                (true, http.request_body)
            }
            Kind::Response => {
                end += exchange.bytes.response;
                (exchange.failure.is_none(), http.response_body)
            }
        };
        match body {
            Some(body) if whole => messages.push((end, body)),
            _ => break,
        }
    }
    messages
}

/// Feeds the streams one after the other, each in one call.
fn feed(streams: &[(Direction, &[u8])], closed: bool) -> Vec<Finished> {
    let conn = Arc::new(Connection {
        id: ConnId(1),
        local: Address::Unknown,
        remote: Address::Unknown,
        socket: 0,
        peer_socket: 0,
        inode: 0,
        netns: 0,
        origins: [0; 2],
        pid: 1,
    });
    let (mut reports, mut losses) = (Vec::new(), Losses::default());
    let before = Before { from_birth: true, lost: [false; 2] };
    let (direction, first) = streams[0];
    let Detection::Found(mut reader) = detect(first, direction, before) else { return Vec::new() };
    let mut out = Outlet { conn: &conn, reports: &mut reports, losses: &mut losses };
    let mut at = 1;
    for (direction, bytes) in streams {
        at += 1000;
        let piece = Piece {
            direction: *direction,
            position: 0,
            body: Body::Bytes(bytes),
            began: Nanos(at),
            ended: Nanos(at),
            task: Task::default(),
            serving: None,
            on_cpu: None,
            runtime: Runtime::NotAsked,
            thread_waits: Waits::Otherwise,
            request: false,
        };
        reader.piece(piece, &mut out);
    }
    if closed && let Some((direction, _)) = streams.last() {
        reader.end(Ending::Finished(*direction), Nanos(at + 1), &mut out);
    }
    reader.end(Ending::Gone(Failure::ConnectionReset), Nanos(at + 2), &mut out);
    let mut finished: Vec<Finished> = reports
        .into_iter()
        .filter_map(|report| match report {
            Report::Finished(finished) => Some(*finished),
            Report::Started(_) => None,
        })
        .collect();
    finished.sort_by_key(|exchange| exchange.id.position);
    finished
}
