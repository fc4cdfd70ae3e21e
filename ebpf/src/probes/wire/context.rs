//! Which trace a request belongs to, as it is sent and as it is read.
//!
//! What decides: a request that a thread sends while it serves another belongs to that one's trace; one that is read belongs
//! to its client's, if the client's end was seen here or its context came by the wire; a `traceparent` in the request beats
//! both; and what has none of these begins a trace. User space comes to the same ids by the same rules, with more knowledge; it
//! is told what went by the wire, and holds to it.

use core::ffi::c_void;

use spanwire_ebpf::{
    ControlKind, Counter, Direction, Family, Offset, config_flag, data_flag, id,
    wire::{Carried, is_sampled},
};

use super::{
    NEIGHBOURS, OUTGOING, QUIET, REQUESTS, Request, bits,
    head::{self, NONE, UNSURE},
    name, stage,
};
use crate::{
    bytes::{self, Source},
    config, emit, left_out,
    maps::{SAMPLER, Scratch, Served, count},
    memory::{Probed, Reach},
    observe::{begins, how, look},
    runtime, serving, socket,
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
    /// Who sends, and how many bytes.
    task: u64,
    len: u64,
    trace: [u64; 2],
    /// The parent of what the request is sent for: see [`Served::parent`].
    parent: u64,
    context: Request,
    pub(super) search: head::Search,
}

