//! The seam to language runtimes (D5): for which task a call is made, where a thread serves many.
//!
//! A runtime is one folder here and one in the agent. It answers for the processes that the agent has told it of, and
//! for no other; what it cannot prove is absent. It never writes to a process, and it keeps who is served where everybody
//! does: in `SERVING`.

pub(crate) mod go;
mod python;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use spanwire_ebpf::{
    CHAIN, CallerFound, ControlKind, DataHeader, Worker,
    runtime::{Absent, Rule},
};

use crate::{
    emit,
    maps::{Scratch, Served},
    state::State,
};

/// Where a runtime puts together what it finds out: a part of the scratch event.
#[repr(C)]
pub(crate) struct Desk {
    /// For whom the call is made.
    pub(crate) caller: Caller,
    /// A task that is remembered to work for a request.
    pub(crate) child: Served,
    /// Where the runtime stands.
    pub(crate) snapshot: go::Snapshot,
}

/// For whom a call is made.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Caller {
    /// The process that is asked about. Kept here because not all kinds of programs may ask the kernel for it.
    pub(crate) tgid: u64,
    /// The span of the request; 0 if none is known.
    pub(crate) span: u64,
    /// By which [`Rule`]; 0 if none.
    pub(crate) rule: u64,
    /// Why it is not known: a [`spanwire_ebpf::runtime::Absent`].
    pub(crate) absent: u64,
    /// Not zero when the task that calls writes for another, which waits for it.
    pub(crate) for_another: u64,
    /// Where who makes the call will wait for it, if he does not yet and is not known therefore; else 0.
    pub(crate) channel: u64,
    /// Where the runtime's own context of the call is that may lead to the request; 0 if there is none.
    pub(crate) context: u64,
    /// The key of the task that serves the request, where its rule is one that holds when the call is made.
    pub(crate) server: u64,
    /// The task, and those that started it: see [`Worker`].
    pub(crate) tasks: [u64; CHAIN],
    pub(crate) objects: [u64; CHAIN],
}

impl Caller {
    /// Copies which tasks work for the request, and where their records are.
    #[inline(always)]
    pub(crate) unsafe fn tasks_to(
        this: *const Self,
        tasks: *mut [u64; CHAIN],
        objects: *mut [u64; CHAIN],
    ) {
        let mut i = 0;
        while i < CHAIN {
            unsafe {
                (*tasks)[i] = (&raw const (*this).tasks[i]).read_volatile();
                (*objects)[i] = (&raw const (*this).objects[i]).read_volatile();
            }
            i += 1;
        }
    }
}

/// See [`Rule::is_of_another_task`].
#[inline(always)]
pub(crate) const fn is_of_another_task(rule: u64) -> bool {
    rule == Rule::GoChild as u64
        || rule == Rule::PythonPool as u64
        || rule == Rule::GoChannel as u64
}

/// How often user space has told of a process; 0 while it has told of none.
#[btf_map(name = "RUNTIME_ROUND")]
static RUNTIME_ROUND: Array<u32, 1> = Array::new();

/// A process in which no runtime was known, and when that was.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Unknown {
    round: u32,
    tgid: u32,
}

impl Unknown {
    /// Nobody has asked yet: no process has this number.
    pub(crate) const NEVER_ASKED: Self = Self { round: 0, tgid: 0 };
}

/// Whether a runtime that is known runs in the process of `task`, the current one, which uses this connection. What is asked after
/// this is asked about it.
#[inline(always)]
pub(crate) fn knows(task: u64, state: *mut State, scratch: *mut Scratch) -> bool {
    unsafe {
        let Some(round) = RUNTIME_ROUND.get_ptr(0) else { return false };
        let round = round.read_volatile();
        let unknown = &raw mut (*state).no_runtime;
        let tgid = (task >> 32) as u32;
        if round == 0 || (*unknown).round == round && (*unknown).tgid == tgid {
            return false;
        }
        let known = knows_now(task, scratch);
        if !known {
            (*unknown).round = round;
            (*unknown).tgid = tgid;
        }
        known
    }
}

/// The same, without a connection that remembers it.
#[inline(always)]
pub(crate) fn knows_now(task: u64, scratch: *mut Scratch) -> bool {
    unsafe { (&raw mut (*scratch).desk.caller.tgid).write_volatile(task >> 32) }
    go::process((task >> 32) as u32).is_some()
}

/// A process is another one now, or gone: what was known of its memory is not true any more.
#[inline(always)]
pub(crate) fn forget(tgid: u32) {
    go::forget(tgid);
    python::forget(tgid);
}

/// A thread has ended.
#[inline(always)]
pub(crate) fn thread_ends(thread: u64) {
    if is_told_of() {
        python::thread_ends(thread);
    }
}

/// A request of `state`'s connection was read (its head, or more of it): the key of the task that serves it, 0 if none is
/// proven to.
#[inline(always)]
pub(crate) fn request_read(state: *const State) -> u64 {
    unsafe { go::serves((*state).generation, (*state).span) }
}

/// Frames of HTTP/2 move on a connection in the current system call, and are about to be told with that header. For whom a stream was
/// opened a runtime tells by itself, if it does.
#[inline(always)]
pub(crate) fn frames_move(state: *const State, header: *mut DataHeader) {
    unsafe {
        if go::frames_move((*state).generation) != 0 {
            (&raw mut (*header).absent).write_volatile(Absent::NotTold as u8);
        }
    }
}

