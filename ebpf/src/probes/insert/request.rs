//! Requests of HTTP/1.1: where one begins that has no `traceparent` and whose trace is certain, one is put behind its request line.
//! Where it has the one with which the request came that it is sent for, its own span is made the parent, in the same place.

use aya_ebpf::{
    bindings::sk_msg_md,
    helpers::generated::{bpf_msg_pop_data, bpf_msg_pull_data, bpf_msg_push_data},
};
use spanwire_ebpf::{
    Counter,
    frame::PREFACE,
    insert::{
        LEN, MOST,
        head::{Head, has, is_plain_method},
    },
};

use super::{
    letter::{Letter, OF_NO_FRAME, insert_again, insert_hex, insert_tell, insert_value},
    message::{DROP, PASS, SMALL, bytes, copy, has_room, lost, meet, position, whose},
};
use crate::{
    emit,
    maps::{Scratch, count},
    observe::{byte, word},
    runtime,
    state::State,
    wire,
};

/// Shorter ones are no requests.
const LEAST: u32 = 16;
/// Bytes of a head that are read in one go.
const BLOCK: u64 = 64;

/// What [`about_to_send`] gives beside verdicts: the connection is one of HTTP/2, and begins.
pub(super) const STREAMS_BEGIN: u32 = 2;

/// A member is about to send, whose messages are requests of HTTP/1.1 so far.
#[inline(always)]
pub(super) unsafe fn about_to_send(
    msg: *mut sk_msg_md,
    state: *mut State,
    sequence: u32,
    size: u32,
) -> u32 {
    unsafe {
        let insertion = &raw mut (*state).insertion;
        // Again the same place: what was looked at last was not sent.
        if sequence != (*insertion).next && sequence != (*insertion).start {
            let left = (*insertion).next.wrapping_sub(sequence) as i32;
            if left < 0 || (left as u32) < size {
                lost(insertion);
            }
            return PASS;
        }
        if sequence != (*insertion).next {
            (*insertion).pieces = 1;
            insert_again((*state).generation, position(state, sequence));
        }
        (*insertion).start = sequence;
        (*insertion).inserted = 0;
        // One step after the other: one function in the other would need too much of the stack.
        let found = looks(msg, state, sequence, size);
        if found == BUSY {
            return PASS;
        }
        if found == STREAMS {
            if let Some(scratch) = emit::this_scratch() {
                emit::release(scratch);
            }
            return STREAMS_BEGIN;
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

/// What [`looks`] gives: the scratch event is somebody else's;
const BUSY: u64 = 0;
/// nothing is to be put in;
const NOTHING: u64 = 1;
/// a context is, if there is one;
const WANTED: u64 = 2;
/// it has one, which may be one that is passed on.
const HAS_ONE: u64 = 3;
/// it begins a connection of HTTP/2.
const STREAMS: u64 = 4;

/// Looks at the message: whether a request begins there that can have a context. Then, or if not, the scratch event is ours.
#[inline(never)]
unsafe fn looks(msg: *mut sk_msg_md, state: *mut State, sequence: u32, size: u32) -> u64 {
    unsafe {
        let insertion = &raw mut (*state).insertion;
        let Some(scratch) = emit::scratch() else {
            lost(insertion);
            return BUSY;
        };
        let letter = &raw mut (*scratch).letter;
        Letter::begin(letter, 0, size);
        let sock = (*insertion).sock;
        let read = if size < LEAST { SPLIT } else { read(msg, size, scratch) };
        if read == BEGINS_STREAMS {
            return STREAMS;
        }
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
        if !has_one && !has_room(sock, len + LEN as u64) {
            count(Counter::InsertNoRoom, 1);
            return NOTHING;
        }
        // Of a call's own bytes and those before them a later piece could not be told.
        if (*insertion).pieces > 1 {
            count(Counter::InsertSplit, 1);
            return NOTHING;
        }
        meet(state);
        (&raw mut (*letter).position).write_volatile(position(state, sequence));
        if has_one { HAS_ONE } else { WANTED }
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
        write_line(letter);
        if put(msg, line, size, scratch) {
            (&raw mut (*letter).inserted).write_volatile(LEN as u64);
            count(Counter::InsertDone, 1);
            wire::tell_sent();
            insert_tell(u64::from(line), LEN as u64, OF_NO_FRAME, 0);
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
const BEGINS_STREAMS: u64 = 3;

/// Reads the head that the message begins with.
#[inline(always)]
unsafe fn read(msg: *mut sk_msg_md, size: u32, scratch: *mut Scratch) -> u64 {
    let want = if size < MOST as u32 { size } else { MOST as u32 };
    let have = unsafe { copy(msg, 0, want, MOST as u64, scratch) };
    if have >= u64::from(LEAST) && word(scratch, 0) == PREFACE {
        return BEGINS_STREAMS;
    }
    if have < u64::from(LEAST) || !is_plain_method(word(scratch, 0)) {
        return OTHER;
    }
    insert_head(have)
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

/// Writes the text of the line.
#[inline(always)]
unsafe fn write_line(letter: *mut Letter) {
    const NAME: &[u8; 13] = b"traceparent: ";
    unsafe {
        let text = Letter::text(letter);
        let mut i = 0;
        while i < NAME.len() {
            text.add(i).write_volatile(NAME[i]);
            i += 1;
        }
        text.add(LEN - 2).write_volatile(b'\r');
        text.add(LEN - 1).write_volatile(b'\n');
    }
    insert_value(NAME.len() as u64);
}
