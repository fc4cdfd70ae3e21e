//! HTTP/2: following the frames of a direction by position, to copy what the agent must read and leave out what it only
//! counts.
//!
//! All of a call is told, as one event or several: each has bytes from its start, and behind them, left out, the rest of a frame
//! that is skipped. So there is one event for each skipped frame that is longer than a [`WINDOW`], and for a call of
//! small frames one for all.
//!
//! What cannot be a frame means that this direction was lost. Frames are then expected at the begin of the next call: a
//! wrong guess is found out at its next header, and costs only bytes.

use core::hint::black_box;

use spanwire_ebpf::{
    Counter, Direction, NoData, config_flag, data_flag,
    frame::{Frame, PREFACE, PREFACE_REST},
};

use super::{
    event,
    look::byte,
    message::{get, put},
};
use crate::{
    bytes::copy_inline,
    config, emit,
    maps::{Scratch, count},
    runtime,
    state::{Frames, Mode, State},
    wire::{self, Blocks},
};

/// Bytes read at a time. Most calls of RPCs are shorter.
const WINDOW: u64 = 1024;
/// Steps through one window; each takes a frame's header or what is here of its payload. So many are never needed: the shortest
/// frames with a payload have ten bytes.
const STEPS: u64 = 256;
/// Windows of one call. What is behind them is lost, and counted.
const WINDOWS: u64 = 64;
/// Events in a row without a frame, after which the connection is left alone.
const STRIKES: u8 = 64;

/// A direction's place while a call is followed.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Walking {
    frames: Frames,
    /// Frame headers that were read.
    headers: u64,
    /// Not zero when something can be no frame.
    lost: u64,
    /// Header blocks of streams that end in the window.
    pub(crate) blocks: Blocks,
}

/// Whether the first `have` bytes of the payload, of a call of `len`, are frames: 2 if it is sure, 1 if they are a single one to
/// the byte, 0 if not. `first`: they are the first bytes of their direction.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn framed(have: u64, len: u64, first: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut at = 0;
    let mut i = 0;
    while i < 2 {
        if at + 9 > have {
            return 0;
        }
        let frame = header_at(scratch, at);
        if !frame.is_convincing() {
            return 0;
        }
        at += 9 + u64::from(frame.length);
        if i == 1 || first != 0 && frame.is_first() {
            return 2;
        }
        if at == len {
            return 1;
        }
        i += 1;
    }
    0
}

/// The frame header that begins there in the payload.
#[inline(always)]
fn header_at(scratch: *mut Scratch, at: u64) -> Frame {
    let mut first = 0;
    let mut i = 0;
    while i < 8 {
        first |= u64::from(byte(scratch, at + i)) << (8 * i);
        i += 1;
    }
    Frame::read(first, byte(scratch, at + 8))
}

/// Reports a call on a connection of HTTP/2.
#[inline(never)]
pub(super) fn frames(state: *mut State, frames: *mut Frames, way: usize, scratch: *mut Scratch) {
    unsafe {
        let call = &raw const (*scratch).call;
        let walking = &raw mut (*scratch).walking;
        let header = &raw mut (*scratch).header;
        let position = get(&raw const (*call).position);
        let len = u64::from(get(&raw const (*call).len));
        put(&raw mut (*walking).frames, *frames);
        put(&raw mut (*walking).headers, 0);
        if position != get(&raw const (*call).expected) {
            put(&raw mut (*walking).frames, Frames::BOUNDARY);
        }
        put(&raw mut (*header).serving, 0);
        put(&raw mut (*header).on_cpu, 0);
        event::no_runtime(header);
        runtime::frames_move(state, header);
        put(&raw mut (*scratch).call.now, emit::now());
        put(&raw mut (*header).flags, if len == 0 { data_flag::END } else { 0 });
        let mut from = 0;
        if len == 0 {
            tell(scratch, position, 0, NoData::Nothing);
            event::write(state, way, scratch);
        } else if (*scratch).source.no_data as u8 == 0 {
            let mut i = 0;
            while i < WINDOWS {
                put(&raw mut (*walking).blocks.count, 0);
                let seen = window(from, len);
                if seen == 0 {
                    break;
                }
                if config::has(config_flag::INSERT) && way == Direction::Received as usize {
                    wire::streams_came((*state).generation);
                }
                tell(scratch, position + from, seen, NoData::Nothing);
                event::write(state, way, scratch);
                from += (seen & 0xffff) + (seen >> 16);
                if from >= len {
                    break;
                }
                i += 1;
            }
        }
        if from < len {
            unseen(state, way, scratch, position + from, len - from);
        }
        if get(&raw const (*walking).lost) != 0 {
            put(&raw mut (*walking).frames, Frames::BOUNDARY);
            put(&raw mut (*walking).lost, 0);
            strike(state);
        } else if get(&raw const (*walking).headers) != 0 {
            (*state).strikes = 0;
        }
        *frames = get(&raw const (*walking).frames);
    }
}

