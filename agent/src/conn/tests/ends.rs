//! The life of a connection: its announcement, its end, and what is forgotten.

use abi::{
    Closed, ControlHeader, DataHeader, Direction, Family, Opened, ProcessEvent, TcpState,
    data_flag, insert::Boundary, tcp_state,
};

use crate::conn::{Address, Connections, Limits, Loss};
use crate::exchange::{Failure, Finished, Report};
use crate::input::{ConnId, Nanos};

use Direction::{Received, Sent};

const MS: u64 = 1_000_000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
const UNTIL_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nbody";

/// A table and what it told.
struct Stage {
    table: Connections,
    told: Vec<Report>,
    positions: [u64; 2],
}

impl Stage {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self { table: Connections::new(limits), told: Vec::new(), positions: [100, 200] }
    }

    /// A call on connection 1 by process 7.
    fn call(&mut self, ms: u64, direction: Direction, bytes: &[u8]) {
        let position = self.positions[direction as usize];
        self.positions[direction as usize] += bytes.len() as u64;
        let header = DataHeader { position, ..header(ms, direction, bytes) };
        self.table.data(&header, bytes, &mut self.told);
    }

    fn end_flag(&mut self, ms: u64) {
        let position = self.positions[1];
        let header = header(ms, Received, b"");
        let header = DataHeader { position, flags: data_flag::END, ..header };
        self.table.data(&header, b"", &mut self.told);
    }

    fn state(&mut self, ms: u64, new: u32, error: u32) {
        let event = TcpState { header: at(ms), connection: 1, old: 1, new, error, reserved: 0 };
        self.table.tcp_state(&event);
    }

    fn closed(&mut self, ms: u64) {
        self.table.closed(&Closed { header: at(ms), connection: 1 });
    }

    fn tick(&mut self, ms: u64) {
        self.table.tick(Nanos(ms * MS), &mut self.told);
    }

    /// The only exchange that was finished.
    fn finished(&self) -> &Finished {
        let mut finished = self.told.iter().filter_map(|report| match report {
            Report::Finished(finished) => Some(&**finished),
            Report::Started(_) => None,
        });
        let only = finished.next().expect("an exchange is finished");
        assert!(finished.next().is_none(), "{:?}", self.told);
        only
    }

    fn outcome(&self) -> (Option<Failure>, u64) {
        (self.finished().failure, self.finished().end.0 / MS)
    }
}

fn at(ms: u64) -> ControlHeader {
    ControlHeader { time: ms * MS, ..ControlHeader::default() }
}

fn header(ms: u64, direction: Direction, bytes: &[u8]) -> DataHeader {
    let len = bytes.len() as u32;
    DataHeader {
        time: ms * MS,
        connection: 1,
        len,
        head: len,
        direction: direction as u8,
        tgid: 7,
        tid: 8,
        ..DataHeader::default()
    }
}

#[test]
fn an_announcement_after_the_first_data_still_counts() {
    let mut stage = Stage::new();
    stage.call(1, Sent, b"GET / HT");
    let mut local_address = [0; 16];
    local_address[..4].copy_from_slice(&[10, 0, 0, 1]);
    let mut remote_address = [0; 16];
    remote_address[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 2]);
    let opened = Opened {
        header: at(0),
        connection: 1,
        local_address,
        remote_address,
        local_port: 4000,
        remote_port: 80,
        family: Family::Inet6 as u16,
        tgid: 7,
        ..Opened::default()
    };
    stage.table.opened(&opened, &mut stage.told);
    stage.call(2, Sent, b"TP/1.1\r\n\r\n");
    let Some(Report::Started(started)) = stage.told.first() else { panic!("{:?}", stage.told) };
    assert_eq!(started.conn.remote, Address::Inet([10, 0, 0, 2].into(), 80));
    assert_eq!(started.at, Nanos(MS));
    assert_eq!(started.id.position, 100);
}

