//! A probe runs to its end before another task runs on its CPU, on kernels that would have it otherwise.
//!
//! See [`spanwire_ebpf::kfunc`]: the calls that forbid and allow it are marks until the agent has replaced them.
//!
//! A task whose time is up in a probe is taken off its CPU at the second call, and for the kernel the probe runs until it is back. It passes
//! over it for all other tasks on that CPU: milliseconds, while a socket call takes microseconds. So behind each program that sees calls there is
//! a second one on such kernels, which goes on as the first where that was not run: what is called that way is not passed over.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use spanwire_ebpf::{
    Counter, config_flag,
    kfunc::{PREEMPT_DISABLE, PREEMPT_DISABLE_EARLY, PREEMPT_ENABLE, PREEMPT_ENABLE_EARLY},
};

use crate::{attached, config, emit::this_scratch, maps::count};

/// A call that is seen by two programs.
#[derive(Clone, Copy)]
pub(crate) enum Seen {
    SendLocked,
    SendLength,
    RecvLength,
}

/// How many there are.
const CALLS: usize = 3;

/// Whom the programs of this CPU ran for last.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Turns {
    /// Each first one by itself, until the second knows that.
    first: [u64; CALLS],
    /// Each first one as the second, until it knows that.
    second: [u64; CALLS],
}

/// Runs what a program does, once all of them are there.
#[inline(always)]
pub(crate) fn whole(program: impl FnOnce()) {
    if attached::all() {
        mark::<{ PREEMPT_DISABLE as usize }>();
        program();
        mark::<{ PREEMPT_ENABLE as usize }>();
    }
}

/// [`whole`] in the first of two programs, which notes for whom it runs.
#[inline(always)]
pub(crate) fn first(seen: Seen, program: impl FnOnce()) {
    whole(|| {
        if config::has(config_flag::TWICE) {
            note(seen);
        }
        program();
    });
}

#[inline(always)]
fn note(seen: Seen) {
    let Some(scratch) = this_scratch() else { return };
    unsafe {
        let turns = &raw mut (*scratch).turns;
        let task = bpf_get_current_pid_tgid();
        if (*turns).second[seen as usize] == task {
            (*turns).second[seen as usize] = 0;
            count(Counter::SeenSecond, 1);
        } else {
            (*turns).first[seen as usize] = task;
        }
    }
}

/// Asked in the second: whether the first was not run for the call, so that this one must go on as it. It is still busy with another task
/// then. Or it has been run for another task in the moment between the two: so what is seen is looked at, too.
///
/// What the first has noted holds for one call: it may be busy with a task that it has not noted yet, and would be believed to have been run for
/// the one before.
#[inline(always)]
pub(crate) fn is_passed_over(seen: Seen, is_seen: impl FnOnce() -> bool) -> bool {
    let Some(scratch) = this_scratch() else { return false };
    unsafe {
        let turns = &raw mut (*scratch).turns;
        let task = bpf_get_current_pid_tgid();
        if !attached::all() {
            return false;
        }
        if (*turns).first[seen as usize] == task {
            (*turns).first[seen as usize] = 0;
            return false;
        }
        if is_seen() {
            return false;
        }
        (*turns).second[seen as usize] = task;
    }
    true
}

/// The same for a program that looks at messages: these could be preempted before 7.0.
#[inline(always)]
pub(crate) fn whole_message(program: impl FnOnce()) {
    if attached::all() {
        mark::<{ PREEMPT_DISABLE_EARLY as usize }>();
        program();
        mark::<{ PREEMPT_ENABLE_EARLY as usize }>();
    }
}

#[inline(always)]
fn mark<const NUMBER: usize>() {
    // SAFETY: helpers are called by number, and the agent puts what takes and returns nothing in this one's place.
    let call: extern "C" fn() = unsafe { core::mem::transmute(NUMBER) };
    call();
}
