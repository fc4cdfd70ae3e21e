//! Listeners that are older than the agent: an iterator over all TCP sockets, run once when the agent starts.
//!
//! It needs that iterators may set a socket's options (5.15), this one among them (6.13).

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::{bpf_setsockopt, bpf_skc_to_tcp_sock};
use spanwire_ebpf::{Offset, config_flag};

use super::option::LISTENING;
use crate::{
    config,
    memory::{Reach, Typed},
    socket,
};

/// `struct bpf_iter__tcp`
#[repr(C)]
pub(crate) struct Each {
    meta: *mut c_void,
    sock: *mut c_void,
}

const SOL_TCP: i32 = 6;
/// `TCP_BPF_SOCK_OPS_CB_FLAGS`
const CALLBACK_FLAGS: i32 = 1008;
/// `TCP_LISTEN`
const LISTEN: u8 = 10;

/// `iter/tcp`
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) extern "C" fn wire_listeners(each: *mut Each) -> i32 {
    unsafe {
        let sock = ptr::read_volatile(&raw const (*each).sock);
        if sock.is_null() || !config::has(config_flag::WIRE) {
            return 0;
        }
        let state: u8 = Typed::member(sock, Offset::SkState);
        if state != LISTEN {
            return 0;
        }
        let tcp = bpf_skc_to_tcp_sock(sock) as *mut c_void;
        if tcp.is_null() {
            return 0;
        }
        if config::network_namespace() != 0
            && socket::network_namespace_typed(tcp) != config::network_namespace()
        {
            return 0;
        }
        let flags = LISTENING;
        bpf_setsockopt(
            tcp,
            SOL_TCP,
            CALLBACK_FLAGS,
            (&raw const flags).cast_mut().cast(),
            size_of::<u32>() as i32,
        );
    }
    0
}