/// A request is about to be sent: for which one the task does it goes into the scratch event, if that is certain already. Whether
/// a task that was started for a request ends with it is not.
#[inline(always)]
pub(crate) fn request_goes(scratch: *mut Scratch) {
    go::calls();
    unsafe {
        let caller = &raw const (*scratch).desk.caller;
        if (&raw const (*caller).server).read_volatile() == 0
            && (&raw const (*caller).context).read_volatile() != 0
        {
            go::walk();
        }
    }
}

/// The head of a stream is about to be sent: for which request it was opened goes into the scratch event; `false` if a runtime has not told.
#[inline(always)]
pub(crate) fn stream_goes(connection: u64, number: u64) -> bool {
    go::stream_goes(connection, number) != 0
}

/// A request is being sent at `position`: for which one the task does it goes into the event's header.
#[inline(always)]
pub(crate) fn request_sent(state: *mut State, position: u64, scratch: *mut Scratch) {
    unsafe {
        if go::calls() == 0 && (&raw const (*scratch).desk.caller.context).read_volatile() != 0 {
            go::walk();
        }
        let caller = &raw const (*scratch).desk.caller;
        let is_known = (&raw const (*caller).span).read_volatile() != 0;
        let channel = if is_known { 0 } else { (&raw const (*caller).channel).read_volatile() };
        let tgid = (&raw const (*caller).tgid).read_volatile();
        (*state).wanted = Wanted { channel, position, tgid };
        told(state, position, scratch);
    }
}

/// A request that was sent by nobody who is known, and the channel in which whoever made it will wait for its answer.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Wanted {
    /// The channel; 0 if there is none such request.
    channel: u64,
    /// The position of the request.
    position: u64,
    /// In whose memory that channel is.
    tgid: u64,
}

impl Wanted {
    /// All who made requests are known, or will never be.
    pub(crate) const NONE: Self = Self { channel: 0, position: 0, tgid: 0 };
}

/// An answer begins to be read by `task`. Whoever waits for it is told of, if it was not known who had asked.
#[inline(always)]
pub(crate) fn answer_read(state: *mut State, task: u64, scratch: *mut Scratch) {
    unsafe {
        let wanted = (*state).wanted;
        if wanted.channel == 0 {
            return;
        }
        (*state).wanted = Wanted::NONE;
        if wanted.tgid == task >> 32
            && knows(task, state, scratch)
            && go::waits(wanted.channel) != 0
        {
            found((*state).generation, wanted.position);
        }
    }
}

/// Tells who made a call. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn found(connection: u64, position: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let Some(event) = emit::reserve::<CallerFound>() else { return 0 };
    unsafe {
        let caller = &raw const (*scratch).desk.caller;
        let rule = (&raw const (*caller).rule).read_volatile();
        (*event).header = emit::header(ControlKind::CallerFound);
        (*event).connection = connection;
        (*event).position = position;
        (*event).serving = (&raw const (*caller).span).read_volatile();
        (*event).tgid = (&raw const (*caller).tgid).read_volatile() as u32;
        (*event).rule = rule as u8;
        (*event).via = Rule::GoTransport as u8;
        if is_of_another_task(rule) {
            Caller::tasks_to(caller, &raw mut (*event).tasks, &raw mut (*event).objects);
        }
    }
    emit::submit(event);
    1
}

/// The same, where the task is a thread of a pool, which is not asked otherwise; whether it is one.
#[inline(always)]
pub(crate) fn request_sent_by_pool(
    state: *const State,
    thread: u64,
    position: u64,
    scratch: *mut Scratch,
) -> bool {
    let is_one = is_told_of() && python::pool_calls(thread) != python::NOT_OF_A_POOL;
    if is_one {
        unsafe { told(state, position, scratch) };
    }
    is_one
}

/// Whether user space has told of any process.
#[inline(always)]
fn is_told_of() -> bool {
    RUNTIME_ROUND.get_ptr(0).is_some_and(|round| unsafe { round.read_volatile() } != 0)
}

/// Whether a thread works for somebody as one of a pool; `None` if it is none of a pool's. Whether what it does ends with the request is not
/// certain when it sends one.
#[inline(always)]
pub(crate) fn pool_works(thread: u64) -> Option<bool> {
    match python::pool_calls(thread) {
        python::NOT_OF_A_POOL => None,
        what => Some(what == python::WORKS),
    }
}

/// What was found out goes into the event's header.
#[inline(always)]
unsafe fn told(state: *const State, position: u64, scratch: *mut Scratch) {
    unsafe {
        let caller = &raw const (*scratch).desk.caller;
        let header = &raw mut (*scratch).header;
        (*header).serving = (&raw const (*caller).span).read_volatile();
        (*header).rule = (&raw const (*caller).rule).read_volatile() as u8;
        (*header).absent = (&raw const (*caller).absent).read_volatile() as u8;
        (*header).for_another = (&raw const (*caller).for_another).read_volatile() as u8;
        let rule = (&raw const (*caller).rule).read_volatile();
        if is_of_another_task(rule) {
            tell((*state).generation, position);
        }
    }
}

/// Tells whose work the call is. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell(connection: u64, position: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let Some(event) = emit::reserve::<Worker>() else { return 0 };
    unsafe {
        let caller = &raw const (*scratch).desk.caller;
        (*event).header = emit::header(ControlKind::Worker);
        (*event).connection = connection;
        (*event).position = position;
        (*event).tgid = (&raw const (*caller).tgid).read_volatile() as u32;
        Caller::tasks_to(caller, &raw mut (*event).tasks, &raw mut (*event).objects);
    }
    emit::submit(event);
    1
}
