//! Every map of the probes.

use aya_ebpf::{
    btf_maps::{Array, LruHashMap, PerCpuArray, RingBuf, SkStorage, of_maps::ArrayOfMaps},
    macros::btf_map,
};
use spanwire_ebpf::{Counter, DATA_RINGS, DataHeader, LEFT_OUT_RULES, scan::BlankLine};

use crate::{
    bytes::{Source, Walk},
    hooks::{Asked, Place},
    insert::Letter,
    observe::{Found, Moving, Walking},
    preemption::Turns,
    runtime::Desk,
    state::State,
    wire::Looking,
};

/// Bytes moved: a ring for each CPU, as far as there are so many, made by the agent. In one ring all CPUs would wait for each
/// other at each event.
#[btf_map(name = "DATA")]
pub(crate) static DATA: ArrayOfMaps<RingBuf<u8, 4096, 0>, DATA_RINGS> = ArrayOfMaps::new();

/// Lifecycle: small, and never pushed out by data.
#[btf_map(name = "CONTROL")]
pub(crate) static CONTROL: RingBuf<u8, { 1 << 22 }, 0> = RingBuf::new();

/// What the reader asks to be woken for: one of [`spanwire_ebpf::wake`].
#[btf_map(name = "WAKE")]
pub(crate) static WAKE: Array<u32, 1> = Array::new();

/// State of connections, where tracing programs may have socket storage (5.11): dies with the socket.
#[btf_map(name = "STATES")]
pub(crate) static STATES: SkStorage<State> = SkStorage::new();

/// State of connections by the address of their socket, for the hooks that only have an address.
#[btf_map(name = "STATES_BY_ADDRESS")]
pub(crate) static STATES_BY_ADDRESS: LruHashMap<u64, State, 65536> = LruHashMap::new();

/// Which request each task serves.
#[btf_map(name = "SERVING")]
pub(crate) static SERVING: LruHashMap<u64, Served, 32768> = LruHashMap::new();

/// Processes whose threads say nothing about requests.
#[btf_map(name = "REVOKED")]
pub(crate) static REVOKED: LruHashMap<u32, u8, 4096> = LruHashMap::new();

/// Not zero once there has been one: before, nobody need be looked for in [`REVOKED`].
#[btf_map(name = "ANY_REVOKED")]
pub(crate) static ANY_REVOKED: Array<u32, 1> = Array::new();

/// Processes whose connections are left unread, as user space says: by which rule, from 1 on.
#[btf_map(name = "LEFT_OUT")]
pub(crate) static LEFT_OUT: LruHashMap<u32, u32, 16384> = LruHashMap::new();

/// Connections left out, by rule.
#[btf_map(name = "LEFT_OUT_BY")]
pub(crate) static LEFT_OUT_BY: PerCpuArray<u64, LEFT_OUT_RULES> = PerCpuArray::new();

/// How often user space has changed its mind on them; 0 while there are none.
#[btf_map(name = "LEFT_OUT_ROUND")]
pub(crate) static LEFT_OUT_ROUND: Array<u32, 1> = Array::new();

/// How it is decided whether a trace is sampled, as user space says: the threshold of [`spanwire_ebpf::wire::is_sampled`], and
/// not zero when what the caller has decided holds. It may change at any time.
#[btf_map(name = "SAMPLER")]
pub(crate) static SAMPLER: Array<[u64; 2], 1> = Array::new();

/// Next generation number, each CPU its own.
#[btf_map(name = "GENERATIONS")]
pub(crate) static GENERATIONS: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Losses by reason.
#[btf_map(name = "COUNTERS")]
pub(crate) static COUNTERS: PerCpuArray<u64, { Counter::ALL.len() }> = PerCpuArray::new();

/// One event being put together on each CPU; entries are as many as CPUs, set by the agent.
#[btf_map(name = "SCRATCH")]
pub(crate) static SCRATCH: Array<Scratch, 1> = Array::new();

/// The request a task serves.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Served {
    pub(crate) span: u64,
    pub(crate) connection: u64,
    /// Its answer has begun.
    pub(crate) answered: u64,
    /// The task that serves it: this one, or, where a runtime tells, the one for which this one works.
    pub(crate) root: u64,
    /// By which [`spanwire_ebpf::runtime::Rule`] this one works for it; 0 for the one that serves.
    pub(crate) rule: u64,
    /// The task that has started this one, and
    pub(crate) maker: u64,
    /// the address of this one's record in the runtime; 0 where no runtime tells.
    pub(crate) object: u64,
    /// The request's trace, where this task is the one that serves it,
    pub(crate) trace: [u64; 2],
    /// and what is known of that: [`crate::wire::bits`].
    pub(crate) bits: u64,
    /// The span that its own `traceparent` names as its parent; 0 if it has none that is certain.
    pub(crate) parent: u64,
}

/// Where a CPU puts together what it tells.
///
/// The payload, which is large, comes last: an instruction reaches no further than 32 KiB from a pointer, and what lies further off takes
/// three of them for each access. What each call needs comes first, where instructions are shortest.
#[repr(C)]
pub(crate) struct Scratch {
    /// Not zero while an event is being put together.
    pub(crate) busy: u64,
    /// The call.
    pub(crate) call: Moving,
    /// What was found out of it.
    pub(crate) found: Found,
    /// Where the bytes of the call are.
    pub(crate) source: Source,
    /// How far the copying of them is.
    pub(crate) walk: Walk,
    /// How far the search for a head's end is.
    pub(crate) search: BlankLine,
    /// Whom the programs that see calls ran for last.
    pub(crate) turns: Turns,
    /// What a system call moved.
    pub(crate) asked: Asked,
    /// Which socket it was on.
    pub(crate) place: Place,
    /// Where its direction is, if it speaks HTTP/2.
    pub(crate) walking: Walking,
    /// The request whose context is made or found.
    pub(crate) wire: Looking,
    /// The head of the request into which its context is put.
    pub(crate) letter: Letter,
    /// Address of the socket that is announced: a number here, while a pointer that the verifier knows as one is none that a
    /// global function may be given.
    pub(crate) sock: u64,
    /// What a runtime finds out.
    pub(crate) desk: Desk,
    /// The event,
    pub(crate) header: DataHeader,
    /// and behind it what it carries: room for the largest. Twice that, because the verifier adds the bounds of an offset and a length
    /// without seeing that together they stay below one. So there are always many lines of memory between what this CPU writes and what the
    /// next one does, which would wait for each other else.
    pub(crate) payload: [u64; 2 * PAYLOAD_WORDS],
}

impl Served {
    /// Fills one in, word by word: a value would be put together on the stack first.
    #[inline(always)]
    pub(crate) unsafe fn fill(this: *mut Self, span: u64, connection: u64, root: u64) {
        unsafe {
            (&raw mut (*this).span).write_volatile(span);
            (&raw mut (*this).connection).write_volatile(connection);
            (&raw mut (*this).answered).write_volatile(0);
            (&raw mut (*this).root).write_volatile(root);
            (&raw mut (*this).rule).write_volatile(0);
            (&raw mut (*this).maker).write_volatile(0);
            (&raw mut (*this).object).write_volatile(0);
            (&raw mut (*this).bits).write_volatile(0);
            (&raw mut (*this).parent).write_volatile(0);
        }
    }
}

pub(crate) const PAYLOAD_WORDS: usize = spanwire_ebpf::MAX_PAYLOAD / 8;

#[inline(always)]
pub(crate) fn count(counter: Counter, by: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        unsafe { *slot += by }
    }
}
