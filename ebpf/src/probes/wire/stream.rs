//! Contexts that come with streams of HTTP/2, as far as the kernel half can read them: in the form in which it puts them in itself.
//!
//! Other forms refer to tables of HPACK, which only user space keeps; what is sent for such a stream carries nothing. Only where contexts are
//! put into requests is anybody interested.

use core::hint::black_box;

use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};
use spanwire_ebpf::insert::{
    OPENED,
    block::{FORM, LEN, NAME, VALUE, VALUE_AT},
};

use super::{Looking, Request, bits, context::sampling, head::only_value_at};
use crate::{
    emit,
    maps::{SERVING, Scratch},
    observe::byte,
};

/// What came with streams that nobody has begun to serve yet, by connection and number.
#[btf_map(name = "STREAM_CONTEXTS")]
static STREAM_CONTEXTS: LruHashMap<[u64; 2], Request, OPENED> = LruHashMap::new();

/// Most header blocks of one window that are looked at.
const BLOCKS: usize = 4;

/// Header blocks that end in the payload.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Blocks {
    /// How many.
    pub(crate) count: u64,
    /// Their streams, and where they end.
    streams: [u64; BLOCKS],
    ends: [u64; BLOCKS],
}

impl Blocks {
    /// One of that stream, if it is one's, ends there.
    #[inline(always)]
    pub(crate) unsafe fn ends(this: *mut Self, stream: u64, end: u64) {
        unsafe {
            let count = (&raw const (*this).count).read_volatile();
            if stream == 0 || count >= BLOCKS as u64 {
                return;
            }
            let slot = (black_box(count) & (BLOCKS as u64 - 1)) as usize;
            (&raw mut (*this).streams).cast::<u64>().add(slot).write_volatile(stream);
            (&raw mut (*this).ends).cast::<u64>().add(slot).write_volatile(end);
            (&raw mut (*this).count).write_volatile(count + 1);
        }
    }
}

/// Header blocks were read on that connection: looks whether a context stands behind any. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn streams_came(connection: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut i = 0;
    while i < BLOCKS {
        unsafe {
            let blocks = &raw const (*scratch).walking.blocks;
            if i as u64 >= (&raw const (*blocks).count).read_volatile() {
                break;
            }
            let stream = (&raw const (*blocks).streams[i]).read_volatile();
            stream_came(
                scratch,
                connection,
                stream,
                (&raw const (*blocks).ends[i]).read_volatile(),
            );
        }
        i += 1;
    }
    0
}

/// A stream's header block ends before the payload's `end`th byte: whether a context stands there.
#[inline(always)]
fn stream_came(scratch: *mut Scratch, connection: u64, number: u64, end: u64) -> u64 {
    if end < LEN as u64 {
        return 0;
    }
    let at = end - LEN as u64;
    let is = |offset: usize, wanted: u8| byte(scratch, at + offset as u64) == wanted;
    if !is(0, FORM) || !is(1, NAME.len() as u8) || !is(VALUE_AT - 1, VALUE as u8) {
        return 0;
    }
    let mut i = 0;
    while i < NAME.len() {
        if !is(2 + i, NAME[i]) {
            return 0;
        }
        i += 1;
    }
    unsafe {
        if !only_value_at(at + VALUE_AT as u64) {
            return 0;
        }
        // There, and not on the stack, is room for it.
        let context = Looking::context(&raw mut (*scratch).wire);
        let search = &raw const (*scratch).wire.search;
        let trace = &raw mut (*context).trace;
        trace.write_volatile((&raw const (*search).trace).read_volatile());
        (&raw mut (*context).span).write_volatile((&raw const (*search).parent).read_volatile());
        let sampled = (&raw const (*search).sampled).read_volatile() != 0;
        (&raw mut (*context).bits).write_volatile(bits::BOUND | sampling(trace, Some(sampled)));
        let came: &Request = &*context;
        u64::from(STREAM_CONTEXTS.insert([connection, number], came, 0).is_ok())
    }
}

/// The task with that key begins to serve that stream: what it sends belongs to the trace that came with it.
#[inline(never)]
pub(crate) unsafe fn stream_served(connection: u64, number: u64, key: u64) -> u64 {
    let this = [connection, number];
    let (Some(came), Some(served)) = (STREAM_CONTEXTS.get_ptr(this), SERVING.get_ptr_mut(key))
    else {
        return 0;
    };
    unsafe {
        (*served).trace = (*came).trace;
        (*served).parent = (*came).span;
        (*served).bits = (*came).bits;
    }
    u64::from(STREAM_CONTEXTS.remove(this).is_ok())
}
