//! What a reader is fed: stretches of one direction, and the same stretches kept for later.
#![forbid(unsafe_code)]

use abi::Direction;

use crate::input::{Nanos, Runtime, Task, Waits};

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
    /// Sent, of an answer: how long its thread was on a CPU since it read the request that `serving` names, ns.
    pub on_cpu: Option<u64>,
    /// Sent: what a runtime says of that.
    pub runtime: Runtime,
    /// Received: the socket was blocking and in no epoll set.
    pub thread_waits: Waits,
    /// The kernel took its first byte for the first of a request. Only to count whether it was read as one.
    pub request: bool,
}

/// What a [`Piece`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// So many bytes moved that were left out on purpose: fine inside a body, a loss where they were needed.
    Skip(u64),
    /// So many bytes moved that were lost.
    Gap(u64),
    /// So many bytes moved by a call that cannot be read. Unlike a loss this is no accident: whoever makes such calls
    /// goes on making them.
    Hidden(u64),
}

impl<'a> Piece<'a> {
    /// Bytes moved.
    #[must_use]
    pub const fn len(&self) -> u64 {
        match self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Skip(n) | Body::Gap(n) | Body::Hidden(n) => n,
        }
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position after its last byte.
    #[must_use]
    pub const fn stop(&self) -> u64 {
        self.position.saturating_add(self.len())
    }

    /// What follows its first `n` bytes; empty when there are no more.
    #[must_use]
    pub fn after(self, n: u64) -> Self {
        let n = n.min(self.len());
        let body = match self.body {
            Body::Bytes(bytes) => {
                Body::Bytes(usize::try_from(n).ok().and_then(|n| bytes.get(n..)).unwrap_or(&[]))
            }
            Body::Skip(len) => Body::Skip(len - n),
            Body::Gap(len) => Body::Gap(len - n),
            Body::Hidden(len) => Body::Hidden(len - n),
        };
        let request = self.request && n == 0;
        Self { position: self.position.saturating_add(n), body, request, ..self }
    }

    /// Whether its bytes were moved but are not to be had.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self.body, Body::Gap(_) | Body::Hidden(_))
    }

    /// The bytes, if it has them.
    #[must_use]
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        if let Body::Bytes(bytes) = self.body { Some(bytes) } else { None }
    }
}

/// A [`Piece`] that owns its bytes, to wait for what it depends on.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The piece with an empty or byteless body.
    frame: Piece<'static>,
    /// Its bytes; empty when it has none.
    bytes: Box<[u8]>,
}

impl Kept {
    /// Takes a copy.
    #[must_use]
    pub fn of(piece: Piece<'_>) -> Self {
        let (body, bytes) = match piece.body {
            Body::Bytes(bytes) => (Body::Bytes(&[][..]), Box::from(bytes)),
            Body::Skip(n) => (Body::Skip(n), Box::default()),
            Body::Gap(n) => (Body::Gap(n), Box::default()),
            Body::Hidden(n) => (Body::Hidden(n), Box::default()),
        };
        let frame = Piece { body, ..piece };
        Self { frame, bytes }
    }

    /// The piece again.
    #[must_use]
    pub fn piece(&self) -> Piece<'_> {
        match self.frame.body {
            Body::Bytes(_) => Piece { body: Body::Bytes(&self.bytes), ..self.frame },
            Body::Skip(_) | Body::Gap(_) | Body::Hidden(_) => self.frame,
        }
    }

    /// Memory it takes, bytes.
    #[must_use]
    pub const fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}
