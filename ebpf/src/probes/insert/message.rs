//! Looking at what a member sends, before the kernel has it: where a request begins that has no `traceparent` and whose trace is
//! certain, one is put behind its request line. Where it has the one with which the request came that it is sent for, its own span is
//! made the parent, in the same place.
//!
//! The socket is locked meanwhile, so its sequence numbers stand. A program of its own, which reaches the probes' other functions
//! by a way that is not the one of calls.

use core::{ffi::c_void, hint::black_box, ptr};

use aya_ebpf::{
    bindings::sk_msg_md,
    helpers::generated::{
        bpf_msg_pop_data, bpf_msg_pull_data, bpf_msg_push_data, bpf_probe_read_kernel,
        bpf_sk_storage_get,
    },
    macros::sk_msg,
    programs::SkMsgContext,
};
use spanwire_ebpf::{
    ControlKind, Counter, Offset,
    insert::{Head, Inserted, LEN, MOST, has, is_plain_method},
};

use super::{Insertion, TEXT, blocks, boundary, stage};
use crate::{
    bytes::payload,
    emit,
    maps::{STATES, Scratch, count},
    memory::{Probed, Reach, kernel},
    observe::{self, FIRST_LAP, byte, word},
    preemption,
    registers::task,
    runtime,
    state::State,
    wire,
};

/// `SK_PASS`, `SK_DROP`
const PASS: u32 = 1;
const DROP: u32 = 0;

/// Shorter ones are no requests.
const LEAST: u32 = 16;
/// Up to this length a message is put into one piece again: each piece becomes a segment.
const SMALL: u32 = 8 * 1024;
/// Room that must be left in the send buffer, beside twice what is sent: overheads of as many segments.
const SPARE: i64 = 16 * 1024;
/// Bytes of a head that are read in one go.
const BLOCK: u64 = 64;

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
        let is_known = match (*insertion).stage {
            stage::KNOWN => true,
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
        // Again the same place: what was looked at last was not sent.
        if sequence != (*insertion).next && sequence != (*insertion).start {
            let left = (*insertion).next.wrapping_sub(sequence) as i32;
            if left < 0 || (left as u32) < size {
                lost(insertion);
            }
            return PASS;
        }
        (*insertion).start = sequence;
        (*insertion).inserted = 0;
        // One step after the other: one function in the other would need too much of the stack.
        let found = looks(msg, state, size);
        if found == BUSY {
            return PASS;
        }
        if found == NOTHING {
            return done(state, sequence, size);
        }
        let whose = whose(state, sequence);
        if whose == wire::WHOSE_RUNTIME
            && let Some(scratch) = emit::this_scratch()
        {
            runtime::request_goes(scratch);
        }
        if found == HAS_ONE {
            if whose == wire::WHOSE_QUIET || !wire::bind_message(whose) || !replaces(msg) {
                count(Counter::InsertHasOne, 1);
            }
        } else if is_bound(whose) {
            puts(msg, size);
        }
        done(state, sequence, size)
    }
}

/// It is not known any more where the next request begins.
#[inline(always)]
unsafe fn lost(insertion: *mut Insertion) {
    unsafe { (*insertion).stage = stage::LOST };
    count(Counter::InsertLost, 1);
}

/// What [`looks`] gives: the scratch event is somebody else's;
const BUSY: u64 = 0;
/// nothing is to be put in;
const NOTHING: u64 = 1;
/// a context is, if there is one;
const WANTED: u64 = 2;
/// it has one, which may be one that is passed on.
const HAS_ONE: u64 = 3;

