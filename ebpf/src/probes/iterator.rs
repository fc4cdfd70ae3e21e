//! Walks over all TCP sockets of a network namespace (`iter/tcp`), for what is older than the agent.
//!
//! They need that iterators may set a socket's options (5.15), its callbacks among them (6.13). Each socket is locked meanwhile.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::{bpf_getsockopt, bpf_setsockopt, bpf_skc_to_tcp_sock};
use spanwire_ebpf::Offset;

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

/// The socket, if it is in that state and in a namespace that is traced; else null.
#[inline(always)]
pub(crate) unsafe fn tcp_in(state: u8, each: *mut Each) -> *mut c_void {
    unsafe {
        let sock = ptr::read_volatile(&raw const (*each).sock);
        if sock.is_null() {
            return ptr::null_mut();
        }
        let is: u8 = Typed::member(sock, Offset::SkState);
        if is != state {
            return ptr::null_mut();
        }
        let tcp = bpf_skc_to_tcp_sock(sock) as *mut c_void;
        if !tcp.is_null()
            && config::network_namespace() != 0
            && socket::network_namespace_typed(tcp) != config::network_namespace()
        {
            return ptr::null_mut();
        }
        tcp
    }
}

/// Has it call programs of sockets at these moments as well.
#[inline(always)]
pub(crate) unsafe fn call_back(tcp: *mut c_void, moments: u32) {
    const LEN: i32 = size_of::<u32>() as i32;
    let mut flags = 0u32;
    unsafe {
        bpf_getsockopt(tcp, SOL_TCP, CALLBACK_FLAGS, (&raw mut flags).cast(), LEN);
        flags |= moments;
        bpf_setsockopt(tcp, SOL_TCP, CALLBACK_FLAGS, (&raw mut flags).cast(), LEN);
    }
}
