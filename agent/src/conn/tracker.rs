//! A connection tracker: everything about one end of one connection.
//!
//! It orders the events, finds out what is spoken, feeds the reader and tells it of the end. Control and data come
//! through different rings, so either may be first and the end is believed only after a while.
//!
//! | state | event | next |
//! |---|---|---|
//! | (none) | Opened, data | open |
//! | open | data, Opened | open |
//! | open | our FIN (FIN_WAIT1, LAST_ACK) | half-closed: after `LINGER` the sent direction ends |
//! | open, half-closed | END flag | the received direction ends, in its place among the data |
//! | open, half-closed | state CLOSE, Closed, unix sweep | lingering: `LINGER` after that or the last data |
//! | open, half-closed | its process exits | lingering, but longer, and open again if another process uses it |
//! | lingering | data | lingering |
//! | lingering | time | over: the reader is told, the table forgets it |
//! | any | evicted | over: open exchanges are unseen |
//!
//! Memory: at most [`super::order::WAIT_BYTES`] of payload that waits for its turn, and either
//! [`super::talk::FIRST_BYTES`] twice or what its protocol's reader holds.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use abi::{Direction, Family, Opened, TcpState};

use super::ending::Fate;
use super::event::Event;
use super::loss::{Loss, Losses};
use super::order::Order;
use super::stream::Sink;
use super::talk::Talk;
use super::{Address, Connection};
use crate::exchange::{Failure, Report, Role};
use crate::input::{ConnId, Nanos};
use crate::protocols::{Ending, Outlet, Piece};

/// One connection's one end.
#[derive(Debug)]
pub(super) struct Tracker {
    conn: Arc<Connection>,
    order: Order,
    talk: Talk,
    fate: Fate,
    /// When the last data event was, or the connection was announced.
    last: Nanos,
    /// The process that used it last; 0 if none has.
    pid: u32,
    /// It was told that somebody reads it.
    told_read: bool,
    /// How long it took to be made, ns, until its first request is told.
    connected_in: Option<u64>,
}

impl Tracker {
    /// A connection that something was heard of at `at`.
    pub(super) fn new(id: ConnId, pid: u32, at: Nanos) -> Self {
        let conn = Connection {
            id,
            local: Address::Unknown,
            remote: Address::Unknown,
            socket: 0,
            peer_socket: 0,
            inode: 0,
            netns: 0,
            origins: [0; 2],
            pid,
        };
        Self {
            conn: Arc::new(conn),
            order: Order::default(),
            talk: Talk::default(),
            fate: Fate::default(),
            last: at,
            pid,
            told_read: false,
            connected_in: None,
        }
    }

    /// The kernel announced it, perhaps after its first data.
    pub(super) fn opened(&mut self, event: &Opened) {
        self.conn = Arc::new(connection(event));
        if event.born != 0 {
            self.talk.born();
        }
        if event.connected_in != 0 {
            self.connected_in = Some(u64::from(event.connected_in) * 1000);
        }
        self.order.tell(event.sent, event.received);
        self.last = self.last.max(Nanos(event.header.time));
    }

    /// Bytes moved.
    pub(super) fn data(&mut self, event: &Event, payload: &[u8], mut out: Out<'_>) {
        self.last = self.last.max(event.ended);
        if event.task.pid != self.pid {
            self.pid = event.task.pid;
            self.fate.used();
        }
        if event.end && event.direction == Direction::Received {
            self.fate.peer_finished(event.ended);
        }
        let before = out.reports.len();
        let (order, mut reading) = self.reading(out.again());
        order.place(event, payload, &mut reading);
        self.tell_connect(&mut out.reports[before..]);
    }

    /// The first request that was sent waited for the connection to be made.
    fn tell_connect(&mut self, reports: &mut [Report]) {
        if self.connected_in.is_none() {
            return;
        }
        let first = reports.iter_mut().find_map(|report| match report {
            Report::Started(started) if started.role == Role::Client => Some(started),
            _ => None,
        });
        if let Some(started) = first {
            started.connected_in = self.connected_in.take();
        }
    }

    /// The TCP state changed.
    pub(super) fn tcp_state(&mut self, event: &TcpState) {
        self.fate.state(event);
    }

    /// The kernel destroyed it.
    pub(super) fn closed(&mut self, at: Nanos) {
        self.fate.gone(at);
    }

    /// A sweep did not find it any more; when it went is not known.
    pub(super) fn swept(&mut self) {
        self.fate.gone(self.last);
    }

