//! Whether a request's head has a `traceparent`, and which: as much of the W3C's rules as can be decided here.
//!
//! The head lies in the scratch event. What is out of the ordinary (two of them, another version, a digit too many) is
//! [`UNSURE`]: user space reads it by all rules, and until then the request's trace is not certain.

use core::hint::black_box;

use spanwire_ebpf::scan::{FieldStarts, Hex};

use crate::{
    emit,
    observe::{byte, word},
    state::HEAD_CAP,
};

/// There is none.
pub(super) const NONE: u64 = 0;
/// It cannot be told.
pub(super) const UNSURE: u64 = u64::MAX;

const BLOCK: u64 = 512;
const NAME: &[u8; 12] = b"traceparent:";
/// White space before the value that is passed over.
const BLANKS: u64 = 4;
/// Length of a value (W3C Trace Context §3.2.2).
const VALUE: u64 = 55;

/// Lines that are looked at closer: those that begin with our letter. Heads have one or two.
const LINES: u64 = 8;

/// How far the search is.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Search {
    starts: FieldStarts,
    found: u64,
    /// Where such lines begin, and how many there are.
    lines: [u64; LINES as usize],
    count: u64,
    /// The value that was read.
    pub(super) trace: [u64; 2],
    pub(super) parent: u64,
    pub(super) sampled: u64,
    /// Where the value stands, without blanks.
    pub(super) at: u64,
}

/// Where the value of the one `traceparent` in a head of `end` bytes stands; [`NONE`], or [`UNSURE`]. Global, and so verified by
/// itself; so are those below, each with little on the stack, because what calls them has much.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn traceparent(end: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return UNSURE };
    unsafe {
        let search = &raw mut (*scratch).wire.search;
        (&raw mut (*search).starts).write_volatile(FieldStarts::NONE);
        (&raw mut (*search).found).write_volatile(NONE);
        (&raw mut (*search).count).write_volatile(0);
        let mut block = 0;
        while block < u64::from(HEAD_CAP) / BLOCK {
            if block * BLOCK >= end {
                break;
            }
            search_block(block);
            block += 1;
        }
        if (&raw const (*search).count).read_volatile() > LINES {
            return UNSURE;
        }
        let mut line = 0;
        while line < LINES {
            if line >= (&raw const (*search).count).read_volatile() {
                break;
            }
            field(line, end);
            line += 1;
        }
        (&raw const (*search).found).read_volatile()
    }
}

/// Searches the next bytes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_block(block: u64) -> u64 {
    const WORDS: u64 = BLOCK / 8;
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let search = &raw mut (*scratch).wire.search;
        let mut starts = (&raw const (*search).starts).read_volatile();
        let first = black_box(block) % (u64::from(HEAD_CAP) / BLOCK) * WORDS;
        let mut i = 0;
        while i < WORDS {
            let before = starts.word(word(scratch, (first + i) as usize), b't');
            if before < 8 {
                let count = (&raw const (*search).count).read_volatile();
                let slot = (black_box(count) & (LINES - 1)) as usize;
                (&raw mut (*search).lines)
                    .cast::<u64>()
                    .add(slot)
                    .write_volatile((first + i) * 8 + before);
                (&raw mut (*search).count).write_volatile(count + 1);
            }
            i += 1;
        }
        (&raw mut (*search).starts).write_volatile(starts);
    }
    0
}

/// The same of a value of which it is known by other means that no other one is there.
#[inline(always)]
pub(super) unsafe fn only_value(at: u64, end: u64) -> bool {
    let Some(scratch) = emit::this_scratch() else { return false };
    unsafe { (&raw mut (*scratch).wire.search.found).write_volatile(at) };
    value(at, end) != 0
}

/// The same of one that ends where it must.
#[inline(always)]
pub(super) unsafe fn only_value_at(at: u64) -> bool {
    let Some(scratch) = emit::this_scratch() else { return false };
    unsafe { (&raw mut (*scratch).wire.search.found).write_volatile(at) };
    value_at(at) != 0
}

/// Whether a line's field is ours.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn field(line: u64, end: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let search = &raw mut (*scratch).wire.search;
        let line = (black_box(line) & (LINES - 1)) as usize;
        let at = (&raw const (*search).lines).cast::<u64>().add(line).read_volatile();
        let mut i = 0;
        while i < NAME.len() as u64 {
            if byte(scratch, at + i) | 0x20 != NAME[i as usize] | 0x20 {
                return 0;
            }
            i += 1;
        }
        if at + NAME.len() as u64 > end {
            return 0;
        }
        let found = &raw mut (*search).found;
        let before = found.read_volatile();
        found.write_volatile(if before == NONE { at + NAME.len() as u64 } else { UNSURE });
    }
    0
}

/// Reads the value behind the name, in a head of `end` bytes, into the search: 1 if it is one of version 00.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn value(at: u64, end: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut at = at;
    let mut i = 0;
    while i < BLANKS {
        let blank = byte(scratch, at);
        if blank == b' ' || blank == b'\t' {
            at += 1;
        }
        i += 1;
    }
    if at + VALUE >= end {
        return 0;
    }
    let ended = byte(scratch, at + VALUE);
    if ended != b'\r' && ended != b'\n' {
        return 0;
    }
    value_at(at)
}

/// The same of one that stands there and ends where it must.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn value_at(at: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let is = |offset: u64, wanted: u8| byte(scratch, at + offset) == wanted;
    if !(is(0, b'0') && is(1, b'0') && is(2, b'-') && is(35, b'-') && is(52, b'-')) {
        return 0;
    }
    // Each at once to where it belongs: on the stack there is little room.
    unsafe {
        let search = &raw mut (*scratch).wire.search;
        (&raw mut (*search).trace[0]).write_volatile(digits(at + 3, 16));
        (&raw mut (*search).trace[1]).write_volatile(digits(at + 19, 16));
        (&raw mut (*search).parent).write_volatile(digits(at + 36, 16));
        (&raw mut (*search).sampled).write_volatile(digits(at + 53, 2) & 1);
        (&raw mut (*search).at).write_volatile(at);
        let trace = (&raw const (*search).trace[0]).read_volatile()
            | (&raw const (*search).trace[1]).read_volatile();
        let is_one = (&raw const (*search).found).read_volatile() != UNSURE
            && trace != 0
            && (&raw const (*search).parent).read_volatile() != 0;
        u64::from(is_one)
    }
}

/// So many hex digits; one that is none makes the search unsure.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn digits(at: u64, count: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut hex = Hex::EMPTY;
    let mut i = 0;
    while i < 16 {
        if i < count {
            hex = hex.digit(byte(scratch, at + i));
        }
        i += 1;
    }
    if hex.bad {
        unsafe { (&raw mut (*scratch).wire.search.found).write_volatile(UNSURE) };
    }
    hex.value
}
