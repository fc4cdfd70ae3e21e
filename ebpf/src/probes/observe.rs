//! The one function behind every hook: bytes moved on a connection, one way, at a position.

use core::hint::black_box;

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use spanwire_ebpf::{
    Counter, DataHeader, Direction, NoData, data_flag,
    scan::{
        BlankLine, Ending, Field, Newline, Start, Status, field, is_answered_whole, newline,
        number, start, status,
    },
};

use crate::{
    bytes::{Source, copy, copy_inline, payload},
    config, control, emit,
    maps::{COUNTERS, GENERATIONS, Scratch, count},
    serving, socket,
    state::{HEAD_CAP, Mode, Question, SECOND_LOOKS, STRIKES, State, Way},
};

/// Positions of TCP connections begin one lap of the sequence numbers up, so that none met at the end of a lap is
/// ever below zero.
pub(crate) const FIRST_LAP: u64 = 1 << 32;
/// First read where a message is expected: most heads are shorter.
const FIRST: u32 = 1024;
/// Messages in one call that are told of one by one, where the lengths of all but the last are known.
const MESSAGES: u32 = 3;
/// Bytes of a body that is covered by a `Content-Length` after which user space is told how far it is.
const UNTOLD: u32 = 256 << 10;
/// Bytes searched for a head's end at a time.
const BLOCK: u64 = 512;
/// Bytes searched for header lines at a time.
const LINES: u64 = 256;
/// Second read where the head was longer than the first.
const SECOND: u32 = 4096;
/// Read where a body goes on: enough to see a message start and a chunk's size line.
const INSIDE: u32 = 64;
/// Bytes kept from the end of a call whose middle is left out: a last chunk and its trailers are in them.
const TAIL: u32 = 64;
/// Bytes kept behind the head of a message with a body: small bodies, and answers that were sent together.
const AFTER_HEAD: u32 = 512;
/// A call that begins a message is copied whole up to this length: several small messages may be in it.
const SMALL_MESSAGES: u32 = 2048;
/// A body call up to this long is copied whole: one read costs no more than two, and its framing is then known.
const SMALL: u32 = 1024;

const SENT: usize = Direction::Sent as usize;

/// A completed call.
pub(crate) struct Moved {
    /// The direction, as an index.
    pub(crate) way: usize,
    pub(crate) position: u64,
    /// Where the direction stood before.
    pub(crate) expected: u64,
    /// Bytes, at least 1; 0 at the end of the peer's direction.
    pub(crate) len: u32,
    /// When the first byte moved, if that is known to be earlier than now.
    pub(crate) began: u64,
}

/// Gives a connection that was never seen its generation number, and its positions unless they are known from its birth.
#[inline(always)]
pub(crate) fn meet(sock: u64, state: *mut State, next: [u64; 2]) {
    unsafe {
        count(Counter::ConnectionsMet, 1);
        let Some(last) = GENERATIONS.get_ptr_mut(0) else { return };
        *last += 1;
        (*state).generation = *last << 12 | u64::from(bpf_get_smp_processor_id() as u32 & 0xfff);
        if (*state).born == 0 {
            (*state).ways[0].next = next[0];
            (*state).ways[1].next = next[1];
        }
        if (bpf_get_current_pid_tgid() >> 32) as u32 == config::own_tgid() {
            // Our own calls are no events; that the connection is ours is one, because its peer is left alone too.
            (*state).mode = Mode::Ignored as u8;
            (*state).own = 1;
        } else if config::network_namespace() != 0
            && socket::network_namespace(sock) != config::network_namespace()
        {
            (*state).mode = Mode::Ignored as u8;
        }
    }
}

/// Whether the next bytes can be left unread: the connection is ignored and this is no turn of its direction at which
/// it gets a second look.
#[inline(always)]
pub(crate) fn passes(sock: u64, state: *mut State, way: usize) -> bool {
    unsafe {
        if !(*state).is(Mode::Ignored) {
            return false;
        }
        if (*state).own != 0 {
            (*state).own = 0;
            control::opened(sock, state, (*state).ways[0].next, (*state).ways[1].next);
        }
        let same_way = (*state).last == way as u8 + 1;
        if same_way || (*state).second_looks == 0 {
            (*state).last = way as u8 + 1;
            return true;
        }
        (*state).second_looks -= 1;
        false
    }
}