#[test]
fn where_the_next_request_begins_is_said_once_it_is_certain() {
    let asked = |born: u8| {
        let mut stage = Stage::new();
        let opened = Opened { connection: 1, sent: 100, received: 200, born, ..Opened::default() };
        stage.table.opened(&opened, &mut stage.told);
        stage.table.boundary(&Boundary { connection: 1, ..Boundary::default() });
        stage
    };
    let exchange = |stage: &mut Stage, ms: u64| {
        stage.call(ms, Sent, REQUEST);
        stage.tick(ms);
        assert_eq!(stage.table.boundaries(), [], "it is not answered yet");
        stage.call(ms, Received, ANSWER);
        stage.tick(ms);
        stage.table.boundaries()
    };
    let after = |exchanges: usize| (ConnId(1), (100 + exchanges * REQUEST.len()) as u64);
    let mut born = asked(1);
    assert_eq!(exchange(&mut born, 1), [after(1)]);
    born.tick(2);
    assert_eq!(born.table.boundaries(), [], "it was said");
    assert_eq!(exchange(&mut born, 3), [after(2)]);
    born.table.boundary(&Boundary { connection: 1, known: 1, ..Boundary::default() });
    assert_eq!(exchange(&mut born, 4), [], "nobody asks any more");
    // What is met first on an older connection may be quoted in a body that is refused before its end.
    let mut older = asked(0);
    assert_eq!(exchange(&mut older, 1), []);
    assert_eq!(exchange(&mut older, 2), [after(2)]);
    // After a loss it is never certain.
    let mut lost = asked(1);
    assert_eq!(exchange(&mut lost, 1), [after(1)]);
    lost.positions[0] += 10;
    lost.call(200, Sent, REQUEST);
    lost.tick(400);
    for ms in 500..510 {
        assert_eq!(exchange(&mut lost, ms), []);
    }
}

#[test]
fn the_end_is_the_last_byte_and_not_the_sweep() {
    let mut stage = Stage::new();
    stage.call(1, Sent, REQUEST);
    stage.call(5, Received, UNTIL_CLOSE);
    stage.end_flag(40);
    assert_eq!(stage.outcome(), (None, 5));
    stage.closed(50);
    stage.tick(149);
    assert_eq!(stage.table.len(), 1);
    stage.tick(150);
    assert_eq!(stage.table.len(), 0);
    assert_eq!(stage.outcome(), (None, 5));
}

#[test]
fn a_servers_own_close_ends_its_body_after_late_data() {
    let mut stage = Stage::new();
    stage.call(1, Received, REQUEST);
    stage.call(5, Sent, UNTIL_CLOSE);
    stage.state(7, tcp_state::FIN_WAIT1, 0);
    stage.call(6, Sent, b"more");
    stage.tick(106);
    assert_eq!(stage.told.len(), 1);
    stage.tick(107);
    assert_eq!(stage.outcome(), (None, 6));
    assert_eq!(stage.finished().bytes.response, UNTIL_CLOSE.len() as u64 + 4);
}

#[test]
fn data_after_the_close_is_late_but_counts() {
    let mut stage = Stage::new();
    stage.call(1, Sent, REQUEST);
    stage.closed(3);
    stage.call(2, Received, ANSWER);
    assert_eq!(stage.outcome(), (None, 2));
    stage.tick(1000);
    stage.call(4, Received, ANSWER);
    assert_eq!(stage.table.losses().count(Loss::Late), 1);
    assert!(stage.table.is_empty());
}

#[test]
fn why_there_is_no_answer() {
    let client = |ending: &dyn Fn(&mut Stage)| {
        let mut stage = Stage::new();
        stage.call(1, Sent, REQUEST);
        ending(&mut stage);
        stage.tick(10_000);
        stage.outcome()
    };
    let reset = client(&|stage| stage.state(9, tcp_state::CLOSE, 104));
    assert_eq!(reset, (Some(Failure::ConnectionReset), 9));
    let timeout = client(&|stage| stage.state(9, tcp_state::CLOSE, 110));
    assert_eq!(timeout, (Some(Failure::Timeout), 9));
    let peer = client(&|stage| stage.end_flag(9));
    assert_eq!(peer, (Some(Failure::ConnectionClosed), 9));
    let cancelled = client(&|stage| {
        stage.state(9, tcp_state::FIN_WAIT1, 0);
        stage.closed(20);
    });
    assert_eq!(cancelled, (Some(Failure::Cancelled), 9));
    let exit = client(&|stage| {
        let exit = ProcessEvent { header: at(9), tgid: 7, ..ProcessEvent::default() };
        stage.table.process_exit(&exit);
    });
    assert_eq!(exit, (Some(Failure::Cancelled), 9));
    let swept = client(&|stage| stage.table.unix_gone(&[ConnId(1)]));
    assert_eq!(swept, (Some(Failure::Cancelled), 1));

    let mut stage = Stage::new();
    stage.call(1, Received, REQUEST);
    stage.state(9, tcp_state::FIN_WAIT1, 0);
    stage.closed(10);
    stage.tick(1000);
    assert_eq!(stage.outcome(), (Some(Failure::ConnectionClosed), 9));
}

