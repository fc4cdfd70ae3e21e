//! Connections of named programs that are older than the agent: a walk over all sockets, when it starts.
//!
//! User space has chosen them, and makes them members where this has marked them. Where their next request begins is not known: see
//! [`super::boundary`]. Must never mark one that is taken care of already.

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG},
    btf_maps::HashMap,
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_storage_get},
    macros::btf_map,
};
use spanwire_ebpf::{Counter, insert::OLDER};

use super::stage;
use crate::{
    iterator::{Each, call_back, tcp_in},
    maps::{STATES, count},
    state::State,
};

/// `TCP_ESTABLISHED`
const ESTABLISHED: u8 = 1;

/// The chosen ones, by their cookies; not zero once they are marked.
#[btf_map(name = "OLDER")]
static CHOSEN: HashMap<u64, u32, OLDER> = HashMap::new();

/// `iter/tcp`
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) extern "C" fn insert_older(each: *mut Each) -> i32 {
    unsafe {
        let tcp = tcp_in(ESTABLISHED, each);
        if tcp.is_null() {
            return 0;
        }
        let Some(marked) = CHOSEN.get_ptr_mut(bpf_get_socket_cookie(tcp)) else { return 0 };
        let states = (&raw const STATES).cast_mut().cast();
        let state: *mut State = bpf_sk_storage_get(
            states,
            tcp,
            ptr::null_mut(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
        .cast();
        if state.is_null() {
            return 0;
        }
        let insertion = &raw mut (*state).insertion;
        if (*insertion).stage == stage::NONE {
            count(Counter::InsertOlder, 1);
            // A number from here on.
            ptr::write_volatile(&raw mut (*insertion).sock, tcp as u64);
            (*insertion).stage = stage::LOST;
            (*insertion).asked = 0;
            (*insertion).member = 1;
            *marked = 1;
        }
        if *marked != 0 {
            call_back(tcp, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
        }
    }
    0
}
