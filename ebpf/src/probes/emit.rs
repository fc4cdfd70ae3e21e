//! Writing events to the rings.

use core::{ffi::c_void, hint::cold_path};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_ringbuf_discard, bpf_ringbuf_output,
        bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
};
use spanwire_ebpf::{
    ControlHeader, ControlKind, Counter, DATA_RINGS, DataHeader, MAX_PAYLOAD, wake,
};

use crate::{
    config,
    maps::{CONTROL, COUNTERS, DATA, SCRATCH, Scratch, WAKE, count},
};

#[inline(always)]
pub(crate) fn now() -> u64 {
    unsafe { bpf_ktime_get_ns() }
}

/// This CPU's scratch event.
#[inline(always)]
pub(crate) fn this_scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(unsafe { bpf_get_smp_processor_id() } as u32)
}

/// This CPU's scratch event to put one together, unless that is being done on this CPU already.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut Scratch> {
    let scratch = this_scratch()?;
    if unsafe { (*scratch).busy } != 0 {
        cold_path();
        count(Counter::ScratchBusy, 1);
        return None;
    }
    unsafe { (*scratch).busy = 1 };
    Some(scratch)
}

#[inline(always)]
pub(crate) fn release(scratch: *mut Scratch) {
    unsafe { (*scratch).busy = 0 }
}

/// Writes the scratch event with its payload; 0 when there was no room. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn data() -> u64 {
    let Some(scratch) = this_scratch() else { return 0 };
    data_in_line(scratch)
}

/// The same, for programs that are verified in one piece.
#[inline(always)]
pub(crate) fn data_in_line(scratch: *mut Scratch) -> u64 {
    let header = unsafe { &raw const (*scratch).header };
    let mut size = unsafe { u64::from((*header).head) + u64::from((*header).tail) };
    size = core::hint::black_box(size);
    if size > MAX_PAYLOAD as u64 {
        size = MAX_PAYLOAD as u64;
    }
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(ring) = DATA.get(cpu % DATA_RINGS as u32) else { return 0 };
    let ring = core::ptr::from_ref(ring).cast_mut().cast::<c_void>();
    let failed = unsafe {
        bpf_ringbuf_output(
            ring,
            (&raw mut (*scratch).header).cast(),
            size_of::<DataHeader>() as u64 + size,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    let mut looks = true;
    if failed == 0 {
        if let Some(events) = COUNTERS.get_ptr_mut(Counter::DataEvents as u32) {
            unsafe {
                *events += 1;
                looks = *events % LOOKS == 0 || config::wake_at() < LOOKS * MAX_PAYLOAD as u64;
            }
        }
    } else {
        cold_path();
        count(Counter::DataRingFull, 1);
        count(Counter::DataRingFullBytes, u64::from(unsafe { (*scratch).header.len }));
    }
    wake_reader(ring, config::wake_at(), looks);
    u64::from(failed == 0)
}

/// Every so many data events it is looked how full the ring is, if that many of the largest are less than what is waited for.
const LOOKS: u64 = 16;

/// Bytes waiting in the control ring at which the reader is woken before its timer: a quarter.
const CONTROL_ENOUGH: u64 = 256 << 10;

/// Wakes the reader if it asked for what has happened. It comes by its timer else. (The ring's default, waking a reader
/// that has caught up, costs a saturated server several times what the probes cost.)
///
/// Comes after the event: a reader that asks and then finds the rings empty is woken for whatever is written later. One
/// wake-up answers; a second CPU that has read the word before may add one, which does no harm.
#[inline(always)]
fn wake_reader(ring: *mut c_void, enough: u64, looks: bool) {
    let Some(asked) = WAKE.get_ptr_mut(0) else { return };
    let what = unsafe { asked.read_volatile() };
    if what != wake::NEVER && (looks || what != wake::RING_FILLS) {
        wake_if_due(ring, enough, asked, what);
    }
}

#[inline(never)]
fn wake_if_due(ring: *mut c_void, enough: u64, asked: *mut u32, what: u32) {
    if what == wake::RING_FILLS {
        let waiting = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
        if waiting < enough {
            return;
        }
    }
    // A record that its reader passes over: in the ring that has room when the other is full.
    let control = (&raw const CONTROL).cast_mut().cast::<c_void>();
    unsafe {
        let record = bpf_ringbuf_reserve(control, 8, 0);
        if !record.is_null() {
            asked.write_volatile(wake::NEVER);
            bpf_ringbuf_discard(record, u64::from(BPF_RB_FORCE_WAKEUP));
        }
    }
}

/// Writes a control event; whether there was room.
#[inline(always)]
pub(crate) fn control<T>(event: &T, urgent: bool) -> bool {
    let ring = (&raw const CONTROL).cast_mut().cast::<c_void>();
    let flags = if urgent { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    let failed = unsafe {
        bpf_ringbuf_output(
            ring,
            (&raw const *event).cast_mut().cast(),
            size_of::<T>() as u64,
            u64::from(flags),
        )
    };
    if failed != 0 {
        count(Counter::ControlRingFull, 1);
    }
    if !urgent {
        wake_reader(ring, CONTROL_ENOUGH, true);
    }
    failed == 0
}

/// Room for a control event in its ring, all zero; to be handed to [`submit`].
#[inline(always)]
pub(crate) fn reserve<T>() -> Option<*mut T> {
    let ring = (&raw const CONTROL).cast_mut().cast::<c_void>();
    unsafe {
        let event = bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0);
        if event.is_null() {
            count(Counter::ControlRingFull, 1);
            return None;
        }
        // By words: the compiler's own way is a loop over bytes.
        let words = event.cast::<u64>();
        let mut i = 0;
        while i < size_of::<T>() / 8 {
            words.add(i).write_volatile(0);
            i += 1;
        }
        Some(event.cast())
    }
}

/// Hands on a control event that does not wake the reader by itself.
#[inline(always)]
pub(crate) fn submit<T>(event: *mut T) {
    unsafe { bpf_ringbuf_submit(event.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
    wake_reader((&raw const CONTROL).cast_mut().cast(), CONTROL_ENOUGH, true);
}

#[inline(always)]
pub(crate) fn header(kind: ControlKind) -> ControlHeader {
    ControlHeader { time: now(), kind: kind as u32, reserved: 0 }
}
