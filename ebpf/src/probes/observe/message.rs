//! One message, or a part of one: what is found out of it becomes an event.
//!
//! What is found out goes into the scratch event at once and is read from there again: the verifier knows nothing of what
//! comes from memory, and so does not follow the rest once for each way that led to it.

use core::{ffi::c_void, hint::cold_path};

use spanwire_ebpf::{Counter, Direction, NoData, config_flag, data_flag, id};

use super::{
    event,
    frames::framed,
    look::{begins, ending, gather, how, long_head_len, look},
};
use crate::{
    config, control, emit, left_out,
    maps::{COUNTERS, Scratch, count},
    memory::Reach,
    on_cpu, serving, socket,
    state::{HEAD_CAP, Mode, SECOND_LOOKS, STRIKES, State, Way},
    wire,
};

/// Bytes kept behind the head of a message with a body: small bodies, and answers that were sent together.
const AFTER_HEAD: u32 = 512;
/// A call that begins a message is copied whole up to this length: several small messages may be in it.
pub(super) const SMALL_MESSAGES: u32 = 2048;
/// A body call up to this long is copied whole: one read costs no more than two, and its framing is then known.
const SMALL: u32 = 1024;

/// What a runtime reads of a request to learn that there is one (Go, while it answers the one before).
const FIRST_BYTE: u32 = 1;

const SENT: usize = Direction::Sent as usize;

/// A call. It lies in the scratch event: the stack has no room for it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Moving {
    pub(crate) position: u64,
    pub(super) expected: u64,
    pub(super) began: u64,
    pub(super) task: u64,
    /// What the events of the call are stamped with, ns.
    pub(super) now: u64,
    pub(super) len: u32,
    /// The other direction moved last.
    pub(super) turns: u8,
    reserved: [u8; 3],
}

/// [`message`] as a function of its own.
#[inline(never)]
pub(super) fn message_apart<R: Reach>(
    sock: u64,
    state: *mut State,
    direction: *mut Way,
    way: usize,
    scratch: *mut Scratch,
) -> bool {
    message::<R>(sock, state, direction, way, scratch)
}

/// [`complete`] as a function of its own. Not called by [`message_apart`] but after it: together the two would need too much of the
/// stack.
#[inline(never)]
pub(super) fn complete_apart<R: Reach>(
    sock: u64,
    state: *mut State,
    way: usize,
    running: *const c_void,
    scratch: *mut Scratch,
) {
    complete::<R>(sock, state, way, running, scratch);
}

/// Puts together what is told of a message, or of a part of one; whether anything is.
#[inline(always)]
pub(super) fn message<R: Reach>(
    sock: u64,
    state: *mut State,
    direction: *mut Way,
    way: usize,
    scratch: *mut Scratch,
) -> bool {
    unsafe {
        let call = &raw const (*scratch).call;
        let in_head = (*direction).head_left > 0;
        let known = (*state).is(Mode::Http1);
        let header = &raw mut (*scratch).header;
        let found = &raw mut (*scratch).found;

        put(&raw mut (*header).len, get(&raw const (*call).len));
        put(
            &raw mut (*header).no_data,
            if get(&raw const (*call).len) == 0 { 0 } else { (*scratch).source.no_data as u8 },
        );
        put(&raw mut (*found).seen, 0);
        if get(&raw const (*call).len) > 0 && get(&raw const (*header).no_data) == 0 {
            let mut looks = 0;
            if in_head {
                looks = how::HEAD | how::FAR;
            }
            // A head does not go on when the other side has spoken, unless it was answering the request before: what was taken for
            // one was none if another begins now.
            if !in_head || get(&raw const (*call).turns) != 0 {
                // On a connection not yet known a message starts where nothing moved before, or the other side spoke last:
                // what goes on in one direction, or behind bytes that moved unseen, may be the middle of something.
                let follows = get(&raw const (*call).position) == get(&raw const (*call).expected);
                if known || get(&raw const (*call).turns) != 0 && follows {
                    looks |= how::MAY_BEGIN;
                }
                if get(&raw const (*call).turns) != 0 {
                    looks |= how::FAR;
                } else if (*direction).has_body != 0 {
                    looks |= how::IN_BODY;
                }
            }
            let seen =
                look(u64::from(get(&raw const (*call).len)), u64::from((*direction).ending), looks);
            put(&raw mut (*found).seen, seen);
            if seen == 0 {
                put(&raw mut (*header).no_data, NoData::Fault as u8);
            }
        }

        let begins = get(&raw const (*found).seen) >> 32;
        if begins & begins::REQUEST != 0 && left_out::begins(state) {
            return false;
        }
        if begins == begins::PREFACE {
            (*state).mode = Mode::Http2 as u8;
        } else if begins != begins::NOTHING {
            (*state).mode = Mode::Http1 as u8;
        } else if !known && is_framed(state, scratch) {
            (*state).mode = Mode::Http2 as u8;
        } else if !known {
            strike(state, get(&raw const (*call).len), get(&raw const (*header).no_data));
            return false;
        }
        if (*state).announced == 0 {
            cold_path();
            // As the directions stood before this call; before the calls that left no trace too, if we know of none.
            let complete = (*state).born != 0 && (*state).silent == 0;
            let here = if complete {
                get(&raw const (*call).expected)
            } else {
                get(&raw const (*call).position)
            };
            // No array of the two: an index that is not known is none into the stack for older verifiers.
            let sent = if way == SENT { here } else { (*state).ways[0].next };
            let received = if way == SENT { (*state).ways[1].next } else { here };
            control::opened(sock, state, sent, received);
        }
        if (*state).is(Mode::Http2) {
            return false;
        }

        let seen = get(&raw const (*found).seen);
        let have = seen as u16;
        put(&raw mut (*found).wanted, u64::from(have));
        put(&raw mut (*found).goes_on, 0);
        if seen >> 32 != begins::NOTHING || in_head && have > 0 {
            head(state, direction, scratch);
        } else if have > 0 && get(&raw const (*call).len) <= SMALL {
            put(&raw mut (*found).wanted, u64::from(get(&raw const (*call).len)));
        }
        let have = u64::from(get(&raw const (*found).seen) as u16);
        let wanted = get(&raw const (*found).wanted);
        let len = u64::from(get(&raw const (*call).len));
        let mut kept = wanted;
        if have > 0 && (wanted > have || len > wanted) {
            kept = gather(len, have, wanted);
        }
        if get(&raw const (*found).goes_on) != 0 {
            head_went_on(direction, scratch, u64::from(kept as u16));
        }
        put(&raw mut (*header).head, u32::from(kept as u16));
        put(&raw mut (*header).tail, (kept >> 16) as u32);
        put(&raw mut (*found).in_head, u64::from(in_head));
        true
    }
}

