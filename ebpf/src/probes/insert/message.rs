//! Looking at what a member sends, before the kernel has it.
//!
//! The socket is locked meanwhile, so its sequence numbers stand. A program of its own, which reaches the probes' other functions
//! by a way that is not the one of calls.

use core::{ffi::c_void, hint::black_box, ptr};

use aya_ebpf::{
    bindings::sk_msg_md,
    helpers::generated::{bpf_msg_pull_data, bpf_probe_read_kernel, bpf_sk_storage_get},
    macros::sk_msg,
    programs::SkMsgContext,
};
use spanwire_ebpf::{Counter, Direction, Offset};

use super::{Insertion, blocks, boundary, request, stage, streams};
use crate::{
    bytes::payload,
    emit,
    maps::{STATES, Scratch, count},
    memory::{Probed, Reach, kernel},
    observe::{self, FIRST_LAP},
    preemption,
    registers::task,
    state::State,
    wire,
};

/// `SK_PASS`, `SK_DROP`
pub(super) const PASS: u32 = 1;
pub(super) const DROP: u32 = 0;

/// Up to this length a message is put into one piece again: each piece becomes a segment.
pub(super) const SMALL: u32 = 8 * 1024;
/// Room that must be left in the send buffer, beside twice what is sent: overheads of as many segments.
const SPARE: i64 = 16 * 1024;

/// A member is about to send.
#[sk_msg]
pub(crate) fn insert_context(context: SkMsgContext) -> u32 {
    let mut verdict = PASS;
    preemption::whole_message(|| verdict = unsafe { about_to_send(context.msg) });
    verdict
}

#[inline(always)]
unsafe fn about_to_send(msg: *mut sk_msg_md) -> u32 {
    unsafe {
        let sk = ptr::read_volatile(&raw const (*msg).__bindgen_anon_3.sk);
        if sk.is_null() {
            return PASS;
        }
        let states = (&raw const STATES).cast_mut().cast();
        let state: *mut State = bpf_sk_storage_get(states, sk.cast(), ptr::null_mut(), 0).cast();
        if state.is_null() {
            return PASS;
        }
        let insertion = &raw mut (*state).insertion;
        (*insertion).pieces = (*insertion).pieces.wrapping_add(1);
        let is_known = match (*insertion).stage {
            stage::KNOWN | stage::STREAMS => true,
            stage::LOST => boundary::is_found(state),
            _ => false,
        };
        if !is_known {
            return PASS;
        }
        // It is taken out as this is sent.
        if blocks((*insertion).sock) {
            return PASS;
        }
        let size = ptr::read_volatile(&raw const (*msg).size);
        let sequence: u32 = Probed::member((*insertion).sock as *const c_void, Offset::TcpWriteSeq);
        let is_of_streams = (*insertion).stage == stage::STREAMS;
        if is_of_streams {
            return streams::about_to_send(msg, state, sequence, size);
        }
        let verdict = request::about_to_send(msg, state, sequence, size);
        if verdict != request::STREAMS_BEGIN {
            return verdict;
        }
        streams::begin(state, sequence);
        streams::about_to_send(msg, state, sequence, size)
    }
}

/// It is not known any more where the next request begins.
#[inline(always)]
pub(super) unsafe fn lost(insertion: *mut Insertion) {
    unsafe { (*insertion).stage = stage::LOST };
    count(Counter::InsertLost, 1);
}

/// The connection is met, if it has not been.
#[inline(always)]
pub(super) unsafe fn meet(state: *mut State) {
    unsafe {
        if (*state).generation != 0 {
            return;
        }
        let sock = (*state).insertion.sock;
        let received: u32 = Probed::member(sock as *const c_void, Offset::TcpCopiedSeq);
        let sent: u32 = Probed::member(sock as *const c_void, Offset::TcpWriteSeq);
        let next = [FIRST_LAP + u64::from(sent), FIRST_LAP + u64::from(received)];
        observe::meet(sock, state, next, task());
    }
}

/// Position of a sequence number of what is sent.
#[inline(always)]
pub(super) unsafe fn position(state: *const State, sequence: u32) -> u64 {
    unsafe { (*state).extend(Direction::Sent, sequence) }
}

/// Who is to be asked for the context of the request that begins there.
#[inline(never)]
pub(super) unsafe fn whose(state: *mut State, sequence: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return wire::WHOSE_QUIET };
    unsafe {
        let sock = (*state).insertion.sock;
        wire::whose_message(sock, state, task(), sequence, scratch)
    }
}

/// Copies the bytes of the message from there on into the payload, `want` if there are so many; how many there are.
#[inline(always)]
pub(super) unsafe fn copy(
    msg: *mut sk_msg_md,
    from: u32,
    want: u32,
    most: u64,
    scratch: *mut Scratch,
) -> u64 {
    unsafe {
        let (mut data, mut end) = bytes(msg);
        if from != 0 || end - data < u64::from(want) {
            if bpf_msg_pull_data(msg, from, from + want, 0) != 0 {
                return 0;
            }
            (data, end) = bytes(msg);
        }
        let mut have = black_box(end - data);
        if have > most {
            have = most;
        }
        let payload = payload(scratch).cast();
        let failed = bpf_probe_read_kernel(payload, have as u32, data as *const c_void);
        if failed == 0 { have } else { 0 }
    }
}

/// Where the bytes are that can be looked at.
#[inline(always)]
pub(super) unsafe fn bytes(msg: *mut sk_msg_md) -> (u64, u64) {
    unsafe {
        let data = ptr::read_volatile(&raw const (*msg).__bindgen_anon_1.data);
        let end = ptr::read_volatile(&raw const (*msg).__bindgen_anon_2.data_end);
        (data as u64, end as u64)
    }
}

/// Whether all that is inserted finds room at once: of a part the application would be told too few bytes, and would send
/// some twice.
#[inline(always)]
pub(super) unsafe fn has_room(sock: u64, all: u64) -> bool {
    unsafe {
        let sock = sock as *const c_void;
        let queued: i32 = Probed::member(sock, Offset::SkWmemQueued);
        let buffer: i32 = Probed::member(sock, Offset::SkSndbuf);
        let needed = 2 * all as i64 + SPARE;
        if i64::from(queued) + needed >= i64::from(buffer) {
            return false;
        }
        // Who asks to be stopped at so many bytes that are not sent yet can be stopped anywhere.
        let unsent: u32 = Probed::member(sock, Offset::TcpNotsentLowat);
        if unsent != 0 && unsent != u32::MAX {
            return false;
        }
        let protocol: *const c_void = Probed::member(sock, Offset::SkProt);
        let pressure: u64 = Probed::member(protocol, Offset::ProtoMemoryPressure);
        pressure == 0 || kernel::<u64>(pressure) == 0
    }
}
