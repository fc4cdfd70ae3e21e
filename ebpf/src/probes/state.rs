//! What the kernel remembers of one end of a connection.

use core::mem::offset_of;

use spanwire_ebpf::Direction;

use crate::{insert::Insertion, left_out::LeftOut, on_cpu::OnCpu, runtime};

/// The state of one end. All zero is a connection never seen.
///
/// What each call asks for stands together, in the order in which it asks: much of what a traced call takes longer is spent waiting
/// for lines of memory. A line begins 8 bytes before the state, where the socket's storage says whose state it is.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct State {
    /// Generation number; 0 until the connection has been seen.
    pub(crate) generation: u64,
    /// A [`Mode`].
    pub(crate) mode: u8,
    /// The direction of the last bytes, plus one; 0 when there were none.
    pub(crate) last: u8,
    /// Calls that began nothing known, while the mode is unknown.
    pub(crate) strikes: u8,
    /// Turns of direction at which an ignored connection is still looked at.
    pub(crate) second_looks: u8,
    /// User space has been told of this connection.
    pub(crate) announced: u8,
    /// Calls were not reported since the last event.
    pub(crate) silent: u8,
    /// Several requests were under way at once: then one call may hold several answers.
    pub(crate) pipelined: u8,
    /// It was made in our sight.
    pub(crate) born: u8,
    /// It is one of our own, and user space is to be told so.
    pub(crate) own: u8,
    /// Calls that were one frame to the byte, while the mode is unknown.
    pub(crate) framed: u8,
    pub(crate) reserved: [u8; 2],
    /// The process (tgid) that uses it and mixes requests, so that its threads say nothing about them; 0 while none is known to.
    pub(crate) mixed_by: u32,
    /// Whether it is left out.
    pub(crate) left_out: LeftOut,
    /// Whose process is none of a known runtime.
    pub(crate) no_runtime: runtime::Unknown,
    /// The task (`pid_tgid`) that read the request that was read last, or what the runtime calls the one that serves it; 0 where
    /// neither is noted.
    pub(crate) reader: u64,
    /// Here a line of memory begins. Each direction, by [`Direction`].
    pub(crate) ways: [Way; 2],
    /// Span id of the request that was read last.
    pub(crate) span: u64,
    /// Where its reader's time on a CPU stood then; 0 where nobody waits for the connection alone.
    pub(crate) on_cpu: OnCpu,
    /// When it began to connect; once it has, how long that took, µs. 0 where that was not seen.
    pub(crate) connecting: u64,
    /// Another line: a send in flight, between its two tracepoints.
    pub(crate) send: SendInFlight,
    /// What may be put into its requests.
    pub(crate) insertion: Insertion,
    /// The request that was sent last, if it is not known for whom.
    pub(crate) wanted: runtime::Wanted,
    /// Inode of the socket file, where state is found by address: another inode is another connection.
    pub(crate) inode: u64,
    /// Where the directions began, 0 while that is not known: see [`crate::socket::origins`].
    pub(crate) origins: [u32; 2],
    /// HTTP/2: where in its frames each direction is.
    pub(crate) frames: [Frames; 2],
}

/// Bytes of a line of memory, on x86-64 and most of arm64.
const LINE: usize = 64;
const _: () = assert!(
    (size_of::<u64>() + offset_of!(State, ways)).is_multiple_of(LINE)
        && (size_of::<u64>() + offset_of!(State, send)).is_multiple_of(LINE),
    "lines begin where they are said to"
);

/// One direction of a connection.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Way {
    /// Position of its next byte.
    pub(crate) next: u64,
    /// Bytes of the current head that may still be copied; 0 outside heads.
    pub(crate) head_left: u32,
    /// How the last call of an unfinished head ended: a [`spanwire_ebpf::scan::Ending`].
    pub(crate) ending: u8,
    /// By its method the request that began here last has a body, or may have one.
    pub(crate) has_body: u8,
    pub(crate) reserved: [u8; 2],
}

/// Where a direction of HTTP/2 is. Whole words: what is in memory is then read and written as it is.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Frames {
    /// Bytes of the current frame's payload that are still to come.
    pub(crate) left: u64,
    /// Not zero when these are not copied.
    pub(crate) skipped: u64,
    /// Bytes of a frame header that are here, at most eight,
    pub(crate) have: u64,
    /// and these bytes, the first the lowest.
    pub(crate) header: u64,
    /// The stream whose header block the current frame holds; 0 if it holds none, or if nobody asks.
    pub(crate) stream: u64,
}

