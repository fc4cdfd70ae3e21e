//! The data ring: bytes at a position of a connection's direction.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most payload bytes one data event carries: the longest message head that is copied (16 KiB) and one tail.
pub const MAX_PAYLOAD: usize = 16 * 1024 + 64;

/// Most data rings: a CPU writes to that of its number, modulo this.
pub const DATA_RINGS: usize = 64;

/// One completed socket call (or one piece of it), followed in the ring by `head` and then `tail` bytes.
///
/// It says that `len` bytes moved at `position`; the first `head` and the last `tail` of them are here. What lies
/// between was left out on purpose when `no_data` is zero, and was not to be had for that reason when it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct DataHeader {
    /// When the call had completed, ns of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Generation number of the connection: never used twice while the machine is up.
    pub connection: u64,
    /// Position of the first byte: the TCP sequence number extended to 64 bits, or our own count on a unix socket.
    pub position: u64,
    /// Sends only: span id of the request that this task was serving, 0 if none is known. A candidate; user space
    /// confirms it. Of an answer only where `on_cpu` is known.
    pub serving: u64,
    /// Bytes moved. 0 with [`data_flag::END`]: the peer will send no more.
    pub len: u32,
    /// How long before `time` the first byte moved, ns; 0 when not known to differ.
    pub began_before: u32,
    /// Thread group that made the call.
    pub tgid: u32,
    /// Thread that made the call.
    pub tid: u32,
    /// Payload bytes that follow, from the start of the moved bytes.
    pub head: u32,
    /// Payload bytes that follow after those, from the end of the moved bytes.
    pub tail: u32,
    /// A [`Direction`].
    pub direction: u8,
    /// Why bytes are missing: a [`NoData`], 0 when only left out on purpose.
    pub no_data: u8,
    /// Bits of [`data_flag`].
    pub flags: u16,
    /// By which rule of a runtime `serving` is known: a [`crate::runtime::Rule`], 0 when it is by the thread.
    pub rule: u8,
    /// Why a runtime does not know it: a [`crate::runtime::Absent`], 0 when it does, or when none was asked.
    pub absent: u8,
    /// Not zero when the task that `rule` is about is another that waits for this one to write.
    pub for_another: u8,
    /// Zero.
    pub reserved: u8,
    /// Sends only: how long this thread was on a CPU since it read the request that `serving` names, µs and at least 1; 0
    /// when not known.
    pub on_cpu: u32,
    /// Zero.
    pub reserved2: u32,
}

/// Bits of [`DataHeader::flags`].
pub mod data_flag {
    /// Receives only: the socket is in blocking mode and in no epoll set, as when a thread serves one request.
    pub const THREAD_WAITS: u16 = 1;
    /// The peer has ended its direction; `len` is 0.
    pub const END: u16 = 2;
    /// The kernel took this call for the start of a request.
    pub const REQUEST: u16 = 4;
    /// Calls of this connection before this event were not reported: it was unknown and not asked for.
    pub const AFTER_SILENCE: u16 = 8;
    /// Receives only: the socket is in no epoll set, but does not block: a thread may serve one request and wait for it otherwise.
    pub const THREAD_POLLS: u16 = 16;
}

/// Which way bytes went, seen from the process that made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// Into the socket.
    Sent = 0,
    /// Out of the socket.
    Received = 1,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }

    /// The direction of an ABI byte; `None` for a byte no probe writes.
    #[must_use]
    pub const fn from_abi(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Sent),
            1 => Some(Self::Received),
            _ => None,
        }
    }
}

/// Why a data event lacks bytes that its call moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NoData {
    /// Nothing is missing but what was left out on purpose.
    Nothing = 0,
    /// User memory could not be read.
    Fault = 1,
    /// The call that runs is not a call on this socket (`io_uring`, kernel users of sockets).
    ForeignCall = 2,
    /// A form of call whose buffers cannot be told apart (`sendmmsg` and the like).
    Form = 3,
    /// The bytes never were in user memory (`sendfile`, `splice`).
    KernelPages = 4,
    /// Two threads wrote at once and the order of their bytes is not known.
    Raced = 5,
}

impl NoData {
    /// All reasons, in ABI order.
    pub const ALL: [Self; 6] =
        [Self::Nothing, Self::Fault, Self::ForeignCall, Self::Form, Self::KernelPages, Self::Raced];

    /// The reason of an ABI byte; `None` for a byte no probe writes.
    #[must_use]
    pub const fn from_abi(byte: u8) -> Option<Self> {
        if (byte as usize) < Self::ALL.len() { Some(Self::ALL[byte as usize]) } else { None }
    }
}
