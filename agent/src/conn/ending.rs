//! How a connection came to its end: what the kernel told, and what that means for exchanges still open.
#![forbid(unsafe_code)]

use abi::{TcpState, tcp_state};

use crate::exchange::Failure;
use crate::input::Nanos;

/// How long a connection that is gone stays, ns: its last data may still be on its way through the other ring.
pub(super) const LINGER: u64 = 100_000_000;
/// How long it stays when only its process is known to be gone, ns: twice the sweep that finds dead unix sockets. A
/// socket may live on in another process that has inherited it.
const LINGER_EXIT: u64 = 2_000_000_000;

const EPIPE: u32 = 32;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTUNREACH: u32 = 113;

/// What is known about a connection's end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// When our side closed, shut down its sending, or its process ended.
    own: Option<Nanos>,
    /// When the peer's FIN was seen, by the kernel or by the process.
    peer: Option<Nanos>,
    /// The socket's error and when it came.
    error: Option<(Failure, Nanos)>,
    /// Our FIN has been sent, which ends the sent direction once late data has been read.
    fin: Option<Nanos>,
    /// The whole connection is gone: when, and whether that is certain.
    gone: Option<(Nanos, Certainty)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    /// The kernel said so.
    Certain,
    /// Its last known user has ended.
    Presumed,
}

impl Fate {
    /// The TCP state changed.
    pub(super) fn state(&mut self, event: &TcpState) {
        let at = Nanos(event.header.time);
        if event.error != 0 && self.error.is_none() {
            self.error = Some((failure(event.error), at));
        }
        match event.new {
            tcp_state::FIN_WAIT1 | tcp_state::LAST_ACK => {
                self.own.get_or_insert(at);
                self.fin.get_or_insert(at);
            }
            tcp_state::CLOSE_WAIT => self.peer_finished(at),
            tcp_state::CLOSE => self.gone(at),
            _ => {}
        }
    }

    /// The peer's FIN was read.
    pub(super) fn peer_finished(&mut self, at: Nanos) {
        self.peer.get_or_insert(at);
    }

    /// The kernel has no such connection any more.
    pub(super) fn gone(&mut self, at: Nanos) {
        if self.own.is_none() && self.peer.is_none() && self.error.is_none() {
            // No FIN either way and no error: aborted from here (unread data, SO_LINGER 0).
            self.own = Some(at);
        }
        if !matches!(self.gone, Some((_, Certainty::Certain))) {
            self.gone = Some((at, Certainty::Certain));
        }
    }

    /// The process that used it last has ended.
    pub(super) fn process_ended(&mut self, at: Nanos) {
        self.own.get_or_insert(at);
        self.gone.get_or_insert((at, Certainty::Presumed));
    }

    /// It was used after all, by another process.
    pub(super) fn used(&mut self) {
        if let Some((at, Certainty::Presumed)) = self.gone {
            self.gone = None;
            self.own = self.own.filter(|own| *own != at);
        }
    }

    /// When the sent direction ends, if it is to.
    pub(super) fn fin_due(&self) -> Option<Nanos> {
        self.fin.map(|at| at.plus(LINGER))
    }

    /// Takes the end of the sent direction: when it was.
    pub(super) const fn take_fin(&mut self) -> Option<Nanos> {
        self.fin.take()
    }

    /// When the connection is to be given up; data that still comes puts it off.
    pub(super) fn gone_due(&self, last_data: Nanos) -> Option<Nanos> {
        self.gone.map(|(at, certainty)| match certainty {
            Certainty::Certain => at.max(last_data).plus(LINGER),
            Certainty::Presumed => at.plus(LINGER_EXIT),
        })
    }

    /// Why exchanges that are still open have failed, and when.
    pub(super) fn verdict(&self, last_data: Nanos) -> (Failure, Nanos) {
        if let Some(error) = self.error {
            return error;
        }
        match (self.own, self.peer) {
            (Some(own), Some(peer)) if own < peer => (Failure::Cancelled, own),
            (own, Some(peer)) => (Failure::ConnectionClosed, own.unwrap_or(peer)),
            (Some(own), None) => (Failure::Cancelled, own),
            (None, None) => (Failure::ConnectionClosed, last_data),
        }
    }
}

/// What a socket error means for an exchange. 101 and 113 stand for retransmissions that were given up with an ICMP
/// error pending (`tcp_write_err`).
const fn failure(errno: u32) -> Failure {
    match errno {
        ECONNRESET | EPIPE | ECONNREFUSED => Failure::ConnectionReset,
        ETIMEDOUT | EHOSTUNREACH | 101 => Failure::Timeout,
        _ => Failure::ConnectionClosed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::ControlHeader;

    fn state(time: u64, old: u32, new: u32, error: u32) -> TcpState {
        let header = ControlHeader { time, ..ControlHeader::default() };
        TcpState { header, old, new, error, ..TcpState::default() }
    }

    fn after(states: &[TcpState]) -> (Failure, Nanos) {
        let mut fate = Fate::default();
        for event in states {
            fate.state(event);
        }
        fate.verdict(Nanos(1))
    }

    #[test]
    fn who_ended_it_and_how() {
        use tcp_state::{CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, LAST_ACK};
        let reset = after(&[state(9, ESTABLISHED, CLOSE, 104)]);
        assert_eq!(reset, (Failure::ConnectionReset, Nanos(9)));
        let pipe = after(&[state(5, ESTABLISHED, CLOSE_WAIT, 0), state(9, CLOSE_WAIT, CLOSE, 32)]);
        assert_eq!(pipe, (Failure::ConnectionReset, Nanos(9)));
        let timeout = after(&[state(9, ESTABLISHED, CLOSE, 110)]);
        assert_eq!(timeout, (Failure::Timeout, Nanos(9)));
        let own = after(&[state(5, ESTABLISHED, FIN_WAIT1, 0), state(9, FIN_WAIT1, CLOSE, 0)]);
        assert_eq!(own, (Failure::Cancelled, Nanos(5)));
        let peer = after(&[
            state(5, ESTABLISHED, CLOSE_WAIT, 0),
            state(7, CLOSE_WAIT, LAST_ACK, 0),
            state(9, LAST_ACK, CLOSE, 0),
        ]);
        assert_eq!(peer, (Failure::ConnectionClosed, Nanos(7)));
        let abort = after(&[state(9, ESTABLISHED, CLOSE, 0)]);
        assert_eq!(abort, (Failure::Cancelled, Nanos(9)));
    }

    #[test]
    fn an_exit_is_only_presumed_to_be_the_end() {
        let mut fate = Fate::default();
        fate.process_ended(Nanos(5));
        assert_eq!(fate.gone_due(Nanos(1)), Some(Nanos(5 + LINGER_EXIT)));
        fate.used();
        assert_eq!(fate.gone_due(Nanos(1)), None);
        assert_eq!(fate.verdict(Nanos(1)).0, Failure::ConnectionClosed);
        fate.process_ended(Nanos(6));
        fate.gone(Nanos(7));
        fate.used();
        assert_eq!(fate.gone_due(Nanos(1)), Some(Nanos(7 + LINGER)));
        assert_eq!(fate.verdict(Nanos(1)), (Failure::Cancelled, Nanos(6)));
    }
}
