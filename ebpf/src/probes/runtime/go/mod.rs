//! Go: the task is the goroutine. Its own record (`runtime.g`) says which it is and who started it; what a goroutine
//! waits for says for whom another one writes.
//!
//! Nothing is followed that merely happened (wake-ups, which thread ran last): that is wrong for one call in ten.

mod channel;
mod context;
mod goroutine;
mod grpc;
mod http2;
mod newproc;
mod snapshot;
mod streams;
mod transport;

use aya_ebpf::{
    btf_maps::{HashMap, LruHashMap},
    macros::btf_map,
};
use spanwire_ebpf::runtime::{Absent, GoProcess, Rule, task};

pub(crate) use self::{
    context::walk,
    snapshot::Snapshot,
    streams::{frames_move, stream_goes},
};
use crate::{
    emit,
    maps::{SERVING, Served},
    runtime::{Caller, Desk},
};

/// Go processes, as the agent has found and checked them.
#[btf_map(name = "GO_PROCESSES")]
static GO_PROCESSES: HashMap<u32, GoProcess, 1024> = HashMap::new();

/// Functions (process, address) with which goroutines start that receive work from others: [`REFUSED`].
#[btf_map(name = "GO_RECEIVERS")]
static GO_RECEIVERS: HashMap<[u64; 2], u64, 32768> = HashMap::new();

/// The same, of functions that were seen to go on after the request for which they were started was over.
#[btf_map(name = "GO_LEARNED")]
static GO_LEARNED: LruHashMap<[u64; 2], u64, 4096> = LruHashMap::new();

/// Which ids were taken when a request was read, by the task that serves it.
#[btf_map(name = "GO_SNAPSHOTS")]
static GO_SNAPSHOTS: LruHashMap<u64, Snapshot, 8192> = LruHashMap::new();

/// The task that serves a connection, by the process and the address of the connection's `LocalAddr` there: what a request's
/// context leads to.
#[btf_map(name = "GO_ADDRESSES")]
static GO_ADDRESSES: LruHashMap<[u64; 2], u64, 8192> = LruHashMap::new();

/// What is known of a process that runs Go.
#[inline(always)]
pub(crate) fn process(tgid: u32) -> Option<*const GoProcess> {
    GO_PROCESSES.get_ptr(tgid)
}

/// Nothing is known of it any more.
#[inline(always)]
pub(crate) fn forget(tgid: u32) {
    let _ = GO_PROCESSES.remove(tgid);
}

#[inline(always)]
unsafe fn process_of(desk: *const Desk) -> Option<*const GoProcess> {
    process(unsafe { tgid_of(desk) })
}

#[inline(always)]
unsafe fn tgid_of(desk: *const Desk) -> u32 {
    unsafe { (&raw const (*desk).caller.tgid).read_volatile() as u32 }
}

#[inline(always)]
unsafe fn is_on(go: *const GoProcess, rule: Rule) -> bool {
    unsafe { (*go).rules & 1 << rule as u64 != 0 }
}

/// The current goroutine has read a request with this span on this connection: its key, if it is one that `net/http` serves a
/// connection with, and so does nothing else until it has answered. Global, and so verified by itself.
///
/// Where several heads lie in one read it is not known which of them is served: user space sees that.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn serves(connection: u64, span: u64) -> u64 {
    unsafe {
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let desk = &raw mut (*scratch).desk;
        let Some(go) = process_of(desk) else { return 0 };
        let g = goroutine::current(go);
        if g == 0 || (*go).serve == 0 || goroutine::start(go, g) != (*go).serve {
            return 0;
        }
        let key = goroutine::key(go, g, desk);
        if key == 0 {
            return 0;
        }
        snapshot::take(go, key, span, desk);
        context::remember(go, g, key, desk);
        begin_serving(key, g, span, connection, desk);
        key
    }
}

/// The goroutine `g` with that key serves this request from now on.
#[inline(always)]
unsafe fn begin_serving(key: u64, g: u64, span: u64, connection: u64, desk: *mut Desk) {
    unsafe {
        if let Some(before) = SERVING.get_ptr_mut(key) {
            Served::fill(before, span, connection, key);
            (&raw mut (*before).object).write_volatile(g);
            return;
        }
        let served = &raw mut (*desk).child;
        Served::fill(served, span, connection, key);
        (&raw mut (*served).object).write_volatile(g);
        let served: &Served = &*served;
        let _ = SERVING.insert(key, served, 0);
    }
}

/// For which request the current goroutine makes a call: into the scratch event; its span, 0 if none is known. Then the context
/// may tell, if there is one: to be asked with [`walk`], after this and not in it, because together the two would need too much
/// of the stack. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn calls() -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let desk = &raw mut (*scratch).desk;
        let caller = &raw mut (*desk).caller;
        nobody(caller);
        let Some(go) = process_of(desk) else { return 0 };
        let g = goroutine::current(go);
        if g == 0 {
            return 0;
        }
        if (*go).write == 0 || goroutine::start(go, g) != (*go).write {
            if goroutine::adopt(go, g, desk) {
                return goroutine::works_for(go, g, desk);
            }
            return 0;
        }
        (&raw mut (*caller).for_another).write_volatile(1);
        let frame = transport::frame(go, g);
        if frame == 0 {
            say(desk, Absent::UnlikeFrame);
            return 0;
        }
        let waits = transport::waiter(go, frame);
        if waits == 0 {
            say(desk, Absent::NobodyWaits);
            (&raw mut (*caller).channel).write_volatile(transport::channel(go, frame));
        } else if goroutine::adopt(go, waits, desk) {
            goroutine::works_for(go, waits, desk);
        }
        if is_on(go, Rule::GoContext) {
            context::begin(go, frame, desk);
        }
        (&raw const (*caller).span).read_volatile()
    }
}

/// For which request the goroutine works that waits in that channel: into the scratch event; its span, 0 if none does, or is known.
/// Global, and so verified by itself.
///
/// Only while that request is served: that a goroutine has gone on after it is learned from what it sends, not from what it gets.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn waits(channel: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let desk = &raw mut (*scratch).desk;
        nobody(&raw mut (*desk).caller);
        let Some(go) = process_of(desk) else { return 0 };
        let g = transport::receiver_of(go, channel);
        if g == 0 || !goroutine::adopt(go, g, desk) || !goroutine::is_in_time(go, g, desk) {
            return 0;
        }
        goroutine::works_for(go, g, desk)
    }
}

/// Nothing is found out yet.
#[inline(always)]
unsafe fn nobody(caller: *mut Caller) {
    unsafe {
        (&raw mut (*caller).span).write_volatile(0);
        (&raw mut (*caller).rule).write_volatile(0);
        (&raw mut (*caller).for_another).write_volatile(0);
        (&raw mut (*caller).channel).write_volatile(0);
        (&raw mut (*caller).context).write_volatile(0);
        (&raw mut (*caller).server).write_volatile(0);
        (&raw mut (*caller).absent).write_volatile(Absent::NoTask as u64);
    }
}

/// Says why it is not known.
#[inline(always)]
unsafe fn say(desk: *mut Desk, why: Absent) {
    unsafe { (&raw mut (*desk).caller.absent).write_volatile(why as u64) }
}

/// The key of a goroutine of this process by its id.
#[inline(always)]
unsafe fn key_of(desk: *const Desk, goid: u64) -> u64 {
    task(unsafe { tgid_of(desk) }, goid)
}
