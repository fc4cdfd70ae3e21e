//! Protocols: sans-IO readers of one connection's two streams. One folder and one registry line each.
//!
//! A protocol takes bytes and times, and reports exchanges. It never reads a clock, never touches a socket, never
//! panics, and its memory is bounded whatever arrives.
#![forbid(unsafe_code)]

use abi::Direction;

use crate::exchange::{Failure, Report};
use crate::input::{Nanos, Task};

/// A stretch of one direction of a connection, in order, without holes between stretches.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Which way.
    pub direction: Direction,
    /// Position of its first byte.
    pub position: u64,
    /// What it is.
    pub body: Body<'a>,
    /// When its first byte moved.
    pub began: Nanos,
    /// When its last byte had moved.
    pub ended: Nanos,
    /// Who moved it.
    pub task: Task,
    /// Sent: the span id the kernel saw this task serve, if any.
    pub serving: Option<u64>,
    /// Received: the socket was blocking and in no epoll set.
    pub thread_waits: bool,
}

/// What a [`Piece`] holds.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// So many bytes moved that were left out on purpose: fine inside a body, a loss where they were needed.
    Skip(u64),
    /// So many bytes moved that were lost.
    Gap(u64),
}

/// How a connection's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The sender of this direction finished in order (FIN, EOF).
    Finished,
    /// The whole connection is gone, and why exchanges still open have failed.
    Gone(Failure),
}

/// One connection's reader. Pieces of the two directions come in the order of their times, each direction without
/// holes.
pub trait Protocol {
    /// Reads on.
    fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<Report>);
    /// A direction ended (`Some`), or the connection (`None`): nothing more will come there.
    fn end(&mut self, direction: Option<Direction>, how: Ending, at: Nanos, out: &mut Vec<Report>);
}
