//! Hooks at the socket layer (sets `locked` and `length`): no other call of the host pays for them.
//!
//! `tcp_sendmsg_locked` runs before the bytes of a send are queued and knows position and buffers exactly; where it
//! exists, `sock_send_length` only confirms how many bytes were taken. Where it does not, the buffers come from the
//! registers of the running call, once it is sure that the call is one on this socket.

use core::{ffi::c_void, hint::cold_path, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    btf_maps::ProgramArray,
    helpers::generated::{bpf_get_current_pid_tgid, bpf_sk_storage_get},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use spanwire_ebpf::{Counter, Direction, NoData, Offset, config_flag};

use crate::{
    bytes::Source,
    config, emit,
    insert::Insertion,
    left_out,
    maps::{STATES, count},
    memory::{Reach, Typed},
    observe::{self, Moved},
    preemption::{self, Seen},
    registers::{self, Call},
    socket::{self, Stream},
    state::{SendInFlight, State},
    wire::{self, Sending},
};

const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;
/// `enum iter_type` since 6.0.
const ITER_UBUF: u8 = 0;
const ITER_IOVEC: u8 = 1;

/// The program of that name, which the second one at its tracepoint goes on as.
#[btf_map(name = "SEND_LOCKED")]
static SEND_LOCKED: ProgramArray<1> = ProgramArray::new();
#[btf_map(name = "SEND_LENGTH")]
static SEND_LENGTH: ProgramArray<1> = ProgramArray::new();
#[btf_map(name = "RECV_LENGTH")]
static RECV_LENGTH: ProgramArray<1> = ProgramArray::new();

/// The state of a socket, found or made.
#[inline(always)]
pub(crate) unsafe fn state(sock: *const c_void, flags: u32) -> *mut State {
    unsafe {
        bpf_sk_storage_get(
            (&raw const STATES).cast_mut().cast(),
            sock.cast_mut(),
            ptr::null_mut(),
            u64::from(flags),
        )
        .cast()
    }
}

#[inline(always)]
unsafe fn word(context: &BtfTracePointContext, i: usize) -> u64 {
    unsafe { ptr::read_volatile(context.as_ptr().cast::<u64>().add(i)) }
}

/// `tcp:tcp_sendmsg_locked` (6.16): before each piece of a send is queued, with the socket locked.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub(crate) fn send_locked(context: BtfTracePointContext) -> i32 {
    preemption::first(Seen::SendLocked, || unsafe { about_to_send(&context) });
    0
}

/// The same, for what that was passed over for.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub(crate) fn send_locked_2nd(context: BtfTracePointContext) -> i32 {
    if preemption::is_passed_over(Seen::SendLocked, || unsafe { is_noted(&context) }) {
        unsafe { SEND_LOCKED.tail_call(&context, 0) };
    }
    0
}

/// Whether this piece is one of the send that the connection is known to be in.
#[inline(always)]
unsafe fn is_noted(context: &BtfTracePointContext) -> bool {
    unsafe {
        let sock = word(context, 0) as *const c_void;
        let message = ptr::read_volatile(context.as_ptr().cast::<*const u8>().add(1));
        if !matches!(socket::stream::<Typed>(sock), Some(Stream::Tcp)) {
            return false;
        }
        let state = state(sock, 0);
        let sequence = socket::sequence_cast(sock, Direction::Sent);
        let iter = message.add(config::offset(Offset::MsgIter)).cast::<c_void>();
        let left: u64 = Typed::member(iter, Offset::IterCount);
        !state.is_null()
            && (*state).send.task == bpf_get_current_pid_tgid()
            && (*state).send.goes_on(sequence, left as u32)
    }
}

#[inline(always)]
unsafe fn about_to_send(context: &BtfTracePointContext) {
    unsafe {
        let sock = word(context, 0) as *const c_void;
        let message = ptr::read_volatile(context.as_ptr().cast::<*const u8>().add(1));
        if !matches!(socket::stream::<Typed>(sock), Some(Stream::Tcp)) {
            return;
        }
        let state = state(sock, BPF_SK_STORAGE_GET_F_CREATE);
        if state.is_null() {
            return;
        }
        if (*state).is_given_up() || left_out::holds(state) {
            return;
        }
        // What comes here of such a socket are pieces of its message, with what was put into it: the call is read when it returns.
        if (*state).insertion.member != 0 {
            return;
        }
        let task = bpf_get_current_pid_tgid();
        let sequence = socket::sequence_cast(sock, Direction::Sent);
        let iter = message.add(config::offset(Offset::MsgIter)).cast::<c_void>();
        let left: u64 = Typed::member(iter, Offset::IterCount);
        if (*state).send.task == task && (*state).send.goes_on(sequence, left as u32) {
            if (*state).send.began == 0 {
                (*state).send.began = emit::now();
            }
            return;
        }
        let kind: u8 = Typed::member(iter, Offset::IterType);
        let base: u64 = if kind == ITER_UBUF {
            Typed::member(iter, Offset::IterUbuf)
        } else {
            Typed::member(iter, Offset::IterIov)
        };
        let segments: u64 = Typed::member(iter, Offset::IterSegments);
        (*state).send = SendInFlight {
            task,
            sequence,
            segments: segments as u32,
            base,
            skip: Typed::member(iter, Offset::IterOffset),
            began: 0,
            kind: u32::from(kind),
            wanted: left as u32,
        };
        if config::has(config_flag::WIRE) && wire::is_awake() {
            context_goes_first(sock, state, sequence, left);
        }
    }
}

