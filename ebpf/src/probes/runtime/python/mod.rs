//! Python: a thread of a `ThreadPoolExecutor` works for whoever has submitted what it works on. The executor hands that over as an
//! object in a queue (`_queue.SimpleQueue`), and while the object lives its address names it: so what is put there is remembered by
//! its address with whom the thread that puts it works for, and found again by the thread that gets it.
//!
//! Nothing is followed that merely happened (which thread woke which): that is wrong for one call in twelve.

mod pool;
mod queue;

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use spanwire_ebpf::runtime::PythonProcess;

pub(crate) use self::pool::{NOT_OF_A_POOL, WORKS, pool_calls, thread_ends};

/// Python processes with such a queue, as the agent has found and checked them. That the probes are in is told when all of them are, and that
/// they are not before the first is taken out: what is of another epoch was learned from probes that were not always there.
#[btf_map(name = "PYTHON_PROCESSES")]
static PYTHON_PROCESSES: HashMap<u32, PythonProcess, 1024> = HashMap::new();

/// Nothing is known of it any more.
#[inline(always)]
pub(crate) fn forget(tgid: u32) {
    let _ = PYTHON_PROCESSES.remove(tgid);
}
