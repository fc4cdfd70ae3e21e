//! Whom a pool's thread works for.
//!
//! A thread is one of a pool from when it first gets a work item, and works on that until it asks the same queue for the next one.
//! What it serves itself, having read a request since, goes first. Whether the work ends with its request is seen by user space.
//!
//! Nothing is pushed out of the maps: what does not fit is counted, and its calls have no parent. Threads go when they end, work when a thread
//! gets it; what is left of a process is taken out by the agent.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use spanwire_ebpf::{
    ControlKind, Counter, TaskEnded,
    runtime::{Absent, POOL_ITEM_WORDS, POOL_THREAD_WORDS, Rule, task},
};

use super::PYTHON_PROCESSES;
use crate::{
    emit,
    maps::{REVOKED, SERVING, count},
};

/// Threads that get items from queues.
#[btf_map(name = "PYTHON_WORKERS")]
static PYTHON_WORKERS: HashMap<u64, Worker, 8192> = HashMap::new();

/// Work items that are queued, by process and address.
#[btf_map(name = "PYTHON_ITEMS")]
static PYTHON_ITEMS: HashMap<[u64; 2], Item, 16384> = HashMap::new();

const _: () = assert!(size_of::<Worker>() == 8 * POOL_THREAD_WORDS);
const _: () = assert!(size_of::<Item>() == 8 * POOL_ITEM_WORDS);

/// What [`pool_calls`] gives: the thread is none of a pool's, or serves a request itself;
pub(crate) const NOT_OF_A_POOL: u64 = 0;
/// it works for nobody who is known, and why is in the scratch event;
const IDLES: u64 = 1;
/// it works for the request in the scratch event.
pub(crate) const WORKS: u64 = 2;

/// No queue's address: the thread was asking one already when the probes came.
const UNKNOWN: u64 = 1;

/// A thread that gets items from queues.
#[derive(Clone, Copy)]
#[repr(C)]
struct Worker {
    /// The queue whose items it works on, maybe [`UNKNOWN`]; 0 while it has got none.
    queue: u64,
    /// The queue that it asks at this moment; 0 if it does not.
    asks: u64,
    /// The request that it had read last when it got the item: another one since then is what it serves.
    own: u64,
    /// The request for which it works; 0 if that is nobody's who is known,
    span: u64,
    /// and the thread that serves that.
    root: u64,
    /// The key of what it does now; 0 while it works for no request.
    task: u64,
    /// The keys of the tasks that have submitted it, from the nearest on.
    makers: [u64; 2],
    /// Not zero when calls or other tasks depend on that.
    named: u64,
    /// When this was learned: see [`spanwire_ebpf::runtime::PythonProcess::epoch`].
    epoch: u64,
    /// How many items it has begun, from a number of its own on.
    count: u64,
}

/// A queued work item: see [`Worker`].
#[derive(Clone, Copy)]
#[repr(C)]
struct Item {
    span: u64,
    root: u64,
    makers: [u64; 2],
    epoch: u64,
}

/// The request that a thread read last.
#[inline(always)]
unsafe fn own(thread: u64) -> u64 {
    unsafe { SERVING.get_ptr(thread).map_or(0, |served| (*served).span) }
}

/// What is known of the thread since the probes are in.
#[inline(always)]
unsafe fn known(thread: u64, epoch: u64) -> Option<*mut Worker> {
    unsafe { PYTHON_WORKERS.get_ptr_mut(thread).filter(|worker| (**worker).epoch == epoch) }
}

/// The thread as one of a pool, unless it serves something itself.
#[inline(always)]
unsafe fn at_work(thread: u64, epoch: u64) -> Option<*mut Worker> {
    unsafe {
        let worker = known(thread, epoch)?;
        ((*worker).queue != 0 && (*worker).own == own(thread)).then_some(worker)
    }
}

/// A thread has ended: another one may get its number.
#[inline(always)]
pub(crate) fn thread_ends(thread: u64) {
    let _ = PYTHON_WORKERS.remove(thread);
}

/// Whether that thread still has this request.
#[inline(always)]
unsafe fn is_served(span: u64, root: u64) -> bool {
    unsafe { SERVING.get_ptr(root).is_some_and(|served| (*served).span == span) }
}

/// The thread puts a work item into a queue: whom it works for now, the item is for.
#[inline(always)]
pub(super) unsafe fn put(thread: u64, object: u64, epoch: u64) {
    let key = [thread >> 32, object];
    unsafe {
        if let Some(worker) = at_work(thread, epoch) {
            let (span, root, makers) = ((*worker).span, (*worker).root, (*worker).makers);
            // Of a longer line of tasks it is not told that all of them end.
            if span != 0 && makers[1] == 0 && is_served(span, root) {
                (*worker).named = 1;
                queue(key, Item { span, root, makers: [(*worker).task, makers[0]], epoch });
                return;
            }
        } else if let Some(served) = SERVING.get_ptr(thread)
            && (*served).answered == 0
        {
            queue(key, Item { span: (*served).span, root: thread, makers: [0; 2], epoch });
            return;
        }
        // There may have been one at that address which was never got.
        let _ = PYTHON_ITEMS.remove(key);
    }
}

/// Remembers an item. Where it does not fit there is none at its address: one that was would have been replaced.
#[inline(always)]
fn queue(key: [u64; 2], item: Item) {
    if PYTHON_ITEMS.insert(key, item, 0).is_err() {
        count(Counter::PoolItemsFull, 1);
    }
}

