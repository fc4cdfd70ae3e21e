//! Hooks at the return of each system call that moves socket bytes (set `syscall`): for kernels before 6.3, and for
//! those whose socket tracepoints cannot be used.
//!
//! The descriptor leads to the socket through the task's file table. State is found by the socket's address; another
//! inode number at the same address is another connection.

use core::{ffi::c_void, ptr};

use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};
use spanwire_ebpf::{Counter, Direction, NoData};

use crate::{
    bytes::Source,
    maps::{STATES_BY_ADDRESS, count},
    memory::{Probed, user},
    observe::{self, Moved},
    registers::Call,
    socket::{self, Stream},
    state::State,
};

const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;
/// Messages of one `sendmmsg` or `recvmmsg` whose lengths are added up.
const MESSAGES: u64 = 16;
/// `sizeof(struct mmsghdr)` and the offset of its `msg_len`.
const MESSAGE_SIZE: u64 = 64;
const MESSAGE_LEN: u64 = 56;

/// A state that was never seen, to insert: too large for the stack of a program.
pub(super) static FRESH: State = State::NEVER_SEEN;

/// What the call returned. `struct trace_event_raw_sys_exit`: eight bytes common to all, number, return value.
#[inline(always)]
fn returned(context: &TracePointContext) -> i64 {
    unsafe { ptr::read_volatile(context.as_ptr().cast::<i64>().add(2)) }
}

/// `sys_exit_{write,sendto,writev,pwritev2,sendmsg}`
#[tracepoint]
pub(crate) fn exit_send(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned > 0 {
        let call = Call::probed();
        sent(call.first, returned as u32, Source::of(&call));
    }
    0
}

/// `sys_exit_sendmmsg`: returns messages, not bytes.
#[tracepoint]
pub(crate) fn exit_send_many(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned > 0 {
        let call = Call::probed();
        sent(call.first, lengths(&call, returned as u64), Source::none(NoData::Form));
    }
    0
}

/// `sys_exit_sendfile64`
#[tracepoint]
pub(crate) fn exit_sendfile(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned > 0 {
        sent(Call::probed().first, returned as u32, Source::none(NoData::KernelPages));
    }
    0
}

/// `sys_exit_splice`: from a pipe to a socket or the other way.
#[tracepoint]
pub(crate) fn exit_splice(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned > 0 {
        let call = Call::probed();
        sent(call.third, returned as u32, Source::none(NoData::KernelPages));
        received(call.first, returned as u32, Source::none(NoData::KernelPages));
    }
    0
}

/// `sys_exit_{read,readv,preadv2}`: calls without flags.
#[tracepoint]
pub(crate) fn exit_receive(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned >= 0 {
        let call = Call::probed();
        received(call.first, returned as u32, Source::of(&call));
    }
    0
}

/// `sys_exit_recvfrom`
#[tracepoint]
pub(crate) fn exit_receive_from(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned >= 0 {
        let call = Call::probed();
        flagged(&call, call.fourth, returned);
    }
    0
}

/// `sys_exit_recvmsg`
#[tracepoint]
pub(crate) fn exit_receive_message(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned >= 0 {
        let call = Call::probed();
        flagged(&call, call.third, returned);
    }
    0
}

/// `sys_exit_recvmmsg`
#[tracepoint]
pub(crate) fn exit_receive_many(context: TracePointContext) -> u32 {
    let returned = returned(&context);
    if returned > 0 {
        let call = Call::probed();
        if call.fourth & (MSG_PEEK | MSG_ERRQUEUE) == 0 {
            received(call.first, lengths(&call, returned as u64), Source::none(NoData::Form));
        }
    }
    0
}

#[inline(always)]
fn flagged(call: &Call, flags: u64, returned: i64) {
    if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return;
    }
    let source = if flags & MSG_TRUNC != 0 { Source::none(NoData::Form) } else { Source::of(call) };
    received(call.first, returned as u32, source);
}

/// Bytes of the first messages of a call on many.
#[inline(always)]
fn lengths(call: &Call, messages: u64) -> u32 {
    let mut total = 0u32;
    let mut i = 0;
    while i < MESSAGES && i < messages {
        let len: Option<u32> = unsafe { user(call.second + i * MESSAGE_SIZE + MESSAGE_LEN) };
        total = total.wrapping_add(len.unwrap_or(0));
        i += 1;
    }
    total
}

#[inline(never)]
fn sent(descriptor: u64, len: u32, source: Source) {
    unsafe {
        let Some((sock, stream, state)) = find(descriptor, Direction::Sent, len) else { return };
        let expected = (*state).next[0];
        let mut what = Moved {
            direction: Direction::Sent,
            position: expected,
            expected,
            len,
            began: 0,
            source,
        };
        if stream == Stream::Tcp {
            let after = socket::sequence_probed(sock, Direction::Sent);
            what.position = (*state).extend(Direction::Sent, after.wrapping_sub(len));
            if what.position != expected {
                what.source = Source::none(NoData::Raced);
            }
        }
        hand_on(sock, state, &what);
    }
}

#[inline(never)]
fn received(descriptor: u64, len: u32, source: Source) {
    unsafe {
        let Some((sock, stream, state)) = find(descriptor, Direction::Received, len) else {
            return;
        };
        if len == 0 && !socket::peer_ended::<Probed>(sock as *const c_void) {
            return;
        }
        let expected = (*state).next[1];
        let mut what = Moved {
            direction: Direction::Received,
            position: expected,
            expected,
            len,
            began: 0,
            source,
        };
        if stream == Stream::Tcp {
            let after = socket::sequence_probed(sock, Direction::Received);
            what.position = (*state).extend(Direction::Received, after.wrapping_sub(len));
        }
        hand_on(sock, state, &what);
    }
}

#[inline(always)]
unsafe fn hand_on(sock: u64, state: *mut State, what: &Moved) {
    unsafe {
        (*state).next[what.direction as usize & 1] = what.position + u64::from(what.len);
    }
    if !observe::passes(state, what.direction) {
        observe::moved(sock, state, what);
    }
}

/// The socket behind a descriptor with its state, met now if it was never seen; `None` for what is not captured.
#[inline(always)]
unsafe fn find(
    descriptor: u64,
    direction: Direction,
    len: u32,
) -> Option<(u64, Stream, *mut State)> {
    unsafe {
        let (sock, inode) = socket::behind(descriptor)?;
        let stream = socket::stream::<Probed>(sock as *const c_void)?;
        let known = STATES_BY_ADDRESS.get_ptr_mut(sock);
        if let Some(state) = known
            && (*state).inode == inode
        {
            return Some((sock, stream, state));
        }
        if len == 0 {
            return None;
        }
        let newborn = match known {
            Some(state) => (*state).inode == 0 && (*state).born != 0,
            None => false,
        };
        if !newborn && STATES_BY_ADDRESS.insert(sock, FRESH, 0).is_err() {
            count(Counter::ConnectionsUntracked, 1);
            return None;
        }
        let state = STATES_BY_ADDRESS.get_ptr_mut(sock)?;
        (*state).inode = inode;
        let mut next = [0, 0];
        if stream == Stream::Tcp {
            let sent = socket::sequence_probed(sock, Direction::Sent);
            let received = socket::sequence_probed(sock, Direction::Received);
            next = [observe::FIRST_LAP + u64::from(sent), observe::FIRST_LAP + u64::from(received)];
            next[direction as usize & 1] -= u64::from(len);
        }
        observe::meet(sock, state, next[0], next[1]);
        Some((sock, stream, state))
    }
}