#[test]
fn a_socket_may_outlive_the_process_that_used_it() {
    let mut stage = Stage::new();
    stage.call(1, Received, REQUEST);
    stage.table.process_exit(&ProcessEvent { header: at(2), tgid: 7, ..ProcessEvent::default() });
    let position = stage.positions[0];
    let child = DataHeader { tgid: 9, position, ..header(500, Sent, ANSWER) };
    stage.table.data(&child, ANSWER, &mut stage.told);
    stage.tick(60_000);
    assert_eq!(stage.outcome(), (None, 500));
    assert_eq!(stage.table.len(), 1);
    stage.table.process_exit(&ProcessEvent { header: at(600), tgid: 9, ..ProcessEvent::default() });
    stage.tick(60_000);
    assert!(stage.table.is_empty());
}

#[test]
fn the_least_recently_used_make_room() {
    let mut stage = Stage::with(Limits { connections: 2, ..Limits::default() });
    for connection in [1, 2, 3] {
        let header = DataHeader { connection, ..header(connection, Sent, REQUEST) };
        stage.table.data(&header, REQUEST, &mut stage.told);
    }
    assert_eq!(stage.table.len(), 2);
    assert_eq!(stage.table.losses().count(Loss::Evicted), 1);
    assert_eq!(stage.finished().failure, Some(Failure::Unseen));
    assert_eq!(stage.finished().id.conn, ConnId(1));
    // It is not over: what it says next is read again.
    let header = DataHeader { position: 500, ..header(9, Sent, REQUEST) };
    stage.table.data(&header, REQUEST, &mut stage.told);
    assert_eq!(stage.table.losses().count(Loss::Late), 0);
    assert_eq!(stage.told.len(), 6, "{:?}", stage.told);
}

#[test]
fn memory_makes_room_too() {
    let mut stage = Stage::with(Limits { held: 200_000, ..Limits::default() });
    let head = [b"GET /".as_slice(), &[b'x'; 9000]].concat();
    for connection in 0..100 {
        let header = DataHeader { connection, ..header(1, Sent, &head) };
        stage.table.data(&header, &head, &mut stage.told);
        assert!(stage.table.held() <= 200_000);
    }
    assert!(stage.table.losses().count(Loss::Evicted) > 50);
    stage.table.finish(&mut stage.told);
    assert_eq!((stage.table.len(), stage.table.held()), (0, 0));
}

#[test]
fn a_connection_from_birth_that_begins_otherwise_is_not_ours() {
    let talk = |from_birth: bool| {
        let mut stage = Stage::new();
        stage.table.opened(
            &Opened {
                header: at(0),
                connection: 1,
                sent: 100,
                received: 200,
                born: u8::from(from_birth),
                ..Opened::default()
            },
            &mut Vec::new(),
        );
        stage.call(1, Sent, b"\x16\x03\x01hello");
        stage.call(2, Sent, REQUEST);
        stage.call(3, Sent, REQUEST);
        (stage.told.len(), stage.table.read())
    };
    assert_eq!((talk(true), talk(false)), ((0, 0), (2, 1)));
}

#[test]
fn an_http2_server_may_speak_first() {
    let mut stage = Stage::new();
    let family = Family::Inet as u16;
    let (sent, received) = (100, 200);
    let opened = Opened {
        header: at(0),
        connection: 1,
        family,
        sent,
        received,
        born: 1,
        ..Opened::default()
    };
    stage.table.opened(&opened, &mut stage.told);
    stage.call(1, Received, b"\0\0\0\x04\0\0\0\0\0");
    stage.call(2, Sent, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    stage.call(3, Sent, b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84");
    assert!(stage.told.is_empty(), "a server may be anything that begins so");
    stage.call(4, Received, b"\0\0\0\x04\x01\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88");
    assert_eq!(stage.outcome(), (None, 4));
    assert_eq!(stage.finished().id.position, 100 + 33);
}