/// Finds out for whom the message is, and writes what is told of it.
#[inline(always)]
pub(super) fn complete<R: Reach>(
    sock: u64,
    state: *mut State,
    way: usize,
    running: *const c_void,
    scratch: *mut Scratch,
) {
    unsafe {
        let call = &raw const (*scratch).call;
        let header = &raw mut (*scratch).header;
        let found = &raw const (*scratch).found;
        let task = get(&raw const (*call).task);
        // Taken when everything else is told that is told with it: user space hears what is older first.
        let mut now = 0;
        put(&raw mut (*header).flags, 0);
        put(&raw mut (*header).serving, 0);
        put(&raw mut (*header).on_cpu, 0);
        event::no_runtime(header);
        let flags = &raw mut (*header).flags;
        let begins = get(&raw const (*found).seen) >> 32;
        if begins & begins::REQUEST != 0 {
            put(flags, data_flag::REQUEST);
            count_way(Counter::RequestsSent, way);
            if way == SENT {
                serving::request_sent(state, task, get(&raw const (*call).position), scratch);
            } else {
                let waits = socket::thread_waits::<R>(sock as *const c_void);
                put(flags, data_flag::REQUEST | waits);
                let position = get(&raw const (*call).position);
                serving::request_read(state, task, position, waits != 0, scratch);
                // A first byte that is read alone tells nothing yet.
                if get(&raw const (*call).len) > FIRST_BYTE {
                    wire_read(sock, state, 0, scratch);
                }
                now = emit::now();
                on_cpu::begin::<R>(state, running, waits == data_flag::THREAD_WAITS, now);
            }
        } else if way == SENT {
            if begins != begins::NOTHING {
                serving::answered(state);
            }
            now = emit::now();
            let on_cpu = on_cpu::since::<R>(state, running, task, now);
            if on_cpu != 0 {
                put(&raw mut (*header).on_cpu, on_cpu);
                put(&raw mut (*header).serving, (*state).span);
            }
        } else if begins != begins::NOTHING {
            serving::answer_read(state, task, scratch);
        } else if get(&raw const (*found).in_head) != 0 {
            serving::request_goes_on(state, task, scratch);
            let begun = get(&raw const (*call).position).wrapping_sub(u64::from(FIRST_BYTE));
            if (*state).span == id::span(config::seed(), (*state).generation, begun) {
                wire_read(sock, state, FIRST_BYTE, scratch);
            }
        }
        put(&raw mut (*scratch).call.now, if now == 0 { emit::now() } else { now });
        if get(&raw const (*call).len) == 0 {
            put(flags, get(flags) | data_flag::END);
        }
        event::tally(get(&raw const (*header).no_data));
        put(&raw mut (*header).position, get(&raw const (*call).position));
        event::fill(state, way, scratch);
        let written = if R::IN_ONE_PIECE { emit::data_in_line(scratch) } else { emit::data() };
        if written == 0 && get(flags) & data_flag::REQUEST != 0 {
            count_way(Counter::RequestsSentLost, way);
        }
    }
}

/// A request was read, of which so many bytes came before: whether its context came by the wire, and whose trace it belongs to.
#[inline(always)]
unsafe fn wire_read(sock: u64, state: *mut State, before: u32, scratch: *mut Scratch) {
    if config::has(config_flag::WIRE) && wire::is_awake() {
        unsafe { wire::read(sock, state, u64::from(before), scratch) }
    }
}

