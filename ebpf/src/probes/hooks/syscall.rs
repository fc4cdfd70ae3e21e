//! The hook at the return of each system call that moves socket bytes (set `syscall`): for kernels before 6.3, and for
//! those whose socket tracepoints cannot be used.
//!
//! The descriptor leads to the socket through the task's file table. State is found by the socket's address; another
//! inode number at the same address is another connection.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_get_current_pid_tgid, macros::tracepoint,
    programs::TracePointContext,
};
use spanwire_ebpf::{Counter, Direction, NoData};

use crate::{
    bytes::Source,
    emit,
    maps::{STATES_BY_ADDRESS, Scratch, count},
    memory::{Probed, Reach, user},
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

/// Begins the state of a socket that was never seen; whether there was room.
#[inline(always)]
pub(super) fn begin_state(sock: u64) -> bool {
    static NEVER_SEEN: State = State::NEVER_SEEN;
    // By reference: by value it would be copied to the stack, of which it would take a good part.
    let fresh = &NEVER_SEEN;
    STATES_BY_ADDRESS.insert(sock, fresh, 0).is_ok()
}

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
    let Some(scratch) = emit::scratch() else { return 0 };
    let asked = unsafe { &raw mut (*scratch).asked };
    if decode(returned as u64) != 0 {
        let Asked { len, receiver, sender } = unsafe { asked.read_volatile() };
        if sender != NONE {
            moved(sender, len, Direction::Sent as u64);
        }
        if receiver != NONE {
            moved(receiver, len, Direction::Received as u64);
        }
    }
    emit::release(scratch);
    0
}

/// What a call moved, and between which descriptors.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Asked {
    len: u64,
    /// The descriptor that bytes were received from, or [`NONE`].
    receiver: u64,
    /// The one they were sent to, or [`NONE`].
    sender: u64,
}

/// No descriptor.
const NONE: u64 = u64::MAX;

/// Finds out what the running call, which returned this, has moved; 0 when nothing. Into the scratch event goes where the
/// bytes are. Global, so that its room on the stack is free again for what follows.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decode(returned: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
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
        number::SENDMMSG | number::RECVMMSG => lengths(&call, returned),
        _ => returned as u32,
    };
    let sender = match call.number {
        number::SPLICE => call.third,
        _ if receives => NONE,
        _ => call.first,
    };
    unsafe {
        (*scratch).source =
            if flags & MSG_TRUNC != 0 { Source::none(NoData::Form) } else { Source::of(&call) };
        (*scratch).asked = Asked {
            len: u64::from(len),
            receiver: if receives { call.first } else { NONE },
            sender,
        };
    }
    1
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
    unsafe {
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let state = find(scratch, descriptor, len as u32, direction);
        if state.is_null() {
            return 0;
        }
        // From memory: the verifier is to know nothing of these, or it would follow the rest for each way to them.
        let Place { sock, position, way } = (&raw const (*scratch).place).read_volatile();
        let way = way as usize & 1;
        let expected = (*state).ways[way].next;
        (*state).ways[way].next = position + u64::from(len as u32);
        if !observe::passes(sock, state, way) {
            let (running, task) = (Probed::task(), bpf_get_current_pid_tgid());
            let what = Moved { way, position, expected, len: len as u32, began: 0, running, task };
            observe::report::<Probed>(sock, state, &what, scratch);
        }
        0
    }
}

/// Which socket a call was on, and where.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Place {
    sock: u64,
    position: u64,
    way: u64,
}

/// The state of the socket behind a descriptor, met now if it was never seen; null for what is not captured. Which socket,
/// and at which position its direction stood, goes into the scratch event.
///
/// A function of its own, so that what it needs of the stack is free again for what follows.
#[inline(never)]
unsafe fn find(scratch: *mut Scratch, descriptor: u64, len: u32, direction: u64) -> *mut State {
    unsafe {
        let direction =
            if direction == Direction::Sent as u64 { Direction::Sent } else { Direction::Received };
        let Some((sock, inode)) = socket::behind(descriptor) else { return ptr::null_mut() };
        let Some(stream) = socket::stream::<Probed>(sock as *const c_void) else {
            return ptr::null_mut();
        };
        if len == 0 && !socket::peer_ended::<Probed>(sock as *const c_void) {
            return ptr::null_mut();
        }
        let Some(state) = known_or_met(sock, inode, stream, direction, len) else {
            return ptr::null_mut();
        };
        let expected = (*state).ways[direction as usize & 1].next;
        let mut position = expected;
        if stream == Stream::Tcp {
            let after = socket::sequence_probed(sock, direction);
            position = (*state).extend(direction, after.wrapping_sub(len));
            if direction == Direction::Sent && position != expected {
                (*scratch).source.no_data = NoData::Raced;
            }
        }
        let place = Place { sock, position, way: direction as u64 };
        (&raw mut (*scratch).place).write_volatile(place);
        state
    }
}

/// The state of a TCP socket on which something is about to be sent.
#[inline(always)]
pub(super) unsafe fn meet_sender(sock: u64, inode: u64) -> Option<*mut State> {
    unsafe { known_or_met(sock, inode, Stream::Tcp, Direction::Sent, 0) }
}

/// The state of a socket; made, and the connection met, if this is the first that is seen of it.
#[inline(always)]
unsafe fn known_or_met(
    sock: u64,
    inode: u64,
    stream: Stream,
    direction: Direction,
    len: u32,
) -> Option<*mut State> {
    unsafe {
        let known = STATES_BY_ADDRESS.get_ptr_mut(sock);
        if let Some(state) = known
            && (*state).inode == inode
        {
            return Some(state);
        }
        // An end of stream on a connection never seen says nothing.
        if len == 0 && direction == Direction::Received {
            return None;
        }
        let newborn = match known {
            Some(state) => (*state).inode == 0 && (*state).born != 0,
            None => false,
        };
        if !newborn && !begin_state(sock) {
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
            if direction == Direction::Sent {
                next[0] -= u64::from(len);
            } else {
                next[1] -= u64::from(len);
            }
        }
        observe::meet(sock, state, next, bpf_get_current_pid_tgid());
        Some(state)
    }
}
