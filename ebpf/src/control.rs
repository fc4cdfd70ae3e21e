//! The control ring: the life of connections and processes. Small, rare, and never pushed out by data.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What every control event begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct ControlHeader {
    /// When, ns of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// A [`ControlKind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// Which struct a control event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ControlKind {
    /// [`Opened`]
    Opened = 1,
    /// [`Closed`]
    Closed = 2,
    /// [`TcpState`]
    TcpState = 3,
    /// [`ProcessEvent`]: a process began to run another program.
    Exec = 4,
    /// [`ProcessEvent`]: a process ended (its last thread).
    Exit = 5,
    /// [`Revoked`]
    Revoked = 6,
    /// [`Worker`]
    Worker = 16,
    /// [`StreamCall`]
    StreamCall = 17,
    /// [`TaskEnded`]
    TaskEnded = 18,
    /// [`CallerFound`]
    CallerFound = 19,
    /// [`Retransmitted`]
    Retransmitted = 7,
    /// [`crate::wire::Carried`]
    Carried = 8,
    /// [`crate::insert::Inserted`]
    Inserted = 9,
    /// [`crate::insert::Boundary`]
    Boundary = 10,
}

impl ControlKind {
    /// The kind of an ABI word; `None` for a word no probe writes.
    #[must_use]
    pub const fn from_abi(word: u32) -> Option<Self> {
        Some(match word {
            1 => Self::Opened,
            2 => Self::Closed,
            3 => Self::TcpState,
            4 => Self::Exec,
            5 => Self::Exit,
            6 => Self::Revoked,
            16 => Self::Worker,
            17 => Self::StreamCall,
            18 => Self::TaskEnded,
            19 => Self::CallerFound,
            7 => Self::Retransmitted,
            8 => Self::Carried,
            9 => Self::Inserted,
            10 => Self::Boundary,
            _ => return None,
        })
    }
}

/// A connection is seen for the first time: new, or older than the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Opened {
    /// Time and kind.
    pub header: ControlHeader,
    /// Generation number, see [`crate::DataHeader::connection`].
    pub connection: u64,
    /// Address of the kernel's socket; says nothing after the connection has closed.
    pub socket: u64,
    /// Unix sockets: address of the peer's socket, 0 if not known. TCP: 0.
    pub peer_socket: u64,
    /// Inode number of the socket file, 0 if it has none yet.
    pub inode: u64,
    /// Position of the next byte to be sent.
    pub sent: u64,
    /// Position of the next byte to be received.
    pub received: u64,
    /// Own address; IPv4 in the first four bytes, network order.
    pub local_address: [u8; 16],
    /// Peer's address, likewise.
    pub remote_address: [u8; 16],
    /// Own port.
    pub local_port: u16,
    /// Peer's port.
    pub remote_port: u16,
    /// A [`Family`] (the kernel's `AF_*`).
    pub family: u16,
    /// Zero.
    pub reserved: u16,
    /// Thread group that used it first in our sight.
    pub tgid: u32,
    /// Network namespace, its inode number; 0 if not known.
    pub netns: u32,
    /// Parent of that thread group; 0 if not known.
    pub parent: u32,
    /// Unix sockets: bytes of `path` that are the name, 0 if neither end has one.
    pub path_len: u8,
    /// Unix sockets: 1 when the name is the peer's, 0 when it is our own.
    pub path_is_remote: u8,
    /// 1 when the agent saw the connection made and no byte of it moved unreported before this.
    pub born: u8,
    /// Zero.
    pub reserved2: u8,
    /// Unix sockets: the name, as in `sun_path` (an abstract name begins with NUL).
    pub path: [u8; 108],
    /// TCP: sequence number of the first byte that was ever sent, for a connection that we opened maybe that of the SYN
    /// before it; 0 if not known.
    pub sent_origin: u32,
    /// TCP: sequence number of the first byte that was ever received; 0 if not known. It is the peer's own, whatever
    /// addresses lie between: with a position it names a request at both ends.
    pub received_origin: u32,
    /// TCP: how long it took to connect, from the first SYN on, in µs and at least 1; 0 where that was not seen or another
    /// end connected.
    pub connected_in: u32,
}

impl Default for Opened {
    fn default() -> Self {
        Self {
            header: ControlHeader::default(),
            connection: 0,
            socket: 0,
            peer_socket: 0,
            inode: 0,
            sent: 0,
            received: 0,
            local_address: [0; 16],
            remote_address: [0; 16],
            local_port: 0,
            remote_port: 0,
            family: 0,
            reserved: 0,
            tgid: 0,
            netns: 0,
            parent: 0,
            path_len: 0,
            path_is_remote: 0,
            born: 0,
            reserved2: 0,
            path: [0; 108],
            sent_origin: 0,
            received_origin: 0,
            connected_in: 0,
        }
    }
}

/// Address families whose stream sockets are captured, as the kernel numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Family {
    /// `AF_UNIX`
    Unix = 1,
    /// `AF_INET`
    Inet = 2,
    /// `AF_INET6`
    Inet6 = 10,
}

