//! grpc-go: many streams share a connection, and one goroutine writes the frames of all. Who opened a stream is told where that
//! happens, at the end of `(*http2Client).NewStream`; who serves one, where that begins, `(*Server).handleStream`. So these are
//! probes in a process (uprobes): one each for a call and for a request.

use aya_ebpf::{
    btf_maps::HashMap,
    macros::{btf_map, uprobe},
    programs::ProbeContext,
};
use spanwire_ebpf::runtime::{GoGrpc, Rule};

use super::{
    goroutine::{self, word},
    process,
    streams::{By, FIRST_METHOD, begins, connection, opens, register, this_tgid},
};
use crate::preemption;

/// Processes that use grpc-go.
#[btf_map(name = "GO_GRPC")]
static GO_GRPC: HashMap<u32, GoGrpc, 1024> = HashMap::new();

/// Whether that process is one of them.
#[inline(always)]
pub(super) fn is_used(tgid: u32) -> bool {
    GO_GRPC.get_ptr(tgid).is_some()
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
        let connection = connection(go, transport.wrapping_add((*grpc).client_conn));
        let stream = stream(given, (*grpc).client_stream, (*grpc).client_stream_points);
        let number = word(stream.wrapping_add((*grpc).stream_id)) as u32;
        let by = By { works: goroutine::current(go), started: 0 };
        let context = stream.wrapping_add((*grpc).stream_ctx);
        opens(go, connection, number, Rule::GoGrpc, by, context);
    }
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
        let connection = connection(go, transport.wrapping_add((*grpc).server_conn));
        let stream = stream(given, (*grpc).server_stream, (*grpc).server_stream_points);
        let number = word(stream.wrapping_add((*grpc).stream_id)) as u32;
        begins(go, connection, number);
    }
}
