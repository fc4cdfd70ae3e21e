//! The one contract of all protocols: what a reader is given, what it hands on, and how it is found.
#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::sync::Arc;

use abi::Direction;

use super::Piece;
use crate::conn::{Connection, Loss, Losses};
use crate::exchange::{Failure, Report};
use crate::input::Nanos;

/// One connection's reader.
///
/// Pieces come nearly in the order of their times, each direction without holes. "Nearly": two threads may be seen
/// in another order than they acted, so that an answer can come before its request; a reader that pairs the two
/// must stand that.
pub trait Protocol: Debug + Send {
    /// Reads on.
    fn piece(&mut self, piece: Piece<'_>, out: &mut Outlet<'_>);

    /// A direction or the connection ended at `at`. After [`Ending::Gone`] nothing more comes, and every exchange
    /// that was started has been finished.
    fn end(&mut self, how: Ending, at: Nanos, out: &mut Outlet<'_>);

    /// Whether what is sent next is certain to begin a request: this end is the client's, every request was followed to its end by what
    /// its framing says, and so was its answer. False where nobody has thought of it.
    fn rests(&self) -> bool {
        false
    }

    /// Memory held for this connection, bytes, about; cheap to ask. What the table's budget is kept by.
    fn held(&self) -> usize;
}

/// How a connection or one direction of it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The sender of this direction finished in order (FIN, EOF).
    Finished(Direction),
    /// The whole connection is gone, and why exchanges still open have failed.
    Gone(Failure),
}

/// Where a reader puts what it found.
#[derive(Debug)]
pub struct Outlet<'a> {
    /// The connection's end it reads.
    pub conn: &'a Arc<Connection>,
    /// What it reports, in order.
    pub reports: &'a mut Vec<Report>,
    /// What it could not read.
    pub losses: &'a mut Losses,
}

impl Outlet<'_> {
    /// Counts a loss.
    pub const fn lose(&mut self, loss: Loss, amount: u64) {
        self.losses.add(loss, amount);
    }
}

/// What the first bytes of a direction are to a protocol.
#[derive(Debug)]
pub enum Detection {
    /// Its own: here is the reader, to be fed from these bytes on.
    Found(Box<dyn Protocol>),
    /// Perhaps; more bytes will tell.
    More,
    /// Not its own.
    No,
}

/// What came before the first bytes a protocol is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Nothing did: they are their direction's first since the connection was made. Otherwise it is older than us.
    pub from_birth: bool,
    /// Bytes of that [`abi::Direction`] were lost: what follows may lie in the middle of anything.
    pub lost: [bool; 2],
}
