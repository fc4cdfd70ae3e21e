//! Finding again where a request begins, after one whose length its head did not tell.
//!
//! User space reads bodies to their ends, and answers; when all is answered it says at which position the next request begins. Here
//! that is only compared with where the socket stands, under its lock: what it is about to send begins there, or it does not. Must
//! never take up a place that the socket has passed.

use core::ffi::c_void;

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use spanwire_ebpf::{
    ControlKind, Counter, Direction, Offset,
    insert::{BOUNDARIES, Boundary},
};

use super::stage;
use crate::{
    emit,
    maps::count,
    memory::{Probed, Reach},
    state::State,
};

/// Position at which the next request of a connection begins, by its generation number, as user space says.
#[btf_map(name = "BOUNDARIES")]
static NEXT: HashMap<u64, u64, BOUNDARIES> = HashMap::new();

/// Whether what the member is about to send begins where a request does. It is asked for before, once each time it is lost.
#[inline(never)]
pub(super) unsafe fn is_found(state: *mut State) -> bool {
    unsafe {
        let insertion = &raw mut (*state).insertion;
        let connection = (*state).generation;
        if connection == 0 {
            return false;
        }
        if (*insertion).asked == 0 {
            (*insertion).asked = 1;
            tell(connection, 0);
            return false;
        }
        let Some(next) = NEXT.get_ptr(connection) else { return false };
        let sequence: u32 = Probed::member((*insertion).sock as *const c_void, Offset::TcpWriteSeq);
        if *next != (*state).extend(Direction::Sent, sequence) {
            return false;
        }
        let _ = NEXT.remove(connection);
        (*insertion).asked = 0;
        (*insertion).start = sequence;
        (*insertion).next = sequence;
        (*insertion).inserted = 0;
        (*insertion).stage = stage::KNOWN;
        count(Counter::InsertFound, 1);
        tell(connection, 1);
        true
    }
}

/// Straight into the ring.
unsafe fn tell(connection: u64, known: u64) {
    unsafe {
        let Some(event) = emit::reserve::<Boundary>() else { return };
        (*event).header = emit::header(ControlKind::Boundary);
        (*event).connection = connection;
        (*event).known = known;
        emit::submit(event);
    }
}
