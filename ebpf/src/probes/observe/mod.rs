//! The one function behind every hook: bytes moved on a connection, one way, at a position.
//!
//! Here is which bytes of a call are told of at all; [`message`] puts together what is told of them, from what [`look`]
//! finds in them and what [`length`] reads of their headers. What these find is handed on through the scratch event.

mod length;
mod look;
mod message;

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use spanwire_ebpf::{Counter, DataHeader, NoData};

pub(crate) use self::message::{Found, Rest};
use self::message::{message, put};
use crate::{
    bytes::Source,
    config, control, emit,
    maps::{GENERATIONS, Scratch, count},
    socket,
    state::{Mode, State, Way},
};

/// Positions of TCP connections begin one lap of the sequence numbers up, so that none met at the end of a lap is
/// ever below zero.
pub(crate) const FIRST_LAP: u64 = 1 << 32;
/// Messages in one call that are told of one by one, where the lengths of all but the last are known.
const MESSAGES: u32 = 3;
/// Bytes of a body that is covered by a `Content-Length` after which user space is told how far it is.
const UNTOLD: u32 = 256 << 10;

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
}

/// Gives a connection that was never seen its generation number, and its positions unless they are known from its birth.
#[inline(always)]
pub(crate) fn meet(sock: u64, state: *mut State, next: [u64; 2]) {
    unsafe {
        count(Counter::ConnectionsMet, 1);
        let Some(last) = GENERATIONS.get_ptr_mut(0) else { return };
        *last += 1;
        (*state).generation = *last << 12 | u64::from(bpf_get_smp_processor_id() as u32 & 0xfff);
        if (*state).born == 0 {
            (*state).ways[0].next = next[0];
            (*state).ways[1].next = next[1];
        }
        if (bpf_get_current_pid_tgid() >> 32) as u32 == config::own_tgid() {
            // Our own calls are no events; that the connection is ours is one, because its peer is left alone too.
            (*state).mode = Mode::Ignored as u8;
            (*state).own = 1;
        } else if config::network_namespace() != 0
            && socket::network_namespace(sock) != config::network_namespace()
        {
            (*state).mode = Mode::Ignored as u8;
        }
    }
}

/// Whether the next bytes can be left unread: the connection is ignored and this is no turn of its direction at which
/// it gets a second look.
#[inline(always)]
pub(crate) fn passes(sock: u64, state: *mut State, way: usize) -> bool {
    unsafe {
        if !(*state).is(Mode::Ignored) {
            return false;
        }
        if (*state).own != 0 {
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

/// Reports bytes that moved and are at `source`. The state's next position is already past them.
#[inline(always)]
pub(crate) fn moved(sock: u64, state: *mut State, what: &Moved, source: Source) {
    let Some(scratch) = emit::scratch() else { return };
    unsafe { (*scratch).source = source };
    report(sock, state, what, scratch);
    emit::release(scratch);
}

/// The same where the scratch event is ours already and says where the bytes are.
#[inline(always)]
pub(crate) fn report(sock: u64, state: *mut State, what: &Moved, scratch: *mut Scratch) {
    unsafe {
        let way = what.way & 1;
        let direction = &raw mut (*state).ways[way];
        let turns = (*state).last != what.way as u8 + 1;
        (*state).last = what.way as u8 + 1;
        let mut done = 0;
        if (*direction).covered != 0 {
            // After the other side has spoken in the middle of a body anything may come.
            if turns {
                (*direction).covered = 0;
            }
            done = body(state, direction, what, scratch);
        }
        // Mostly one message, or a part of one.
        let mut messages = 1;
        while done < what.len || what.len == 0 {
            let rest = &raw mut (*scratch).rest;
            put(&raw mut (*rest).position, what.position + u64::from(done));
            put(&raw mut (*rest).expected, what.expected + u64::from(done));
            put(&raw mut (*rest).began, what.began);
            put(&raw mut (*rest).from, u64::from(done));
            put(&raw mut (*rest).len, what.len - done);
            put(&raw mut (*rest).turns, u8::from(turns && done == 0));
            put(&raw mut (*rest).may_be_cut, u8::from(messages < MESSAGES));
            done += message(sock, state, direction, way, scratch);
            if what.len == 0 || messages >= MESSAGES {
                return;
            }
            messages += 1;
        }
    }
}

/// Passes over what of a call a `Content-Length` covers, and over what of earlier calls has not been told: how many bytes
/// of this call. They are told at the body's end, and before when they have become many.
#[inline(always)]
fn body(state: *mut State, direction: *mut Way, what: &Moved, scratch: *mut Scratch) -> u32 {
    unsafe {
        let untold = (*direction).untold;
        let mut here = 0;
        if (*scratch).source.no_data != NoData::Raced && (*direction).covered > what.position {
            let left = (*direction).covered - what.position;
            here = if left < u64::from(what.len) { left as u32 } else { what.len };
            if left > u64::from(here) && here > 0 {
                if what.position == what.expected && here < UNTOLD && untold < UNTOLD {
                    (*direction).untold = untold + here;
                    return here;
                }
            } else if here > 0 {
                (*direction).covered = 0;
            }
        } else {
            (*direction).covered = 0;
        }
        // What another call moved unseen lies between the two.
        let together = if what.position == what.expected { here } else { 0 };
        if untold + together > 0 {
            (*direction).untold = 0;
            skipped(state, what, what.expected - u64::from(untold), untold + together, scratch);
        }
        if here > together {
            skipped(state, what, what.position, here, scratch);
        }
        here
    }
}

/// Tells of bytes that were left out on purpose.
#[inline(always)]
fn skipped(state: *mut State, what: &Moved, position: u64, len: u32, scratch: *mut Scratch) {
    unsafe {
        let task = bpf_get_current_pid_tgid();
        (*scratch).header = DataHeader {
            time: emit::now(),
            connection: (*state).generation,
            position,
            serving: 0,
            len,
            began_before: 0,
            tgid: (task >> 32) as u32,
            tid: task as u32,
            head: 0,
            tail: 0,
            direction: what.way as u8,
            no_data: 0,
            flags: 0,
            reserved: 0,
        };
        emit::data();
    }
}