/// Tells of bytes that cannot be read. Inside a skipped frame that is no loss.
#[inline(always)]
unsafe fn unseen(state: *mut State, way: usize, scratch: *mut Scratch, position: u64, len: u64) {
    unsafe {
        let frames = &raw mut (*scratch).walking.frames;
        let mut why = (*scratch).source.no_data;
        if matches!(why, NoData::Nothing) {
            why = NoData::Fault;
        }
        let left = get(&raw const (*frames).left);
        if get(&raw const (*frames).skipped) != 0 && len <= left {
            put(&raw mut (*frames).left, left - len);
        } else {
            put(frames, Frames::BOUNDARY);
        }
        tell(scratch, position, len << 16, why);
        event::tally(why as u8);
        event::write(state, way, scratch);
    }
}

/// Puts into the header which bytes an event is of: in `seen` how many are in the payload, and from bit 16 on how many follow
/// that are not.
#[inline(always)]
unsafe fn tell(scratch: *mut Scratch, position: u64, seen: u64, no_data: NoData) {
    unsafe {
        let header = &raw mut (*scratch).header;
        put(&raw mut (*header).position, position);
        put(&raw mut (*header).len, ((seen & 0xffff) + (seen >> 16)) as u32);
        put(&raw mut (*header).head, (seen & 0xffff) as u32);
        put(&raw mut (*header).tail, 0);
        put(&raw mut (*header).no_data, no_data as u8);
    }
}

/// No frame: after many of these the connection is left alone.
#[inline(always)]
unsafe fn strike(state: *mut State) {
    unsafe {
        (*state).strikes += 1;
        if (*state).strikes >= STRIKES {
            (*state).mode = Mode::Ignored as u8;
            (*state).second_looks = 0;
            count(Counter::ConnectionsIgnored, 1);
        }
    }
}

/// Copies the next bytes of a call of `len`, from its `from`th on, into the payload and follows the frames in them: how many are
/// there, and from bit 16 on how many that follow are left out; 0 when they cannot be read.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn window(from: u64, len: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let frames = &raw mut (*scratch).walking.frames;
        let rest = len.wrapping_sub(from);
        let skips = skip(frames, rest);
        if skips != 0 {
            return skips << 16;
        }
        let have = copy_inline(scratch, 0, from, if rest < WINDOW { rest } else { WINDOW });
        if have == 0 {
            return 0;
        }
        let mut at = 0;
        let mut i = 0;
        while i < STEPS {
            at = step(at, have);
            if at >= have {
                break;
            }
            i += 1;
        }
        if get(&raw const (*scratch).walking.lost) != 0 {
            return have | rest.wrapping_sub(have) << 16;
        }
        at | skip(frames, rest.wrapping_sub(at)) << 16
    }
}

/// How many of the next `rest` bytes belong to a frame that is skipped. They are passed.
#[inline(always)]
unsafe fn skip(frames: *mut Frames, rest: u64) -> u64 {
    unsafe {
        if get(&raw const (*frames).skipped) == 0 {
            return 0;
        }
        let left = get(&raw const (*frames).left);
        let skips = if left < rest { left } else { rest };
        put(&raw mut (*frames).left, left - skips);
        skips
    }
}

/// Takes a frame's header, or what is here of its payload, from the payload's `at`th byte on, of which there are `end`: where it
/// stopped.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step(at: u64, end: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return end };
    unsafe {
        let walking = &raw mut (*scratch).walking;
        let frames = &raw mut (*walking).frames;
        let left = get(&raw const (*frames).left);
        if left > 0 {
            let here = end.wrapping_sub(at);
            let take = if left < here { left } else { here };
            put(&raw mut (*frames).left, left - take);
            if config::has(config_flag::INSERT) && left == take {
                let stream = get(&raw const (*frames).stream);
                Blocks::ends(&raw mut (*walking).blocks, stream, at + take);
            }
            return at + take;
        }
        let mut at = at;
        let mut i = 0;
        while i < 9 {
            if at >= end {
                return at;
            }
            let next = byte(scratch, at);
            at += 1;
            let have = get(&raw const (*frames).have);
            if have < 8 {
                let first = get(&raw const (*frames).header);
                put(
                    &raw mut (*frames).header,
                    first | u64::from(next) << ((black_box(have) * 8) & 63),
                );
                put(&raw mut (*frames).have, have + 1);
            } else {
                let first = get(&raw const (*frames).header);
                let frame = Frame::read(first, next);
                put(&raw mut (*frames).have, 0);
                put(&raw mut (*frames).header, 0);
                put(&raw mut (*frames).skipped, u64::from(frame.is_skipped()));
                put(&raw mut (*frames).left, u64::from(frame.length));
                if config::has(config_flag::INSERT) {
                    put(&raw mut (*frames).stream, u64::from(frame.whole_block()));
                }
                if first == PREFACE {
                    put(&raw mut (*frames).skipped, 0);
                    put(&raw mut (*frames).left, u64::from(PREFACE_REST));
                } else if !frame.is_legal() {
                    put(&raw mut (*walking).lost, 1);
                    return end;
                }
                put(&raw mut (*walking).headers, 1);
                return at;
            }
            i += 1;
        }
        at
    }
}
