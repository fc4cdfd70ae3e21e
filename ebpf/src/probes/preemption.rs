//! A probe runs to its end before another task runs on its CPU, on kernels that would have it otherwise.
//!
//! See [`spanwire_ebpf::preemption`]: the two calls here are marks until the agent has replaced them.

use spanwire_ebpf::preemption::{DISABLE, DISABLE_EARLY, ENABLE, ENABLE_EARLY};

use crate::attached;

/// Runs what a program does, once all of them are there.
#[inline(always)]
pub(crate) fn whole(program: impl FnOnce()) {
    if attached::all() {
        mark::<{ DISABLE as usize }>();
        program();
        mark::<{ ENABLE as usize }>();
    }
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