/// If a request is about to be sent: its context may have to go with it.
#[inline(always)]
unsafe fn context_goes_first(sock: *const c_void, state: *mut State, sequence: u32, len: u64) {
    unsafe {
        if (*state).generation == 0 {
            cold_path();
            meet_typed(sock, state, Stream::Tcp, Direction::Sent, 0);
        }
        let Some(scratch) = emit::scratch() else { return };
        (*scratch).source = taken_from(&(*state).send);
        emit::release(scratch);
        if may_be_request(sock, state, sequence, len) != 0 {
            wire::make_context();
        }
    }
}

/// Whether a request may begin there, in the bytes that the scratch event is about: then that is ours, and the context is to be
/// made.
///
/// A function of its own, so that what it needs of the stack is free again for what follows.
#[inline(never)]
unsafe fn may_be_request(sock: *const c_void, state: *mut State, sequence: u32, len: u64) -> u64 {
    unsafe {
        let Some(scratch) = emit::scratch() else { return 0 };
        let cookie: u64 = Typed::member(sock, Offset::SkCookie);
        let task = bpf_get_current_pid_tgid();
        let source = (*scratch).source;
        let sending = Sending { sock: sock as u64, cookie, task, sequence, source, len };
        if wire::about_to_send(state, scratch, &sending) {
            return 1;
        }
        emit::release(scratch);
        0
    }
}

/// Whether the bytes that moved last have been seen already. Of unix sockets that is not known.
#[inline(always)]
unsafe fn is_seen(sock: *const c_void, direction: Direction) -> bool {
    unsafe {
        if !matches!(socket::stream::<Typed>(sock), Some(Stream::Tcp)) {
            return false;
        }
        let state = state(sock, 0);
        let after = socket::sequence_cast(sock, direction);
        !state.is_null() && (*state).ways[direction as usize].next as u32 == after
    }
}

/// `sock:sock_send_length` (6.3): a send has returned.
#[btf_tracepoint(function = "sock_send_length")]
pub(crate) fn send_length(context: BtfTracePointContext) -> i32 {
    preemption::first(Seen::SendLength, || unsafe {
        sent(word(&context, 0) as *const c_void, word(&context, 1) as i32);
    });
    0
}

/// The same, for what that was passed over for.
#[btf_tracepoint(function = "sock_send_length")]
pub(crate) fn send_length_2nd(context: BtfTracePointContext) -> i32 {
    if preemption::is_passed_over(Seen::SendLength, || unsafe {
        is_seen(word(&context, 0) as *const c_void, Direction::Sent)
    }) {
        unsafe { SEND_LENGTH.tail_call(&context, 0) };
    }
    0
}

#[inline(always)]
unsafe fn sent(sock: *const c_void, returned: i32) {
    unsafe {
        let Some(stream) = socket::stream::<Typed>(sock) else { return };
        let state = state(sock, BPF_SK_STORAGE_GET_F_CREATE);
        if state.is_null() {
            cold_path();
            count(Counter::ConnectionsUntracked, 1);
            return;
        }
        if (*state).is_given_up() {
            return;
        }
        let in_flight = (*state).send;
        let running = Typed::task();
        let task = registers::name::<Typed>(running);
        let ours = in_flight.task != 0 && in_flight.task == task;
        if ours {
            (*state).send.task = 0;
        }
        if returned <= 0 {
            return;
        }
        let len = returned as u32;
        if (*state).generation == 0 {
            cold_path();
            meet_typed(sock, state, stream, Direction::Sent, len);
        }
        let expected = (*state).ways[0].next;
        let (position, source) = match stream {
            Stream::Unix => (expected, Source::none(NoData::Nothing)),
            Stream::Tcp if ours => {
                ((*state).extend(Direction::Sent, in_flight.sequence), taken_from(&in_flight))
            }
            Stream::Tcp => {
                let after = socket::sequence_cast(sock, Direction::Sent);
                let began = Insertion::began(&raw mut (*state).insertion, after, len);
                ((*state).extend(Direction::Sent, began), Source::none(NoData::Nothing))
            }
        };
        (*state).ways[0].next = position + u64::from(len) + u64::from((*state).insertion.passed);
        if observe::passes(sock as u64, state, Direction::Sent as usize) {
            return;
        }
        let mut source = source;
        if !ours {
            let call = Call::typed(running);
            source = if position != expected {
                Source::none(NoData::Raced)
            } else if socket::called_on(sock, running, &call) {
                Source::of(&call)
            } else {
                cold_path();
                uncalled(&call)
            };
        }
        let began = in_flight_began(ours, &in_flight);
        let way = Direction::Sent as usize;
        let what = Moved { way, position, expected, len, began, running, task };
        observe::moved(sock as u64, state, &what, source);
        // If its context did not go first: for who reads the request on this host, and may already have.
        if config::has(config_flag::WIRE_LATE)
            && wire::is_awake()
            && (*state).insertion.member == 0
            && matches!(socket::stream::<Typed>(sock), Some(Stream::Tcp))
            && may_be_request(sock, state, position as u32, u64::from(len)) != 0
        {
            wire::make_context();
        }
    }
}

