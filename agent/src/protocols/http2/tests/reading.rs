//! A reader at work: pieces in, reports and losses out.
#![forbid(unsafe_code)]

use std::sync::Arc;

use abi::Direction;

use crate::conn::{Address, CONNECTION_HELD, Connection, Losses};
use crate::exchange::{Failure, Report};
use crate::input::{ConnId, Nanos, Task, Waits};
use crate::protocols::http2::Http2;
use crate::protocols::http2::stream::Part;
use crate::protocols::{Before, Body, Detection, Ending, Outlet, Piece, Protocol, detect};

/// One end of a connection.
pub(super) struct Reading {
    requests_go: Direction,
    reader: Option<Box<dyn Protocol>>,
    positions: [u64; 2],
    /// Pieces so far: 1 µs apart.
    count: u64,
    conn: Arc<Connection>,
    pub(super) reports: Vec<Report>,
    pub(super) losses: Losses,
}

impl Reading {
    /// Of a client or a server. `late`: the connection is older than us.
    pub(super) fn new(client: bool, late: bool) -> Self {
        let requests_go = if client { Direction::Sent } else { Direction::Received };
        let before = Before { from_birth: true, lost: [false; 2] };
        let born = || Box::new(Http2::born(requests_go, before));
        let reader: Option<Box<dyn Protocol>> = if late { None } else { Some(born()) };
        let conn = Connection {
            id: ConnId(1),
            local: Address::Unknown,
            remote: Address::Unknown,
            socket: 0,
            peer_socket: 0,
            inode: 0,
            netns: 0,
            origins: [0; 2],
            pid: 7,
        };
        Self {
            requests_go,
            reader,
            positions: [0; 2],
            count: 0,
            conn: Arc::new(conn),
            reports: Vec::new(),
            losses: Losses::default(),
        }
    }

    /// Moved before we came.
    pub(super) fn before(&mut self, part: Part, octets: u64) {
        self.positions[part as usize] += octets;
    }

    /// A piece is read.
    pub(super) fn piece(&mut self, part: Part, body: Body<'_>) {
        let direction =
            if part == Part::Request { self.requests_go } else { self.requests_go.opposite() };
        self.count += 1;
        let piece = Piece {
            direction,
            position: self.positions[part as usize],
            body,
            began: Nanos(self.count * 1000),
            ended: Nanos(self.count * 1000 + 10),
            task: Task { pid: 7, tid: 8 },
            serving: Some(99),
            on_cpu: None,
            runtime: crate::input::Runtime::NotAsked,
            thread_waits: Waits::Alone,
            request: false,
        };
        self.positions[part as usize] = piece.stop();
        if self.reader.is_none()
            && let Body::Bytes(bytes) = body
            && let Detection::Found(found) = detect(bytes, direction, Before::default())
        {
            self.reader = Some(found);
        }
        let Some(reader) = &mut self.reader else { return };
        let (reports, losses) = (&mut self.reports, &mut self.losses);
        reader.piece(piece, &mut Outlet { conn: &self.conn, reports, losses });
        assert!(reader.held() <= CONNECTION_HELD, "{} bytes held", reader.held());
    }

    /// The connection is reset.
    pub(super) fn end(&mut self) {
        let at = Nanos(self.count * 1000 + 2000);
        let (reports, losses) = (&mut self.reports, &mut self.losses);
        if let Some(reader) = &mut self.reader {
            let out = &mut Outlet { conn: &self.conn, reports, losses };
            reader.end(Ending::Gone(Failure::ConnectionReset), at, out);
        }
    }
}