impl Frames {
    /// A frame header comes next.
    pub(crate) const BOUNDARY: Self = Self { left: 0, skipped: 0, have: 0, header: 0, stream: 0 };
}

impl Way {
    const NEVER_SEEN: Self =
        Self { next: 0, head_left: 0, ending: 0, has_body: 0, reserved: [0; 2] };
}

/// What is known of a send before its bytes are queued.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct SendInFlight {
    /// The task that sends; 0 when none does.
    pub(crate) task: u64,
    /// Position of its first byte, low 32 bits.
    pub(crate) sequence: u32,
    /// Segments of the message; 1 for a plain buffer.
    pub(crate) segments: u32,
    /// Address of the buffer or of the segments' array.
    pub(crate) base: u64,
    /// Bytes of the first segment that were sent before.
    pub(crate) skip: u64,
    /// When its first piece had been queued; 0 while it is in its first piece.
    pub(crate) began: u64,
    /// The kernel's `iov_iter` type.
    pub(crate) kind: u32,
    /// Bytes that were to be sent, low 32 bits.
    pub(crate) wanted: u32,
}

impl SendInFlight {
    /// Whether a piece at this position, with so many bytes left, is a further one of this send. Else this send has
    /// returned unseen: the kernel passes over a program that another task is in the middle of (7.0).
    #[inline(always)]
    pub(crate) const fn goes_on(&self, sequence: u32, left: u32) -> bool {
        sequence.wrapping_sub(self.sequence).wrapping_add(left) == self.wanted
    }
}

/// What is spoken on a connection, as far as copying cares.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Nothing known yet.
    Unknown = 0,
    /// HTTP/1.
    Http1 = 1,
    /// Nothing we know: left alone.
    Ignored = 2,
    /// HTTP/2.
    Http2 = 3,
}

/// Calls on a new connection that may begin nothing known before it is ignored.
pub(crate) const STRIKES: u8 = 8;
/// Turns of direction at which an ignored connection is looked at again: it may have been met inside a long body.
pub(crate) const SECOND_LOOKS: u8 = 16;
/// Longest head that is copied, in bytes (design: larger heads are cut and counted).
pub(crate) const HEAD_CAP: u32 = 16 * 1024;

impl State {
    /// As a connection is before it has been seen.
    pub(crate) const NEVER_SEEN: Self = Self {
        generation: 0,
        mode: Mode::Unknown as u8,
        last: 0,
        strikes: 0,
        second_looks: 0,
        announced: 0,
        silent: 0,
        pipelined: 0,
        born: 0,
        own: 0,
        framed: 0,
        reserved: [0; 2],
        mixed_by: 0,
        left_out: LeftOut::NEVER_ASKED,
        no_runtime: runtime::Unknown::NEVER_ASKED,
        reader: 0,
        ways: [Way::NEVER_SEEN; 2],
        span: 0,
        on_cpu: OnCpu::UNKNOWN,
        connecting: 0,
        send: SendInFlight {
            task: 0,
            sequence: 0,
            segments: 0,
            base: 0,
            skip: 0,
            began: 0,
            kind: 0,
            wanted: 0,
        },
        insertion: Insertion::NONE,
        wanted: runtime::Wanted::NONE,
        inode: 0,
        origins: [0; 2],
        frames: [Frames::BOUNDARY; 2],
    };

    #[inline(always)]
    pub(crate) fn is(&self, mode: Mode) -> bool {
        self.mode == mode as u8
    }

    /// Whether it is left alone for good, and nobody is still to be told of it: then not even its positions are followed.
    #[inline(always)]
    pub(crate) fn is_given_up(&self) -> bool {
        self.is(Mode::Ignored) && self.second_looks == 0 && self.own == 0
    }

    /// The 64-bit position of a 32-bit sequence number: the one nearest to where the direction stands.
    #[inline(always)]
    pub(crate) fn extend(&self, direction: Direction, sequence: u32) -> u64 {
        let next = self.ways[direction as usize].next;
        next.wrapping_add(i64::from(sequence.wrapping_sub(next as u32) as i32) as u64)
    }
}
