//! Which trace a request belongs to, as it is sent and as it is read.
//!
//! What decides: a request that a thread sends while it serves another belongs to that one's trace; one that is read belongs
//! to its client's, if the client's end was seen here or its context came by the wire; a `traceparent` in the request beats
//! both; and what has none of these begins a trace. User space comes to the same ids by the same rules, with more knowledge; it
//! is told what went by the wire, and holds to it.

use core::ffi::c_void;

use spanwire_ebpf::{
    ControlKind, Counter, Direction, Family, Offset, config_flag, id,
    wire::{Carried, is_sampled},
};

use super::{
    NEIGHBOURS, OUTGOING, QUIET, REQUESTS, Request, bits,
    head::{self, NONE, UNSURE},
    name, stage,
};
use crate::{
    bytes::{self, Source},
    config, emit,
    maps::{Scratch, count},
    memory::{Probed, Reach},
    observe::{begins, how, look},
    serving, socket,
    state::{Mode, State},
};

/// The request that is looked at; it lies in the scratch event.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Looking {
    connection: u64,
    position: u64,
    /// Where the server's direction began; 0 if that is not known.
    origin: u64,
    /// Cookie of the socket, if it has one.
    cookie: u64,
    /// Its own span.
    span: u64,
    /// It is known that requests are sent here.
    known: u64,
    trace: [u64; 2],
    bits: u64,
    pub(super) search: head::Search,
}

/// Where a connection's directions began, looked up once.
#[inline(always)]
unsafe fn origins(sock: u64, state: *mut State) -> [u32; 2] {
    unsafe {
        let known = (*state).origins;
        if known[0] != 0 && known[1] != 0 {
            return known;
        }
        let sock = sock as *const c_void;
        let family: u16 = Probed::member(sock, Offset::SkFamily);
        if family == Family::Unix as u16 {
            return known;
        }
        let origins = socket::origins::<Probed>(sock);
        (*state).origins = origins;
        origins
    }
}

/// A connection is met: whoever is its peer on this host can find that out.
#[inline(always)]
pub(crate) unsafe fn meet(sock: u64, state: *mut State) {
    if config::has(config_flag::WIRE) {
        let [_, received] = unsafe { origins(sock, state) };
        if received != 0 {
            let _ = NEIGHBOURS.insert(received, 1, 0);
        }
    }
}

/// A request was read, whose head of `end` bytes is in the scratch event (0 if it is longer); if a thread serves it, what it
/// will send belongs to the same trace.
#[inline(always)]
pub(crate) unsafe fn read(
    sock: u64,
    state: *mut State,
    scratch: *mut Scratch,
    task: u64,
    position: u64,
    end: u64,
) {
    unsafe {
        let [origin, _] = origins(sock, state);
        let looking = &raw mut (*scratch).wire;
        (&raw mut (*looking).connection).write_volatile((*state).generation);
        (&raw mut (*looking).position).write_volatile(position);
        (&raw mut (*looking).origin).write_volatile(u64::from(origin));
        (&raw mut (*looking).span).write_volatile((*state).span);
        let bits = received(end);
        if let Some(served) = serving::by(task)
            && (*served).connection == (*state).generation
        {
            (*served).trace = (&raw const (*looking).trace).read_volatile();
            (*served).bits = bits;
        }
    }
}

/// The context of the request that was read: its bits, and in the scratch event its trace. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn received(end: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let looking = &raw mut (*scratch).wire;
        let origin = (&raw const (*looking).origin).read_volatile() as u32;
        let position = (&raw const (*looking).position).read_volatile();
        let mut context = Request { trace: [0; 2], span: 0, bits: 0 };
        let mut is_named = false;
        if origin != 0 {
            let name = name(position as u32, origin);
            if let Some(request) = REQUESTS.get_ptr(name) {
                context = *request;
                is_named = true;
                let _ = REQUESTS.remove(name);
            }
        }
        if context.bits & bits::CAME != 0 {
            count(Counter::WireRead, 1);
            tell(Direction::Received, &context);
        }
        let header = if end == 0 { UNSURE } else { head::traceparent(end) };
        let mut bits = context.bits & (bits::BOUND | bits::SAMPLED);
        let mut trace = context.trace;
        if header == UNSURE || origin == 0 {
            bits = 0;
        } else if header != NONE {
            bits = 0;
            if head::value(header, end) != 0 {
                let search = &raw const (*looking).search;
                trace = (&raw const (*search).trace).read_volatile();
                let sampled = (&raw const (*search).sampled).read_volatile() != 0;
                bits = bits::BOUND | sampling(trace, Some(sampled));
            }
        } else if is_named {
            if bits & bits::BOUND != 0 {
                bits = bits::BOUND | sampling(trace, Some(bits & bits::SAMPLED != 0));
            }
        } else if NEIGHBOURS.get_ptr(origin).is_none() {
            trace = id::trace(config::seed(), (&raw const (*looking).span).read_volatile());
            bits = bits::BOUND | sampling(trace, None);
        }
        (&raw mut (*looking).trace).write_volatile(trace);
        bits
    }
}

