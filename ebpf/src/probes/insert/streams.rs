//! Streams of HTTP/2: a field is put behind each header block that opens one whose trace is certain, and the frame's length is raised
//! by it.
//!
//! A connection is followed from its preface on ([`super::frames`]). Once a `traceparent` was seen in any of its header blocks, nothing is put into
//! it any more, because later blocks can name that by a number. Nor is anything once a byte was missed. What is put in changes no table of HPACK ([`block`]).

use core::{hint::black_box, ptr};

use aya_ebpf::{
    bindings::sk_msg_md,
    btf_maps::LruHashMap,
    helpers::generated::{bpf_msg_pop_data, bpf_msg_pull_data, bpf_msg_push_data},
    macros::btf_map,
};
use spanwire_ebpf::{
    Counter,
    frame::HEADER,
    insert::{
        HEADS, MEMBERS, MOST,
        block::{self, LEN, LONGEST_FRAME, NAME, VALUE, VALUE_AT},
    },
};

use super::{
    frames::{Frames, Place, walk},
    letter::{Letter, insert_again, insert_tell, insert_value},
    message::{DROP, PASS, SMALL, bytes, has_room, lost, meet, position, whose},
    stage,
};
use crate::{
    emit,
    maps::{Scratch, count},
    runtime,
    state::State,
    wire,
};

/// A connection that is followed.
#[derive(Clone, Copy)]
#[repr(C)]
struct Followed {
    /// Before the message that was looked at last, and behind it.
    before: Place,
    behind: Place,
    /// The sequence numbers there.
    start: u32,
    next: u32,
}

/// Connections that are followed, by their generation numbers. One that is forgotten is never taken up again.
#[btf_map(name = "INSERT_STREAMS")]
static FOLLOWED: LruHashMap<u64, Followed, MEMBERS> = LruHashMap::new();

/// Such a connection begins at that sequence number.
#[inline(never)]
pub(super) unsafe fn begin(state: *mut State, sequence: u32) -> u64 {
    unsafe {
        meet(state);
        (*state).insertion.stage = stage::STREAMS;
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let place = &raw mut (*scratch).letter.frames.place;
        place.write_volatile(Place::BEGIN);
        keep(state, place, place, [sequence; 2])
    }
}

#[inline(always)]
unsafe fn keep(
    state: *const State,
    before: *const Place,
    behind: *const Place,
    [start, next]: [u32; 2],
) -> u64 {
    unsafe {
        let key = (*state).generation;
        let followed = Followed {
            before: before.read_volatile(),
            behind: behind.read_volatile(),
            start,
            next,
        };
        u64::from(FOLLOWED.insert(key, followed, 0).is_ok())
    }
}

/// A member is about to send on a connection of HTTP/2. Step by step: one function in the other would need too much of the stack.
#[inline(always)]
pub(super) unsafe fn about_to_send(
    msg: *mut sk_msg_md,
    state: *mut State,
    sequence: u32,
    size: u32,
) -> u32 {
    unsafe {
        if emit::scratch().is_none() {
            let insertion = &raw mut (*state).insertion;
            lost(insertion);
            (*insertion).asked = 1;
            return PASS;
        }
        if take_up(state, sequence, size) == 0 {
            return given_up(state);
        }
        walk(msg, size);
        let mut i = 0;
        while i < HEADS as u64 {
            let at = chosen(state, i, size);
            if at == NONE {
                break;
            }
            if is_bound(state, whose(state, sequence.wrapping_add(at as u32)), i) {
                puts(msg, i, size);
            }
            i += 1;
        }
        done(state, sequence, size)
    }
}

/// It is not known where its frames stand, for good.
#[inline(never)]
unsafe fn given_up(state: *mut State) -> u32 {
    unsafe {
        lost(&raw mut (*state).insertion);
        // Nobody has to find out.
        (*state).insertion.asked = 1;
        let _ = FOLLOWED.remove((*state).generation);
        if let Some(scratch) = emit::this_scratch() {
            emit::release(scratch);
        }
    }
    PASS
}