#[inline(always)]
const fn in_flight_began(ours: bool, send: &SendInFlight) -> u64 {
    if ours { send.began } else { 0 }
}

#[inline(always)]
fn taken_from(send: &SendInFlight) -> Source {
    if send.kind == u32::from(ITER_UBUF) {
        Source::plain(send.base, send.skip)
    } else if send.kind == u32::from(ITER_IOVEC) {
        Source::vector(send.base, u64::from(send.segments), send.skip, true)
    } else {
        Source::none(NoData::KernelPages)
    }
}

/// Why a call that is none on the socket moved its bytes: `sendfile` and `splice` name it by another argument.
#[inline(always)]
fn uncalled(call: &Call) -> Source {
    match Source::of(call).no_data {
        NoData::KernelPages => Source::none(NoData::KernelPages),
        _ => Source::none(NoData::ForeignCall),
    }
}

/// `sock:sock_recv_length` (6.3): a receive has returned.
#[btf_tracepoint(function = "sock_recv_length")]
pub(crate) fn recv_length(context: BtfTracePointContext) -> i32 {
    preemption::first(Seen::RecvLength, || unsafe {
        let sock = word(&context, 0) as *const c_void;
        received(sock, word(&context, 1) as i32, word(&context, 2));
    });
    0
}

/// The same, for what that was passed over for.
#[btf_tracepoint(function = "sock_recv_length")]
pub(crate) fn recv_length_2nd(context: BtfTracePointContext) -> i32 {
    if preemption::is_passed_over(Seen::RecvLength, || unsafe {
        is_seen(word(&context, 0) as *const c_void, Direction::Received)
    }) {
        unsafe { RECV_LENGTH.tail_call(&context, 0) };
    }
    0
}

#[inline(always)]
unsafe fn received(sock: *const c_void, returned: i32, flags: u64) {
    unsafe {
        if returned < 0 || flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
            return;
        }
        let Some(stream) = socket::stream::<Typed>(sock) else { return };
        let len = returned as u32;
        if len == 0 && !socket::peer_ended::<Typed>(sock) {
            return;
        }
        // An end of stream on a connection never seen says nothing.
        let state = state(sock, if len == 0 { 0 } else { BPF_SK_STORAGE_GET_F_CREATE });
        if state.is_null() {
            cold_path();
            if len > 0 {
                count(Counter::ConnectionsUntracked, 1);
            }
            return;
        }
        if (*state).is_given_up() {
            return;
        }
        // Not rare, but long: so the compiler puts the way out before it, in the page of code that a call which ends here is in.
        // Behind it, such a call takes a tenth longer.
        cold_path();
        if (*state).generation == 0 {
            cold_path();
            meet_typed(sock, state, stream, Direction::Received, len);
        }
        let position = match stream {
            Stream::Unix => (*state).ways[1].next,
            Stream::Tcp => {
                let after = socket::sequence_cast(sock, Direction::Received);
                (*state).extend(Direction::Received, after.wrapping_sub(len))
            }
        };
        let expected = (*state).ways[1].next;
        (*state).ways[1].next = position + u64::from(len);
        if observe::passes(sock as u64, state, Direction::Received as usize) {
            return;
        }
        let mut source = Source::none(NoData::Form);
        let running = Typed::task();
        if len > 0 && flags & MSG_TRUNC == 0 {
            let call = Call::cast(running);
            source = if socket::called_on(sock, running, &call) {
                Source::of(&call)
            } else {
                cold_path();
                uncalled(&call)
            };
        }
        let task = registers::name::<Typed>(running);
        let way = Direction::Received as usize;
        let what = Moved { way, position, expected, len, began: 0, running, task };
        observe::moved(sock as u64, state, &what, source);
    }
}

/// Meets a connection at a call that has moved `len` bytes already.
#[inline(always)]
unsafe fn meet_typed(
    sock: *const c_void,
    state: *mut State,
    stream: Stream,
    direction: Direction,
    len: u32,
) {
    unsafe {
        let mut next = [0, 0];
        if stream == Stream::Tcp {
            let sent = socket::sequence_cast(sock, Direction::Sent);
            let received = socket::sequence_cast(sock, Direction::Received);
            next = [observe::FIRST_LAP + u64::from(sent), observe::FIRST_LAP + u64::from(received)];
            next[direction as usize & 1] -= u64::from(len);
        }
        observe::meet(sock as u64, state, next, bpf_get_current_pid_tgid());
    }
}
