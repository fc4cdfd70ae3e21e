//! Streams of HTTP/2, of which many share a connection: what is the same for all who tell in a process (uprobes) who opens one and
//! who serves one.
//!
//! A stream's connection is found by its descriptor: whose connection that is, is remembered when frames move on it, which they
//! have before any stream is opened.
//!
//! Where an offset is not this program's, what is found there is no socket's record: then nothing is said.

use aya_ebpf::{
    EbpfContext,
    btf_maps::{Array, LruHashMap},
    helpers::generated::bpf_get_current_pid_tgid,
    macros::btf_map,
    programs::ProbeContext,
};
use spanwire_ebpf::{
    ControlKind, StreamCall, config_flag, id,
    insert::OPENED,
    runtime::{GoProcess, Rule},
};

use super::{
    begin_serving, context,
    goroutine::{self, word},
    grpc, http2, is_on, nobody, snapshot,
};
use crate::{
    config, emit,
    registers::Call,
    runtime::{Caller, Desk, is_of_another_task},
    wire,
};

/// The connection on which frames moved last, by process and descriptor.
#[btf_map(name = "GO_SOCKETS")]
static GO_SOCKETS: LruHashMap<u64, u64, 8192> = LruHashMap::new();

/// A desk for each thread: these probes can be preempted by any other, and so may not use what belongs to the CPU.
#[btf_map(name = "DESKS")]
static DESKS: LruHashMap<u64, Desk, 2048> = LruHashMap::new();

/// What a new one is made of.
#[btf_map(name = "EMPTY_DESK")]
static EMPTY_DESK: Array<Desk, 1> = Array::new();

/// For whom streams were opened, until their heads are sent: by connection and number. Only where contexts are put into these.
#[btf_map(name = "GO_OPENED")]
static GO_OPENED: LruHashMap<[u64; 2], Opened, OPENED> = LruHashMap::new();

/// For which request, and who serves that: see [`Caller`].
#[derive(Clone, Copy)]
#[repr(C)]
struct Opened {
    span: u64,
    server: u64,
}

/// Data of an interface value, behind its table of methods.
pub(super) const DATA: u64 = 8;
/// In that table: the first method (`internal/abi.ITab`).
pub(super) const FIRST_METHOD: u64 = 24;
/// `AF_UNIX`, `AF_INET`, `AF_INET6`, and `SOCK_STREAM`.
const FAMILIES: [u64; 3] = [1, 2, 10];
const STREAM: u64 = 1;

/// Where the saved registers have a function's arguments and results, by Go's own convention (cmd/compile/abi-internal.md): the
/// first, the second, the third and the fourth word.
#[cfg(not(bpf_target_arch = "aarch64"))]
const WORDS: [usize; 4] = [80, 40, 88, 112];
#[cfg(bpf_target_arch = "aarch64")]
const WORDS: [usize; 4] = [0, 8, 16, 24];

#[inline(always)]
pub(super) unsafe fn register(context: &ProbeContext, which: usize) -> u64 {
    unsafe { context.as_ptr().cast::<u8>().add(WORDS[which]).cast::<u64>().read_volatile() }
}

/// Of the process that comes by. What belongs to the CPU may be about another one.
#[inline(always)]
pub(super) fn this_tgid() -> u32 {
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// This thread's.
#[inline(always)]
pub(super) fn desk() -> Option<*mut Desk> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if DESKS.get_ptr(thread).is_none() {
        let empty = EMPTY_DESK.get_ptr(0)?;
        DESKS.insert(thread, unsafe { &*empty }, 0).ok()?;
    }
    let desk = DESKS.get_ptr_mut(thread)?;
    unsafe { (&raw mut (*desk).caller.tgid).write_volatile(thread >> 32) }
    Some(desk)
}

/// Frames of HTTP/2 move in the current system call: which connection it is on is remembered, if there may be probes in the process.
/// Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn frames_move(connection: u64) -> u64 {
    let tgid = this_tgid();
    if !grpc::is_used(tgid) && !http2::is_used(tgid) {
        return 0;
    }
    let socket = u64::from(tgid) << 32 | Call::probed().first & 0xffff_ffff;
    match GO_SOCKETS.get_ptr_mut(socket) {
        Some(known) => unsafe { *known = connection },
        None => {
            let _ = GO_SOCKETS.insert(socket, connection, 0);
        }
    }
    1
}