/// Looks at the message: whether a request begins there that can have a context. Then, or if not, the scratch event is ours.
#[inline(never)]
unsafe fn looks(msg: *mut sk_msg_md, state: *mut State, size: u32) -> u64 {
    unsafe {
        let insertion = &raw mut (*state).insertion;
        let Some(scratch) = emit::scratch() else {
            lost(insertion);
            return BUSY;
        };
        let letter = &raw mut (*scratch).letter;
        (&raw mut (*letter).total).write_volatile(0);
        (&raw mut (*letter).inserted).write_volatile(0);
        (&raw mut (*letter).drop).write_volatile(0);
        let sock = (*insertion).sock;
        let read = if size < LEAST { SPLIT } else { read(msg, size, scratch) };
        if read != WHOLE {
            count(if read == SPLIT { Counter::InsertSplit } else { Counter::InsertOther }, 1);
            return NOTHING;
        }
        let head = &raw const (*letter).head;
        let len = (*head).whole().unwrap_or(0);
        let total = len + (&raw const (*head).length).read_volatile();
        (&raw mut (*letter).total).write_volatile(total);
        let has = (&raw const (*head).has).read_volatile();
        let has_one = has & has::TRACEPARENT != 0;
        if has_one && has & has::SIGNATURE != 0 {
            count(Counter::InsertSigned, 1);
            return NOTHING;
        }
        if has_one && (&raw const (*head).parent).read_volatile() == 0 {
            count(Counter::InsertHasOne, 1);
            return NOTHING;
        }
        if !has_one && !has_room(sock, len) {
            count(Counter::InsertNoRoom, 1);
            return NOTHING;
        }
        if (*state).generation == 0 {
            let received: u32 = Probed::member(sock as *const c_void, Offset::TcpCopiedSeq);
            let sent: u32 = Probed::member(sock as *const c_void, Offset::TcpWriteSeq);
            let next = [FIRST_LAP + u64::from(sent), FIRST_LAP + u64::from(received)];
            observe::meet(sock, state, next, task());
        }
        if has_one { HAS_ONE } else { WANTED }
    }
}

/// Who is to be asked for the request's context.
#[inline(never)]
unsafe fn whose(state: *mut State, sequence: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return wire::WHOSE_QUIET };
    unsafe {
        let sock = (*state).insertion.sock;
        wire::whose_message(sock, state, task(), sequence, scratch)
    }
}

/// Makes it; whether it may go.
#[inline(always)]
fn is_bound(whose: u64) -> bool {
    if whose == wire::WHOSE_QUIET {
        count(Counter::InsertQuiet, 1);
        return false;
    }
    let is_bound = wire::bind_message(whose);
    if !is_bound {
        count(Counter::InsertUnbound, 1);
    }
    is_bound
}

/// Puts it in, and tells of it.
#[inline(never)]
unsafe fn puts(msg: *mut sk_msg_md, size: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let letter = &raw mut (*scratch).letter;
        let line = (&raw const (*letter).head.line).read_volatile() as u32;
        insert_text();
        if put(msg, line, size, scratch) {
            (&raw mut (*letter).inserted).write_volatile(LEN as u64);
            count(Counter::InsertDone, 1);
            wire::tell_sent();
            insert_tell();
        } else {
            count(Counter::InsertFailed, 1);
        }
    }
    0
}

/// Makes the request's own span the parent in its `traceparent`, if that is passed on as it came; whether it is.
#[inline(never)]
unsafe fn replaces(msg: *mut sk_msg_md) -> bool {
    let Some(scratch) = emit::this_scratch() else { return false };
    unsafe {
        let head = &raw const (*scratch).letter.head;
        let at = (&raw const (*head).parent).read_volatile();
        let at = wire::passed_on(at, (*head).whole().unwrap_or(0));
        if at == wire::NOWHERE {
            return false;
        }
        let (_, span, _) = wire::sent_context(scratch);
        insert_hex(0, span);
        if overwrite(msg, at as u32, scratch) {
            count(Counter::InsertReplaced, 1);
            wire::tell_sent();
        } else {
            count(Counter::InsertFailed, 1);
        }
    }
    true
}

/// Writes the first sixteen bytes of the text there, in the kernel's copy of the message; whether it could.
#[inline(always)]
unsafe fn overwrite(msg: *mut sk_msg_md, at: u32, scratch: *mut Scratch) -> bool {
    unsafe {
        if at > MOST as u32 || bpf_msg_pull_data(msg, at, at + 16, 0) != 0 {
            return false;
        }
        let (data, end) = bytes(msg);
        if data + 16 > end {
            return false;
        }
        let text = (&raw const (*scratch).letter.text).cast::<u64>();
        let to = data as *mut u64;
        to.write_volatile(text.read_volatile());
        to.add(1).write_volatile(text.add(1).read_volatile());
        true
    }
}

