//! grpc-go: many streams share a connection, and one goroutine writes the frames of all. Who opened a stream is told where that
//! happens, at the end of `(*http2Client).NewStream`; who serves one, where that begins, `(*Server).handleStream`. So these are the
//! probes in a process (uprobes) that this runtime has: one each for a call and for a request.
//!
//! A stream's connection is found by its descriptor: whose connection that is, is remembered when frames move on it, which they
//! have before any stream is opened.
//!
//! Where an offset is not this program's, what is found there is no socket's record: then nothing is said.

use aya_ebpf::{
    EbpfContext,
    btf_maps::{Array, HashMap, LruHashMap},
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{btf_map, uprobe},
    programs::ProbeContext,
};
use spanwire_ebpf::{
    ControlKind, StreamCall, id,
    runtime::{GoGrpc, GoProcess, Rule},
};

use super::{
    begin_serving, context,
    goroutine::{self, word},
    is_on, nobody, process, snapshot,
};
use crate::{config, emit, preemption, registers::Call, runtime::Desk};

/// Processes that use grpc-go.
#[btf_map(name = "GO_GRPC")]
static GO_GRPC: HashMap<u32, GoGrpc, 1024> = HashMap::new();

/// The connection on which frames moved last, by process and descriptor.
#[btf_map(name = "GO_SOCKETS")]
static GO_SOCKETS: LruHashMap<u64, u64, 8192> = LruHashMap::new();

/// A desk for each thread: these probes can be preempted by any other, and so may not use what belongs to the CPU.
#[btf_map(name = "DESKS")]
static DESKS: LruHashMap<u64, Desk, 2048> = LruHashMap::new();

/// What a new one is made of.
#[btf_map(name = "EMPTY_DESK")]
static EMPTY_DESK: Array<Desk, 1> = Array::new();

/// Data of an interface value, behind its table of methods,
const DATA: u64 = 8;
/// and in that the first method (`internal/abi.ITab`).
const FIRST_METHOD: u64 = 24;
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
unsafe fn register(context: &ProbeContext, which: usize) -> u64 {
    unsafe { context.as_ptr().cast::<u8>().add(WORDS[which]).cast::<u64>().read_volatile() }
}

/// Of the process that comes by. What belongs to the CPU may be about another one.
#[inline(always)]
fn this_tgid() -> u32 {
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// This thread's.
#[inline(always)]
fn desk() -> Option<*mut Desk> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if DESKS.get_ptr(thread).is_none() {
        let empty = EMPTY_DESK.get_ptr(0)?;
        DESKS.insert(thread, unsafe { &*empty }, 0).ok()?;
    }
    let desk = DESKS.get_ptr_mut(thread)?;
    unsafe { (&raw mut (*desk).caller.tgid).write_volatile(thread >> 32) }
    Some(desk)
}

/// Frames of HTTP/2 move in the current system call: which connection it is on is remembered. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn frames_move(connection: u64) -> u64 {
    let tgid = this_tgid();
    if GO_GRPC.get_ptr(tgid).is_none() {
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
unsafe fn connection(go: *const GoProcess, grpc: *const GoGrpc, conn: u64) -> u64 {
    unsafe {
        let fd = word(word(conn.wrapping_add(DATA)));
        let family = word(fd.wrapping_add((*grpc).fd_family));
        let kind = word(fd.wrapping_add((*grpc).fd_sotype));
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

/// What both sides have of a stream, at that place of what each is given; it may be there itself or be pointed to.
#[inline(always)]
fn stream(given: u64, at: u64, points: u64) -> u64 {
    let at = given.wrapping_add(at);
    if points == 0 { at } else { word(at) }
}

/// A goroutine of a client has opened a stream: the function returns it.
#[uprobe]
pub(crate) fn grpc_new_stream(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe { opened(register(&context, 0)) });
    0
}

#[inline(always)]
unsafe fn opened(given: u64) {
    unsafe {
        let (Some(go), Some(grpc)) = (process(this_tgid()), GO_GRPC.get_ptr(this_tgid())) else {
            return;
        };
        if given == 0 {
            return;
        }
        let transport = word(given.wrapping_add((*grpc).client_transport));
        let connection = connection(go, grpc, transport.wrapping_add((*grpc).client_conn));
        let stream = stream(given, (*grpc).client_stream, (*grpc).client_stream_points);
        let number = word(stream.wrapping_add((*grpc).stream_id)) as u32;
        if connection == 0 || number & 1 == 0 {
            return;
        }
        let Some(desk) = desk() else { return };
        let caller = &raw mut (*desk).caller;
        nobody(caller);
        let g = goroutine::current(go);
        if g != 0 && goroutine::adopt(go, g, desk) {
            goroutine::works_for(go, g, desk);
        }
        if (&raw const (*caller).span).read_volatile() == 0 && is_on(go, Rule::GoContext) {
            let context = word(stream.wrapping_add((*grpc).stream_ctx + DATA));
            (&raw mut (*caller).context).write_volatile(context);
            context::walk_from(desk);
        }
        tell(connection, number, desk);
    }
}

/// Tells for whom a stream was opened.
#[inline(never)]
unsafe fn tell(connection: u64, number: u32, desk: *const Desk) -> u64 {
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
        (*event).via = Rule::GoGrpc as u8;
        if rule == Rule::GoChild as u64 {
            let mut i = 0;
            while i < 3 {
                (*event).tasks[i] = (&raw const (*caller).tasks[i]).read_volatile();
                (*event).objects[i] = (&raw const (*caller).objects[i]).read_volatile();
                i += 1;
            }
        }
    }
    emit::submit(event);
    1
}

/// A goroutine of a server begins to serve a stream: the function is given the server, the transport, and the stream.
#[uprobe]
pub(crate) fn grpc_handle_stream(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe {
        serves(register(&context, 1), register(&context, 2), register(&context, 3));
    });
    0
}

#[inline(always)]
unsafe fn serves(table: u64, transport: u64, given: u64) {
    unsafe {
        let (Some(go), Some(grpc)) = (process(this_tgid()), GO_GRPC.get_ptr(this_tgid())) else {
            return;
        };
        // Requests that `net/http` has read come with another transport.
        if word(table.wrapping_add(FIRST_METHOD)) != (*grpc).server_close {
            return;
        }
        let connection = connection(go, grpc, transport.wrapping_add((*grpc).server_conn));
        let stream = stream(given, (*grpc).server_stream, (*grpc).server_stream_points);
        let number = word(stream.wrapping_add((*grpc).stream_id)) as u32;
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
        }
    }
}