/// The thread asks a queue for an item: so it has done what it got there before.
#[inline(always)]
pub(super) unsafe fn asks(thread: u64, queue: u64, epoch: u64) {
    unsafe {
        let Some(worker) = known(thread, epoch) else {
            begins(thread, queue, epoch);
            return;
        };
        // Whichever it worked on: less is known then, and nothing wrong.
        if (*worker).queue == queue || (*worker).queue == UNKNOWN {
            ends(worker);
        }
        (*worker).asks = queue;
    }
}

/// A thread of which nothing is known (any more) asks that queue.
#[inline(always)]
unsafe fn begins(thread: u64, queue: u64, epoch: u64) {
    let worker = Worker {
        queue: 0,
        asks: queue,
        own: 0,
        span: 0,
        root: 0,
        task: 0,
        makers: [0; 2],
        named: 0,
        epoch,
        // Another time begins with others.
        count: emit::now() >> 9,
    };
    if PYTHON_WORKERS.insert(thread, worker, 0).is_err() {
        count(Counter::PoolThreadsFull, 1);
    }
}

/// A thread has got what it asked for: nothing (0), a work item at that address, or something else.
#[inline(always)]
pub(super) unsafe fn got(thread: u64, object: u64, epoch: u64, is_work: impl FnOnce() -> bool) {
    unsafe {
        let before = known(thread, epoch);
        if let Some(worker) = before
            && (*worker).asks == 0
        {
            return; // told already, where one function has called the other
        }
        let is_work = object != 0 && is_work();
        if before.is_none() {
            if !is_work {
                return;
            }
            begins(thread, UNKNOWN, epoch);
        }
        let Some(worker) = known(thread, epoch) else { return };
        let queue = (*worker).asks;
        (*worker).asks = 0;
        if !is_work {
            return;
        }
        ends(worker);
        (*worker).queue = queue;
        (*worker).own = own(thread);
        let key = [thread >> 32, object];
        let Some(item) = PYTHON_ITEMS.get_ptr(key) else { return };
        // Else it is of another object, which somebody got while no probe was there.
        if (*item).epoch == epoch {
            (*worker).span = (*item).span;
            (*worker).root = (*item).root;
            (*worker).makers = [(*item).makers[0], (*item).makers[1]];
            (*worker).count = (*worker).count.wrapping_add(1);
            (*worker).task = new_task(thread, (*worker).count);
        }
        // Another object may get its address.
        let _ = PYTHON_ITEMS.remove(key);
    }
}

/// What the thread works on has ended, if there is something.
#[inline(always)]
unsafe fn ends(worker: *mut Worker) {
    unsafe {
        if (*worker).named != 0
            && let Some(event) = emit::reserve::<TaskEnded>()
        {
            (*event).header = emit::header(ControlKind::TaskEnded);
            (*event).task = (*worker).task;
            emit::submit(event);
        }
        (*worker).span = 0;
        (*worker).task = 0;
        (*worker).named = 0;
    }
}

/// The key of a task that a thread begins: by the thread, and by how many it has begun. Of as many as a quarter of a million, the first
/// are forgotten.
#[inline(always)]
fn new_task(thread: u64, count: u64) -> u64 {
    const TID: u64 = 0x3f_ffff;
    const TID_BITS: u32 = 22;
    const COUNT: u64 = 0x3_ffff;
    task((thread >> 32) as u32, (count & COUNT) << TID_BITS | thread & TID)
}

/// For which request the thread makes a call as one of a pool: into the scratch event; and whether it is one, see
/// [`NOT_OF_A_POOL`]. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn pool_calls(thread: u64) -> u64 {
    unsafe {
        let Some(python) = PYTHON_PROCESSES.get_ptr((thread >> 32) as u32) else {
            return NOT_OF_A_POOL;
        };
        let epoch = (&raw const (*python).epoch).read_volatile();
        let worker = at_work(thread, epoch);
        // The first thread is none of a pool's.
        let is_first = thread as u32 == (thread >> 32) as u32;
        let is_out = epoch == 0 && !is_first && own(thread) == 0;
        if worker.is_none() && !is_out {
            return NOT_OF_A_POOL;
        }
        let Some(scratch) = emit::this_scratch() else { return NOT_OF_A_POOL };
        let caller = &raw mut (*scratch).desk.caller;
        (&raw mut (*caller).span).write_volatile(0);
        (&raw mut (*caller).rule).write_volatile(0);
        (&raw mut (*caller).for_another).write_volatile(0);
        let Some(worker) = worker else {
            (&raw mut (*caller).absent).write_volatile(Absent::QueueUnwatched as u64);
            return IDLES;
        };
        (&raw mut (*caller).absent).write_volatile(Absent::NoRequest as u64);
        let (span, root) = ((*worker).span, (*worker).root);
        if span == 0 || REVOKED.get_ptr((thread >> 32) as u32).is_some() {
            return IDLES;
        }
        if !is_served(span, root) {
            (&raw mut (*caller).absent).write_volatile(Absent::RequestOver as u64);
            return IDLES;
        }
        (*worker).named = 1;
        (&raw mut (*caller).span).write_volatile(span);
        (&raw mut (*caller).rule).write_volatile(Rule::PythonPool as u64);
        (&raw mut (*caller).absent).write_volatile(0);
        (&raw mut (*caller).tasks[0]).write_volatile((*worker).task);
        (&raw mut (*caller).tasks[1]).write_volatile((*worker).makers[0]);
        (&raw mut (*caller).tasks[2]).write_volatile((*worker).makers[1]);
        let mut i = 0;
        while i < 3 {
            (&raw mut (*caller).objects[i]).write_volatile(0);
            i += 1;
        }
        WORKS
    }
}
