//! Where Go starts goroutines, at the end of `runtime.newproc1`: who starts one is looked at there and then, so that one which makes no call
//! of its own, and is gone when those it has started do, is known all the same.
//!
//! A probe in a process (uprobe), one for each `go` statement. So it is only put in where calls were seen that it would help, and taken
//! out where there are many: the agent decides.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    goroutine, process,
    streams::{desk, register, this_tgid},
};
use crate::preemption;

/// A goroutine was started: the function returns its record, in which stands by now who did.
#[uprobe]
pub(crate) fn go_newproc(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe { started(register(&context, 0)) });
    0
}

#[inline(always)]
unsafe fn started(g: u64) {
    let Some(go) = process(this_tgid()) else { return };
    if g == 0 {
        return;
    }
    let Some(desk) = desk() else { return };
    unsafe {
        goroutine::adopt(go, g, desk);
    }
}