/// Reports bytes that moved and are at `source`. The state's next position is already past them.
#[inline(always)]
pub(crate) fn moved(sock: u64, state: *mut State, what: &Moved, source: Source) {
    let Some(scratch) = emit::scratch() else { return };
    unsafe { (*scratch).source = source };
    report(sock, state, what, scratch);
    emit::release(scratch);
}

/// The same where the scratch event is ours already and says where the bytes are.
#[inline(always)]
pub(crate) fn report(sock: u64, state: *mut State, what: &Moved, scratch: *mut Scratch) {
    unsafe {
        let way = what.way & 1;
        let direction = &raw mut (*state).ways[way];
        let turns = (*state).last != what.way as u8 + 1;
        (*state).last = what.way as u8 + 1;
        let mut done = 0;
        if (*direction).covered != 0 {
            // After the other side has spoken in the middle of a body anything may come.
            if turns {
                (*direction).covered = 0;
            }
            done = body(state, direction, what, scratch);
        }
        // Mostly one message, or a part of one.
        let mut messages = 1;
        while done < what.len || what.len == 0 {
            let rest = &raw mut (*scratch).rest;
            put(&raw mut (*rest).position, what.position + u64::from(done));
            put(&raw mut (*rest).expected, what.expected + u64::from(done));
            put(&raw mut (*rest).began, what.began);
            put(&raw mut (*rest).from, u64::from(done));
            put(&raw mut (*rest).len, what.len - done);
            put(&raw mut (*rest).turns, u8::from(turns && done == 0));
            put(&raw mut (*rest).may_be_cut, u8::from(messages < MESSAGES));
            done += message(sock, state, direction, way, scratch);
            if what.len == 0 || messages >= MESSAGES {
                return;
            }
            messages += 1;
        }
    }
}

/// Passes over what of a call a `Content-Length` covers, and over what of earlier calls has not been told: how many bytes
/// of this call. They are told at the body's end, and before when they have become many.
#[inline(always)]
fn body(state: *mut State, direction: *mut Way, what: &Moved, scratch: *mut Scratch) -> u32 {
    unsafe {
        let untold = (*direction).untold;
        let mut here = 0;
        if (*scratch).source.no_data != NoData::Raced && (*direction).covered > what.position {
            let left = (*direction).covered - what.position;
            here = if left < u64::from(what.len) { left as u32 } else { what.len };
            if left > u64::from(here) && here > 0 {
                if what.position == what.expected && here < UNTOLD && untold < UNTOLD {
                    (*direction).untold = untold + here;
                    return here;
                }
            } else if here > 0 {
                (*direction).covered = 0;
            }
        } else {
            (*direction).covered = 0;
        }
        // What another call moved unseen lies between the two.
        let together = if what.position == what.expected { here } else { 0 };
        if untold + together > 0 {
            (*direction).untold = 0;
            skipped(state, what, what.expected - u64::from(untold), untold + together, scratch);
        }
        if here > together {
            skipped(state, what, what.position, here, scratch);
        }
        here
    }
}

/// Tells of bytes that were left out on purpose.
#[inline(always)]
fn skipped(state: *mut State, what: &Moved, position: u64, len: u32, scratch: *mut Scratch) {
    unsafe {
        let task = bpf_get_current_pid_tgid();
        (*scratch).header = DataHeader {
            time: emit::now(),
            connection: (*state).generation,
            position,
            serving: 0,
            len,
            began_before: 0,
            tgid: (task >> 32) as u32,
            tid: task as u32,
            head: 0,
            tail: 0,
            direction: what.way as u8,
            no_data: 0,
            flags: 0,
            reserved: 0,
        };
        emit::data();
    }
}

/// What is left of a call. It lies in the scratch event: the stack has no room for it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Rest {
    position: u64,
    expected: u64,
    began: u64,
    /// Bytes of the call before it.
    from: u64,
    len: u32,
    /// The other direction moved last.
    turns: u8,
    /// When a message ends in it, the bytes behind that may be left for another event.
    may_be_cut: u8,
    reserved: [u8; 2],
}

