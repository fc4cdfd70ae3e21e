//! How a thread of ours shares the CPUs with the applications it watches: it gives way, until what waits for it would be lost.
//!
//! The scheduler lets a running thread finish its time slice of some milliseconds while others wait that have just woken; an
//! application that answers in microseconds sees that in its latencies. So our threads run as `SCHED_IDLE` (sched(7)), whom
//! anybody who wakes replaces at once. Who is always given way to may hardly run on a host without an idle CPU, so a thread
//! whose queue fills insists on its fair share; it must never ask for more than that. Not called by a pure stage.
#![allow(
    unsafe_code,
    reason = "no wrapper knows that a thread that is not real-time can have a slice"
)]

use std::{io, mem, time::Duration};

use rustix::thread::CapabilitySet;

/// The shortest slice a thread may have (Linux 6.12; older kernels take no notice): with it a thread that gives way has its
/// next turn soon among others that do not sleep. One that insists has the slice of everybody, as switching costs both sides.
const SLICE: Duration = Duration::from_micros(100);

/// It insists when one part in so many of what can wait for it does.
const INSIST_AT: usize = 3;
/// It has no reason to insist any more when less than one part in so many waited,
const CALM_BELOW: usize = 8;
/// and that in so many looks in a row, a second: where no CPU is idle it would else wait until much is lost each time.
const CALM_LOOKS: u32 = 100;

/// One thread's manners. Each thread has its own and must not hand it to another.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    insists: bool,
    /// Looks in a row that found little.
    calm: u32,
    /// It does not change any more: the kernel will not have it, or would not take it back.
    fixed: bool,
}

impl Courtesy {
    /// The calling thread gives way from here on.
    pub(crate) fn of_this_thread() -> Self {
        // Without it a thread that gives way could never insist again.
        let may_return = rustix::thread::capabilities(None)
            .is_ok_and(|held| held.effective.contains(CapabilitySet::SYS_NICE));
        let mut courtesy = Self { fixed: !may_return, ..Self::default() };
        courtesy.set(libc::SCHED_IDLE);
        courtesy
    }

    /// At least `waiting` of the `most` that can wait for this thread do.
    pub(crate) fn waits(&mut self, waiting: usize, most: usize) {
        if !self.insists && waiting >= most / INSIST_AT {
            self.insists = true;
            self.set(libc::SCHED_OTHER);
        }
    }

    /// No more than `waiting` of the `most` that can wait for this thread did when it looked.
    pub(crate) fn looked(&mut self, waiting: usize, most: usize) {
        self.waits(waiting, most);
        self.calm = if waiting < most / CALM_BELOW { self.calm.saturating_add(1) } else { 0 };
        if self.insists && self.calm >= CALM_LOOKS {
            self.insists = false;
            self.set(libc::SCHED_IDLE);
        }
    }

    fn set(&mut self, policy: libc::c_int) {
        if !self.fixed
            && let Err(error) = schedule(policy)
        {
            self.fixed = true;
            log::debug!("a thread cannot change its scheduling: {error}");
        }
    }
}

/// Gives the calling thread this policy.
fn schedule(policy: libc::c_int) -> io::Result<()> {
    // SAFETY: a structure of integers, for each of which 0 is a value.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    wanted.sched_policy = policy.unsigned_abs();
    if policy == libc::SCHED_IDLE {
        wanted.sched_runtime = u64::try_from(SLICE.as_nanos()).unwrap_or(0);
    }
    // SAFETY: the kernel reads `size` bytes of the structure, which lives until the call is over.
    let failed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scheduling policy of the calling thread, by the kernel's own word.
    fn policy() -> libc::c_int {
        // SAFETY: reads nothing but the number.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_gives_way_until_its_queue_fills_and_again_when_it_has_been_calm() {
        // A thread of its own: the test's must not stay changed.
        let thread = std::thread::spawn(|| {
            let mut courtesy = Courtesy::of_this_thread();
            if courtesy.fixed {
                assert_eq!(policy(), libc::SCHED_OTHER, "it gave way without a way back");
                return;
            }
            assert_eq!(policy(), libc::SCHED_IDLE);
            courtesy.looked(32, 100);
            assert_eq!(policy(), libc::SCHED_IDLE);
            courtesy.waits(33, 100);
            assert_eq!(policy(), libc::SCHED_OTHER);
            for _ in 1..CALM_LOOKS {
                courtesy.looked(0, 100);
            }
            courtesy.looked(20, 100);
            assert_eq!(policy(), libc::SCHED_OTHER, "it is not calm");
            for _ in 0..CALM_LOOKS {
                courtesy.looked(0, 100);
            }
            assert_eq!(policy(), libc::SCHED_IDLE);
        });
        thread.join().unwrap();
    }
}
