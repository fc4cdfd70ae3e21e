//! Which goroutine ids were taken when a request was read: what tells a goroutine that was started in it from one that the
//! same server goroutine has started in an earlier request.
//!
//! Ids come from one counter (`sched.goidgen`), from which each processor (`p`) takes sixteen at a time. So an id is new if
//! it is above the counter, or still lay with a processor. The counter is read before the processors: what happens meanwhile
//! can only make a new one look old.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use spanwire_ebpf::runtime::{Absent, GoProcess};

use super::{GO_SNAPSHOTS, goroutine::word};
use crate::runtime::Desk;

/// Processors that are looked at. In a process that has more no child is known this way.
const PROCESSORS: usize = 64;
/// Ids that a processor takes at a time (`_GoidCacheBatch`); longer ranges are torn reads.
const BATCH: u64 = 16;

/// What was read.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Snapshot {
    /// The request.
    span: u64,
    /// The last id that was given to a processor.
    taken: u64,
    /// How many processors there are; 0 when there are too many.
    processors: u64,
    /// What each of these had left: the first id from bit 8 on, and how many in the lowest bits.
    left: [u64; PROCESSORS],
}

/// Takes one, for the task `key`. It is put together on the desk, because the stack has no room for it, and always there: each
/// place where it could be would cost the verifier as much again.
#[inline(never)]
pub(super) unsafe fn take(go: *const GoProcess, key: u64, span: u64, desk: *mut Desk) -> u64 {
    unsafe {
        if (*go).goidgen == 0 || (*go).allp == 0 {
            return 0;
        }
        let snapshot = &raw mut (*desk).snapshot;
        fill(go, snapshot, span);
        let taken: &Snapshot = &*snapshot;
        match GO_SNAPSHOTS.get_ptr_mut(key) {
            Some(known) => known.copy_from_nonoverlapping(taken, 1),
            None => {
                let _ = GO_SNAPSHOTS.insert(key, taken, 0);
            }
        }
        0
    }
}

#[inline(always)]
unsafe fn fill(go: *const GoProcess, snapshot: *mut Snapshot, span: u64) {
    unsafe {
        (*snapshot).span = span;
        (*snapshot).taken = word((*go).goidgen);
        (*snapshot).processors = 0;
        let all = word((*go).allp);
        let count = word((*go).allp.wrapping_add(8));
        if count > PROCESSORS as u64 {
            return;
        }
        (*snapshot).processors = count;
        // Where they are, and then in the same place what each has left.
        let left = &raw mut (*snapshot).left;
        bpf_probe_read_user(left.cast(), 8 * count as u32, all as *const c_void);
        let mut i = 0;
        while i < count {
            let processor = left.cast::<u64>().add(i as usize);
            processor
                .write_volatile(range(processor.read_volatile().wrapping_add((*go).p_goidcache)));
            i += 1;
        }
    }
}

/// What a processor has left.
#[inline(never)]
fn range(address: u64) -> u64 {
    let mut range = [0u64; 2];
    unsafe {
        bpf_probe_read_user((&raw mut range).cast(), 16, address as *const c_void);
    }
    let count = range[1].wrapping_sub(range[0]);
    if count > BATCH || range[0] >> 40 != 0 { 0 } else { range[0] << 8 | count }
}

/// 0 if the goroutine `goid`, which the task `key` has started, was started since the request `span` was read; else why that is not
/// known (an [`Absent`]). Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn started_since(key: u64, span: u64, goid: u64) -> u64 {
    unsafe {
        let Some(snapshot) = GO_SNAPSHOTS.get_ptr(key) else {
            return Absent::OlderThanRequest as u64;
        };
        if (*snapshot).span != span {
            return Absent::OlderThanRequest as u64;
        }
        let count = (*snapshot).processors;
        if count == 0 || count > PROCESSORS as u64 {
            return Absent::ManyProcessors as u64;
        }
        if goid > (*snapshot).taken {
            return 0;
        }
        let mut i = 0;
        while i < PROCESSORS && (i as u64) < count {
            let left = (&raw const (*snapshot).left[i]).read_volatile();
            let (first, count) = (left >> 8, left & 0xff);
            if goid >= first && goid < first + count {
                return 0;
            }
            i += 1;
        }
        Absent::OlderThanRequest as u64
    }
}
