//! One captured connection, told as its server's kernel would have told it.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use abi::{
    Closed, ControlHeader, ControlKind, DataHeader, Direction, Family, Opened, TcpState, data_flag,
    tcp_state,
};

use super::packet::Segment;
use super::way::{Stretch, Taken, Way};
use crate::input::{Input, Nanos};

/// `ECONNRESET`
const RESET: u32 = 104;

/// The connection.
#[derive(Debug)]
pub(super) struct Flow {
    /// Its generation number.
    id: u64,
    client: SocketAddr,
    server: SocketAddr,
    /// What stands for the server's process.
    pid: u32,
    /// By [`Direction`], as the server has them.
    ways: [Way; 2],
    /// Its first packet was captured.
    born: bool,
    /// The pipeline knows of it.
    announced: bool,
    /// It has ended.
    over: bool,
}

impl Flow {
    /// A connection that `segment` is the first of.
    pub(super) fn new(id: u64, server: SocketAddr, pid: u32, segment: &Segment<'_>) -> Self {
        let client = if segment.from == server { segment.to } else { segment.from };
        Self {
            id,
            client,
            server,
            pid,
            ways: [Way::default(), Way::default()],
            born: false,
            announced: false,
            over: false,
        }
    }

    /// Whether a SYN begins another connection between the same ports (RFC 9293 §3.5).
    pub(super) fn is_followed_by(&mut self, segment: &Segment<'_>) -> bool {
        let way = &mut self.ways[self.direction(segment) as usize];
        let first = segment.sequence.wrapping_add(1);
        segment.syn
            && !segment.ack
            && way.next().is_some_and(|next| self.over || way.position(first) != next)
    }

    /// Its generation number.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has ended.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes that wait.
    pub(super) fn held(&self) -> usize {
        self.ways.iter().map(Way::held).sum()
    }

    /// Takes a segment.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        now: Nanos,
        out: &mut impl Extend<Input>,
    ) -> Taken {
        if self.over {
            return Taken::Again;
        }
        let direction = self.direction(segment);
        let mut taken = Taken::New;
        if segment.syn {
            self.born = true;
        }
        let way = &mut self.ways[direction as usize];
        let position = way.position(segment.sequence.wrapping_add(u32::from(segment.syn)));
        if segment.ack {
            self.ways[direction.opposite() as usize].acknowledge(segment.acknowledged);
        }
        if segment.len > 0 || segment.fin || segment.rst {
            self.announce(now, out);
        }
        if segment.len > 0 {
            let stretch = Stretch { position, len: segment.len, bytes: segment.bytes.into() };
            let mut fresh = Vec::new();
            taken = self.ways[direction as usize].take(stretch, now, &mut fresh);
            self.tell(direction, fresh, now, out);
        }
        if segment.fin && taken != Taken::Stray {
            let end = position.saturating_add(u64::from(segment.len));
            self.ways[direction as usize].ends(end);
        }
        self.settle(now, out);
        if segment.rst {
            let error = if direction == Direction::Received { RESET } else { 0 };
            self.close(error, now, out);
        }
        taken
    }

    /// Nothing more comes: what waits goes on.
    pub(super) fn finish(&mut self, now: Nanos, out: &mut impl Extend<Input>) {
        for direction in [Direction::Received, Direction::Sent] {
            let mut fresh = Vec::new();
            self.ways[direction as usize].flush(&mut fresh);
            self.tell(direction, fresh, now, out);
        }
        self.ends(now, out);
    }

    /// It is over, or forgotten.
    pub(super) fn close(&mut self, error: u32, now: Nanos, out: &mut impl Extend<Input>) {
        if self.over {
            return;
        }
        self.finish(now, out);
        if self.announced && !self.over {
            self.state(tcp_state::CLOSE, error, now, out);
            let header = control(ControlKind::Closed, now);
            out.extend([Input::Closed(Closed { header, connection: self.id })]);
        }
        self.over = true;
    }

    fn direction(&self, segment: &Segment<'_>) -> Direction {
        if segment.from == self.client { Direction::Received } else { Direction::Sent }
    }

    /// Lets go of what has waited long enough, and tells the ends that have come.
    fn settle(&mut self, now: Nanos, out: &mut impl Extend<Input>) {
        for direction in [Direction::Received, Direction::Sent] {
            let mut fresh = Vec::new();
            self.ways[direction as usize].settle(now, &mut fresh);
            self.tell(direction, fresh, now, out);
        }
        self.ends(now, out);
    }

    /// Tells the ends of directions once everything before them has been told.
    fn ends(&mut self, now: Nanos, out: &mut impl Extend<Input>) {
        let [sent, received] = &mut self.ways;
        let (sent, received) = (sent.take_end(), received.take_end());
        if let Some(position) = received {
            let end = DataHeader { position, flags: data_flag::END, ..self.data(now) };
            let end = DataHeader { direction: Direction::Received as u8, ..end };
            out.extend([Input::Data(end, Box::default())]);
            self.state(tcp_state::CLOSE_WAIT, 0, now, out);
        }
        if sent.is_some() {
            self.state(tcp_state::FIN_WAIT1, 0, now, out);
        }
        let both = self.ways.iter().all(Way::has_ended);
        if both && (sent.is_some() || received.is_some()) {
            self.close(0, now, out);
        }
    }

    fn announce(&mut self, now: Nanos, out: &mut impl Extend<Input>) {
        if std::mem::replace(&mut self.announced, true) {
            return;
        }
        let (family, local) = bytes_of(self.server.ip());
        let (_, remote) = bytes_of(self.client.ip());
        let [sent, received] = self.ways.each_ref().map(|way| way.next().unwrap_or_default());
        out.extend([Input::Opened(Opened {
            header: control(ControlKind::Opened, now),
            connection: self.id,
            sent,
            received,
            local_address: local,
            remote_address: remote,
            local_port: self.server.port(),
            remote_port: self.client.port(),
            family: family as u16,
            tgid: self.pid,
            born: u8::from(self.born),
            ..Opened::default()
        })]);
    }

    fn tell(
        &self,
        direction: Direction,
        stretches: Vec<Stretch>,
        now: Nanos,
        out: &mut impl Extend<Input>,
    ) {
        out.extend(stretches.into_iter().map(|Stretch { position, len, bytes }| {
            let header = DataHeader {
                position,
                len,
                // Never more than `len`.
                head: u32::try_from(bytes.len()).unwrap_or(len),
                direction: direction as u8,
                ..self.data(now)
            };
            Input::Data(header, bytes)
        }));
    }

    /// What all data events of this connection have in common.
    fn data(&self, now: Nanos) -> DataHeader {
        DataHeader {
            time: now.0,
            connection: self.id,
            tgid: self.pid,
            tid: self.pid,
            ..DataHeader::default()
        }
    }

    fn state(&self, new: u32, error: u32, now: Nanos, out: &mut impl Extend<Input>) {
        out.extend([Input::TcpState(TcpState {
            header: control(ControlKind::TcpState, now),
            connection: self.id,
            old: tcp_state::ESTABLISHED,
            new,
            error,
            reserved: 0,
        })]);
    }
}

const fn control(kind: ControlKind, now: Nanos) -> ControlHeader {
    ControlHeader { time: now.0, kind: kind as u32, reserved: 0 }
}

/// An address as events have it.
fn bytes_of(ip: IpAddr) -> (Family, [u8; 16]) {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            (Family::Inet, bytes)
        }
        IpAddr::V6(ip) => (Family::Inet6, ip.octets()),
    }
}
