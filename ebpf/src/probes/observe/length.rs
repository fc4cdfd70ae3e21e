//! How long a message is, from what its head says, where that is plain. A wrong answer here would hide messages: whatever
//! is unclear is no answer.

use core::hint::black_box;

use spanwire_ebpf::scan::{Field, Newline, field, newline, number};

use super::look::{SECOND, begins, word, word_at};
use crate::emit;

/// Bytes searched for header lines at a time.
const LINES: u64 = 256;

/// No length is known.
pub(super) const NO_LENGTH: u64 = u64::MAX;

/// How long the message is whose head are the first `end` bytes of the payload, from what its head says; [`NO_LENGTH`]
/// when that is not plain. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn message_len(end: u64, begins: u64) -> u64 {
    // The LF that ends the last header, and those of the blank line, begin no header.
    let last = end.wrapping_sub(3);
    if last > u64::from(SECOND) {
        return NO_LENGTH;
    }
    let Some(scratch) = emit::this_scratch() else { return NO_LENGTH };
    unsafe { (&raw mut (*scratch).length_line).write_volatile(0) };
    let mut block = 0;
    while block < u64::from(SECOND) / LINES {
        if block * LINES >= last {
            break;
        }
        if fields(block, last) != 0 {
            return NO_LENGTH;
        }
        block += 1;
    }
    // Asked for again, rather than kept on the stack of the deepest chain.
    let Some(scratch) = emit::this_scratch() else { return NO_LENGTH };
    let line = unsafe { (&raw const (*scratch).length_line).read_volatile() };
    if line == 0 {
        // A request without a length has no body (RFC 9112 §6.3 point 7).
        return if begins & begins::REQUEST != 0 { end } else { NO_LENGTH };
    }
    match number(word_at(scratch, line), word_at(scratch, line + 8)) {
        Some(body) => end + body,
        None => NO_LENGTH,
    }
}

/// Looks at the header lines that begin behind the LFs of a block, before `last`; not zero if what they say of the
/// body's length is unclear.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fields(block: u64, last: u64) -> u64 {
    const WORDS: u64 = LINES / 8;
    let Some(scratch) = emit::this_scratch() else { return 1 };
    let first = black_box(block) % (u64::from(SECOND) / LINES) * WORDS;
    let mut i = 0;
    while i < WORDS {
        let at = (first + i) * 8;
        if at >= last {
            return 0;
        }
        match newline(word(scratch, (first + i) as usize), last - at) {
            Newline::None => {}
            Newline::Several => return 1,
            Newline::At(place) => {
                if header_line(at + place + 1) != 0 {
                    return 1;
                }
            }
        }
        i += 1;
    }
    0
}

/// Looks at the header line at `line` of the payload: notes where it says the body's length; not zero if that is unclear.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn header_line(line: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 1 };
    let length = unsafe { &raw mut (*scratch).length_line };
    match field(word_at(scratch, line), word_at(scratch, line + 8)) {
        Field::Other => 0,
        Field::Unclear => 1,
        Field::ContentLength => unsafe {
            if length.read_volatile() != 0 {
                return 1;
            }
            length.write_volatile(line + 15);
            0
        },
    }
}