/// Reports a message, or a part of one: how many bytes.
///
/// What is found out goes into the scratch event at once and is read from there again: the verifier knows nothing of what
/// comes from memory, and so does not follow the rest once for each way that led to it.
#[inline(never)]
fn message(
    sock: u64,
    state: *mut State,
    direction: *mut Way,
    way: usize,
    scratch: *mut Scratch,
) -> u32 {
    unsafe {
        let rest = &raw const (*scratch).rest;
        let in_head = (*direction).head_left > 0;
        let known = (*state).is(Mode::Http1);
        let header = &raw mut (*scratch).header;
        let found = &raw mut (*scratch).found;

        put(&raw mut (*header).len, get(&raw const (*rest).len));
        put(
            &raw mut (*header).no_data,
            if get(&raw const (*rest).len) == 0 { 0 } else { (*scratch).source.no_data as u8 },
        );
        put(&raw mut (*found).seen, 0);
        if get(&raw const (*rest).len) > 0 && get(&raw const (*header).no_data) == 0 {
            let mut how = 0;
            if in_head {
                how = look::HEAD | look::FAR;
            } else {
                // On a connection not yet known a message starts where nothing moved before, or the other side spoke last:
                // what goes on in one direction may be the middle of something whose start was not to be seen.
                if known || get(&raw const (*rest).turns) != 0 {
                    how |= look::MAY_BEGIN;
                }
                if get(&raw const (*rest).turns) != 0 || get(&raw const (*rest).from) > 0 {
                    how |= look::FAR;
                }
            }
            let seen = look(
                get(&raw const (*rest).from),
                u64::from(get(&raw const (*rest).len)),
                u64::from((*direction).ending),
                how,
            );
            put(&raw mut (*found).seen, seen);
            if seen == 0 {
                put(&raw mut (*header).no_data, NoData::Fault as u8);
            }
        }

        let begins = get(&raw const (*found).seen) >> 32;
        if begins != begins::NOTHING {
            (*state).mode = Mode::Http1 as u8;
        } else if !known {
            strike(state, get(&raw const (*rest).len), get(&raw const (*header).no_data));
            return get(&raw const (*rest).len);
        }
        if (*state).announced == 0 {
            // As the directions stood before this call; before the calls that left no trace too, if we know of none.
            let complete = (*state).born != 0 && (*state).silent == 0;
            let here = if complete {
                get(&raw const (*rest).expected)
            } else {
                get(&raw const (*rest).position)
            };
            // No array of the two: an index that is not known is none into the stack for older verifiers.
            let sent = if way == SENT { here } else { (*state).ways[0].next };
            let received = if way == SENT { (*state).ways[1].next } else { here };
            control::opened(sock, state, sent, received);
        }

        let seen = get(&raw const (*found).seen);
        let have = seen as u16;
        put(&raw mut (*found).wanted, u64::from(have));
        put(&raw mut (*found).wants_tail, 1);
        if seen >> 32 != begins::NOTHING || in_head && have > 0 {
            head(state, direction, scratch);
        } else if have > 0 && get(&raw const (*rest).len) <= SMALL {
            put(&raw mut (*found).wanted, u64::from(get(&raw const (*rest).len)));
        }
        let have = u64::from(get(&raw const (*found).seen) as u16);
        let wanted = get(&raw const (*found).wanted);
        let tail = get(&raw const (*found).wants_tail);
        let len = u64::from(get(&raw const (*rest).len));
        let mut kept = wanted;
        if have > 0 && (wanted > have || tail != 0 && len > wanted + u64::from(TAIL)) {
            kept = gather(get(&raw const (*rest).from), len, have, wanted, tail);
        }
        put(&raw mut (*header).head, u32::from(kept as u16));
        put(&raw mut (*header).tail, (kept >> 16) as u32);

        let task = bpf_get_current_pid_tgid();
        put(&raw mut (*header).flags, 0);
        put(&raw mut (*header).serving, 0);
        let flags = &raw mut (*header).flags;
        let begins = get(&raw const (*found).seen) >> 32;
        if begins & begins::REQUEST != 0 {
            put(flags, data_flag::REQUEST);
            count_way(Counter::RequestsSent, way);
            if way == SENT {
                put(&raw mut (*header).serving, serving::of(task));
            } else {
                let waits = socket::thread_waits(sock);
                if waits {
                    put(flags, data_flag::REQUEST | data_flag::THREAD_WAITS);
                }
                serving::request_read(state, task, get(&raw const (*rest).position), waits);
            }
        } else if begins != begins::NOTHING && way == SENT {
            serving::answered(state);
        }
        if (*state).silent != 0 {
            (*state).silent = 0;
            put(flags, get(flags) | data_flag::AFTER_SILENCE);
        }
        if get(&raw const (*rest).len) == 0 {
            put(flags, get(flags) | data_flag::END);
        }
        tally(get(&raw const (*header).no_data));

        let time = emit::now();
        let began_before = if get(&raw const (*rest).began) == 0 {
            0
        } else {
            at_most_u32(time - get(&raw const (*rest).began))
        };
        put(&raw mut (*header).began_before, began_before);
        (*header).time = time;
        (*header).connection = (*state).generation;
        (*header).position = get(&raw const (*rest).position);
        (*header).tgid = (task >> 32) as u32;
        (*header).tid = task as u32;
        (*header).direction = way as u8;
        (*header).reserved = 0;
        let written = emit::data();
        if written == 0 && get(flags) & data_flag::REQUEST != 0 {
            count_way(Counter::RequestsSentLost, way);
        }
        get(&raw const (*header).len)
    }
}

