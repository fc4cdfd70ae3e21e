//! How this process shares the CPUs with the applications it watches: whoever wakes goes first.
//!
//! The scheduler lets a running thread finish its time slice of some milliseconds while others wait that have just woken; an
//! application that answers in microseconds sees that in its latencies. But who has a shorter slice than the one that runs
//! replaces it at once (`PREEMPT_SHORT`, Linux 6.12). So our threads ask for the longest slice there is. Their share stays that of
//! everybody: a lower priority would let the rings overflow, and short-lived processes be gone before they are named, on a host
//! without an idle CPU. Nothing here may ask for more than that share.
#![allow(
    unsafe_code,
    reason = "no wrapper knows that a thread that is not real-time can have a slice"
)]

use std::{io, mem, time::Duration};

/// The longest slice a thread may ask for (kernel/sched/syscalls.c, Linux 6.12); older kernels take no notice.
const SLICE: Duration = Duration::from_millis(100);

/// Lets others go first from here on: the calling thread, and those that it starts.
pub(crate) fn let_others_go_first() {
    if let Err(error) = ask_for_slice(SLICE) {
        log::debug!("the kernel gives no longer slice: {error}");
    }
}

/// Asks for a slice for the calling thread, as it is otherwise: an ordinary one.
fn ask_for_slice(slice: Duration) -> io::Result<()> {
    // SAFETY: a structure of integers, for each of which 0 is a value.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    wanted.sched_policy = libc::SCHED_OTHER.unsigned_abs();
    wanted.sched_nice = rustix::process::getpriority_process(None)?;
    wanted.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(0);
    // SAFETY: the kernel reads `size` bytes of the structure, which lives until the call is over.
    let failed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
