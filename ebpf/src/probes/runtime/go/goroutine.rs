//! A goroutine's own record (`runtime.g`), and whom it works for by what is in there.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_user};
use spanwire_ebpf::{
    Offset,
    runtime::{Absent, GoProcess, Rule},
};

use super::{GO_LEARNED, GO_RECEIVERS, is_on, key_of, say, snapshot, tgid_of};
use crate::{
    config::exists,
    maps::{SERVING, Served},
    memory::{Probed, Reach},
    runtime::Desk,
};

/// What [`GO_RECEIVERS`] says of a function that may start a goroutine for one request, whatever it does inside.
const EXEMPT: u64 = 2;

/// A word of the process; 0 where it cannot be read. A function of its own, because each read in line takes a place on the
/// stack.
#[inline(never)]
pub(super) fn word(address: u64) -> u64 {
    let mut word = 0u64;
    unsafe {
        bpf_probe_read_user((&raw mut word).cast(), 8, address as *const c_void);
    }
    word
}

/// The goroutine that runs on this thread, by its address; 0 if none does, or if the thread's record contradicts itself: then
/// one of the offsets is not this process's.
#[inline(always)]
pub(super) unsafe fn current(go: *const GoProcess) -> u64 {
    unsafe {
        if !exists(Offset::TaskThreadBase) {
            return 0;
        }
        let thread = bpf_get_current_task() as *const c_void;
        let base: u64 = Probed::member(thread, Offset::TaskThreadBase);
        let g = word(base.wrapping_add((*go).tls));
        let m = word(g.wrapping_add((*go).g_m));
        if g != 0 && m != 0 && word(m.wrapping_add((*go).m_curg)) == g { g } else { 0 }
    }
}

/// The address of the function that a goroutine began with.
#[inline(always)]
pub(super) unsafe fn start(go: *const GoProcess, g: u64) -> u64 {
    unsafe { word(g.wrapping_add((*go).g_startpc)) }
}

/// A goroutine's key; 0 if it has none.
#[inline(always)]
pub(super) unsafe fn key(go: *const GoProcess, g: u64, desk: *const Desk) -> u64 {
    unsafe { key_of(desk, word(g.wrapping_add((*go).g_goid))) }
}

/// Whether a goroutine that starts so may be one that works for whoever started it, and nobody else.
#[inline(always)]
pub(super) unsafe fn may_be_a_child(start: u64, desk: *const Desk) -> bool {
    unsafe {
        let here = [u64::from(tgid_of(desk)), start];
        match GO_RECEIVERS.get_ptr(here) {
            Some(what) => *what == EXEMPT,
            None => GO_LEARNED.get_ptr(here).is_none(),
        }
    }
}

/// Finds out for which request the goroutine `g` works: that which it serves, or for which it was started.
#[inline(never)]
pub(super) unsafe fn works_for(go: *const GoProcess, g: u64, desk: *mut Desk) -> u64 {
    unsafe {
        let caller = &raw mut (*desk).caller;
        let key = key(go, g, desk);
        if key == 0 {
            say(desk, Absent::NoTask);
            return 0;
        }
        let Some(served) = SERVING.get_ptr(key) else { return 0 };
        let mut rule = (*served).rule;
        if rule == 0 {
            rule = Rule::GoHandler as u64;
        }
        if (*go).rules >> (rule & 63) & 1 == 0 {
            say(desk, Absent::NoRequest);
            return 0;
        }
        let (span, root, maker) = ((*served).span, (*served).root, (*served).maker);
        // A goroutine that was once started for a request works for that one or for none that is known.
        match SERVING.get_ptr(root) {
            Some(request) if (*request).span == span => {}
            _ => {
                // Whatever starts like this one may go on as well.
                let here = [u64::from(tgid_of(desk)), start(go, g)];
                let _ = GO_LEARNED.insert(here, 1, 0);
                say(desk, Absent::RequestOver);
                return 0;
            }
        }
        if rule == Rule::GoChannel as u64 {
            // The kernel tells when it ends, and of who has sent it the record does.
            let (task, object) = ((*served).connection, (*served).object);
            (*served.cast_mut()).answered = 1;
            (&raw mut (*caller).tasks[0]).write_volatile(task);
            (&raw mut (*caller).objects[0]).write_volatile(0);
            (&raw mut (*caller).tasks[1]).write_volatile(maker);
            (&raw mut (*caller).objects[1]).write_volatile(object);
            (&raw mut (*caller).tasks[2]).write_volatile(0);
            (&raw mut (*caller).objects[2]).write_volatile(0);
        } else if root != key {
            (&raw mut (*caller).tasks[0]).write_volatile(key);
            (&raw mut (*caller).objects[0]).write_volatile(g);
            if !chain(root, maker, desk) {
                say(desk, Absent::NoRequest);
                return 0;
            }
        } else {
            (&raw mut (*caller).server).write_volatile(key);
        }
        (&raw mut (*caller).span).write_volatile(span);
        (&raw mut (*caller).rule).write_volatile(rule);
        (&raw mut (*caller).absent).write_volatile(0);
        span
    }
}