/// What is known of the message that is put together, where the verifier knows nothing of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Found {
    /// What [`look`] saw.
    seen: u64,
    /// How many bytes of its start are to be in the event.
    wanted: u64,
    /// 0 when its end is not to be in the event.
    wants_tail: u64,
}

#[inline(always)]
unsafe fn put<T>(slot: *mut T, value: T) {
    unsafe { slot.write_volatile(value) }
}

#[inline(always)]
unsafe fn get<T: Copy>(slot: *const T) -> T {
    unsafe { slot.read_volatile() }
}

/// A message's head begins here or goes on: how much of it is wanted, and how long the message is if all that is left is to
/// be left out or told of by itself.
#[inline(always)]
fn head(state: *mut State, direction: *mut Way, scratch: *mut Scratch) {
    unsafe {
        let found = &raw mut (*scratch).found;
        let rest = &raw const (*scratch).rest;
        let seen = get(&raw const (*found).seen);
        let have = u32::from(seen as u16);
        let end = u32::from((seen >> 16) as u16);
        let begins = seen >> 32;
        let begins_here = begins != begins::NOTHING;
        let bodyless = begins & begins::BODYLESS != 0;
        if begins & begins::REQUEST != 0 && get(&raw const (*rest).turns) == 0 {
            (*state).pipelined = 1;
        }
        if begins_here {
            (*direction).head_left = HEAD_CAP;
            (*direction).ending = 0;
        }
        if end == 0 {
            // Longer than is searched here: all of it goes, and so does what follows until the allowance is used up.
            let left = get(&raw const (*direction).head_left);
            if get(&raw const (*rest).len) > have {
                (*direction).ending = 0;
                put(
                    &raw mut (*found).wanted,
                    u64::from(at_most(get(&raw const (*rest).len), left)),
                );
            } else {
                let before = u64::from(get(&raw const (*direction).ending));
                (*direction).ending = ending(u64::from(have), before) as u8;
            }
            (*direction).head_left = left.saturating_sub(get(&raw const (*rest).len));
            return note_request(state, begins);
        }
        (*direction).head_left = 0;
        (*direction).ending = 0;
        let follows = get(&raw const (*rest).from) != 0;
        // Where a length is of use: the body is still to come, or it is long.
        let mut known = NO_LENGTH;
        if begins_here
            && (get(&raw const (*rest).len) > SMALL_MESSAGES
                || get(&raw const (*rest).len) == end && !bodyless)
            && framed(state, begins, follows)
        {
            known = message_len(u64::from(end), begins);
        }
        note_request(state, begins);
        let len = u64::from(get(&raw const (*rest).len));
        if known == NO_LENGTH || known < len && get(&raw const (*rest).may_be_cut) == 0 {
            if bodyless && get(&raw const (*rest).len) > end {
                (*state).pipelined = 1;
            }
            let whole = bodyless
                || (*state).pipelined != 0
                || get(&raw const (*rest).len) <= SMALL_MESSAGES;
            let wanted = at_most(
                get(&raw const (*rest).len),
                if whole { HEAD_CAP } else { end + AFTER_HEAD },
            );
            return put(&raw mut (*found).wanted, u64::from(wanted));
        }
        // All about the rest is known: it is not read at all.
        put(&raw mut (*found).wanted, u64::from(end));
        put(&raw mut (*found).wants_tail, 0);
        if known < len {
            put(&raw mut (*scratch).header.len, known as u32);
        } else if known > len {
            (*direction).covered = get(&raw const (*rest).position) + known;
        }
    }
}

