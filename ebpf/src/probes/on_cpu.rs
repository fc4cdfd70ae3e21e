//! How long a thread was on a CPU while it served a request: what the scheduler has counted for it, looked at when the
//! request is read and when its answer is written.
//!
//! The scheduler counts at its ticks and when the thread leaves the CPU. What it has run since is the time from there to now on
//! the scheduler's clock, which no program may read; but the run queue says where that clock stood when it was looked at last,
//! and from there on it goes like ours. The distance between the two is the same at both looks, so it need not be known.
//! Never follows a switch of tasks: that would cost every thread of the host.

use core::ffi::c_void;

use spanwire_ebpf::Offset;

use crate::{config, memory::Reach, state::State};

/// The longest tick there is (`CONFIG_HZ=100`), ns: what cannot have been counted is shorter. More is a clock that jumps.
const TICK: i64 = 10_000_000;

/// Where a thread's time on a CPU stood.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct OnCpu {
    /// As the scheduler had counted it, ns: nothing of a thread that has just begun.
    counted: u64,
    /// The same with what it has run since, ns, from some beginning; 0 when nothing is known.
    clock: u64,
}

impl OnCpu {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self { counted: 0, clock: 0 };
}

/// The `running` thread has read a request; `waits` if it serves no other meanwhile.
#[inline(always)]
pub(crate) unsafe fn begin<R: Reach>(
    state: *mut State,
    running: *const c_void,
    waits: bool,
    now: u64,
) {
    unsafe {
        let on_cpu = &raw mut (*state).on_cpu;
        if !waits {
            (*on_cpu).clock = 0;
            return;
        }
        (*on_cpu).counted = R::member(running, Offset::TaskRanFor);
        (*on_cpu).clock = clock::<R>(running, now);
    }
}

/// How long the `running` thread, called `task`, was on a CPU since it read the request that is answered, µs and at least 1; 0 when
/// another thread had read it or nothing is known.
#[inline(always)]
pub(crate) unsafe fn since<R: Reach>(
    state: *const State,
    running: *const c_void,
    task: u64,
    now: u64,
) -> u32 {
    unsafe {
        let before = &raw const (*state).on_cpu;
        if (*before).clock == 0 || (*state).reader != task || (*state).pipelined != 0 {
            return 0;
        }
        let counted: u64 = R::member(running, Offset::TaskRanFor);
        let counted = counted.wrapping_sub((*before).counted) as i64;
        let mut nanos = clock::<R>(running, now).wrapping_sub((*before).clock) as i64;
        if nanos > counted + TICK {
            nanos = counted + TICK;
        }
        if nanos < counted - TICK {
            nanos = counted - TICK;
        }
        if nanos < 1000 {
            return 1;
        }
        let micros = nanos as u64 / 1000;
        if micros > u64::from(u32::MAX) { u32::MAX } else { micros as u32 }
    }
}

/// What the scheduler has counted for the running thread, and what that has run since.
#[inline(always)]
unsafe fn clock<R: Reach>(task: *const c_void, now: u64) -> u64 {
    unsafe {
        let counted: u64 = R::member(task, Offset::TaskRanFor);
        if !config::exists(Offset::TaskQueue) || !config::exists(Offset::QueueRunQueue) {
            return counted;
        }
        let counted_at: u64 = R::member(task, Offset::TaskRunsSince);
        let queue: *const c_void = R::member(task, Offset::TaskQueue);
        let queue: *const c_void = R::member(queue, Offset::QueueRunQueue);
        // Of all time, and without that of interrupts and of a hypervisor, which is none of the thread's.
        let all: u64 = R::member(queue, Offset::RunQueueClock);
        let of_tasks: u64 = R::member(queue, Offset::RunQueueClockOfTasks);
        let now = now.wrapping_sub(all).wrapping_add(of_tasks);
        counted.wrapping_add(now).wrapping_sub(counted_at)
    }
}