impl Looking {
    /// The context that is put together.
    #[inline(always)]
    pub(super) unsafe fn context(this: *mut Self) -> *mut Request {
        unsafe { &raw mut (*this).context }
    }
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

/// A request was read, whose head is in the scratch event but for the `before` first bytes; what serves it will send belongs to the
/// same trace, if that is known.
///
/// A function of its own, so that what it needs of the stack is free again for what follows.
#[inline(never)]
pub(crate) unsafe fn read(sock: u64, state: *mut State, before: u64, scratch: *mut Scratch) {
    unsafe {
        let [origin, _] = origins(sock, state);
        let position = (&raw const (*scratch).call.position).read_volatile();
        let position = position.wrapping_sub(before);
        // 0 if it is longer than what is here.
        let end = u64::from(((&raw const (*scratch).found.seen).read_volatile() >> 16) as u16);
        let looking = &raw mut (*scratch).wire;
        (&raw mut (*looking).connection).write_volatile((*state).generation);
        (&raw mut (*looking).position).write_volatile(position);
        (&raw mut (*looking).origin).write_volatile(u64::from(origin));
        (&raw mut (*looking).span).write_volatile((*state).span);
        let header = if end == 0 { UNSURE } else { head::traceparent(end) };
        let mut own = 0;
        if header != NONE && header != UNSURE {
            own = head::value(header, end);
        }
        let bits = received(header, own);
        if bits & bits::CAME != 0 {
            count(Counter::WireRead, 1);
            tell_carried(Direction::Received as u64);
        }
        // Whether a thread whose sockets do not block serves one request is for user space to find out.
        let waits = (&raw const (*scratch).header.flags).read_volatile() & data_flag::THREAD_WAITS;
        if let Some(served) = serving::by_reader(state)
            && (*served).connection == (*state).generation
            && (waits != 0 || (*served).object != 0)
        {
            (*served).trace = (&raw const (*looking).trace).read_volatile();
            (*served).bits = bits & (bits::BOUND | bits::SAMPLED);
            (*served).parent =
                if own == 0 { 0 } else { (&raw const (*looking).search.parent).read_volatile() };
        }
    }
}

/// The context of the request that was read, whose `traceparent` stands there, and is good if `own` is not 0: its bits, and in the scratch event its trace.
/// Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn received(header: u64, own: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let looking = &raw mut (*scratch).wire;
        let origin = (&raw const (*looking).origin).read_volatile() as u32;
        let context = &raw mut (*looking).context;
        (&raw mut (*context).bits).write_volatile(0);
        let mut is_named = false;
        if origin != 0 {
            let position = (&raw const (*looking).position).read_volatile();
            let name = name(position as u32, origin);
            if let Some(request) = REQUESTS.get_ptr(name) {
                context.write_volatile(request.read_volatile());
                is_named = true;
                let _ = REQUESTS.remove(name);
            }
        }
        let mut bits = (&raw const (*context).bits).read_volatile();
        let trace = &raw mut (*looking).trace;
        trace.write_volatile((&raw const (*context).trace).read_volatile());
        let was_bound = bits & bits::BOUND != 0;
        let was_sampled = bits & bits::SAMPLED != 0;
        bits &= bits::CAME;
        if header == UNSURE || origin == 0 {
        } else if header != NONE {
            if own != 0 {
                let search = &raw const (*looking).search;
                trace.write_volatile((&raw const (*search).trace).read_volatile());
                let sampled = (&raw const (*search).sampled).read_volatile() != 0;
                bits |= bits::BOUND | sampling(trace, Some(sampled));
            }
        } else if is_named {
            if was_bound {
                bits |= bits::BOUND | sampling(trace, Some(was_sampled));
            }
        } else if NEIGHBOURS.get_ptr(origin).is_none() {
            let span = (&raw const (*looking).span).read_volatile();
            trace.write_volatile(id::trace(config::seed(), span));
            bits |= bits::BOUND | sampling(trace, None);
        }
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

/// Whether a request may begin: then all that [`make`] looks at is in the scratch event, and it is to be called. (By whoever
/// called this: one function less on the stack.)
#[inline(always)]
pub(crate) unsafe fn about_to_send(
    state: *mut State,
    scratch: *mut Scratch,
    sending: &Sending,
) -> bool {
    unsafe {
        let way = &raw const (*state).ways[0];
        if (*state).is(Mode::Ignored) || (*state).is(Mode::Http2) || (*way).head_left > 0 {
            return false;
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
        (&raw mut (*looking).task).write_volatile(sending.task);
        (&raw mut (*looking).len).write_volatile(sending.len);
        true
    }
}

/// What [`sent`] gives: nothing is sent whose context could be made,
const NOTHING: u64 = 0;
/// its context is to be made of what a thread serves,
const OF_THREAD: u64 = 1;
/// of what the runtime says,
const OF_RUNTIME: u64 = 2;
/// it says itself whose it is,
const SAYS_ITSELF: u64 = 3;
/// or it may do so: not all of it can be looked at.
const UNSURE_ITSELF: u64 = 4;

/// Makes the context of the request that is about to be sent, if one is, before it can be anywhere. Step by step: one function in
/// the other would need too much of the stack.
#[inline(always)]
pub(super) fn make(scratch: *mut Scratch) {
    let whose = sent();
    if whose == NOTHING {
        return;
    }
    if whose == OF_RUNTIME {
        runtime::request_goes(scratch);
    }
    bind(whose);
    goes(u64::from(whose != SAYS_ITSELF));
}

/// Looks at what is about to be sent: whose request it is, if it is one. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sent() -> u64 {
    let Some(scratch) = emit::this_scratch() else { return NOTHING };
    unsafe {
        let looking = &raw mut (*scratch).wire;
        let task = (&raw const (*looking).task).read_volatile();
        let len = (&raw const (*looking).len).read_volatile();
        let no_data = (*scratch).source.no_data as u64;
        let tgid = (task >> 32) as u32;
        if tgid == config::own_tgid() || QUIET.get_ptr(tgid).is_some() {
            return NOTHING;
        }
        if is_known(looking) {
            return NOTHING; // the segment went first
        }
        let seen = if no_data == 0 { look(len, 0, how::MAY_BEGIN | how::FAR) } else { 0 };
        let is_request = seen >> 32 & begins::REQUEST != 0;
        let is_unseen = seen == 0 && (&raw const (*looking).known).read_volatile() != 0;
        if !is_request && !is_unseen {
            return NOTHING;
        }
        let connection = (&raw const (*looking).connection).read_volatile();
        let context = &raw mut (*looking).context;
        let position = (&raw const (*looking).position).read_volatile();
        let span = id::span(config::seed(), connection, position);
        (&raw mut (*context).span).write_volatile(span);
        let end = u64::from((seen >> 16) as u16);
        let header = if is_request && end != 0 { head::traceparent(end) } else { UNSURE };
        match header {
            NONE if runtime::knows_now(task, scratch) => OF_RUNTIME,
            NONE => OF_THREAD,
            UNSURE => UNSURE_ITSELF,
            // A request that says itself whose it is needs nothing beside it.
            _ => SAYS_ITSELF,
        }
    }
}

/// Binds the context of the request that is about to be sent to a trace, if it is certain to which, and has it go. Global, and so
/// verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bind(whose: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let looking = &raw mut (*scratch).wire;
        let context = &raw mut (*looking).context;
        (&raw mut (*context).bits).write_volatile(0);
        (&raw mut (*looking).parent).write_volatile(0);
        let task = (&raw const (*looking).task).read_volatile();
        // Who serves what it is sent for; and whether it is known that it is sent for nothing that is served here.
        let (server, is_root) = match whose {
            OF_THREAD => match runtime::pool_works(task) {
                None => (task, serving::is_revoked((task >> 32) as u32)),
                Some(works) => (0, !works),
            },
            OF_RUNTIME => {
                let caller = &raw const (*scratch).desk.caller;
                let server = (&raw const (*caller).server).read_volatile();
                (server, (&raw const (*caller).span).read_volatile() == 0)
            }
            _ => (0, false),
        };
        match serving::by(server) {
            Some(served) if !is_root => {
                inherit(served, context);
                (&raw mut (*looking).parent).write_volatile((*served).parent);
            }
            _ if is_root || server != 0 && whose == OF_THREAD => {
                let trace = &raw mut (*context).trace;
                let span = (&raw const (*context).span).read_volatile();
                trace.write_volatile(id::trace(config::seed(), span));
                let bits = bits::BOUND | sampling(trace, None);
                (&raw mut (*context).bits).write_volatile(bits);
            }
            _ => {}
        }
        let origin = (&raw const (*looking).origin).read_volatile() as u32;
        let position = (&raw const (*looking).position).read_volatile();
        if origin != 0 {
            let request: &Request = &*context;
            let _ = REQUESTS.insert(name(position as u32, origin), request, 0);
        }
    }
    0
}