impl Family {
    /// The family of an ABI word; `None` for one that is not captured.
    #[must_use]
    pub const fn from_abi(word: u16) -> Option<Self> {
        match word {
            1 => Some(Self::Unix),
            2 => Some(Self::Inet),
            10 => Some(Self::Inet6),
            _ => None,
        }
    }
}

/// The kernel has destroyed the socket. Its last data may still be in the other ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Closed {
    /// Time and kind.
    pub header: ControlHeader,
    /// Which.
    pub connection: u64,
}

/// A known TCP connection changed its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct TcpState {
    /// Time and kind.
    pub header: ControlHeader,
    /// Which.
    pub connection: u64,
    /// State before, see [`tcp_state`].
    pub old: u32,
    /// State after.
    pub new: u32,
    /// `sk_err` at that moment: an errno such as `ECONNRESET` (104), 0 if none.
    pub error: u32,
    /// Zero.
    pub reserved: u32,
}

/// The kernel's TCP states (`include/net/tcp_states.h`) that the agent looks at.
pub mod tcp_state {
    /// Both directions open.
    pub const ESTABLISHED: u32 = 1;
    /// We connect.
    pub const SYN_SENT: u32 = 2;
    /// We closed first.
    pub const FIN_WAIT1: u32 = 4;
    /// Gone.
    pub const CLOSE: u32 = 7;
    /// The peer has ended its direction.
    pub const CLOSE_WAIT: u32 = 8;
    /// The peer closed first, now we have.
    pub const LAST_ACK: u32 = 9;
}

/// A process began another program, or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct ProcessEvent {
    /// Time and kind.
    pub header: ControlHeader,
    /// Thread group.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// The task's name, NUL-padded.
    pub comm: [u8; 16],
}

/// TCP sent segments again, because nobody acknowledged them in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Retransmitted {
    /// Time and kind.
    pub header: ControlHeader,
    /// The connection.
    pub connection: u64,
    /// How many, at least 1.
    pub segments: u32,
    /// Zero.
    pub reserved: u32,
}

/// A thread read a second request before it had answered the first: threads say nothing about requests in this
/// process any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Revoked {
    /// Time and kind.
    pub header: ControlHeader,
    /// The process.
    pub tgid: u32,
    /// The thread that was seen.
    pub tid: u32,
}

/// How many tasks a [`Worker`] names: a call that is further from the request's own task has no parent.
pub const CHAIN: usize = 3;

/// Of whose work a call is that another task than the one that serves the request makes: it is the request's only if all of
/// these end before the answer does. Told before the call's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Worker {
    /// Time and kind.
    pub header: ControlHeader,
    /// The connection of the call,
    pub connection: u64,
    /// and the position of its first byte there.
    pub position: u64,
    /// The process.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// Keys ([`crate::runtime::task`]) of the task that calls, of the one that started it, and so on up to, but without, the one
    /// that serves; 0 behind the last.
    pub tasks: [u64; CHAIN],
    /// Addresses of the runtime's own records of these: where it can be seen that they have ended. 0 where that is told
    /// ([`TaskEnded`]).
    pub objects: [u64; CHAIN],
}

/// A task that a [`Worker`] has named has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct TaskEnded {
    /// Time and kind.
    pub header: ControlHeader,
    /// Its key ([`crate::runtime::task`]).
    pub task: u64,
}

/// For which request a task opened a stream of HTTP/2: told by who opened it, because what writes its frames writes those of many.
/// Comes before the stream's first frame or shortly after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct StreamCall {
    /// Time and kind.
    pub header: ControlHeader,
    /// The connection,
    pub connection: u64,
    /// and the stream's number there.
    pub stream: u32,
    /// The process.
    pub tgid: u32,
    /// The request: as [`crate::DataHeader::serving`], a span id, or a name of [`crate::id::stream`]; 0 if none is known.
    pub serving: u64,
    /// By which [`crate::runtime::Rule`]; 0 if none.
    pub rule: u8,
    /// Else why not: a [`crate::runtime::Absent`].
    pub absent: u8,
    /// The rule that told who opened the stream.
    pub via: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// See [`Worker::tasks`].
    pub tasks: [u64; CHAIN],
    /// See [`Worker::objects`].
    pub objects: [u64; CHAIN],
}

/// For which request a call was made, found out when its answer came: whoever made it did not wait for it yet when it was sent.
/// Comes before the answer's first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct CallerFound {
    /// Time and kind.
    pub header: ControlHeader,
    /// The connection of the call,
    pub connection: u64,
    /// and the position of its first byte there.
    pub position: u64,
    /// The request: as [`crate::DataHeader::serving`].
    pub serving: u64,
    /// The process.
    pub tgid: u32,
    /// By which [`crate::runtime::Rule`].
    pub rule: u8,
    /// The rule that told who made the call.
    pub via: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// See [`Worker::tasks`].
    pub tasks: [u64; CHAIN],
    /// See [`Worker::objects`].
    pub objects: [u64; CHAIN],
}