/// Notes of a request what its answer is to be; a final answer uses that up.
#[inline(always)]
fn note_request(state: *mut State, begins: u64) {
    let asked = match begins {
        _ if begins & begins::ANSWERED_WHOLE != 0 => Question::WaitsForWhole,
        _ if begins & begins::REQUEST != 0 => Question::Waits,
        _ if begins & begins::FINAL != 0 => Question::Nothing,
        _ => return,
    };
    unsafe { (*state).asked = asked as u8 };
}

/// Counts in one of two slots: `sent`, or the one after it for what was received.
#[inline(always)]
fn count_way(sent: Counter, way: usize) {
    if let Some(slot) = COUNTERS.get_ptr_mut(sent as u32 + (way as u32 & 1)) {
        unsafe { *slot += 1 }
    }
}

/// Whether the lengths that a message's head gives are to be believed. A request's where one is expected: none waits for its
/// answer, so that this is not the middle of one; or it `follows` another of known length. An answer's when it is certain to
/// which request it is one: a single one waits, and its method was seen.
#[inline(always)]
fn framed(state: *const State, begins: u64, follows: bool) -> bool {
    unsafe {
        let asked = get(&raw const (*state).asked);
        if begins & begins::REQUEST != 0 {
            return follows || asked == Question::Nothing as u8;
        }
        begins & begins::FRAMED != 0
            && asked == Question::WaitsForWhole as u8
            && (*state).pipelined == 0
    }
}

/// What a call begins, as a number that the verifier knows nothing of.
mod begins {
    pub(super) const NOTHING: u64 = 0;
    pub(super) const RESPONSE: u64 = 1;
    pub(super) const REQUEST: u64 = 2;
    /// And by its method nothing follows the request's head but the next one.
    pub(super) const BODYLESS: u64 = 4;
    /// And the answer to the request has the body that its headers tell of.
    pub(super) const ANSWERED_WHOLE: u64 = 8;
    /// And the answer is the last to its request.
    pub(super) const FINAL: u64 = 16;
    /// And by its status it may have a body.
    pub(super) const FRAMED: u64 = 32;
}

/// What the first `have` bytes of the payload begin.
#[inline(always)]
fn beginning(scratch: *mut Scratch, have: u64) -> u64 {
    let first = word(scratch, 0);
    match start(first, have as usize) {
        Start::No => begins::NOTHING,
        // Nothing is known of the status of one that is cut before it.
        Start::Response if have < 16 => begins::RESPONSE | begins::FINAL,
        Start::Response => match status(word(scratch, 1)) {
            Status::Interim => begins::RESPONSE,
            Status::Bodyless => begins::RESPONSE | begins::FINAL,
            Status::Other => begins::RESPONSE | begins::FINAL | begins::FRAMED,
        },
        Start::Request { bodyless } => {
            let mut code = begins::REQUEST;
            if bodyless {
                code |= begins::BODYLESS;
            }
            if is_answered_whole(first, have as usize) {
                code |= begins::ANSWERED_WHOLE;
            }
            code
        }
    }
}

/// How [`look`] looks.
mod look {
    /// A head goes on.
    pub(super) const HEAD: u64 = 1;
    /// A message may begin.
    pub(super) const MAY_BEGIN: u64 = 2;
    /// A whole head is expected.
    pub(super) const FAR: u64 = 4;
}

/// Copies the first of the `len` bytes that are `from` bytes into the call, and looks at them: how many were copied (0 when
/// they cannot be read), from bit 16 on how many of them belong to the head that begins or goes on there (0 when it does
/// not end), from bit 32 on what they begin. The call before ended like `ending`.
///
/// Global, and so verified by itself, as all are here that copy or search.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look(from: u64, len: u64, ending: u64, how: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let in_head = how & look::HEAD != 0;
    let after = if in_head { ending as u8 } else { 0 };
    let mut begins = begins::NOTHING;
    let mut want = u64::from(if how & look::FAR != 0 { FIRST } else { INSIDE });
    loop {
        let have = copy_inline(scratch, 0, from, if len < want { len } else { want });
        if have == 0 {
            return 0;
        }
        if how & look::MAY_BEGIN != 0 {
            begins = beginning(scratch, have);
        }
        if !in_head && begins == begins::NOTHING {
            return have;
        }
        let end = head_len(scratch, have, after);
        if end != 0 || have != u64::from(FIRST) || len <= have || want != u64::from(FIRST) {
            return have | end << 16 | begins << 32;
        }
        want = u64::from(SECOND);
    }
}

