//! The one function behind every hook: bytes moved on a connection, one way, at a position.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use spanwire_ebpf::{
    Counter, DataHeader, Direction, NoData, data_flag,
    scan::{BlankLine, Ending, Start, start},
};

use crate::{
    bytes::{Source, copy, payload},
    config, control, emit,
    maps::{COUNTERS, GENERATIONS, Scratch, count},
    serving, socket,
    state::{HEAD_CAP, Mode, SECOND_LOOKS, STRIKES, State},
};

/// Positions of TCP connections begin one lap of the sequence numbers up, so that none met at the end of a lap is
/// ever below zero.
pub(crate) const FIRST_LAP: u64 = 1 << 32;
/// First read where a message is expected: most heads are shorter.
const FIRST: u32 = 1024;
/// Bytes searched for a head's end at a time.
const BLOCK: u64 = 512;
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

/// A completed call.
pub(crate) struct Moved {
    pub(crate) direction: Direction,
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
pub(crate) fn meet(sock: u64, state: *mut State, sent: u64, received: u64) {
    unsafe {
        let [sent, received] = if (*state).born != 0 { (*state).next } else { [sent, received] };
        count(Counter::ConnectionsMet, 1);
        let Some(last) = GENERATIONS.get_ptr_mut(0) else { return };
        *last += 1;
        (*state).generation = *last << 12 | u64::from(bpf_get_smp_processor_id() as u32 & 0xfff);
        (*state).next = [sent, received];
        if (bpf_get_current_pid_tgid() >> 32) as u32 == config::own_tgid() {
            // Our own calls are no events; that the connection is ours is one, because its peer is left alone too.
            (*state).mode = Mode::Ignored as u8;
            control::opened(sock, state, sent, received);
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
pub(crate) fn passes(state: *mut State, direction: Direction) -> bool {
    unsafe {
        if !(*state).is(Mode::Ignored) {
            return false;
        }
        let same_way = (*state).last == direction as u8 + 1;
        if same_way || (*state).second_looks == 0 {
            (*state).last = direction as u8 + 1;
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
        let way = what.direction as usize & 1;
        let turns = (*state).last != what.direction as u8 + 1;
        (*state).last = what.direction as u8 + 1;
        let in_head = (*state).head_left[way] > 0;

        let mut no_data = if what.len == 0 { NoData::Nothing } else { (*scratch).source.no_data };
        let mut have = 0;
        if what.len > 0 && no_data == NoData::Nothing {
            let want = if in_head || turns { FIRST } else { INSIDE };
            have = copy_head(at_most(what.len, want));
            if have == 0 {
                no_data = NoData::Fault;
            }
        }
        // Searched before anything is decided, so that the verifier follows the search once and not once per case.
        let after = if in_head { (*state).ending[way] } else { 0 };
        let end = head_len(scratch, u64::from(have), after) as u32;
        // On a connection not yet known a message starts where nothing moved before, or the other side spoke last: what goes
        // on in one direction may be the middle of something whose start was not to be seen.
        let known = (*state).is(Mode::Http1);
        let begins =
            if in_head || !(known || turns) { begins::NOTHING } else { beginning(u64::from(have)) };
        let is_request = begins & begins::REQUEST != 0;

        if begins != begins::NOTHING {
            (*state).mode = Mode::Http1 as u8;
        } else if !(*state).is(Mode::Http1) {
            strike(state, what.len, no_data);
            return;
        }
        if (*state).announced == 0 {
            // As the directions stood before this call; before the calls that left no trace too, if we know of none.
            let mut next = (*state).next;
            let complete = (*state).born != 0 && (*state).silent == 0;
            next[way] = if complete { what.expected } else { what.position };
            control::opened(sock, state, next[0], next[1]);
        }

        let mut keep = have;
        if is_request && !turns {
            (*state).pipelined = 1;
        }
        if begins != begins::NOTHING {
            (*state).ending[way] = 0;
            (*state).head_left[way] = HEAD_CAP;
        }
        if (*state).head_left[way] > 0 && have > 0 {
            let bodyless = begins & begins::BODYLESS != 0;
            keep = head(state, way, what, scratch, &mut have, end, bodyless);
        } else if have > 0 && what.len > have && what.len <= SMALL {
            have = copy_head(what.len);
            keep = have;
        }
        let mut tail = 0;
        if no_data == NoData::Nothing && what.len > keep && what.len - keep > TAIL {
            let from = u64::from(what.len - TAIL);
            if copy(u64::from(keep), from, u64::from(TAIL)) == u64::from(TAIL) {
                tail = TAIL;
            }
        }

        let task = bpf_get_current_pid_tgid();
        let mut flags = 0;
        let mut serving_span = 0;
        if is_request {
            flags |= data_flag::REQUEST;
            count_way(Counter::RequestsSent, what.direction);
            if what.direction == Direction::Sent {
                serving_span = serving::of(task);
            } else {
                let waits = socket::thread_waits(sock);
                if waits {
                    flags |= data_flag::THREAD_WAITS;
                }
                serving::request_read(state, task, what.position, waits);
            }
        } else if begins != begins::NOTHING && what.direction == Direction::Sent {
            serving::answered(state);
        }
        if (*state).silent != 0 {
            (*state).silent = 0;
            flags |= data_flag::AFTER_SILENCE;
        }
        if what.len == 0 {
            flags |= data_flag::END;
        }
        tally(no_data);

        let time = emit::now();
        (*scratch).header = DataHeader {
            time,
            connection: (*state).generation,
            position: what.position,
            serving: serving_span,
            len: what.len,
            began_before: if what.began == 0 { 0 } else { at_most_u32(time - what.began) },
            tgid: (task >> 32) as u32,
            tid: task as u32,
            head: keep,
            tail,
            direction: what.direction as u8,
            no_data: no_data as u8,
            flags,
            reserved: 0,
        };
        if !emit::data(scratch, keep + tail) && is_request {
            count_way(Counter::RequestsSentLost, what.direction);
        }
    }
}

/// What a call begins, as a number that the verifier knows nothing of.
mod begins {
    pub(super) const NOTHING: u64 = 0;
    pub(super) const RESPONSE: u64 = 1;
    pub(super) const REQUEST: u64 = 2;
    /// And nothing follows the request's head but the next one.
    pub(super) const BODYLESS: u64 = 4;
}

/// What the first `have` bytes of the payload begin. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn beginning(have: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return begins::NOTHING };
    match start(word(scratch, 0), have as usize) {
        Start::No => begins::NOTHING,
        Start::Response => begins::RESPONSE,
        Start::Request { bodyless: false } => begins::REQUEST,
        Start::Request { bodyless: true } => begins::REQUEST | begins::BODYLESS,
    }
}

/// Counts in one of two slots: `sent`, or the one after it for what was received.
#[inline(always)]
fn count_way(sent: Counter, direction: Direction) {
    if let Some(slot) = COUNTERS.get_ptr_mut(sent as u32 + (direction as u32 & 1)) {
        unsafe { *slot += 1 }
    }
}

/// The message's head goes on or begins here: copies on while its end, if not at `end`, is not found. How many bytes to
/// keep.
#[inline(always)]
fn head(
    state: *mut State,
    way: usize,
    what: &Moved,
    scratch: *mut Scratch,
    have: &mut u32,
    mut end: u32,
    bodyless: bool,
) -> u32 {
    unsafe {
        if end == 0 && *have == FIRST && what.len > FIRST {
            *have = copy_head(at_most(what.len, SECOND));
            end = head_len(scratch, u64::from(*have), (*state).ending[way]) as u32;
        }
        if end > 0 {
            (*state).head_left[way] = 0;
            if bodyless && what.len > end {
                (*state).pipelined = 1;
            }
            let whole = bodyless || (*state).pipelined != 0 || what.len <= SMALL_MESSAGES;
            let keep = at_most(what.len, if whole { HEAD_CAP } else { end + AFTER_HEAD });
            if keep > *have {
                *have = copy_head(keep);
            }
            return at_most(keep, *have);
        }
        let left = (*state).head_left[way];
        let mut ending = Ending::default();
        if what.len > *have {
            // Longer than is searched here: all of it goes, and so does what follows until the allowance is used up.
            *have = copy_head(at_most(what.len, left));
        } else if *have > 0 {
            let last = byte(scratch, *have - 1);
            let before = if *have > 1 { Some(byte(scratch, *have - 2)) } else { None };
            ending = Ending::from_byte((*state).ending[way]).then(before, last);
        }
        (*state).ending[way] = ending.byte();
        (*state).head_left[way] = left.saturating_sub(what.len);
        *have
    }
}

/// Copies the first bytes of the call; how many came.
#[inline(always)]
fn copy_head(want: u32) -> u32 {
    copy(0, 0, u64::from(want)) as u32
}

/// How many of the first `len` bytes of the scratch payload belong to the head, 0 if it goes on behind them; at most
/// [`SECOND`] bytes are searched. The call before ended like `after`.
#[inline(always)]
fn head_len(scratch: *mut Scratch, len: u64, after: u8) -> u64 {
    unsafe {
        let search = &raw mut (*scratch).search;
        search.write_volatile(BlankLine::after(Ending::from_byte(after)));
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
    let first = core::hint::black_box(block) % (u64::from(SECOND) / BLOCK) * WORDS;
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

#[inline(always)]
fn byte(scratch: *mut Scratch, at: u32) -> u8 {
    let mut at = core::hint::black_box(u64::from(at));
    if at > u64::from(HEAD_CAP) {
        at = u64::from(HEAD_CAP);
    }
    unsafe { payload(scratch).add(at as usize).read_volatile() }
}

#[inline(always)]
fn word(scratch: *mut Scratch, i: usize) -> u64 {
    unsafe { payload(scratch).cast::<u64>().add(i).read_volatile() }
}

/// Nothing known began here. After enough of these the connection is left alone; at once when its bytes are of a sort that
/// is never seen, because what comes between them may be the middle of anything.
#[inline(always)]
fn strike(state: *mut State, len: u32, no_data: NoData) {
    unsafe {
        (*state).silent = 1;
        if (*state).is(Mode::Ignored) || len == 0 {
            return;
        }
        let unseen = matches!(no_data, NoData::Form | NoData::ForeignCall | NoData::Raced);
        (*state).strikes += 1;
        if unseen || (*state).strikes >= STRIKES {
            (*state).mode = Mode::Ignored as u8;
            (*state).second_looks = if unseen { 0 } else { SECOND_LOOKS };
            count(Counter::ConnectionsIgnored, 1);
        }
    }
}

#[inline(always)]
fn tally(no_data: NoData) {
    match no_data {
        NoData::Nothing => {}
        NoData::Fault => count(Counter::Faults, 1),
        NoData::ForeignCall => count(Counter::ForeignCalls, 1),
        NoData::Form => count(Counter::UnreadableForms, 1),
        NoData::KernelPages => count(Counter::KernelPages, 1),
        NoData::Raced => count(Counter::Raced, 1),
    }
}

#[inline(always)]
const fn at_most(len: u32, limit: u32) -> u32 {
    if len < limit { len } else { limit }
}

#[inline(always)]
const fn at_most_u32(nanos: u64) -> u32 {
    if nanos > u32::MAX as u64 { u32::MAX } else { nanos as u32 }
}