/// What is sent belongs to the trace of what is served. Once the answer has begun it may be over, too: then this would be no part
/// of it.
#[inline(always)]
unsafe fn inherit(served: *const Served, context: *mut Request) {
    unsafe {
        if (*served).answered == 0 {
            (&raw mut (*context).trace).write_volatile((*served).trace);
            (&raw mut (*context).bits).write_volatile((*served).bits);
        }
    }
}

/// Whether the context of the request is there already.
#[inline(always)]
unsafe fn is_known(looking: *const Looking) -> bool {
    unsafe {
        let cookie = (&raw const (*looking).cookie).read_volatile();
        if cookie == 0 {
            return false;
        }
        let Some(outgoing) = OUTGOING.get_ptr(cookie) else { return false };
        let position = (&raw const (*looking).position).read_volatile();
        (*outgoing).stage != stage::NONE && (*outgoing).sequence == position as u32
    }
}

/// Has the context go beside its request, if that is to another agent; one that is not certain is counted if it `counts`.
/// Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn goes(counts: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let looking = &raw const (*scratch).wire;
        let cookie = (&raw const (*looking).cookie).read_volatile();
        if cookie == 0 {
            return 0;
        }
        let Some(outgoing) = OUTGOING.get_ptr_mut(cookie) else { return 0 };
        if (*outgoing).stage == stage::WAITS {
            count(Counter::WireReplaced, 1);
        }
        (*outgoing).stage = stage::NONE;
        let context = &raw const (*looking).context;
        let bits = (&raw const (*context).bits).read_volatile();
        if bits & bits::BOUND == 0 {
            if counts != 0 {
                count(Counter::WireUnbound, 1);
            }
            return 0;
        }
        (*outgoing).trace = (&raw const (*context).trace).read_volatile();
        (*outgoing).span = (&raw const (*context).span).read_volatile();
        (*outgoing).sequence = (&raw const (*looking).position).read_volatile() as u32;
        (*outgoing).sampled = u8::from(bits & bits::SAMPLED != 0);
        (*outgoing).stage = stage::WAITS;
        tell_carried(Direction::Sent as u64);
    }
    0
}

/// What [`whose_message`] gives: nothing is said of its process's requests;
pub(crate) const WHOSE_QUIET: u64 = NOTHING;
/// the runtime is to be asked first.
pub(crate) const WHOSE_RUNTIME: u64 = OF_RUNTIME;

/// Who is to be asked for the context of the request that begins at `sequence`, says nothing of its trace itself, and is sent by
/// `task`.
#[inline(always)]
pub(crate) unsafe fn whose_message(
    sock: u64,
    state: *mut State,
    task: u64,
    sequence: u32,
    scratch: *mut Scratch,
) -> u64 {
    unsafe {
        let tgid = (task >> 32) as u32;
        if tgid == config::own_tgid()
            || QUIET.get_ptr(tgid).is_some()
            || left_out::is_left_out(tgid)
        {
            return WHOSE_QUIET;
        }
        let [_, origin] = origins(sock, state);
        let position = (*state).extend(Direction::Sent, sequence);
        let looking = &raw mut (*scratch).wire;
        (&raw mut (*looking).connection).write_volatile((*state).generation);
        (&raw mut (*looking).position).write_volatile(position);
        (&raw mut (*looking).origin).write_volatile(u64::from(origin));
        (&raw mut (*looking).cookie).write_volatile(0);
        (&raw mut (*looking).task).write_volatile(task);
        let span = id::span(config::seed(), (*state).generation, position);
        (&raw mut (*looking).context.span).write_volatile(span);
        if runtime::knows(task, state, scratch) { OF_RUNTIME } else { OF_THREAD }
    }
}

