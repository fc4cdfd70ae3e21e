//! The hook at the return of each system call that moves socket bytes (set `syscall`): for kernels before 6.3, and for
//! those whose socket tracepoints cannot be used.
//!
//! The descriptor leads to the socket through the task's file table. State is found by the socket's address; another
//! inode number at the same address is another connection.

use core::{ffi::c_void, ptr};

use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};
use spanwire_ebpf::{Counter, Direction, NoData};

use crate::{
    bytes::Source,
    emit,
    maps::{STATES_BY_ADDRESS, count},
    memory::{Probed, user},
    observe::{self, Moved},
    preemption,
    registers::{Call, number},
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

/// `sys_exit_{read,readv,preadv2,recvfrom,recvmsg,recvmmsg,write,writev,pwritev2,sendto,sendmsg,sendmmsg,sendfile64,splice}`
///
/// One program for all: each program is verified with everything it calls.
#[tracepoint]
pub(crate) fn exit_call(context: TracePointContext) -> u32 {
    preemption::whole(|| {
        exit(&context);
    });
    0
}

#[inline(always)]
fn exit(context: &TracePointContext) -> u32 {
    let returned = returned(context);
    if returned < 0 {
        return 0;
    }
    let call = Call::probed();
    let receives_one = matches!(
        call.number,
        number::READ | number::READV | number::PREADV2 | number::RECVFROM | number::RECVMSG
    );
    let receives = receives_one || matches!(call.number, number::RECVMMSG | number::SPLICE);
    // Nothing received may be the end of the stream; nothing moved otherwise is nothing.
    if returned == 0 && !receives_one {
        return 0;
    }
    let flags = match call.number {
        number::RECVFROM | number::RECVMMSG => call.fourth,
        number::RECVMSG => call.third,
        _ => 0,
    };
    if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return 0;
    }
    let len = match call.number {
        // These return messages, not bytes.
        number::SENDMMSG | number::RECVMMSG => lengths(&call, returned as u64),
        _ => returned as u32,
    };
    let Some(scratch) = emit::scratch() else { return 0 };
    unsafe {
        (*scratch).source =
            if flags & MSG_TRUNC != 0 { Source::none(NoData::Form) } else { Source::of(&call) };
    }
    if call.number == number::SPLICE {
        moved(call.third, u64::from(len), Direction::Sent as u64);
    }
    let direction = if receives { Direction::Received } else { Direction::Sent };
    moved(call.first, u64::from(len), direction as u64);
    emit::release(scratch);
    0
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

/// `len` bytes moved one way through a descriptor, if it is a socket's. Where they are says the scratch event.
///
/// Global, and so verified by itself: inlined, all of it would be followed once for each way that leads here. It takes
/// numbers only, because global functions of older kernels take no pointers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn moved(descriptor: u64, len: u64, direction: u64) -> u64 {
    let direction =
        if direction == Direction::Sent as u64 { Direction::Sent } else { Direction::Received };
    let len = len as u32;
    unsafe {
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let Some((sock, stream, state)) = find(descriptor, direction, len) else { return 0 };
        if len == 0 && !socket::peer_ended::<Probed>(sock as *const c_void) {
            return 0;
        }
        let way = direction as usize & 1;
        let expected = (*state).next[way];
        let mut position = expected;
        if stream == Stream::Tcp {
            let after = socket::sequence_probed(sock, direction);
            position = (*state).extend(direction, after.wrapping_sub(len));
            if direction == Direction::Sent && position != expected {
                (*scratch).source = Source::none(NoData::Raced);
            }
        }
        (*state).next[way] = position + u64::from(len);
        if !observe::passes(state, direction) {
            observe::report(
                sock,
                state,
                &Moved { direction, position, expected, len, began: 0 },
                scratch,
            );
        }
        0
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
