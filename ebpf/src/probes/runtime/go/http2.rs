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
    goroutine::{self, word},
    process,
    streams::{By, DATA, FIRST_METHOD, begins, connection, opens, register, this_tgid},
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
    preemption::whole(|| unsafe { opened(register(&context, 0)) });
    0
}

#[inline(always)]
unsafe fn opened(given: u64) {
    unsafe {
        let (Some(go), Some(http2)) = (process(this_tgid()), GO_HTTP2.get_ptr(this_tgid())) else {
            return;
        };
        let conn = word(given.wrapping_add((*http2).client_conn));
        let connection = connection(go, conn.wrapping_add((*http2).conn_socket));
        let number = word(given.wrapping_add((*http2).client_id)) as u32;
        let waits = receiver_of(go, word(given.wrapping_add((*http2).client_received)));
        let by = By { works: waits, started: goroutine::current(go) };
        let context = given.wrapping_add((*http2).client_ctx);
        opens(go, connection, number, Rule::GoHttp2, by, context);
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
        let mut conn = given.wrapping_add((*http2).server_conn);
        let buffered = (*http2).buffered_close;
        if buffered != 0 && word(word(conn).wrapping_add(FIRST_METHOD)) == buffered {
            conn = word(conn.wrapping_add(DATA));
        }
        let connection = connection(go, conn);
        let state = word(writer.wrapping_add((*http2).writer_state));
        let stream = word(state.wrapping_add((*http2).state_stream));
        let number = word(stream.wrapping_add((*http2).stream_id)) as u32;
        begins(go, connection, number);
    }
}
