//! Processes that the operator's rules leave out: their connections cost as little as ones that nobody understands.
//!
//! User space says which they are (the map `LEFT_OUT`) and counts the rounds of what it has said: what was asked in an
//! earlier round holds no longer, so that rules that change reach connections that are open. Whoever is not told yet is
//! traced, and left out by user space.
//!
//! A connection is left out from its first bytes on, or from where a request begins: one that is under way is seen to
//! its end. User space is told then that it is gone; should it come back, it is another one.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use spanwire_ebpf::LEFT_OUT_RULES;

use crate::{
    control,
    maps::{LEFT_OUT, LEFT_OUT_BY, LEFT_OUT_ROUND},
    observe,
    state::{Frames, Mode, State},
};

/// What is known of a connection.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct LeftOut {
    /// The rule by which its calls are left unread; 0 while they are not.
    rule: u32,
    /// The round in which it was asked for; 0 for never.
    round: u32,
    /// The process for which.
    tgid: u32,
    reserved: u32,
}

impl LeftOut {
    /// Nobody has asked yet.
    pub(crate) const NEVER_ASKED: Self = Self { rule: 0, round: 0, tgid: 0, reserved: 0 };
}

/// Whether the calls of the running process on this connection are left unread.
#[inline(always)]
pub(crate) unsafe fn holds(state: *mut State) -> bool {
    unsafe {
        if (*state).left_out.rule == 0 {
            return false;
        }
        if asked(state) != 0 {
            return true;
        }
        comes_back(state);
        false
    }
}

/// Whether a process is left out altogether.
#[inline(always)]
pub(crate) fn is_left_out(tgid: u32) -> bool {
    LEFT_OUT.get_ptr(tgid).is_some()
}

/// Whether the calls of the running process on this connection are left unread from here on, where it is met.
#[inline(always)]
pub(crate) unsafe fn met(state: *mut State) {
    unsafe {
        let rule = asked(state);
        if rule != 0 {
            (*state).left_out.rule = rule;
            tally(rule);
        }
    }
}

/// Counts a connection by the rule that leaves it out.
#[inline(always)]
unsafe fn tally(rule: u32) {
    unsafe {
        if let Some(slot) = LEFT_OUT_BY.get_ptr_mut(rule & (LEFT_OUT_RULES as u32 - 1)) {
            *slot += 1;
        }
    }
}

/// The same where a request begins. User space hears no more of the connection then.
#[inline(always)]
pub(crate) unsafe fn begins(state: *mut State) -> bool {
    unsafe {
        let rule = asked(state);
        if rule != 0 {
            leave(state, rule);
        }
        rule != 0
    }
}

#[inline(never)]
unsafe fn leave(state: *mut State, rule: u32) {
    unsafe {
        (*state).left_out.rule = rule;
        tally(rule);
        control::closed(state);
        (*state).announced = 0;
        (*state).span = 0;
        (*state).reader = 0;
    }
}

/// The rule that leaves out the running process, 0 for none: as answered in this round, or asked now.
#[inline(always)]
unsafe fn asked(state: *mut State) -> u32 {
    unsafe {
        let Some(round) = LEFT_OUT_ROUND.get_ptr(0) else { return 0 };
        let round = round.read_volatile();
        if round == 0 {
            return 0;
        }
        let known = &raw mut (*state).left_out;
        let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
        if (*known).round == round && (*known).tgid == tgid {
            return (*known).rule;
        }
        (*known).round = round;
        (*known).tgid = tgid;
        let Some(rule) = LEFT_OUT.get_ptr(tgid) else { return 0 };
        *rule
    }
}

/// It is looked at again: as one that is met in the middle.
#[inline(always)]
unsafe fn comes_back(state: *mut State) {
    unsafe {
        (*state).left_out.rule = 0;
        (*state).generation = observe::generation();
        if !(*state).is(Mode::Ignored) {
            (*state).mode = Mode::Unknown as u8;
        }
        (*state).silent = 1;
        (*state).strikes = 0;
        (*state).framed = 0;
        (*state).pipelined = 0;
        (*state).ways[0].head_left = 0;
        (*state).ways[1].head_left = 0;
        (*state).frames = [Frames::BOUNDARY; 2];
    }
}
