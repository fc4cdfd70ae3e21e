//! Inserting a `traceparent` into requests that are sent, or making another span the parent in one that is passed on (D6.4): what both
//! sides must agree on, and how what is sent is read before anything is put into it: heads of HTTP/1.1 ([`head`]), header blocks of HTTP/2
//! ([`block`]).

pub mod block;
pub mod head;

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ControlHeader;

/// Bytes that are inserted into a request of HTTP/1.1: a header line with a value of version 00.
pub const LEN: usize = 70;

/// Longest head into which anything is inserted.
pub const MOST: usize = 8 * 1024;

/// Most streams of HTTP/2 whose heads in one message are given a context.
pub const HEADS: usize = 4;

/// Bytes were put into a message on its way. Told before the call that sends it, with nothing of them in that call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Inserted {
    /// Time and kind.
    pub header: ControlHeader,
    /// Generation number, see [`crate::DataHeader::connection`].
    pub connection: u64,
    /// Position of the message's first byte.
    pub position: u64,
    /// Bytes of the message, without those that were inserted;
    pub size: u32,
    /// how many of these stand before the inserted ones.
    pub at: u32,
    /// How many were inserted; 0 if the message was not sent, and what was told of it before is not so.
    pub len: u32,
    /// Where among its own bytes a frame of HTTP/2 begins that the inserted ones are a part of; [`NO_FRAME`] if they are of none.
    pub frame: u32,
    /// That frame's new length.
    pub length: u32,
    /// Nothing: words are of eight bytes.
    pub reserved: u32,
}

/// See [`Inserted::frame`].
pub const NO_FRAME: u32 = u32::MAX;

/// The kernel half does not know any more where the next request of a connection begins, or does again.
///
/// It never follows a body whose length the head does not tell. Who has read it to its end, and the answer to its end, knows: it
/// tells the kernel half the position, and there a request is looked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Boundary {
    /// Time and kind.
    pub header: ControlHeader,
    /// Generation number, see [`crate::DataHeader::connection`].
    pub connection: u64,
    /// Not zero if it does again.
    pub known: u64,
}

/// Most connections of HTTP/2 whose frames are followed.
pub const MEMBERS: usize = 16_384;

/// Most streams that were opened and whose heads are not sent yet, and most with which a context came that are not served yet.
pub const OPENED: usize = 8_192;

/// Most connections of which user space tells where the next request begins.
pub const BOUNDARIES: usize = 16_384;

/// Most sockets of one process that are older than the agent and are taken in.
pub const OLDER: usize = 16_384;