/// Makes that context; whether it may go.
#[inline(always)]
pub(crate) fn bind_message(whose: u64) -> bool {
    bind(whose);
    let Some(scratch) = emit::this_scratch() else { return false };
    let bits = unsafe { (&raw const (*scratch).wire.context.bits).read_volatile() };
    bits & bits::BOUND != 0
}

/// The same of a stream of HTTP/2. Whether a thread that serves opens it for what it serves is not known.
#[inline(always)]
pub(crate) fn bind_stream(whose: u64) -> bool {
    let Some(scratch) = emit::this_scratch() else { return false };
    unsafe {
        let looking = &raw mut (*scratch).wire;
        // No head is looked for where it is read.
        (&raw mut (*looking).origin).write_volatile(0);
        let task = (&raw const (*looking).task).read_volatile();
        if whose == OF_THREAD
            && !serving::is_revoked((task >> 32) as u32)
            && serving::by(task).is_some()
        {
            return false;
        }
    }
    bind_message(whose)
}

/// Where the request's own `traceparent` names its parent, if that is passed on as it came: of the trace of what the request is sent
/// for, and with the same parent. `at` is where its only value is, blanks included, in a head of `end` bytes; [`NOWHERE`] if not.
#[inline(always)]
pub(crate) fn passed_on(at: u64, end: u64) -> u64 {
    /// Behind the version and the trace (W3C Trace Context §3.2.2).
    const PARENT: u64 = 36;
    let Some(scratch) = emit::this_scratch() else { return NOWHERE };
    unsafe {
        if !head::only_value(at, end) {
            return NOWHERE;
        }
        let looking = &raw const (*scratch).wire;
        let search = &raw const (*looking).search;
        let trace = (&raw const (*looking).context.trace).read_volatile();
        let own = (&raw const (*search).trace).read_volatile();
        let parent = (&raw const (*looking).parent).read_volatile();
        if parent == 0
            || own[0] != trace[0]
            || own[1] != trace[1]
            || (&raw const (*search).parent).read_volatile() != parent
        {
            return NOWHERE;
        }
        (&raw const (*search).at).read_volatile() + PARENT
    }
}

/// It is not.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// Its trace, its span, and whether it is sampled.
#[inline(always)]
pub(crate) fn sent_context(scratch: *const Scratch) -> ([u64; 2], u64, bool) {
    unsafe {
        let context = &raw const (*scratch).wire.context;
        let trace = (&raw const (*context).trace).read_volatile();
        let bits = (&raw const (*context).bits).read_volatile();
        (trace, (&raw const (*context).span).read_volatile(), bits & bits::SAMPLED != 0)
    }
}

/// Its connection and its position.
#[inline(always)]
pub(crate) fn sent_where(scratch: *const Scratch) -> (u64, u64) {
    unsafe {
        let looking = &raw const (*scratch).wire;
        let connection = (&raw const (*looking).connection).read_volatile();
        (connection, (&raw const (*looking).position).read_volatile())
    }
}

/// Tells user space that it goes.
#[inline(always)]
pub(crate) fn tell_sent() {
    tell_carried(Direction::Sent as u64);
}

/// Whether a trace is sampled, whose caller has decided so or not at all.
#[inline(always)]
pub(super) unsafe fn sampling(trace: *const [u64; 2], decided: Option<bool>) -> u64 {
    let Some(sampler) = SAMPLER.get_ptr(0) else { return 0 };
    let [threshold, caller_decides] = unsafe { sampler.read_volatile() };
    let sampled = match decided {
        Some(decided) if caller_decides != 0 => decided,
        _ => is_sampled(unsafe { trace.read_volatile() }, threshold),
    };
    if sampled { bits::SAMPLED } else { 0 }
}

/// Tells user space of the context that is looked at: it is on the wire. Global, and straight into the ring: there is little room
/// on the stack.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_carried(direction: u64) -> u64 {
    unsafe {
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let Some(event) = emit::reserve::<Carried>() else { return 0 };
        let looking = &raw const (*scratch).wire;
        (*event).header = emit::header(ControlKind::Carried);
        (*event).connection = (&raw const (*looking).connection).read_volatile();
        (*event).position = (&raw const (*looking).position).read_volatile();
        (*event).trace = (&raw const (*looking).context.trace).read_volatile();
        (*event).span = (&raw const (*looking).context.span).read_volatile();
        let bits = (&raw const (*looking).context.bits).read_volatile();
        (*event).sampled = u32::from(bits & bits::SAMPLED != 0);
        (*event).direction = direction as u32;
        emit::submit(event);
    }
    0
}
