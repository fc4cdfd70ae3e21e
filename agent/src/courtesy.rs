//! How this process shares the CPUs with the applications it watches: whoever wakes goes first.
//!
//! The scheduler lets a running thread finish its time slice of some milliseconds while others wait that have just woken; an
//! application that answers in microseconds sees that in its latencies. But who has a shorter slice than the one that runs
//! replaces it at once (`PREEMPT_SHORT`, Linux 6.12), as long as it has not had more than its share. So our threads ask for a
//! slice that is longer than others have, and the one that reads the rings for a smaller share: then nobody is ahead of it for long.
//!
//! No longer than that: who is to run next is whose slice, divided by its share, ends first, by a clock that stands still while others
//! run. Among a hundred threads that never sleep, a slice of 100 ms at a tenth of a share waits for a minute.
//!
//! A small share alone would let the rings overflow, and short-lived processes be gone before they are named, on a host without an
//! idle CPU. So that thread takes the share of everybody for as long as the rings fill; where it may not take it back it never
//! gives it away. Nothing here may ask for more than that.
#![allow(
    unsafe_code,
    reason = "no wrapper knows that a thread that is not real-time can have a slice"
)]

use std::{io, mem, time::Duration};

use rustix::process::{Resource, getpriority_process, getrlimit, setpriority_process};
use rustix::thread::{CapabilitySet, capabilities};

use crate::input::Nanos;

/// Longer than threads have that ask for none: 2.8 ms with eight CPUs or more, and less with fewer (kernel/sched/fair.c, Linux 6.12). Older
/// kernels take no notice.
const SLICE: Duration = Duration::from_millis(4);
/// How nice the reading thread is while the rings are far from full: about a third of the others' share.
const NICE: i32 = 5;
/// Time between two looks, ns, that is too long: twice the usual and some. The rings have room for four times as much.
const LATE: u64 = 25_000_000;
/// How long the rings must not have filled before it is nice again, ns.
const CALM: u64 = 1_000_000_000;

/// Lets others go first from here on: the calling thread, and those that it starts.
pub(crate) fn let_others_go_first() {
    if let Err(error) = ask_for_slice(SLICE) {
        log::debug!("the kernel gives no longer slice: {error}");
    }
}

/// The share of the thread that reads the rings.
pub(crate) struct Share {
    /// What it was started with: never more than that.
    usual: i32,
    /// It may take back what it gives away.
    may_return: bool,
    is_nice: bool,
    /// When the rings were looked at last.
    last: Nanos,
    /// When there was no time last.
    pressed: Nanos,
}

impl Share {
    /// Of the calling thread, which has the usual one now.
    pub(crate) fn new() -> Self {
        let usual = getpriority_process(None).unwrap_or(NICE);
        Self {
            usual,
            may_return: may_return_to(usual),
            is_nice: false,
            last: Nanos(0),
            pressed: Nanos(0),
        }
    }

    /// The rings are about to be looked at. At the last look they were filling, or it is so long ago that they may be: then there is
    /// no time to be nice.
    pub(crate) fn looks(&mut self, now: Nanos, fills: bool) {
        let wants = self.has_time(now, fills) && self.may_return && self.usual < NICE;
        if wants != self.is_nice {
            self.is_nice = wants;
            let wanted = if wants { NICE } else { self.usual };
            if let Err(error) = setpriority_process(None, wanted) {
                log::debug!("the kernel does not give a share of nice {wanted}: {error}");
                self.may_return = false;
            }
        }
    }

    /// Whether there was time enough for long enough.
    fn has_time(&mut self, now: Nanos, fills: bool) -> bool {
        if fills || now.since(self.last) > LATE {
            self.pressed = now;
        }
        self.last = now;
        now.since(self.pressed) >= CALM
    }
}

/// Whether the calling thread may have this niceness after a higher one (setpriority(2), `RLIMIT_NICE`).
fn may_return_to(usual: i32) -> bool {
    let limit = getrlimit(Resource::Nice).current.unwrap_or(u64::MAX);
    let is_allowed = u64::try_from(20 - usual).is_ok_and(|needed| needed <= limit);
    is_allowed
        || capabilities(None).is_ok_and(|have| have.effective.contains(CapabilitySet::SYS_NICE))
}

/// Asks for a slice for the calling thread, as it is otherwise: an ordinary one.
fn ask_for_slice(slice: Duration) -> io::Result<()> {
    // SAFETY: a structure of integers, for each of which 0 is a value.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    wanted.sched_policy = libc::SCHED_OTHER.unsigned_abs();
    wanted.sched_nice = getpriority_process(None)?;
    wanted.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(0);
    // SAFETY: the kernel reads `size` bytes of the structure, which lives until the call is over.
    let failed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 10 ms until `to`, ms: whether there is time at the last of them.
    fn look(share: &mut Share, to: u64) -> bool {
        let mut has_time = false;
        while share.last.0 < to * 1_000_000 {
            has_time = share.has_time(share.last.plus(10_000_000), false);
        }
        has_time
    }

    fn share() -> Share {
        Share { usual: 0, may_return: true, is_nice: false, last: Nanos(0), pressed: Nanos(0) }
    }

    #[test]
    fn it_is_nice_after_a_calm_second_and_not_while_the_rings_fill() {
        let mut share = share();
        assert!(!look(&mut share, 990));
        assert!(look(&mut share, 1_000));
        assert!(!share.has_time(share.last.plus(10_000_000), true));
        assert!(!look(&mut share, 2_000));
        assert!(look(&mut share, 2_020));
    }

    #[test]
    fn a_look_that_comes_late_is_no_time_to_be_nice() {
        let mut share = share();
        assert!(look(&mut share, 3_000));
        assert!(share.has_time(share.last.plus(LATE), false));
        assert!(!share.has_time(share.last.plus(LATE + 1), false));
    }
}