/// Whether the call, on a connection not yet known, speaks HTTP/2: by two frames in it, or by being one frame when another call
/// was one, too.
#[inline(always)]
fn is_framed(state: *mut State, scratch: *mut Scratch) -> bool {
    unsafe {
        let call = &raw const (*scratch).call;
        let follows = get(&raw const (*call).position) == get(&raw const (*call).expected);
        let have = u64::from(get(&raw const (*scratch).found.seen) as u16);
        if have == 0 || get(&raw const (*call).turns) == 0 || !follows {
            return false;
        }
        let first = (*state).born != 0 && (*state).silent == 0;
        let frames = framed(have, u64::from(get(&raw const (*call).len)), u64::from(first));
        if frames == 1 {
            (*state).framed += 1;
        }
        frames == 2 || (*state).framed >= 2
    }
}

/// What is known of the message that is put together, where the verifier knows nothing of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Found {
    /// What [`look`] saw.
    pub(crate) seen: u64,
    /// How many bytes of its start are to be in the event.
    wanted: u64,
    /// Not zero when its head did not end where [`look`] looked.
    goes_on: u64,
    /// Not zero when it is more of a head that began before.
    in_head: u64,
}

#[inline(always)]
pub(super) unsafe fn put<T>(slot: *mut T, value: T) {
    unsafe { slot.write_volatile(value) }
}

#[inline(always)]
pub(super) unsafe fn get<T: Copy>(slot: *const T) -> T {
    unsafe { slot.read_volatile() }
}

/// A message's head begins here or goes on: how much of the call is wanted.
#[inline(always)]
fn head(state: *mut State, direction: *mut Way, scratch: *mut Scratch) {
    unsafe {
        let found = &raw mut (*scratch).found;
        let call = &raw const (*scratch).call;
        let seen = get(&raw const (*found).seen);
        let end = u32::from((seen >> 16) as u16);
        let begins = seen >> 32;
        let bodyless = begins & begins::BODYLESS != 0;
        if begins & begins::REQUEST != 0 && get(&raw const (*call).turns) == 0 {
            (*state).pipelined = 1;
        }
        if begins != begins::NOTHING {
            (*direction).head_left = HEAD_CAP;
            (*direction).ending = 0;
            let may_have_body = begins & begins::REQUEST != 0 && !bodyless;
            (*direction).has_body = u8::from(may_have_body);
        }
        if end == 0 {
            // Longer than was looked at: all of it goes, and so does what follows until the allowance is used up.
            let left = get(&raw const (*direction).head_left);
            let len = get(&raw const (*call).len);
            put(&raw mut (*found).wanted, u64::from(at_most(len, left)));
            put(&raw mut (*found).goes_on, 1);
            return;
        }
        (*direction).head_left = 0;
        (*direction).ending = 0;
        if bodyless && get(&raw const (*call).len) > end {
            (*state).pipelined = 1;
        }
        let whole =
            bodyless || (*state).pipelined != 0 || get(&raw const (*call).len) <= SMALL_MESSAGES;
        let wanted =
            at_most(get(&raw const (*call).len), if whole { HEAD_CAP } else { end + AFTER_HEAD });
        put(&raw mut (*found).wanted, u64::from(wanted));
    }
}

/// Now that `kept` bytes of a long head's call are here: whether it ended in them.
#[inline(always)]
fn head_went_on(direction: *mut Way, scratch: *mut Scratch, kept: u64) {
    unsafe {
        let len = get(&raw const (*scratch).call.len);
        let left = get(&raw const (*direction).head_left);
        let before = u64::from(get(&raw const (*direction).ending));
        let mut left = left.saturating_sub(len);
        let mut after = 0;
        if long_head_len(kept, before) != 0 {
            left = 0;
        } else if kept == u64::from(len) {
            after = ending(kept, before) as u8;
        }
        (*direction).head_left = left;
        (*direction).ending = after;
    }
}

/// Counts in one of two slots: `sent`, or the one after it for what was received.
#[inline(always)]
fn count_way(sent: Counter, way: usize) {
    if let Some(slot) = COUNTERS.get_ptr_mut(sent as u32 + (way as u32 & 1)) {
        unsafe { *slot += 1 }
    }
}

/// Nothing known began here. After enough of these the connection is left alone; at once when its bytes are of a sort that
/// is never seen, because what comes between them may be the middle of anything.
#[inline(always)]
fn strike(state: *mut State, len: u32, no_data: u8) {
    unsafe {
        (*state).silent = 1;
        if (*state).is(Mode::Ignored) || len == 0 {
            return;
        }
        let unseen = no_data == NoData::Form as u8
            || no_data == NoData::ForeignCall as u8
            || no_data == NoData::Raced as u8;
        (*state).strikes += 1;
        if unseen || (*state).strikes >= STRIKES {
            (*state).mode = Mode::Ignored as u8;
            (*state).second_looks = if unseen { 0 } else { SECOND_LOOKS };
            count(Counter::ConnectionsIgnored, 1);
        }
    }
}

#[inline(always)]
const fn at_most(len: u32, limit: u32) -> u32 {
    if len < limit { len } else { limit }
}
