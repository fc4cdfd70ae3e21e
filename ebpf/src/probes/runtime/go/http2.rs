//! HTTP/2 in `net/http`: many streams share a connection. A client's goroutine for each stream writes its head,
//! `(*clientStream).encodeAndWriteHeaders`; a server's for each serves it, `(*serverConn).runHandler`. Where these begin is told
//! for which stream: probes in a process (uprobes), one each for a call and for a request.
//!
//! Whoever wants the answer of a call waits for it in a channel that is the stream's own. Does nobody wait yet, then it is
//! who has started the client's goroutine, if that serves a request and has started it in this one.

use aya_ebpf::{
    btf_maps::HashMap,
    macros::{btf_map, uprobe},
    programs::ProbeContext,
};
use spanwire_ebpf::runtime::{GoHttp2, Rule};

use super::{
    context,
    goroutine::{self, word},
    is_on, nobody, process,
    streams::{DATA, begins, connection, desk, register, tell, this_tgid},
    transport::receiver_of,
};
use crate::preemption;

/// Processes that have it.
#[btf_map(name = "GO_HTTP2")]
static GO_HTTP2: HashMap<u32, GoHttp2, 1024> = HashMap::new();

/// Whether that process is one of them.
#[inline(always)]
pub(super) fn is_used(tgid: u32) -> bool {
    GO_HTTP2.get_ptr(tgid).is_some()
}

/// The goroutine of a client's stream is about to write its head: the function is given the stream.
#[uprobe]
pub(crate) fn http2_write_headers(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe { opens(register(&context, 0)) });
    0
}

#[inline(always)]
unsafe fn opens(given: u64) {
    unsafe {
        let (Some(go), Some(http2)) = (process(this_tgid()), GO_HTTP2.get_ptr(this_tgid())) else {
            return;
        };
        let conn = word(given.wrapping_add((*http2).client_conn));
        let connection = connection(go, conn.wrapping_add((*http2).conn_socket));
        let number = word(given.wrapping_add((*http2).client_id)) as u32;
        if connection == 0 || number & 1 == 0 {
            return;
        }
        let Some(desk) = desk() else { return };
        let caller = &raw mut (*desk).caller;
        nobody(caller);
        let g = goroutine::current(go);
        let waits = receiver_of(go, word(given.wrapping_add((*http2).client_received)));
        if waits != 0 {
            if goroutine::adopt(go, waits, desk) {
                goroutine::works_for(go, waits, desk);
            }
        } else if g != 0 {
            goroutine::started_by_server(go, g, desk);
        }
        if (&raw const (*caller).span).read_volatile() == 0 && is_on(go, Rule::GoContext) {
            let context = word(given.wrapping_add((*http2).client_ctx + DATA));
            (&raw mut (*caller).context).write_volatile(context);
            context::walk_from(desk);
        }
        tell(connection, number, Rule::GoHttp2 as u64, desk);
    }
}

/// The goroutine of a server's stream begins: the function is given the connection, and what the handler writes to.
#[uprobe]
pub(crate) fn http2_run_handler(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe { serves(register(&context, 0), register(&context, 1)) });
    0
}

#[inline(always)]
unsafe fn serves(given: u64, writer: u64) {
    unsafe {
        let (Some(go), Some(http2)) = (process(this_tgid()), GO_HTTP2.get_ptr(this_tgid())) else {
            return;
        };
        let connection = connection(go, given.wrapping_add((*http2).server_conn));
        let state = word(writer.wrapping_add((*http2).writer_state));
        let stream = word(state.wrapping_add((*http2).state_stream));
        let number = word(stream.wrapping_add((*http2).stream_id)) as u32;
        begins(go, connection, number);
    }
}
