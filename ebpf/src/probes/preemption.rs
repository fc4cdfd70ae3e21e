//! A probe runs to its end before another task runs on its CPU, on kernels that would have it otherwise.
//!
//! See [`spanwire_ebpf::preemption`]: the two calls here are marks until the agent has replaced them.
//!
//! A task whose time is up in a probe is taken off its CPU at the second call, and for the kernel the probe runs until it is back. It passes
//! over it for all other tasks on that CPU: milliseconds, while a socket call takes microseconds. So what sees calls is there twice on such
//! kernels, one behind the other, and the second does what the first was not run for.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use spanwire_ebpf::{
    Counter, config_flag,
    preemption::{DISABLE, DISABLE_EARLY, ENABLE, ENABLE_EARLY},
};

use crate::{attached, config, emit::this_scratch, maps::count};

/// A call that is seen by two like programs.
#[derive(Clone, Copy)]
pub(crate) enum Seen {
    SendLocked,
    SendLength,
    RecvLength,
}

/// How many there are.
pub(crate) const CALLS: usize = 3;

/// Runs what a program does, once all of them are there.
#[inline(always)]
pub(crate) fn whole(program: impl FnOnce()) {
    if attached::all() {
        mark::<{ DISABLE as usize }>();
        program();
        mark::<{ ENABLE as usize }>();
    }
}

/// [`whole`] in the first of two like programs, which notes for whom it ran.
#[inline(always)]
pub(crate) fn first(seen: Seen, program: impl FnOnce()) {
    whole(|| {
        if config::has(config_flag::TWICE)
            && let Some(scratch) = this_scratch()
        {
            unsafe { (*scratch).last[seen as usize] = bpf_get_current_pid_tgid() };
        }
        program();
    });
}

/// The same in the second. What the first has noted on this CPU is of another task if it was not run: it is still busy with that one.
#[inline(always)]
pub(crate) fn second(seen: Seen, program: impl FnOnce()) {
    let Some(scratch) = this_scratch() else { return };
    if unsafe { (*scratch).last[seen as usize] == bpf_get_current_pid_tgid() } {
        return;
    }
    whole(|| {
        count(Counter::SeenSecond, 1);
        program();
    });
}

/// The same for a program that looks at messages: these could be preempted before 7.0.
#[inline(always)]
pub(crate) fn whole_message(program: impl FnOnce()) {
    if attached::all() {
        mark::<{ DISABLE_EARLY as usize }>();
        program();
        mark::<{ ENABLE_EARLY as usize }>();
    }
}

#[inline(always)]
fn mark<const NUMBER: usize>() {
    // SAFETY: helpers are called by number, and the agent puts what takes and returns nothing in this one's place.
    let call: extern "C" fn() = unsafe { core::mem::transmute(NUMBER) };
    call();
}
