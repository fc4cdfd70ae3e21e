//! The end of every report: what all events say alike, and the event written.

use spanwire_ebpf::{Counter, DataHeader, NoData, data_flag};

use super::message::{get, put};
use crate::{
    emit,
    maps::{COUNTERS, Scratch},
    state::State,
};

/// Writes the event that the scratch header begins, as [`fill`] says. Whether there was room.
#[inline(always)]
pub(super) unsafe fn write(state: *mut State, way: usize, scratch: *mut Scratch) -> u64 {
    unsafe { fill(state, way, scratch) };
    emit::data()
}

/// Puts the rest into the scratch header: its position, its lengths, its flags, what is missing and whom it serves are there.
#[inline(always)]
pub(super) unsafe fn fill(state: *mut State, way: usize, scratch: *mut Scratch) {
    unsafe {
        let call = &raw const (*scratch).call;
        let header = &raw mut (*scratch).header;
        let flags = &raw mut (*header).flags;
        if (*state).silent != 0 {
            (*state).silent = 0;
            put(flags, get(flags) | data_flag::AFTER_SILENCE);
        }
        let task = get(&raw const (*call).task);
        let time = get(&raw const (*call).now);
        let began = get(&raw const (*call).began);
        let began_before = if began == 0 { 0 } else { at_most_u32(time - began) };
        put(&raw mut (*header).began_before, began_before);
        (*header).time = time;
        (*header).connection = (*state).generation;
        (*header).tgid = (task >> 32) as u32;
        (*header).tid = task as u32;
        (*header).direction = way as u8;
        (*header).reserved2 = 0;
    }
}

/// No runtime says anything of the event.
#[inline(always)]
pub(super) unsafe fn no_runtime(header: *mut DataHeader) {
    unsafe {
        (&raw mut (*header).rule).write_volatile(0);
        (&raw mut (*header).absent).write_volatile(0);
        (&raw mut (*header).for_another).write_volatile(0);
        (&raw mut (*header).reserved).write_volatile(0);
    }
}

/// Counts bytes that are missing, by the reason.
#[inline(always)]
pub(super) fn tally(no_data: u8) {
    // In the order of the reasons (asserted below).
    if no_data != 0
        && let Some(slot) = COUNTERS.get_ptr_mut(Counter::Faults as u32 - 1 + u32::from(no_data))
    {
        unsafe { *slot += 1 }
    }
}

const _: () = {
    let first = Counter::Faults as u32 - NoData::Fault as u32;
    assert!(Counter::ForeignCalls as u32 - first == NoData::ForeignCall as u32);
    assert!(Counter::UnreadableForms as u32 - first == NoData::Form as u32);
    assert!(Counter::KernelPages as u32 - first == NoData::KernelPages as u32);
    assert!(Counter::Raced as u32 - first == NoData::Raced as u32);
};

#[inline(always)]
const fn at_most_u32(nanos: u64) -> u32 {
    if nanos > u32::MAX as u64 { u32::MAX } else { nanos as u32 }
}
