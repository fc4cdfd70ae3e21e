//! Contexts of requests, made and found in the kernel because they go by the wire (D4, D6).
//!
//! [`context`] knows which trace a request belongs to as it is sent or read; [`head`] looks whether it says so itself;
//! [`option`] puts the contexts into TCP options and takes them out again; [`listeners`] sees to listeners that are older than
//! the agent.
//!
//! A request is named by its position in the client's direction and by where the server's direction began: the same at both
//! ends of a connection, on one host or two. What is not certain is *unbound*: it puts nothing on the wire, and says so to
//! whoever reads it on this host.

mod context;
mod head;
mod listeners;
mod option;
mod stream;

use aya_ebpf::{
    btf_maps::{Array, LruHashMap},
    macros::btf_map,
};

use spanwire_ebpf::config_flag;

use crate::{config, emit};

pub(crate) use self::context::{
    Looking, NOWHERE, Sending, WHOSE_QUIET, WHOSE_RUNTIME, about_to_send, bind_message,
    bind_stream, meet, passed_on, read, sent_context, sent_where, tell_sent, whose_message,
};
pub(crate) use self::option::{MANY, change, field, has_agent, is_ours, scope};
pub(crate) use self::stream::{Blocks, stream_served, streams_came};

/// Bits of a context.
pub(crate) mod bits {
    /// Its trace id is final.
    pub(crate) const BOUND: u64 = 1;
    /// The trace is sampled.
    pub(crate) const SAMPLED: u64 = 2;
    /// It came by the wire.
    pub(crate) const CAME: u64 = 4;
}

/// The context of a client's request.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Request {
    pub(crate) trace: [u64; 2],
    /// The client's span.
    pub(crate) span: u64,
    /// [`bits`]
    pub(crate) bits: u64,
}

/// Requests that were sent here, or came, and were not read yet; by [`name`].
#[btf_map(name = "REQUESTS")]
static REQUESTS: LruHashMap<u64, Request, 32768> = LruHashMap::new();

/// What is to go beside a request's first byte.
#[derive(Clone, Copy)]
#[repr(C)]
struct Outgoing {
    trace: [u64; 2],
    span: u64,
    /// Sequence number of the first byte.
    sequence: u32,
    /// A [`stage`].
    stage: u8,
    sampled: u8,
    reserved: [u8; 2],
}

/// How far a context has come.
mod stage {
    /// There is none.
    pub(super) const NONE: u8 = 0;
    /// It waits for its segment.
    pub(super) const WAITS: u8 = 1;
    /// It has been in one. It goes again with each repetition.
    pub(super) const WENT: u8 = 2;
}

/// Connections to another agent, by the socket's cookie: what they carry.
#[btf_map(name = "OUTGOING")]
static OUTGOING: LruHashMap<u64, Outgoing, 32768> = LruHashMap::new();

/// Not zero once another agent has asked or answered: before, nothing is to go or to come, and nothing is looked for.
#[btf_map(name = "AWAKE")]
static AWAKE: Array<u32, 1> = Array::new();

/// Whether contexts may be needed.
#[inline(always)]
pub(crate) fn is_awake() -> bool {
    config::has(config_flag::INSERT)
        || AWAKE.get_ptr_mut(0).is_some_and(|awake| unsafe { awake.read_volatile() } != 0)
}

/// They are from now on.
#[inline(always)]
fn wake() {
    if let Some(awake) = AWAKE.get_ptr_mut(0) {
        unsafe { awake.write_volatile(1) }
    }
}

/// Makes the context of the request that [`about_to_send`] has found, and gives the scratch event back.
#[inline(always)]
pub(crate) fn make_context() {
    if let Some(scratch) = emit::this_scratch() {
        context::make(scratch);
        emit::release(scratch);
    }
}

/// Where directions began that are received here: an end whose own direction is among them has its peer on this host.
#[btf_map(name = "NEIGHBOURS")]
static NEIGHBOURS: LruHashMap<u32, u8, 65536> = LruHashMap::new();

/// Processes that are left alone.
#[btf_map(name = "QUIET")]
static QUIET: LruHashMap<u32, u8, 8192> = LruHashMap::new();

/// What both ends call a request.
#[inline(always)]
const fn name(sequence: u32, origin: u32) -> u64 {
    (sequence as u64) << 32 | origin as u64
}