/// The connection that the `net.Conn` at that address stands for; 0 if it is none that is known.
#[inline(never)]
pub(super) unsafe fn connection(go: *const GoProcess, conn: u64) -> u64 {
    unsafe {
        let fd = word(word(conn.wrapping_add(DATA)));
        let family = word(fd.wrapping_add((*go).fd_family));
        let kind = word(fd.wrapping_add((*go).fd_sotype));
        let is_stream = family == FAMILIES[0] || family == FAMILIES[1] || family == FAMILIES[2];
        if fd == 0 || kind != STREAM || !is_stream {
            return 0;
        }
        let descriptor = word(fd.wrapping_add((*go).fd_sysfd)) & 0xffff_ffff;
        match GO_SOCKETS.get_ptr(u64::from(this_tgid()) << 32 | descriptor) {
            Some(connection) => *connection,
            None => 0,
        }
    }
}

/// The current goroutine begins to serve a stream.
#[inline(always)]
pub(super) unsafe fn begins(go: *const GoProcess, connection: u64, number: u32) {
    unsafe {
        let g = goroutine::current(go);
        if connection == 0 || number & 1 == 0 || g == 0 {
            return;
        }
        let Some(desk) = desk() else { return };
        let key = goroutine::key(go, g, desk);
        if key != 0 {
            let span = id::stream(config::seed(), connection, number);
            snapshot::take(go, key, span, desk);
            begin_serving(key, g, span, connection, desk);
            if config::has(config_flag::INSERT) {
                wire::stream_served(connection, u64::from(number), key);
            }
        }
    }
}

/// The stream `number` is opened on a connection, by whom `by` says: tells for which request. If no goroutine that is known works for
/// one, the stream's own context may, whose interface value is at that address.
#[inline(always)]
pub(super) unsafe fn opens(
    go: *const GoProcess,
    connection: u64,
    number: u32,
    rule: Rule,
    by: By,
    context: u64,
) {
    if connection == 0 || number & 1 == 0 {
        return;
    }
    let Some(desk) = desk() else { return };
    unsafe {
        let caller = &raw mut (*desk).caller;
        nobody(caller);
        if by.works != 0 {
            if goroutine::adopt(go, by.works, desk) {
                goroutine::works_for(go, by.works, desk);
            }
        } else if by.started != 0 {
            goroutine::started_by_server(go, by.started, desk);
        }
        if (&raw const (*caller).span).read_volatile() == 0 && is_on(go, Rule::GoContext) {
            (&raw mut (*caller).context).write_volatile(word(context.wrapping_add(DATA)));
            context::walk_from(desk);
        }
        if config::has(config_flag::INSERT) {
            remember(connection, number, desk);
        }
        tell(connection, number, rule as u64, desk);
    }
}

/// The stream's head is about to be sent.
#[inline(never)]
unsafe fn remember(connection: u64, number: u32, desk: *const Desk) -> u64 {
    unsafe {
        let caller = &raw const (*desk).caller;
        let opened = Opened {
            span: (&raw const (*caller).span).read_volatile(),
            server: (&raw const (*caller).server).read_volatile(),
        };
        u64::from(GO_OPENED.insert([connection, u64::from(number)], opened, 0).is_ok())
    }
}

/// The head of a stream is about to be sent: for which request that was opened goes into the scratch event; 0 if that was not told. Global, and
/// so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn stream_goes(connection: u64, number: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let this = [connection, number];
        let Some(opened) = GO_OPENED.get_ptr(this) else { return 0 };
        let caller = &raw mut (*scratch).desk.caller;
        nobody(caller);
        (&raw mut (*caller).span).write_volatile((*opened).span);
        // It stays: what is sent now may have to be sent again.
        (&raw mut (*caller).server).write_volatile((*opened).server);
    }
    1
}

/// Who opens a stream.
pub(super) struct By {
    /// The goroutine that wants it; 0 if that is not known.
    pub(super) works: u64,
    /// Else one that was started for it; 0 if there is none.
    pub(super) started: u64,
}

/// Tells for whom a stream was opened.
#[inline(never)]
unsafe fn tell(connection: u64, number: u32, via: u64, desk: *const Desk) -> u64 {
    let Some(event) = emit::reserve::<StreamCall>() else { return 0 };
    unsafe {
        let caller = &raw const (*desk).caller;
        (*event).header = emit::header(ControlKind::StreamCall);
        (*event).connection = connection;
        (*event).stream = number;
        (*event).tgid = this_tgid();
        (*event).serving = (&raw const (*caller).span).read_volatile();
        let rule = (&raw const (*caller).rule).read_volatile();
        (*event).rule = rule as u8;
        (*event).absent = (&raw const (*caller).absent).read_volatile() as u8;
        (*event).via = via as u8;
        if is_of_another_task(rule) {
            Caller::tasks_to(caller, &raw mut (*event).tasks, &raw mut (*event).objects);
        }
    }
    emit::submit(event);
    1
}