/// Copies on until `wanted` bytes are there, and behind them the last bytes of the call if there is a hole between: how
/// many, and from bit 16 on how many of the last.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn gather(from: u64, len: u64, have: u64, wanted: u64, wants_tail: u64) -> u64 {
    let mut kept = wanted;
    if wanted > have {
        kept = copy(0, from, wanted);
    }
    let tail = u64::from(TAIL);
    if wants_tail != 0 && len > kept + tail && copy(kept, from + len - tail, tail) == tail {
        return kept | tail << 16;
    }
    kept
}

/// How a head's call of `have` bytes, all of them here, ended, after one that ended like `before`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ending(have: u64, before: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let last = byte(scratch, have.wrapping_sub(1));
    let one_before = if have > 1 { Some(byte(scratch, have - 2)) } else { None };
    u64::from(Ending::from_byte(before as u8).then(one_before, last).byte())
}

/// How many of the first `len` bytes of the scratch payload belong to the head, 0 if it goes on behind them; at most
/// [`SECOND`] bytes are searched. The call before ended like `after`.
#[inline(always)]
fn head_len(scratch: *mut Scratch, len: u64, after: u8) -> u64 {
    unsafe {
        let search = &raw mut (*scratch).search;
        search.write_volatile(BlankLine::after(Ending::from_byte(after)));
    }
    let mut block = 0;
    while block < u64::from(SECOND) / BLOCK {
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
///
/// Global, and so verified by itself: inlined, its loop would be followed once for each way that leads here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn head_block(block: u64) -> u64 {
    const WORDS: u64 = BLOCK / 8;
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let search = unsafe { &raw mut (*scratch).search };
    let mut blank = unsafe { search.read_volatile() };
    let first = black_box(block) % (u64::from(SECOND) / BLOCK) * WORDS;
    let mut i = 0;
    while i < WORDS {
        let ends = blank.word(word(scratch, (first + i) as usize));
        if ends != 0 {
            return (first + i) * 8 + BlankLine::len(ends) as u64;
        }
        i += 1;
    }
    unsafe { search.write_volatile(blank) };
    0
}

/// No length is known.
const NO_LENGTH: u64 = u64::MAX;

/// How long the message is whose head are the first `end` bytes of the payload, from what its head says; [`NO_LENGTH`]
/// when that is not plain. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn message_len(end: u64, begins: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return NO_LENGTH };
    // The LF that ends the last header, and those of the blank line, begin no header.
    let last = end.wrapping_sub(3);
    if last > u64::from(SECOND) {
        return NO_LENGTH;
    }
    let line = unsafe { &raw mut (*scratch).length_line };
    unsafe { line.write_volatile(0) };
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
    let line = unsafe { line.read_volatile() };
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

#[inline(always)]
fn word_at(scratch: *mut Scratch, at: u64) -> u64 {
    unsafe { payload(scratch).add(bounded(at)).cast::<u64>().read_unaligned() }
}

#[inline(always)]
fn byte(scratch: *mut Scratch, at: u64) -> u8 {
    unsafe { payload(scratch).add(bounded(at)).read_volatile() }
}

/// A place in the payload, its bound where the verifier sees it.
#[inline(always)]
fn bounded(at: u64) -> usize {
    let at = black_box(at);
    (if at > u64::from(HEAD_CAP) { u64::from(HEAD_CAP) } else { at }) as usize
}

#[inline(always)]
fn word(scratch: *mut Scratch, i: usize) -> u64 {
    unsafe { payload(scratch).cast::<u64>().add(i).read_volatile() }
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
fn tally(no_data: u8) {
    // In the order of the reasons (asserted below).
    if no_data != 0
        && let Some(slot) = COUNTERS.get_ptr_mut(Counter::Faults as u32 - 1 + u32::from(no_data))
    {
        unsafe { *slot += 1 }
    }
}

const _: () = {
    let first = Counter::Faults as u32 - NoData::Fault as u32;
    assert!(Counter::ForeignCalls as u32 - first == NoData::ForeignCall as u32);
    assert!(Counter::UnreadableForms as u32 - first == NoData::Form as u32);
    assert!(Counter::KernelPages as u32 - first == NoData::KernelPages as u32);
    assert!(Counter::Raced as u32 - first == NoData::Raced as u32);
};

#[inline(always)]
const fn at_most(len: u32, limit: u32) -> u32 {
    if len < limit { len } else { limit }
}

#[inline(always)]
const fn at_most_u32(nanos: u64) -> u32 {
    if nanos > u32::MAX as u64 { u32::MAX } else { nanos as u32 }
}