/// Goes on where the message begins; 0 if that is not known.
#[inline(never)]
unsafe fn take_up(state: *mut State, sequence: u32, size: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let insertion = &raw mut (*state).insertion;
        let Some(followed) = FOLLOWED.get_ptr_mut((*state).generation) else { return 0 };
        if sequence == (*followed).next {
            (*followed).before = (*followed).behind;
            (*followed).start = sequence;
        } else if sequence == (*followed).start {
            // What was looked at last was not sent.
            (*insertion).pieces = 1;
            insert_again((*state).generation, position(state, sequence));
        } else {
            return 0;
        }
        // A further piece is none that a call begins with.
        if (*insertion).pieces <= 1 {
            (*insertion).start = sequence;
            (*insertion).inserted = 0;
        }
        let letter = &raw mut (*scratch).letter;
        Letter::begin(letter, position(state, sequence), size);
        Frames::begin(&raw mut (*letter).frames, (*followed).before);
    }
    1
}

/// What [`chosen`] gives where there is none.
const NONE: u64 = u64::MAX;

/// Where the header of the `i`th frame that opens a stream will stand in the message, if a field may be put behind its block.
#[inline(never)]
unsafe fn chosen(state: *const State, i: u64, size: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return NONE };
    unsafe {
        let letter = &raw const (*scratch).letter;
        let frames = &raw const (*letter).frames;
        let known = (&raw const (*frames).count).read_volatile();
        if i >= known || (&raw const (*frames).place.lost).read_volatile() != 0 {
            return NONE;
        }
        let left = known - i;
        if (&raw const (*frames).place.has_one).read_volatile() != 0 {
            count(Counter::InsertHasOne, left);
            return NONE;
        }
        if (*state).insertion.pieces > 1 {
            count(Counter::InsertSplit, left);
            return NONE;
        }
        let opens = Frames::opens(frames, i);
        let frame = (&raw const (*opens).frame).read_volatile();
        let len = (&raw const (*opens).end).read_volatile() - frame;
        let inserted = (&raw const (*letter).inserted).read_volatile();
        let whole = u64::from(size) + inserted + LEN as u64;
        if len > MOST as u64
            || len + LEN as u64 > LONGEST_FRAME + HEADER as u64
            || !has_room((*state).insertion.sock, whole)
        {
            count(Counter::InsertNoRoom, left);
            return NONE;
        }
        frame + inserted
    }
}

/// Makes the context of that stream; whether it may go.
#[inline(always)]
unsafe fn is_bound(state: *const State, whose: u64, i: u64) -> bool {
    if whose == wire::WHOSE_QUIET {
        count(Counter::InsertQuiet, 1);
        return false;
    }
    let Some(scratch) = emit::this_scratch() else { return false };
    let mut may = true;
    if whose == wire::WHOSE_RUNTIME {
        let opens = unsafe { Frames::opens(&raw const (*scratch).letter.frames, i) };
        let stream = unsafe { (&raw const (*opens).stream).read_volatile() };
        may = runtime::stream_goes(unsafe { (*state).generation }, stream);
    }
    let is_bound = may && wire::bind_stream(whose);
    if !is_bound {
        count(Counter::InsertUnbound, 1);
    }
    is_bound
}

/// Puts it behind that block, and tells of it.
#[inline(never)]
unsafe fn puts(msg: *mut sk_msg_md, i: u64, size: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let letter = &raw mut (*scratch).letter;
        let opens = Frames::opens(&raw const (*letter).frames, i);
        let frame = (&raw const (*opens).frame).read_volatile();
        let end = (&raw const (*opens).end).read_volatile();
        let inserted = (&raw const (*letter).inserted).read_volatile();
        write_field(letter);
        let block = Block {
            frame: (frame + inserted) as u32,
            len: (end - frame) as u32,
            whole: size + inserted as u32 + LEN as u32,
        };
        if put(msg, &block, scratch) {
            (&raw mut (*letter).inserted).write_volatile(inserted + LEN as u64);
            count(Counter::InsertDone, 1);
            wire::tell_sent();
            insert_tell(end, LEN as u64, frame, end - frame - HEADER as u64 + LEN as u64);
        } else {
            count(Counter::InsertFailed, 1);
        }
    }
    0
}

