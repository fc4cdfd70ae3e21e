//! `_queue.SimpleQueue`: its functions `put`, `get` and `get_nowait`, where something is put, asked for and got. Probes in a process
//! (uprobes), met by whoever uses such a queue; where what is in there is no work item, that is all. So each use is counted, and the agent
//! takes the probes out of a process that has too many.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::uprobe,
    programs::ProbeContext,
};
use spanwire_ebpf::runtime::PythonProcess;

use super::{PYTHON_PROCESSES, pool};
use crate::preemption;

/// What an executor queues is of this class of `concurrent.futures.thread`: its name, in two words.
const WORK_ITEM: [u64; 2] = [u64::from_le_bytes(*b"_WorkIte"), u64::from_le_bytes(*b"m\0......")];
/// As much of the second as belongs to it.
const END: u64 = 0xffff;

/// Where the saved registers have the first two arguments of a function of C, and its result.
#[cfg(not(bpf_target_arch = "aarch64"))]
const PLACES: [usize; 3] = [112, 104, 80];
#[cfg(bpf_target_arch = "aarch64")]
const PLACES: [usize; 3] = [0, 8, 0];
const FIRST: usize = 0;
const SECOND: usize = 1;
const RESULT: usize = 2;

#[inline(always)]
unsafe fn register(context: &ProbeContext, which: usize) -> u64 {
    unsafe { context.as_ptr().cast::<u8>().add(PLACES[which]).cast::<u64>().read_volatile() }
}

#[inline(always)]
fn thread() -> u64 {
    unsafe { bpf_get_current_pid_tgid() }
}

/// The process, while all of its probes are in; and which time that is.
#[inline(always)]
fn process(thread: u64) -> Option<(*mut PythonProcess, u64)> {
    let python = PYTHON_PROCESSES.get_ptr_mut((thread >> 32) as u32)?;
    let epoch = unsafe { (&raw const (*python).epoch).read_volatile() };
    (epoch != 0).then_some((python, epoch))
}

/// One more use of a queue. Two at once may be counted as one, in an interpreter without a lock of its own: it is a rate that is asked for.
#[inline(always)]
unsafe fn used(python: *mut PythonProcess) {
    unsafe {
        let uses = &raw mut (*python).uses;
        uses.write_volatile(uses.read_volatile().wrapping_add(1));
    }
}

/// A word of the process; 0 where it cannot be read.
#[inline(always)]
fn word(address: u64) -> u64 {
    let mut word = 0u64;
    unsafe {
        bpf_probe_read_user((&raw mut word).cast(), 8, address as *const c_void);
    }
    word
}

/// Whether the object at that address is a work item: each is made for one call of `submit`, and put once.
#[inline(always)]
unsafe fn is_work(python: *const PythonProcess, object: u64) -> bool {
    unsafe {
        let of = word(object.wrapping_add((*python).ob_type));
        let name = word(of.wrapping_add((*python).tp_name));
        word(name) == WORK_ITEM[0] && (word(name.wrapping_add(8)) ^ WORK_ITEM[1]) & END == 0
    }
}

/// `put` begins: it is given the queue, and where its other arguments are (`METH_FASTCALL`).
#[uprobe]
pub(crate) fn python_put(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe {
        let thread = thread();
        let Some((python, epoch)) = process(thread) else { return };
        used(python);
        let object = word(register(&context, SECOND));
        if is_work(python, object) {
            pool::put(thread, object, epoch);
        }
    });
    0
}

/// `get` or `get_nowait` begins: it is given the queue.
#[uprobe]
pub(crate) fn python_get(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe {
        let thread = thread();
        let Some((python, epoch)) = process(thread) else { return };
        used(python);
        pool::asks(thread, register(&context, FIRST), epoch);
    });
    0
}

/// One of them, or what it goes over to, returns.
#[uprobe]
pub(crate) fn python_got(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe {
        let thread = thread();
        let Some((python, epoch)) = process(thread) else { return };
        let object = register(&context, RESULT);
        pool::got(thread, object, epoch, || is_work(python, object));
    });
    0
}
