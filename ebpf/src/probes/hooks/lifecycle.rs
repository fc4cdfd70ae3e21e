//! Hooks at the ends of things: connections and processes.
//!
//! Socket hooks here can fire in softirq, so they are BTF tracepoints: a perf tracepoint would be skipped in silence
//! while another program runs on the CPU.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::generated::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use spanwire_ebpf::{
    ControlKind, Direction, Offset, ProcessEvent, Retransmitted, config_flag, tcp_state,
};

use super::{sock, syscall::begin_state};
use crate::{
    config, control, emit,
    maps::STATES_BY_ADDRESS,
    memory::{Probed, Reach, Typed},
    observe::FIRST_LAP,
    preemption, runtime, serving, socket,
    state::{Mode, State},
};

/// The state of a socket, where this hook set keeps it; null for a connection never seen.
#[inline(always)]
unsafe fn known(sock: *const c_void) -> *mut State {
    unsafe {
        if config::has(config_flag::BY_ADDRESS) {
            STATES_BY_ADDRESS.get_ptr_mut(sock as u64).unwrap_or(ptr::null_mut())
        } else {
            sock::state(sock, 0)
        }
    }
}

/// The state of a socket that begins anew.
#[inline(always)]
unsafe fn made(sock: *const c_void) -> *mut State {
    unsafe {
        if config::has(config_flag::BY_ADDRESS) {
            // Its file comes later, when it is accepted: until then it is known by its address alone.
            begin_state(sock as u64);
            known(sock)
        } else {
            sock::state(sock, BPF_SK_STORAGE_GET_F_CREATE)
        }
    }
}

#[inline(always)]
unsafe fn word(context: &BtfTracePointContext, i: usize) -> u64 {
    unsafe { ptr::read_volatile(context.as_ptr().cast::<u64>().add(i)) }
}

/// `sock:inet_sock_set_state`: a TCP connection changes its state.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn tcp_state_changed(context: BtfTracePointContext) -> i32 {
    preemption::whole(|| unsafe { changed(&context) });
    0
}

#[inline(always)]
unsafe fn changed(context: &BtfTracePointContext) {
    unsafe {
        let sock = word(context, 0) as *const c_void;
        let new = word(context, 2) as u32;
        if new == tcp_state::SYN_SENT {
            let state = made(sock);
            if !state.is_null() {
                (*state).connecting = emit::now();
            }
            return;
        }
        if new == tcp_state::ESTABLISHED {
            born(sock);
            return;
        }
        let state = known(sock);
        if state.is_null() || (*state).announced == 0 {
            return;
        }
        let error: i32 = Typed::member(sock, Offset::SkErr);
        if new == tcp_state::FIN_WAIT1 || new == tcp_state::LAST_ACK || new == tcp_state::CLOSE {
            serving::abandoned(state);
        }
        control::state_changed((*state).generation, word(context, 1) as u32, new, error);
    }
}

/// A connection is made: its first bytes are the first of its streams.
#[inline(always)]
unsafe fn born(sock: *const c_void) {
    unsafe {
        // A socket that listens has no state of its own here: what is read is this connection's, or nothing.
        let before = known(sock);
        let began = if before.is_null() { 0 } else { (*before).connecting };
        let state = made(sock);
        if state.is_null() {
            return;
        }
        if began != 0 {
            (*state).connecting = (emit::now() - began) / 1000 + 1;
        }
        if let Some(sent) = socket::sequence_typed(sock, Direction::Sent)
            && let Some(received) = socket::sequence_typed(sock, Direction::Received)
        {
            (*state).born = 1;
            (*state).ways[0].next = FIRST_LAP + u64::from(sent);
            (*state).ways[1].next = FIRST_LAP + u64::from(received);
        }
    }
}

/// `tcp:tcp_retransmit_skb`: a packet is sent again, which may be many segments.
///
/// Since 6.17 it tells of attempts, too, that came to nothing: mostly because the packet still lies in this host's queue.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmitted(context: BtfTracePointContext) -> i32 {
    preemption::whole(|| unsafe {
        if config::has(config_flag::RETRANSMIT_FAILS) && word(&context, 2) as i32 != 0 {
            return;
        }
        let state = known(word(&context, 0) as *const c_void);
        if !state.is_null() && (*state).announced != 0 && !(*state).is(Mode::Ignored) {
            let event = Retransmitted {
                header: emit::header(ControlKind::Retransmitted),
                connection: (*state).generation,
                segments: segments(word(&context, 1) as *const c_void),
                reserved: 0,
            };
            emit::control(&event, false);
        }
    });
    0
}

/// How many segments a packet of TCP is cut into.
#[inline(always)]
unsafe fn segments(packet: *const c_void) -> u32 {
    unsafe {
        if !config::exists(Offset::SkbControl) || !config::exists(Offset::SkbSegments) {
            return 1;
        }
        let control = packet.cast::<u8>().add(config::offset(Offset::SkbControl));
        // By address: what lies in there is known to TCP, not to the verifier.
        let segments: u16 = Probed::member(control.cast(), Offset::SkbSegments);
        if segments == 0 { 1 } else { u32::from(segments) }
    }
}

/// `tcp:tcp_destroy_sock`: a TCP socket is gone.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroyed(context: BtfTracePointContext) -> i32 {
    preemption::whole(|| unsafe {
        let sock = word(&context, 0) as *const c_void;
        let state = known(sock);
        if state.is_null() {
            return;
        }
        control::closed(state);
        if config::has(config_flag::BY_ADDRESS) {
            let _ = STATES_BY_ADDRESS.remove(sock as u64);
        }
    });
    0
}

/// `sched:sched_process_exec`: a process runs another program now.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn process_exec(_context: BtfTracePointContext) -> i32 {
    // Woken at once: a short-lived process must be looked at before it is gone.
    preemption::whole(|| process(ControlKind::Exec, true));
    0
}

/// `sched:sched_process_exit`: a thread ends; a process with its first one.
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn process_exit(_context: BtfTracePointContext) -> i32 {
    let task = unsafe { bpf_get_current_pid_tgid() };
    preemption::whole(|| {
        runtime::thread_ends(task);
        if task as u32 == (task >> 32) as u32 {
            process(ControlKind::Exit, false);
        }
    });
    0
}

#[inline(always)]
fn process(kind: ControlKind, urgent: bool) {
    let task = unsafe { bpf_get_current_pid_tgid() };
    let mut event = ProcessEvent {
        header: emit::header(kind),
        tgid: (task >> 32) as u32,
        reserved: 0,
        comm: [0; 16],
    };
    runtime::forget(event.tgid);
    unsafe { bpf_get_current_comm((&raw mut event.comm).cast(), 16) };
    emit::control(&event, urgent);
}
