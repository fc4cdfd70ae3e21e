//! Following the frames of HTTP/2 that a member sends, whatever its calls are cut into: where each begins, which of them open a
//! stream, and whether the name `traceparent` is in any header block.
//!
//! Must never guess: what can be no frame, or cannot be read, means that the connection is lost.

use core::hint::black_box;

use aya_ebpf::bindings::sk_msg_md;
use spanwire_ebpf::{
    Counter,
    frame::{Frame, HEADER, PREFACE, PREFACE_REST},
    insert::{HEADS, block::Names},
};

use super::message::copy;
use crate::{emit, maps::count, observe::byte};

/// Bytes of a message that are read in one go.
const WINDOW: u64 = 1024;
/// So often, in one message. What is left out between them is not counted.
const WINDOWS: u64 = 32;
/// Steps through one: each takes a frame's header, or what is here of its payload, of a header block up to [`PART`] bytes.
const STEPS: u64 = 256;
const PART: u64 = 64;
/// A frame that did not begin in this message.
const BEFORE: u64 = u64::MAX;

/// Where a connection's frames stand between two messages. Whole words.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Place {
    /// Bytes of the current frame's payload that are still to come.
    left: u64,
    /// Not zero when they are of a header block.
    is_of_block: u64,
    /// Bytes of a frame header that are here, at most eight,
    have: u64,
    /// and these, the first the lowest.
    header: u64,
    /// The stream that was opened last.
    stream: u64,
    /// See [`Names`].
    names: u64,
    /// Not zero once there was a `traceparent`.
    pub(super) has_one: u64,
    /// Not zero when something can be no frame.
    pub(super) lost: u64,
}

impl Place {
    /// At a connection's preface.
    pub(super) const BEGIN: Self = Self {
        left: 0,
        is_of_block: 0,
        have: 0,
        header: 0,
        stream: 0,
        names: 0,
        has_one: 0,
        lost: 0,
    };
}

/// A frame that opens a stream.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Opens {
    /// Where in the message it begins, and ends.
    pub(super) frame: u64,
    pub(super) end: u64,
    pub(super) stream: u64,
}

/// What is found in a message.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Frames {
    pub(super) place: Place,
    /// The current frame, if it opens a stream; its stream is 0 if not.
    current: Opens,
    /// Those that do.
    pub(super) count: u64,
    opens: [Opens; HEADS],
}

impl Frames {
    /// Nothing is found in a message yet that begins at that place.
    #[inline(always)]
    pub(super) unsafe fn begin(this: *mut Self, place: Place) {
        unsafe {
            (&raw mut (*this).place).write_volatile(place);
            (&raw mut (*this).current.frame).write_volatile(BEFORE);
            (&raw mut (*this).current.stream).write_volatile(0);
            (&raw mut (*this).count).write_volatile(0);
        }
    }

    /// The `i`th frame that opens a stream, by the two first bits of `i`.
    #[inline(always)]
    pub(super) unsafe fn opens(this: *const Self, i: u64) -> *const Opens {
        unsafe { &raw const (*this).opens[(i & (HEADS as u64 - 1)) as usize] }
    }
}

/// Follows the frames of the message.
#[inline(never)]
pub(super) unsafe fn walk(msg: *mut sk_msg_md, size: u32) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let size = u64::from(size);
    let mut at = 0;
    let mut i = 0;
    while i < WINDOWS {
        at = insert_pass(at, size);
        if at >= size {
            return at;
        }
        let rest = size - at;
        let want = if rest < WINDOW { rest } else { WINDOW };
        let have = unsafe { copy(msg, at as u32, want as u32, WINDOW, scratch) };
        if have == 0 {
            break;
        }
        at = insert_window(at, have);
        i += 1;
    }
    unsafe { (&raw mut (*scratch).letter.frames.place.lost).write_volatile(1) }
    at
}

/// Passes what need not be read of the current frame, from there on in a message of that size; where it stops. Global, and so verified by
/// itself; so is what follows.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_pass(at: u64, size: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return size };
    unsafe {
        let place = &raw mut (*scratch).letter.frames.place;
        if (&raw const (*place).lost).read_volatile() != 0 {
            return size;
        }
        let left = (&raw const (*place).left).read_volatile();
        if left == 0 || (&raw const (*place).is_of_block).read_volatile() != 0 {
            return at;
        }
        let here = size.wrapping_sub(at);
        let take = if left < here { left } else { here };
        (&raw mut (*place).left).write_volatile(left - take);
        at + take
    }
}

/// Follows the frames in the first `have` bytes of the payload, which stand `from` bytes behind the message's begin; where it stops.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_window(from: u64, have: u64) -> u64 {
    let mut at = 0;
    let mut i = 0;
    while i < STEPS {
        at = insert_step(from, at, have);
        if at >= have {
            break;
        }
        i += 1;
    }
    from + at
}