/// Whether the request for which the goroutine `g` works, by what is remembered of it, is still served.
#[inline(always)]
pub(super) unsafe fn is_in_time(go: *const GoProcess, g: u64, desk: *const Desk) -> bool {
    unsafe {
        let Some(served) = SERVING.get_ptr(key(go, g, desk)) else { return false };
        let (span, root) = ((*served).span, (*served).root);
        SERVING.get_ptr(root).is_some_and(|request| (*request).span == span)
    }
}

/// The goroutine `g` does one thing for whoever has started it: for the request which that one serves, if it does, and has started
/// `g` in this one.
#[inline(never)]
pub(super) unsafe fn started_by_server(go: *const GoProcess, g: u64, desk: *mut Desk) -> u64 {
    unsafe {
        say(desk, Absent::NobodyWaits);
        let maker = key_of(desk, word(g.wrapping_add((*go).g_parent)));
        let Some(served) = SERVING.get_ptr(maker) else { return 0 };
        let (span, root) = ((*served).span, (*served).root);
        if (*go).g_parent == 0 || root != maker || !is_on(go, Rule::GoHandler) {
            return 0;
        }
        let when = snapshot::started_since(maker, span, word(g.wrapping_add((*go).g_goid)));
        let caller = &raw mut (*desk).caller;
        (&raw mut (*caller).absent).write_volatile(when);
        if when != 0 {
            return 0;
        }
        (&raw mut (*caller).span).write_volatile(span);
        (&raw mut (*caller).rule).write_volatile(Rule::GoHandler as u64);
        (&raw mut (*caller).server).write_volatile(maker);
        span
    }
}

/// Writes down who started whom, up to the goroutine that serves; whether that was reached.
#[inline(always)]
unsafe fn chain(root: u64, first: u64, desk: *mut Desk) -> bool {
    unsafe {
        let caller = &raw mut (*desk).caller;
        let mut maker = first;
        let mut i = 1;
        while i < 3 {
            let (mut task, mut object) = (0, 0);
            if maker != root && maker != 0 {
                let Some(known) = SERVING.get_ptr(maker) else { return false };
                (task, object) = (maker, (*known).object);
                maker = (*known).maker;
            }
            (&raw mut (*caller).tasks[i]).write_volatile(task);
            (&raw mut (*caller).objects[i]).write_volatile(object);
            i += 1;
        }
        maker == root
    }
}

/// Looks whether a goroutine of which nothing is known was started for a request by one of which something is, and
/// remembers it. Else says why not.
///
/// Comes before [`works_for`], not in it: together the two would need too much of the stack.
#[inline(never)]
pub(super) unsafe fn adopt(go: *const GoProcess, g: u64, desk: *mut Desk) -> bool {
    unsafe {
        let key = key(go, g, desk);
        if key == 0 {
            say(desk, Absent::NoTask);
            return false;
        }
        if SERVING.get_ptr(key).is_some() {
            return true;
        }
        if !is_on(go, Rule::GoChild) || (*go).g_parent == 0 {
            say(desk, Absent::NoRequest);
            return false;
        }
        let parent = word(g.wrapping_add((*go).g_parent));
        let maker = key_of(desk, parent);
        let Some(served) = SERVING.get_ptr(maker) else {
            // What the program's first starts is there for all.
            say(desk, if parent > 1 { Absent::MakerUnknown } else { Absent::NoRequest });
            return false;
        };
        let (span, root) = ((*served).span, (*served).root);
        // One that works now for one, now for another: for whom it did when it started this is not known.
        if (*served).rule == Rule::GoChannel as u64 {
            say(desk, Absent::Receives);
            return false;
        }
        if !may_be_a_child(start(go, g), desk) {
            say(desk, Absent::Receives);
            return false;
        }
        if root == maker {
            // It serves one request after the other: in which was this one started?
            let goid = word(g.wrapping_add((*go).g_goid));
            let when = snapshot::started_since(maker, span, goid);
            if when != 0 {
                (&raw mut (*desk).caller.absent).write_volatile(when);
                return false;
            }
        }
        // On the desk: on the stack it would take a good part of that.
        let served = &raw mut (*desk).child;
        Served::fill(served, span, 0, root);
        (&raw mut (*served).rule).write_volatile(Rule::GoChild as u64);
        (&raw mut (*served).maker).write_volatile(maker);
        (&raw mut (*served).object).write_volatile(g);
        let served: &Served = &*served;
        SERVING.insert(key, served, 0).is_ok()
    }
}
