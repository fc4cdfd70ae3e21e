//! Looking at the bytes of a call: copied as far as needed, and searched for what begins there and where its head ends.
//!
//! Functions that copy or search are global, and so verified by themselves: inlined, their loops would be followed once for
//! each way that leads to them.

use core::hint::black_box;

use spanwire_ebpf::scan::{BlankLine, Ending, Start, Version, start};

use super::message::SMALL_MESSAGES;
use crate::{
    bytes::{copy, copy_inline, payload},
    emit,
    maps::Scratch,
    state::HEAD_CAP,
};

/// First read where a message is expected: most heads are shorter.
const FIRST: u32 = 1024;
/// Second read where the head was longer than the first.
const SECOND: u32 = 4096;
/// Read where a body goes on: enough to see a message start and a chunk's size line.
const INSIDE: u32 = 64;
/// Bytes kept from the end of a call whose middle is left out: a last chunk and its trailers are in them.
const TAIL: u32 = 64;
/// Bytes searched for a head's end at a time.
const BLOCK: u64 = 512;

/// What a call begins, as a number that the verifier knows nothing of.
pub(crate) mod begins {
    pub(crate) const NOTHING: u64 = 0;
    pub(crate) const RESPONSE: u64 = 1;
    pub(crate) const REQUEST: u64 = 2;
    /// And by its method nothing follows the request's head but the next one.
    pub(crate) const BODYLESS: u64 = 4;
    /// HTTP/2.
    pub(crate) const PREFACE: u64 = 8;
}

/// What the first `have` bytes of the payload begin.
#[inline(always)]
fn beginning(scratch: *mut Scratch, have: u64) -> u64 {
    let first = word(scratch, 0);
    match start(first, have as usize) {
        Start::No => begins::NOTHING,
        // Nothing is known of the status of one that is cut before it.
        Start::Response => begins::RESPONSE,
        Start::Request { bodyless: true } => begins::REQUEST | begins::BODYLESS,
        Start::Request { bodyless: false } => begins::REQUEST,
        Start::Preface => begins::PREFACE,
    }
}

/// How [`look`] looks.
pub(crate) mod how {
    /// A head goes on.
    pub(crate) const HEAD: u64 = 1;
    /// A message may begin.
    pub(crate) const MAY_BEGIN: u64 = 2;
    /// A whole head is expected.
    pub(crate) const FAR: u64 = 4;
    /// It may go on with a body.
    pub(crate) const IN_BODY: u64 = 8;
}

/// Copies the first of the `len` bytes of the call, and looks at them: how many were copied (0 when they cannot be read), from bit 16 on how many of them belong to the head that begins or goes on there (0 when it does
/// not end), from bit 32 on what they begin. The call before ended like `ending`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn look(len: u64, ending: u64, looks: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let in_head = looks & how::HEAD != 0;
    let after = if in_head { ending as u8 } else { 0 };
    let mut begins = begins::NOTHING;
    // A call that is taken whole if a message begins in it is read at once.
    let far = if len <= u64::from(SMALL_MESSAGES) { len } else { u64::from(FIRST) };
    let mut want = if looks & how::FAR != 0 { far } else { u64::from(INSIDE) };
    loop {
        let have = copy_inline(scratch, 0, 0, if len < want { len } else { want });
        if have == 0 {
            return 0;
        }
        if looks & how::MAY_BEGIN != 0 {
            begins = beginning(scratch, have);
            if looks & how::IN_BODY != 0 && begins & begins::REQUEST != 0 && has_version(have) == 0
            {
                begins = begins::NOTHING;
            }
        }
        if !in_head && begins == begins::NOTHING {
            return have;
        }
        if begins == begins::PREFACE {
            return have | begins << 32;
        }
        let end = head_len(scratch, have, after);
        if end != 0 || have != u64::from(FIRST) || len <= have || want != u64::from(FIRST) {
            return have | end << 16 | begins << 32;
        }
        want = u64::from(SECOND);
    }
}

/// 1 if there is a version in the first line, as far as that is among the first `have` bytes of the payload and among the first
/// [`INSIDE`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn has_version(have: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut version = Version::NONE;
    let mut at = 0;
    while at < u64::from(INSIDE) {
        if at >= have || version.byte(byte(scratch, at)) {
            break;
        }
        at += 1;
    }
    u64::from(version.is_there())
}

/// Copies on until `wanted` bytes are there, and behind them the last bytes of the call: how many of the first are there,
/// and from bit 16 on how many of the last. Where there is no hole between, all are first ones.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn gather(len: u64, have: u64, wanted: u64) -> u64 {
    let mut kept = wanted;
    if wanted > have {
        kept = copy(0, 0, wanted);
    }
    if kept < wanted || len <= kept {
        return kept;
    }
    let tail = u64::from(TAIL);
    if len <= kept + tail {
        return kept + copy(kept, kept, len - kept);
    }
    if copy(kept, len - tail, tail) == tail {
        return kept | tail << 16;
    }
    kept
}

/// How many of the first `have` bytes of the payload belong to the head that begins or goes on there, 0 if it goes on behind
/// them: for one that is longer than [`look`] looks. The call before ended like `ending`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn long_head_len(have: u64, ending: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    head_len(scratch, have, ending as u8)
}

/// How a head's call of `have` bytes, all of them here, ended, after one that ended like `before`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn ending(have: u64, before: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let last = byte(scratch, have.wrapping_sub(1));
    let one_before = if have > 1 { Some(byte(scratch, have - 2)) } else { None };
    u64::from(Ending::from_byte(before as u8).then(one_before, last).byte())
}

/// How many of the first `len` bytes of the scratch payload belong to the head, 0 if it goes on behind them; at most
/// [`HEAD_CAP`] bytes are searched. The call before ended like `after`.
#[inline(always)]
fn head_len(scratch: *mut Scratch, len: u64, after: u8) -> u64 {
    let blank = BlankLine::after(Ending::from_byte(after));
    unsafe { (&raw mut (*scratch).search).write_volatile(blank) };
    let mut block = 0;
    while block < u64::from(HEAD_CAP) / BLOCK {
        if block * BLOCK >= len {
            break;
        }
        let end = head_block(block);
        if end != 0 {
            return if end <= len { end } else { 0 };
        }
        block += 1;
    }
    0
}

/// Searches the next bytes of the payload for the head's end: where it is, 0 if not there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn head_block(block: u64) -> u64 {
    const WORDS: u64 = BLOCK / 8;
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut blank = unsafe { (&raw const (*scratch).search).read_volatile() };
    let first = black_box(block) % (u64::from(HEAD_CAP) / BLOCK) * WORDS;
    let mut i = 0;
    while i < WORDS {
        let ends = blank.word(word(scratch, (first + i) as usize));
        if ends != 0 {
            return (first + i) * 8 + BlankLine::len(ends) as u64;
        }
        i += 1;
    }
    unsafe { (&raw mut (*scratch).search).write_volatile(blank) };
    0
}

#[inline(always)]
pub(crate) fn byte(scratch: *mut Scratch, at: u64) -> u8 {
    unsafe { payload(scratch).add(bounded(at)).read_volatile() }
}

/// A place in the payload, its bound where the verifier sees it. (Not by a comparison: older ones lose their way behind one
/// whose outcome they know.)
#[inline(always)]
fn bounded(at: u64) -> usize {
    (black_box(at) & u64::from(HEAD_CAP - 1)) as usize
}

#[inline(always)]
pub(crate) fn word(scratch: *mut Scratch, i: usize) -> u64 {
    unsafe { payload(scratch).cast::<u64>().add(i).read_volatile() }
}
