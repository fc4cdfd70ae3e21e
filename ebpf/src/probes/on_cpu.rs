//! How long a thread was on a CPU while it served a request: what the scheduler has counted for it, looked at when the
//! request is read and when its answer is written.
//!
//! The scheduler counts at its ticks and when the thread leaves the CPU. What a thread has run since is the time since it
//! was last counted, on a clock of that CPU that no program may read but whose distance to ours stays the same: so it is
//! known where the thread is on the CPU on which it began, and missing, a tick at most, where it has moved.
//! Never follows a switch of tasks: that would cost every thread of the host.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use spanwire_ebpf::Offset;

use crate::{emit, memory::Reach, state::State};

/// The longest tick there is (`CONFIG_HZ=100`), ns.
const TICK: i64 = 10_000_000;

/// Where a thread's time on a CPU stood.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct OnCpu {
    /// As the scheduler had counted it, ns: nothing of a thread that has just begun.
    counted: u64,
    /// The same with what it has run since, ns, from a beginning that differs from CPU to CPU; 0 when nothing is known.
    clock: u64,
    /// The CPU.
    cpu: u64,
}

impl OnCpu {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self { counted: 0, clock: 0, cpu: 0 };
}

/// The running thread has read a request; `waits` if it serves no other meanwhile.
#[inline(always)]
pub(crate) unsafe fn begin<R: Reach>(state: *mut State, waits: bool) {
    unsafe {
        let on_cpu = &raw mut (*state).on_cpu;
        if !waits {
            (*on_cpu).clock = 0;
            return;
        }
        let task = R::task();
        let counted: u64 = R::member(task, Offset::TaskRanFor);
        let counted_at: u64 = R::member(task, Offset::TaskRunsSince);
        (*on_cpu).counted = counted;
        (*on_cpu).clock = counted.wrapping_add(emit::now()).wrapping_sub(counted_at);
        (*on_cpu).cpu = u64::from(bpf_get_smp_processor_id() as u32);
    }
}

/// How long the running thread, `task`, was on a CPU since it read the request that is answered, µs and at least 1; 0 when
/// another thread had read it or nothing is known.
#[inline(always)]
pub(crate) unsafe fn since<R: Reach>(state: *const State, task: u64) -> u32 {
    unsafe {
        let before = &raw const (*state).on_cpu;
        if (*before).clock == 0 || (*state).reader != task || (*state).pipelined != 0 {
            return 0;
        }
        let task = R::task();
        let counted: u64 = R::member(task, Offset::TaskRanFor);
        let mut nanos = counted.wrapping_sub((*before).counted) as i64;
        if (*before).cpu == u64::from(bpf_get_smp_processor_id() as u32) {
            let counted_at: u64 = R::member(task, Offset::TaskRunsSince);
            let clock = counted.wrapping_add(emit::now()).wrapping_sub(counted_at);
            // Interrupts, and what a hypervisor took, are in our clock and not in the scheduler's.
            let more = clock.wrapping_sub((*before).clock).wrapping_sub(nanos as u64) as i64;
            nanos += if more > TICK {
                TICK
            } else if more < -TICK {
                -TICK
            } else {
                more
            };
        }
        if nanos < 1000 {
            return 1;
        }
        let micros = nanos as u64 / 1000;
        if micros > u64::from(u32::MAX) { u32::MAX } else { micros as u32 }
    }
}