/// Takes a frame's header, or what is here of its payload, from the payload's `at`th byte on; where it stops.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_step(from: u64, at: u64, have: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return have };
    unsafe {
        let frames = &raw mut (*scratch).letter.frames;
        let place = &raw mut (*frames).place;
        let left = (&raw const (*place).left).read_volatile();
        if left == 0 {
            return insert_header(from, at, have);
        }
        let here = have.wrapping_sub(at);
        let mut take = if left < here { left } else { here };
        if (&raw const (*place).is_of_block).read_volatile() != 0 {
            if take > PART {
                take = PART;
            }
            insert_names(at, take);
        }
        (&raw mut (*place).left).write_volatile(left - take);
        if left == take {
            insert_end(from + at + take);
        }
        at + take
    }
}

/// Looks for the name in so many bytes of the payload from there on, which are of a header block.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_names(at: u64, len: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let place = &raw mut (*scratch).letter.frames.place;
        let mut names = Names((&raw const (*place).names).read_volatile());
        let mut i = 0;
        while i < PART {
            if i >= len {
                break;
            }
            names = names.octet(byte(scratch, at + i));
            if names.is_there() {
                (&raw mut (*place).has_one).write_volatile(1);
            }
            i += 1;
        }
        (&raw mut (*place).names).write_volatile(names.0);
    }
    0
}

/// The current frame ends there in the message.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_end(end: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let frames = &raw mut (*scratch).letter.frames;
        let stream = (&raw const (*frames).current.stream).read_volatile();
        if stream == 0 {
            return 0;
        }
        let frame = (&raw const (*frames).current.frame).read_volatile();
        let count_so_far = (&raw const (*frames).count).read_volatile();
        if frame == BEFORE || count_so_far >= HEADS as u64 {
            count(Counter::InsertSplit, 1);
            return 0;
        }
        let opens = &raw mut (*frames).opens[(count_so_far & (HEADS as u64 - 1)) as usize];
        (&raw mut (*opens).frame).write_volatile(frame);
        (&raw mut (*opens).end).write_volatile(end);
        (&raw mut (*opens).stream).write_volatile(stream);
        (&raw mut (*frames).count).write_volatile(count_so_far + 1);
    }
    0
}

/// Takes a frame's header.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_header(from: u64, at: u64, have: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return have };
    unsafe {
        let frames = &raw mut (*scratch).letter.frames;
        let place = &raw mut (*frames).place;
        if (&raw const (*place).have).read_volatile() == 0 {
            (&raw mut (*frames).current.frame).write_volatile(from + at);
        }
        let mut at = at;
        let mut i = 0;
        while i < HEADER as u64 {
            if at >= have {
                return at;
            }
            let next = byte(scratch, at);
            at += 1;
            let known = (&raw const (*place).have).read_volatile();
            let first = (&raw const (*place).header).read_volatile();
            if known >= 8 {
                (&raw mut (*place).have).write_volatile(0);
                (&raw mut (*place).header).write_volatile(0);
                insert_begin(first, u64::from(next));
                let lost = (&raw const (*place).lost).read_volatile() != 0;
                return if lost { have } else { at };
            }
            let first = first | u64::from(next) << ((black_box(known) * 8) & 63);
            (&raw mut (*place).header).write_volatile(first);
            (&raw mut (*place).have).write_volatile(known + 1);
            i += 1;
        }
        at
    }
}

/// A frame with this header begins.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn insert_begin(first: u64, last: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let frames = &raw mut (*scratch).letter.frames;
        let place = &raw mut (*frames).place;
        (&raw mut (*frames).current.stream).write_volatile(0);
        if first == PREFACE {
            (&raw mut (*place).is_of_block).write_volatile(0);
            (&raw mut (*place).left).write_volatile(u64::from(PREFACE_REST));
            return 0;
        }
        let frame = Frame::read(first, last as u8);
        if !frame.is_legal() {
            (&raw mut (*place).lost).write_volatile(1);
            return 0;
        }
        (&raw mut (*place).is_of_block).write_volatile(u64::from(frame.is_of_block()));
        (&raw mut (*place).left).write_volatile(u64::from(frame.length));
        // A client's streams have rising odd numbers (RFC 9113 §5.1.1); a block of one that was opened before is its trailers.
        let stream = u64::from(frame.whole_block());
        if stream & 1 != 0 && stream > (&raw const (*place).stream).read_volatile() {
            (&raw mut (*place).stream).write_volatile(stream);
            (&raw mut (*frames).current.stream).write_volatile(stream);
        }
    }
    0
}