/// Remembers where the next request begins, and gives the scratch event back.
#[inline(never)]
unsafe fn done(state: *mut State, sequence: u32, size: u32) -> u32 {
    let Some(scratch) = emit::this_scratch() else { return PASS };
    unsafe {
        let insertion = &raw mut (*state).insertion;
        let letter = &raw const (*scratch).letter;
        let total = (&raw const (*letter).total).read_volatile();
        let inserted = (&raw const (*letter).inserted).read_volatile() as u32;
        let has = (&raw const (*letter).head.has).read_volatile();
        let verdict = if (&raw const (*letter).drop).read_volatile() != 0 { DROP } else { PASS };
        emit::release(scratch);
        (*insertion).inserted = inserted;
        (*insertion).next = sequence.wrapping_add(total as u32).wrapping_add(inserted);
        let is_known = has & (has::ENCODING | has::EXPECT | has::UPGRADE) == 0;
        // What begins behind it in the same message is not looked at; nor what is no request.
        if !is_known || total < u64::from(size) {
            lost(insertion);
        }
        verdict
    }
}

/// What [`read`] gives.
const OTHER: u64 = 0;
const SPLIT: u64 = 1;
const WHOLE: u64 = 2;

/// Reads the head that the message begins with.
#[inline(always)]
unsafe fn read(msg: *mut sk_msg_md, size: u32, scratch: *mut Scratch) -> u64 {
    let have = unsafe { copy(msg, size, scratch) };
    if have < u64::from(LEAST) || !is_plain_method(word(scratch, 0)) {
        return OTHER;
    }
    insert_head(have)
}

/// Copies as much of the message as a head may be long; how much that was.
#[inline(always)]
unsafe fn copy(msg: *mut sk_msg_md, size: u32, scratch: *mut Scratch) -> u64 {
    unsafe {
        let want = if size < MOST as u32 { size } else { MOST as u32 };
        let (mut data, mut end) = bytes(msg);
        if end - data < u64::from(want) {
            if bpf_msg_pull_data(msg, 0, want, 0) != 0 {
                return 0;
            }
            (data, end) = bytes(msg);
        }
        let mut have = black_box(end - data);
        if have > MOST as u64 {
            have = MOST as u64;
        }
        let payload = payload(scratch).cast();
        let failed = bpf_probe_read_kernel(payload, have as u32, data as *const c_void);
        if failed == 0 { have } else { 0 }
    }
}

/// Where the bytes are that can be looked at.
#[inline(always)]
unsafe fn bytes(msg: *mut sk_msg_md) -> (u64, u64) {
    unsafe {
        let data = ptr::read_volatile(&raw const (*msg).__bindgen_anon_1.data);
        let end = ptr::read_volatile(&raw const (*msg).__bindgen_anon_2.data_end);
        (data as u64, end as u64)
    }
}

/// Reads the head that the first `have` bytes of the payload begin. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_head(have: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return OTHER };
    unsafe {
        let head = &raw mut (*scratch).letter.head;
        head.write_volatile(Head::NONE);
        let mut block = 0;
        while block < MOST as u64 / BLOCK {
            if block * BLOCK >= have || insert_block(block, have) != 0 {
                break;
            }
            block += 1;
        }
        let head = &*head;
        if head.whole().is_some() {
            WHOLE
        } else if head.is_refused() {
            OTHER
        } else {
            SPLIT
        }
    }
}

/// Reads the next bytes of it; not zero once it is over.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_block(block: u64, have: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 1 };
    let mut i = 0;
    while i < BLOCK {
        let at = block * BLOCK + i;
        if at >= have || insert_byte(u64::from(byte(scratch, at))) != 0 {
            return 1;
        }
        i += 1;
    }
    0
}

/// Reads one; not zero once it is over.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_byte(byte: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 1 };
    unsafe {
        let head = &mut (*scratch).letter.head;
        head.byte(byte as u8);
        u64::from(head.is_over())
    }
}

