//! Putting a `traceparent` into requests on their way (D6.4), for peers that read nothing but headers.
//!
//! [`enrol`] decides which sockets may be concerned at all, and takes them out again ([`older`]: those that are connected
//! already); [`message`] looks at what they send: at requests of HTTP/1.1 ([`request`]), and at frames of HTTP/2 ([`streams`]). Nothing
//! of this is loaded unless the operator has named programs.
//!
//! What must never happen: that an application's bytes are others than its own and one header, or that its socket behaves
//! otherwise to it. So only sockets that connect, do not block, and go where the operator wants it are taken; and on those bytes are put only where
//! a request is certain to begin, which follows from the length of each request before it. After any doubt a connection is left
//! alone until user space has read the last request, and its answer, to their ends ([`boundary`]); one of HTTP/2 for good.

mod boundary;
mod enrol;
mod frames;
mod letter;
mod message;
mod older;
mod request;
mod streams;

use core::ffi::c_void;

use spanwire_ebpf::Offset;

pub(crate) use self::letter::Letter;
use crate::memory::{Probed, Reach};

/// What is known of a socket's requests.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Insertion {
    /// Not zero once it has been among the sockets whose messages are looked at: it sends by another function of the kernel then.
    pub(crate) member: u32,
    /// Bytes that were put into the call that was sent last.
    pub(crate) passed: u32,
    /// The address of the socket: a number here.
    sock: u64,
    /// Sequence number of the request that was looked at last,
    start: u32,
    /// and where the next one begins.
    next: u32,
    /// Bytes that were put into the call that is being sent.
    inserted: u32,
    /// A [`stage`].
    stage: u32,
    /// Not zero once user space was told that the place of the next request is not known.
    asked: u32,
    /// Messages that were looked at of the call that is being sent: a long one comes in several. What is put into any but the first
    /// could not be told from the call's own when it returns.
    pieces: u32,
}

/// How far a socket has come.
mod stage {
    /// Nothing is put into what it sends.
    pub(super) const NONE: u32 = 0;
    /// It belongs to a program that was named, and connects.
    pub(super) const WANTED: u32 = 1;
    /// It is looked at, and it is known where its next request begins.
    pub(super) const KNOWN: u32 = 2;
    /// That is not known any more, until user space has read on to it.
    pub(super) const LOST: u32 = 3;
    /// It is looked at, and what it sends are frames of HTTP/2.
    pub(super) const STREAMS: u32 = 4;
}

impl Insertion {
    /// As a socket is before it has been seen.
    pub(crate) const NONE: Self = Self {
        member: 0,
        passed: 0,
        sock: 0,
        start: 0,
        next: 0,
        inserted: 0,
        stage: stage::NONE,
        asked: 0,
        pieces: 0,
    };

    /// Where a call began that has sent `len` bytes of its own, and after which the sequence numbers stand there; how many were put
    /// into it has passed then. A function of its own: there is little room on the stack where it is needed.
    #[inline(never)]
    pub(crate) unsafe fn began(this: *mut Self, after: u32, len: u32) -> u32 {
        unsafe {
            let began = after.wrapping_sub(len);
            let inserted = (*this).inserted;
            (*this).inserted = 0;
            (*this).passed = 0;
            (*this).pieces = 0;
            if inserted != 0 && began.wrapping_sub(inserted) == (*this).start {
                (*this).passed = inserted;
                return (*this).start;
            }
            began
        }
    }
}

/// Whether calls on the socket at that address wait: nothing is known of it where it has no file any more.
#[inline(always)]
unsafe fn blocks(sock: u64) -> bool {
    /// `O_NONBLOCK`, the same on x86-64 and arm64.
    const NON_BLOCKING: u32 = 0x800;
    unsafe {
        let socket: *const c_void = Probed::member(sock as *const c_void, Offset::SkSocket);
        if socket.is_null() {
            return false;
        }
        let file: *const c_void = Probed::member(socket, Offset::SocketFile);
        if file.is_null() {
            return false;
        }
        let flags: u32 = Probed::member(file, Offset::FileFlags);
        flags & NON_BLOCKING == 0
    }
}
