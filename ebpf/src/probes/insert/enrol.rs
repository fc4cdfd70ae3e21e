//! Which sockets are looked at: those that a named program connects, that do not block, and that go where the operator wants it.
//!
//! Membership alone changes what a socket does: a `recv` that blocks may return `EAGAIN`, because the kernel's function for members
//! takes any wake-up for the last one. So who makes a member block again is taken out, at the next segment that is made for it:
//! while it sends, and while what it waits for is acknowledged.

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_TCP_CONNECT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, bpf_sock_ops,
    },
    btf_maps::HashMap,
    helpers::generated::{bpf_get_socket_cookie, bpf_map_delete_elem, bpf_sk_storage_get},
    macros::{btf_map, map, sock_ops},
    maps::SockHash,
    programs::SockOpsContext,
};
use spanwire_ebpf::{Counter, NAMED_PROCESSES, SOCKETS, config_flag, wire::Scope};

use super::{blocks, stage};
use crate::{
    config,
    maps::{STATES, count},
    registers::task,
    state::State,
    wire::{change, field, has_agent, is_ours, scope},
};

/// The sockets, by their cookies. Of a kind that not every kernel has: where nobody asks for it the agent makes it an ordinary
/// map before loading, which is why its definition is in the old form, whose bytes lie together.
#[map(name = "SOCKETS")]
static SOCKET_HASH: SockHash<u64> = SockHash::with_max_entries(SOCKETS, 0);

/// Processes of named programs, as user space says.
#[btf_map(name = "NAMED")]
static NAMED: HashMap<u32, u32, NAMED_PROCESSES> = HashMap::new();

/// Called at few moments of each connection's life, and for segments of members.
#[sock_ops]
pub(crate) fn insert_enrol(context: SockOpsContext) -> u32 {
    let ops = context.ops;
    let op = field!(ops, op);
    if op == BPF_SOCK_OPS_HDR_OPT_LEN_CB {
        stays(ops);
    } else if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        connects(ops);
    } else if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        connected(ops);
    }
    1
}

/// What is remembered of the socket.
#[inline(always)]
fn state(ops: *mut bpf_sock_ops, flags: u32) -> *mut State {
    unsafe {
        let sk = ptr::read_volatile(&raw const (*ops).__bindgen_anon_2.sk);
        if sk.is_null() {
            return ptr::null_mut();
        }
        let states = (&raw const STATES).cast_mut().cast();
        bpf_sk_storage_get(states, sk.cast(), ptr::null_mut(), u64::from(flags)).cast()
    }
}

/// It is about to be connected, by the task that runs.
#[inline(always)]
fn connects(ops: *mut bpf_sock_ops) {
    let named = NAMED.get_ptr((task() >> 32) as u32).is_some() && is_ours(ops);
    let state = state(ops, if named { BPF_SK_STORAGE_GET_F_CREATE } else { 0 });
    if !state.is_null() {
        // A socket may be connected again, by another.
        unsafe { (*state).insertion.stage = if named { stage::WANTED } else { stage::NONE } };
    }
}

/// It is connected, whatever task runs.
#[inline(always)]
fn connected(ops: *mut bpf_sock_ops) {
    let state = state(ops, 0);
    if state.is_null() {
        return;
    }
    let first = field!(ops, snd_nxt);
    unsafe {
        let insertion = &raw mut (*state).insertion;
        if (*insertion).stage != stage::WANTED {
            return;
        }
        (*insertion).stage = stage::NONE;
        let may = match scope(ops) {
            Some(Scope::Host | Scope::Private) => true,
            Some(Scope::Public) => config::has(config_flag::INSERT_ANYWHERE),
            None => return,
        };
        if !may {
            count(Counter::InsertNotPrivate, 1);
            return;
        }
        if has_agent(ops) {
            count(Counter::InsertAgent, 1);
            return;
        }
        let sk = ptr::read_volatile(&raw const (*ops).__bindgen_anon_2.sk);
        if sk.is_null() {
            return;
        }
        // Through memory: a number from here on.
        ptr::write_volatile(&raw mut (*insertion).sock, sk as u64);
        let sock = ptr::read_volatile(&raw const (*insertion).sock);
        if blocks(sock) {
            count(Counter::InsertBlocks, 1);
            return;
        }
        (*insertion).start = first;
        (*insertion).next = first;
        (*insertion).inserted = 0;
        (*insertion).asked = 0;
        let cookie = bpf_get_socket_cookie(ops.cast());
        if SOCKET_HASH.update(cookie, &mut *ops, u64::from(BPF_NOEXIST)).is_err() {
            count(Counter::InsertRefused, 1);
            return;
        }
        (*insertion).stage = stage::KNOWN;
        (*insertion).member = 1;
        change(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
        count(Counter::InsertEnrolled, 1);
    }
}

/// A segment is about to be made: if the socket is a member and blocks by now, it is one no longer.
#[inline(always)]
fn stays(ops: *mut bpf_sock_ops) {
    if field!(ops, is_fullsock) == 0 {
        return;
    }
    let state = state(ops, 0);
    if state.is_null() {
        return;
    }
    unsafe {
        let insertion = &raw mut (*state).insertion;
        if (*insertion).stage < stage::KNOWN || !blocks((*insertion).sock) {
            return;
        }
        (*insertion).stage = stage::NONE;
        let mut cookie = bpf_get_socket_cookie(ops.cast());
        let sockets = (&raw const SOCKET_HASH).cast_mut().cast();
        bpf_map_delete_elem(sockets, (&raw mut cookie).cast());
        change(ops, 0, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
        count(Counter::InsertUnenrolled, 1);
    }
}