/// A call that is about to send.
pub(crate) struct Sending {
    pub(crate) sock: u64,
    /// Cookie of the socket, 0 if it has none.
    pub(crate) cookie: u64,
    pub(crate) task: u64,
    /// Sequence number of its first byte.
    pub(crate) sequence: u32,
    /// Where its bytes are,
    pub(crate) source: Source,
    /// and how many.
    pub(crate) len: u64,
}

/// If a request begins: its context is made before it can be anywhere.
#[inline(always)]
pub(crate) unsafe fn about_to_send(state: *mut State, scratch: *mut Scratch, sending: &Sending) {
    unsafe {
        let way = &raw const (*state).ways[0];
        if (*state).is(Mode::Ignored) || (*state).is(Mode::Http2) || (*way).head_left > 0 {
            return;
        }
        (*scratch).source = sending.source;
        bytes::begin(scratch);
        let [_, origin] = origins(sending.sock, state);
        let position = (*state).extend(Direction::Sent, sending.sequence);
        let looking = &raw mut (*scratch).wire;
        (&raw mut (*looking).connection).write_volatile((*state).generation);
        (&raw mut (*looking).position).write_volatile(position);
        (&raw mut (*looking).origin).write_volatile(u64::from(origin));
        (&raw mut (*looking).cookie).write_volatile(sending.cookie);
        (&raw mut (*looking).known).write_volatile(u64::from((*state).is(Mode::Http1)));
        sent(sending.len, sending.source.no_data as u64, sending.task);
    }
}

/// Makes the context of the request that is about to be sent, if one is. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sent(len: u64, no_data: u64, task: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let looking = &raw mut (*scratch).wire;
        let tgid = (task >> 32) as u32;
        if tgid == config::own_tgid() || QUIET.get_ptr(tgid).is_some() {
            return 0;
        }
        let cookie = (&raw const (*looking).cookie).read_volatile();
        let position = (&raw const (*looking).position).read_volatile();
        let outgoing = if cookie == 0 { None } else { OUTGOING.get_ptr_mut(cookie) };
        if let Some(outgoing) = outgoing
            && (*outgoing).stage != stage::NONE
            && (*outgoing).sequence == position as u32
        {
            return 0; // seen before: the segment went first
        }
        let seen = if no_data == 0 { look(len, 0, how::MAY_BEGIN | how::FAR) } else { 0 };
        let is_request = seen >> 32 & begins::REQUEST != 0;
        let is_unseen = seen == 0 && (&raw const (*looking).known).read_volatile() != 0;
        if !is_request && !is_unseen {
            return 0;
        }
        let connection = (&raw const (*looking).connection).read_volatile();
        let span = id::span(config::seed(), connection, position);
        let mut context = Request { trace: [0; 2], span, bits: 0 };
        let end = u64::from((seen >> 16) as u16);
        // A request that says itself whose it is needs nothing beside it.
        let header = if is_request && end != 0 { head::traceparent(end) } else { UNSURE };
        if header == NONE {
            match serving::by(task) {
                Some(served) if !serving::is_revoked(tgid) => {
                    // Once the answer has begun it may be over, too: then this would be no part of it.
                    if (*served).answered == 0 {
                        context.trace = (*served).trace;
                        context.bits = (*served).bits;
                    }
                }
                _ => {
                    context.trace = id::trace(config::seed(), span);
                    context.bits = bits::BOUND | sampling(context.trace, None);
                }
            }
        }
        let origin = (&raw const (*looking).origin).read_volatile() as u32;
        if origin != 0 {
            let _ = REQUESTS.insert(name(position as u32, origin), context, 0);
        }
        if let Some(outgoing) = outgoing {
            if (*outgoing).stage == stage::WAITS {
                count(Counter::WireReplaced, 1);
            }
            (*outgoing).stage = stage::NONE;
            if context.bits & bits::BOUND == 0 {
                if header == UNSURE || header == NONE {
                    count(Counter::WireUnbound, 1);
                }
                return 0;
            }
            (*outgoing).trace = context.trace;
            (*outgoing).span = span;
            (*outgoing).sequence = position as u32;
            (*outgoing).sampled = u8::from(context.bits & bits::SAMPLED != 0);
            (*outgoing).stage = stage::WAITS;
            tell(Direction::Sent, &context);
        }
    }
    0
}

/// Whether a trace is sampled, whose caller has decided so or not at all.
#[inline(always)]
fn sampling(trace: [u64; 2], decided: Option<bool>) -> u64 {
    let sampled = match decided {
        Some(decided) if config::has(config_flag::PARENT_DECIDES) => decided,
        _ => is_sampled(trace, config::threshold()),
    };
    if sampled { bits::SAMPLED } else { 0 }
}

/// Tells user space of a context on the wire.
#[inline(always)]
unsafe fn tell(direction: Direction, context: &Request) {
    let Some(scratch) = emit::this_scratch() else { return };
    unsafe {
        let looking = &raw const (*scratch).wire;
        let event = Carried {
            header: emit::header(ControlKind::Carried),
            connection: (&raw const (*looking).connection).read_volatile(),
            position: (&raw const (*looking).position).read_volatile(),
            trace: context.trace,
            span: context.span,
            sampled: u32::from(context.bits & bits::SAMPLED != 0),
            direction: direction as u32,
        };
        emit::control(&event, false);
    }
}