/// Whether all that is inserted finds room at once: of a part the application would be told too few bytes, and would send
/// some twice.
#[inline(always)]
unsafe fn has_room(sock: u64, head: u64) -> bool {
    unsafe {
        let sock = sock as *const c_void;
        let queued: i32 = Probed::member(sock, Offset::SkWmemQueued);
        let buffer: i32 = Probed::member(sock, Offset::SkSndbuf);
        let needed = 2 * (head as i64 + LEN as i64) + SPARE;
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

/// Puts the line in behind the first `line` bytes of the message; whether it is there. Where the kernel fails in between it is
/// taken out again, and where not even that can be done, the call fails: better than bytes that nobody has written.
#[inline(always)]
unsafe fn put(msg: *mut sk_msg_md, line: u32, size: u32, scratch: *mut Scratch) -> bool {
    unsafe {
        if bpf_msg_push_data(msg, line, LEN as u32, 0) != 0 {
            return false;
        }
        if size + LEN as u32 <= SMALL {
            // In pieces it is right as well.
            bpf_msg_pull_data(msg, 0, size + LEN as u32, 0);
        }
        if bpf_msg_pull_data(msg, line, line + LEN as u32, 0) == 0 {
            let (data, end) = bytes(msg);
            if data + LEN as u64 <= end {
                write(data as *mut u8, scratch);
                return true;
            }
        }
        if bpf_msg_pop_data(msg, line, LEN as u32, 0) != 0 {
            (&raw mut (*scratch).letter.drop).write_volatile(1);
        }
        false
    }
}

/// Copies the text there. By words: it is not known to whom those bytes are aligned, which the kernel does not mind.
#[inline(always)]
unsafe fn write(to: *mut u8, scratch: *mut Scratch) {
    unsafe {
        let text = (&raw const (*scratch).letter.text).cast::<u8>();
        let mut i = 0;
        while i + 8 <= LEN {
            let word = text.add(i).cast::<u64>().read_volatile();
            to.add(i).cast::<u64>().write_volatile(word);
            i += 8;
        }
        while i < LEN {
            to.add(i).write_volatile(text.add(i).read_volatile());
            i += 1;
        }
    }
}

/// Writes the text of the line. Global, and so verified by itself; so is what follows.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_text() -> u64 {
    const NAME: &[u8; 16] = b"traceparent: 00-";
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let (trace, span, sampled) = wire::sent_context(scratch);
    let text = unsafe { (&raw mut (*scratch).letter.text).cast::<u8>() };
    unsafe {
        let mut i = 0;
        while i < NAME.len() {
            text.add(i).write_volatile(NAME[i]);
            i += 1;
        }
        text.add(48).write_volatile(b'-');
        text.add(65).write_volatile(b'-');
        text.add(66).write_volatile(b'0');
        text.add(67).write_volatile(if sampled { b'1' } else { b'0' });
        text.add(68).write_volatile(b'\r');
        text.add(69).write_volatile(b'\n');
    }
    insert_hex(16, trace[0]);
    insert_hex(32, trace[1]);
    insert_hex(49, span);
    0
}

/// Writes sixteen digits there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_hex(at: u64, value: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut value = value;
    let mut i = 0;
    while i < 16 {
        let digit = (value >> 60) as u8;
        let digit = if digit < 10 { b'0' + digit } else { b'a' - 10 + digit };
        // Its bound where the verifier sees it.
        let place = black_box(at + i) & (TEXT as u64 - 1);
        unsafe {
            let text = (&raw mut (*scratch).letter.text).cast::<u8>();
            text.add(place as usize).write_volatile(digit);
        }
        value <<= 4;
        i += 1;
    }
    0
}

/// Tells user space of it. Global, and straight into the ring.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_tell() -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let Some(event) = emit::reserve::<Inserted>() else { return 0 };
        (*event).header = emit::header(ControlKind::Inserted);
        let (connection, position) = wire::sent_where(scratch);
        (*event).connection = connection;
        (*event).position = position;
        (*event).at = (&raw const (*scratch).letter.head.line).read_volatile() as u32;
        (*event).len = LEN as u32;
        emit::submit(event);
    }
    0
}
