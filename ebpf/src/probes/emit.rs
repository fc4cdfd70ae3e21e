//! Writing events to the rings.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_ringbuf_output, bpf_ringbuf_query,
        bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
};
use spanwire_ebpf::{ControlHeader, ControlKind, Counter, DataHeader, MAX_PAYLOAD};

use crate::{
    config,
    maps::{CONTROL, DATA, SCRATCH, Scratch, count},
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

/// Writes the scratch event with `payload` bytes.
#[inline(always)]
pub(crate) fn data(scratch: *mut Scratch, payload: u32) {
    let mut size = core::hint::black_box(u64::from(payload));
    if size > MAX_PAYLOAD as u64 {
        size = MAX_PAYLOAD as u64;
    }
    let ring = (&raw const DATA).cast_mut().cast::<c_void>();
    let failed = unsafe {
        bpf_ringbuf_output(ring, scratch.cast(), size_of::<DataHeader>() as u64 + size, wake())
    };
    if failed == 0 {
        count(Counter::DataEvents, 1);
    } else {
        count(Counter::DataRingFull, 1);
        count(Counter::DataRingFullBytes, u64::from(unsafe { (*scratch).header.len }));
    }
}

/// The reader comes by its timer; it is woken before only when the ring fills up. (The default, waking a reader that
/// has caught up, costs a saturated server several times what the probes cost.)
#[inline(always)]
fn wake() -> u64 {
    let ring = (&raw const DATA).cast_mut().cast::<c_void>();
    let waiting = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    if waiting >= config::wake_at() {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
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
}

#[inline(always)]
pub(crate) fn header(kind: ControlKind) -> ControlHeader {
    ControlHeader { time: now(), kind: kind as u32, reserved: 0 }
}
