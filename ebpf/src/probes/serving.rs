//! Whom a task serves: the one owner of that question in the kernel.
//!
//! The task key is the thread, and only where a thread that reads a request waits for nothing else; or what the process's
//! runtime says, where one is known. Everything here is a candidate; user space confirms it with what it sees of the answer.

use spanwire_ebpf::{ControlKind, Counter, Revoked, id};

use crate::{
    config, emit,
    maps::{ANY_REVOKED, REVOKED, SERVING, Scratch, Served, count},
    runtime,
    state::State,
};

/// The reader of a request for which no task is noted. No task has this key.
const NOBODY: u64 = 0;

/// A request of `state`'s connection begins at `position`, read by `task`.
#[inline(always)]
pub(crate) fn request_read(
    state: *mut State,
    task: u64,
    position: u64,
    thread_waits: bool,
    scratch: *mut Scratch,
) {
    unsafe {
        let connection = (*state).generation;
        let span = id::span(config::seed(), connection, position);
        (*state).span = span;
        (*state).reader = task;
        if runtime::knows(task, state, scratch) {
            (*state).reader = runtime::request_read(state);
            return;
        }
        if is_mixed(state, task) {
            (*state).reader = NOBODY;
            return;
        }
        let Some(before) = SERVING.get_ptr_mut(task) else {
            if thread_waits {
                let served = &raw mut (*scratch).desk.child;
                Served::fill(served, span, connection, task);
                let served: &Served = &*served;
                let _ = SERVING.insert(task, served, 0);
            } else {
                // Nobody is noted, so nobody need be looked for when it is answered: event loops, which answer most requests.
                (*state).reader = NOBODY;
            }
            return;
        };
        let overlaps = (*before).answered == 0 && (*before).connection != connection;
        if thread_waits {
            // In place: the task alone writes here, and to put an entry into the map anew costs several times as much.
            Served::fill(before, span, connection, task);
        } else {
            let _ = SERVING.remove(task);
            (*state).reader = NOBODY;
        }
        if overlaps {
            revoke(task);
            (*state).mixed_by = (task >> 32) as u32;
        }
    }
}

/// More of the head of `state`'s request was read. Whoever reads its end serves it: a runtime may wait for the first byte with
/// another task.
#[inline(always)]
pub(crate) fn request_goes_on(state: *mut State, task: u64, scratch: *mut Scratch) {
    if runtime::knows(task, state, scratch) {
        unsafe { (*state).reader = runtime::request_read(state) }
    }
}

/// The answer to the request that `state`'s connection read last begins.
#[inline(always)]
pub(crate) fn answered(state: *const State) {
    unsafe {
        if let Some(served) = by_reader(state)
            && (*served).span == (*state).span
        {
            (*served).answered = 1;
        }
    }
}

/// The connection whose request a task may be serving is closed by us: it will never be answered.
#[inline(always)]
pub(crate) fn abandoned(state: *const State) {
    answered(state);
}

/// A request is sent: for which one goes into the scratch event's header.
#[inline(always)]
pub(crate) fn request_sent(state: *mut State, task: u64, position: u64, scratch: *mut Scratch) {
    if runtime::knows(task, state, scratch) {
        runtime::request_sent(state, position, scratch);
    } else if !runtime::request_sent_by_pool(state, task, position, scratch) {
        unsafe { (&raw mut (*scratch).header.serving).write_volatile(of(state, task)) }
    }
}

/// An answer begins to be read by `task`.
#[inline(always)]
pub(crate) fn answer_read(state: *mut State, task: u64, scratch: *mut Scratch) {
    runtime::answer_read(state, task, scratch);
}

/// The span that a thread serves, 0 if none is known.
#[inline(always)]
fn of(state: *mut State, task: u64) -> u64 {
    unsafe {
        if is_mixed(state, task) {
            return 0;
        }
        let Some(served) = SERVING.get_ptr(task) else { return 0 };
        let span = (*served).span;
        if is_revoked((task >> 32) as u32) {
            (*state).mixed_by = (task >> 32) as u32;
            return 0;
        }
        span
    }
}

/// Whether the process of that task is remembered as one whose threads say nothing. The connection remembers it: else each call would
/// look for what the thread serves, and then find the process in [`REVOKED`].
#[inline(always)]
unsafe fn is_mixed(state: *const State, task: u64) -> bool {
    unsafe { (*state).mixed_by != 0 && (*state).mixed_by == (task >> 32) as u32 }
}

/// What the reader of `state`'s request serves.
#[inline(always)]
pub(crate) fn by_reader(state: *const State) -> Option<*mut Served> {
    unsafe {
        let reader = (*state).reader;
        if reader == NOBODY { None } else { by(reader) }
    }
}

/// What the task with this key serves.
#[inline(always)]
pub(crate) fn by(task: u64) -> Option<*mut Served> {
    SERVING.get_ptr_mut(task)
}

/// Whether threads say nothing about requests in that process.
#[inline(always)]
pub(crate) fn is_revoked(tgid: u32) -> bool {
    let any = ANY_REVOKED.get_ptr(0).is_some_and(|any| unsafe { any.read_volatile() } != 0);
    any && REVOKED.get_ptr(tgid).is_some()
}

#[inline(never)]
fn revoke(task: u64) {
    let tgid = (task >> 32) as u32;
    if is_revoked(tgid) {
        return;
    }
    if let Some(any) = ANY_REVOKED.get_ptr_mut(0) {
        unsafe { any.write_volatile(1) }
    }
    if REVOKED.insert(tgid, 1, 0).is_ok() {
        count(Counter::ThreadRuleRevoked, 1);
        emit::control(
            &Revoked { header: emit::header(ControlKind::Revoked), tgid, tid: task as u32 },
            false,
        );
    }
}