/// Writes the text of the field.
#[inline(always)]
unsafe fn write_field(letter: *mut Letter) {
    unsafe {
        let text = Letter::text(letter);
        text.write_volatile(block::FORM);
        text.add(1).write_volatile(NAME.len() as u8);
        let mut i = 0;
        while i < NAME.len() {
            text.add(2 + i).write_volatile(NAME[i]);
            i += 1;
        }
        text.add(VALUE_AT - 1).write_volatile(VALUE as u8);
    }
    insert_value(VALUE_AT as u64);
}

/// A frame that is a whole header block.
struct Block {
    /// Where it begins in the message.
    frame: u32,
    /// Its length, header included.
    len: u32,
    /// The length of the message with what is put in.
    whole: u32,
}

/// Puts the field behind the block; whether it is there. Room is made before the block's last byte, which is moved then: the kernel makes
/// none behind a message's. Where it fails in between, that is taken out again, and where not even that can be done, the call fails:
/// better than bytes that nobody has written.
#[inline(always)]
unsafe fn put(msg: *mut sk_msg_md, block: &Block, scratch: *mut Scratch) -> bool {
    unsafe {
        let last = block.frame + block.len - 1;
        if bpf_msg_push_data(msg, last, LEN as u32, 0) != 0 {
            return false;
        }
        if block.whole <= SMALL {
            // In pieces it is right as well.
            bpf_msg_pull_data(msg, 0, block.whole, 0);
        }
        if bpf_msg_pull_data(msg, block.frame, block.frame + block.len + LEN as u32, 0) == 0
            && write(msg, block.len, scratch)
        {
            return true;
        }
        if bpf_msg_pop_data(msg, last, LEN as u32, 0) != 0 {
            (&raw mut (*scratch).letter.drop).write_volatile(1);
        }
        false
    }
}

/// Writes into the room, and the frame's length; `false` when nothing of it was.
#[inline(always)]
unsafe fn write(msg: *mut sk_msg_md, len: u32, scratch: *mut Scratch) -> bool {
    unsafe {
        let (data, end) = bytes(msg);
        // Its bound where the verifier sees it: the least such mask.
        let last = black_box(u64::from(len) - 1) & (2 * MOST as u64 - 1);
        let to = (data + last) as *mut u8;
        if to as u64 + 1 + LEN as u64 > end || data + HEADER as u64 > end {
            return false;
        }
        to.write_volatile(to.add(LEN).read_volatile());
        let text = Letter::text(&raw mut (*scratch).letter);
        let mut i = 0;
        while i < LEN {
            to.add(1 + i).write_volatile(text.add(i).read_volatile());
            i += 1;
        }
        let length = len - HEADER as u32 + LEN as u32;
        let header = data as *mut u8;
        header.write_volatile((length >> 16) as u8);
        header.add(1).write_volatile((length >> 8) as u8);
        header.add(2).write_volatile(length as u8);
        true
    }
}

/// Remembers where the frames stand behind the message, and gives the scratch event back.
#[inline(never)]
unsafe fn done(state: *mut State, sequence: u32, size: u32) -> u32 {
    let Some(scratch) = emit::this_scratch() else { return PASS };
    unsafe {
        let letter = &raw const (*scratch).letter;
        let inserted = (&raw const (*letter).inserted).read_volatile() as u32;
        let verdict = if (&raw const (*letter).drop).read_volatile() != 0 { DROP } else { PASS };
        let place = &raw const (*letter).frames.place;
        (*state).insertion.inserted += inserted;
        let is_lost = (&raw const (*place).lost).read_volatile() != 0;
        let followed = FOLLOWED.get_ptr_mut((*state).generation).unwrap_or(ptr::null_mut());
        if is_lost || followed.is_null() {
            given_up(state);
            return verdict;
        }
        (*followed).behind = place.read_volatile();
        (*followed).next = sequence.wrapping_add(size).wrapping_add(inserted);
        emit::release(scratch);
        verdict
    }
}