    /// The process that used it last has ended.
    pub(super) fn process_ended(&mut self, at: Nanos) {
        self.fate.process_ended(at);
    }

    /// When [`Tracker::expire`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        [self.order.deadline(), self.fate.fin_due(), self.fate.gone_due(self.last)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time went on. True: it is over and has told everything.
    pub(super) fn expire(&mut self, now: Nanos, mut out: Out<'_>) -> bool {
        let (order, mut reading) = self.reading(out.again());
        order.expire(now, &mut reading);
        if self.fate.fin_due().is_some_and(|due| due <= now)
            && let Some(at) = self.fate.take_fin()
        {
            let (_, mut reading) = self.reading(out.again());
            reading.finished(Direction::Sent, at);
        }
        let over = self.fate.gone_due(self.last).is_some_and(|due| due <= now);
        if over {
            let (failure, at) = self.fate.verdict(self.last);
            self.end(failure, at, out);
        }
        over
    }

    /// Ends it now, whatever is known: open exchanges are unseen.
    pub(super) fn forget(&mut self, out: Out<'_>) {
        self.end(Failure::Unseen, self.last, out);
    }

    /// Who used it last.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is known now what it speaks, and was not told before.
    pub(super) const fn tell_read(&mut self) -> bool {
        matches!(self.talk, Talk::Known(_)) && !std::mem::replace(&mut self.told_read, true)
    }

    /// Where the next request will begin, if it is certain that one does with the next byte that is sent.
    pub(super) fn rests(&self) -> Option<u64> {
        let position = self.order.sent_so_far()?;
        matches!(&self.talk, Talk::Known(reader) if reader.rests()).then_some(position)
    }

    /// Memory held beside the tracker itself, bytes.
    pub(super) fn held(&self) -> usize {
        self.order.held() + self.talk.held()
    }

    fn end(&mut self, failure: Failure, at: Nanos, out: Out<'_>) {
        let fin = self.fate.take_fin();
        let (order, mut reading) = self.reading(out);
        order.flush(&mut reading);
        if let Some(at) = fin {
            reading.finished(Direction::Sent, at);
        }
        reading.talk.end(Ending::Gone(failure), at, &mut reading.outlet);
    }

    fn reading<'a>(&'a mut self, out: Out<'a>) -> (&'a mut Order, Reading<'a>) {
        let Out { reports, losses } = out;
        let outlet = Outlet { conn: &self.conn, reports, losses };
        (&mut self.order, Reading { talk: &mut self.talk, outlet })
    }
}

/// Where reports and losses go.
pub(super) struct Out<'a> {
    /// What the readers report.
    pub(super) reports: &'a mut Vec<Report>,
    /// What was lost.
    pub(super) losses: &'a mut Losses,
}

impl Out<'_> {
    /// The same place once more.
    pub(super) const fn again(&mut self) -> Out<'_> {
        Out { reports: self.reports, losses: self.losses }
    }
}

/// The two streams' sink: whatever is spoken.
struct Reading<'a> {
    talk: &'a mut Talk,
    outlet: Outlet<'a>,
}

impl Sink for Reading<'_> {
    fn piece(&mut self, piece: Piece<'_>) {
        self.talk.piece(piece, &mut self.outlet);
    }

    fn finished(&mut self, direction: Direction, at: Nanos) {
        self.talk.end(Ending::Finished(direction), at, &mut self.outlet);
    }

    fn lose(&mut self, loss: Loss, amount: u64) {
        self.outlet.lose(loss, amount);
    }
}

/// What the announcement of a connection says of it.
fn connection(event: &Opened) -> Connection {
    let address = |remote, bytes: [u8; 16], port| match Family::from_abi(event.family) {
        Some(Family::Inet) => {
            let [a, b, c, d, ..] = bytes;
            Address::Inet(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
        }
        // An IPv6 socket that serves IPv4 shows mapped addresses (RFC 4291 §2.5.5.2).
        Some(Family::Inet6) => {
            Address::Inet(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(), port)
        }
        Some(Family::Unix) => Address::unix(event, remote),
        None => Address::Unknown,
    };
    Connection {
        id: ConnId(event.connection),
        local: address(false, event.local_address, event.local_port),
        remote: address(true, event.remote_address, event.remote_port),
        socket: event.socket,
        peer_socket: event.peer_socket,
        inode: event.inode,
        netns: event.netns,
        origins: [event.sent_origin, event.received_origin],
        pid: event.tgid,
    }
}
