//! The one function behind every hook: bytes moved on a connection, one way, at a position.
//!
//! Here is which calls are looked at; [`message`] puts together what is told of them, from what [`look`] finds in them.
//! What these find is handed on through the scratch event.
//!
//! No length that a head gives is believed, to leave the body behind it unread: what stands in a body may look like such a
//! head, and a wrong length would hide the messages behind it. Of a body's call the first and last bytes are copied.

mod event;
mod frames;
mod look;
mod message;

use core::{
    ffi::c_void,
    hint::{black_box, cold_path},
};

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use spanwire_ebpf::Counter;

pub(crate) use self::{
    frames::Walking,
    look::{begins, byte, how, look, word},
    message::{Found, Moving},
};
use self::{
    frames::frames,
    message::{complete, complete_apart, message, message_apart, put},
};
use crate::{
    bytes::{self, Source},
    config, control, emit, left_out,
    maps::{GENERATIONS, Scratch, count},
    memory::{Reach, Typed},
    socket,
    state::{Mode, State},
    wire,
};

/// Positions of TCP connections begin one lap of the sequence numbers up, so that none met at the end of a lap is
/// ever below zero.
pub(crate) const FIRST_LAP: u64 = 1 << 32;

/// A completed call.
pub(crate) struct Moved {
    /// The direction, as an index.
    pub(crate) way: usize,
    pub(crate) position: u64,
    /// Where the direction stood before.
    pub(crate) expected: u64,
    /// Bytes, at least 1; 0 at the end of the peer's direction.
    pub(crate) len: u32,
    /// When the first byte moved, if that is known to be earlier than now.
    pub(crate) began: u64,
    /// The running task,
    pub(crate) running: *const c_void,
    /// as `bpf_get_current_pid_tgid` names it.
    pub(crate) task: u64,
}

/// Gives a connection that was never seen, and is met in that task, its generation number, and its positions unless they are known from its birth.
#[inline(always)]
pub(crate) fn meet(sock: u64, state: *mut State, next: [u64; 2], task: u64) {
    unsafe {
        count(Counter::ConnectionsMet, 1);
        (*state).generation = generation();
        if (*state).born == 0 {
            (*state).ways[0].next = next[0];
            (*state).ways[1].next = next[1];
        }
        wire::meet(sock, state);
        if (task >> 32) as u32 == config::own_tgid() {
            // Our own calls are no events; that the connection is ours is one, because its peer is left alone too.
            (*state).mode = Mode::Ignored as u8;
            (*state).own = 1;
        } else if config::network_namespace() != 0
            && socket::network_namespace(sock) != config::network_namespace()
        {
            (*state).mode = Mode::Ignored as u8;
        }
        left_out::met(state);
    }
}

/// A generation number that no connection has had.
#[inline(always)]
pub(crate) fn generation() -> u64 {
    unsafe {
        let Some(last) = GENERATIONS.get_ptr_mut(0) else { return 0 };
        *last += 1;
        *last << 12 | u64::from(bpf_get_smp_processor_id() as u32 & 0xfff)
    }
}

/// Whether the next bytes can be left unread: the connection is left out, or it is ignored and this is no turn of its
/// direction at which it gets a second look.
#[inline(always)]
pub(crate) fn passes(sock: u64, state: *mut State, way: usize) -> bool {
    unsafe {
        if left_out::holds(state) {
            (*state).last = way as u8 + 1;
            return true;
        }
        if !(*state).is(Mode::Ignored) {
            return false;
        }
        if (*state).own != 0 {
            cold_path();
            (*state).own = 0;
            control::opened(sock, state, (*state).ways[0].next, (*state).ways[1].next);
        }
        let same_way = (*state).last == way as u8 + 1;
        if same_way || (*state).second_looks == 0 {
            (*state).last = way as u8 + 1;
            return true;
        }
        (*state).second_looks -= 1;
        false
    }
}

/// Reports bytes that moved and are at `source`, from a hook that has its socket typed. The state's next position is already past them.
#[inline(always)]
pub(crate) fn moved(sock: u64, state: *mut State, what: &Moved, source: Source) {
    let Some(scratch) = emit::scratch() else { return };
    unsafe { (*scratch).source = source };
    report::<Typed>(sock, state, what, scratch);
    emit::release(scratch);
}

/// The same where the scratch event is ours already and says where the bytes are.
#[inline(always)]
pub(crate) fn report<R: Reach>(sock: u64, state: *mut State, what: &Moved, scratch: *mut Scratch) {
    unsafe {
        let way = what.way & 1;
        let direction = &raw mut (*state).ways[way];
        let turns = (*state).last != what.way as u8 + 1;
        (*state).last = what.way as u8 + 1;
        let call = &raw mut (*scratch).call;
        put(&raw mut (*call).position, what.position);
        put(&raw mut (*call).expected, what.expected);
        put(&raw mut (*call).began, what.began);
        put(&raw mut (*call).task, what.task);
        put(&raw mut (*call).len, what.len);
        put(&raw mut (*call).turns, u8::from(turns));
        bytes::begin(scratch);
        // It may find out that frames begin here, and then leaves them to us.
        if !(*state).is(Mode::Http2) {
            let told = if R::IN_ONE_PIECE {
                message::<R>(sock, state, direction, way, scratch)
            } else {
                message_apart::<R>(sock, state, direction, way, scratch)
            };
            if told {
                if R::IN_ONE_PIECE {
                    complete::<R>(sock, state, way, what.running, scratch);
                } else {
                    complete_apart::<R>(sock, state, way, what.running, scratch);
                }
                return;
            }
        }
        if (*state).is(Mode::Http2) {
            // The bound is spelt out where the verifier can see it, and hidden from the compiler, which knows it.
            let place = &raw mut (*state).frames[black_box(way) & 1];
            frames(state, place, way, scratch);
        }
    }
}
