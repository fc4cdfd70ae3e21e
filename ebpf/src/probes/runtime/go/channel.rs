//! Channels of the program's own: a goroutine that receives what one has sent that works for a request works for it as well, until it
//! receives again.
//!
//! Probes in a process (uprobes) where its own functions send and receive, so it is only done where it is asked for. What was sent is
//! known by the channel and its bytes; what was under way twice is nobody's from then on. What a `select` receives is not seen: it is nobody's.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_NOEXIST,
    btf_maps::LruHashMap,
    helpers::generated::bpf_probe_read_user,
    macros::{btf_map, uprobe},
    programs::ProbeContext,
};
use spanwire_ebpf::{
    ControlKind, TaskEnded,
    runtime::{GoProcess, RECEIVING, Rule, SENT, task},
};

use super::{
    goroutine::{self, word},
    is_on, nobody, process,
    streams::{desk, register, this_tgid},
};
use crate::{
    emit,
    maps::{SERVING, Served},
    preemption,
    runtime::Desk,
};

/// What was sent and is not received yet, by process, channel and bytes.
#[btf_map(name = "GO_SENT")]
static GO_SENT: LruHashMap<[u64; 3], Sent, SENT> = LruHashMap::new();

/// Goroutines that are about to receive: see [`Asking`].
#[btf_map(name = "GO_ASKING")]
static GO_ASKING: LruHashMap<u64, Asking, RECEIVING> = LruHashMap::new();

/// For whom something was sent.
#[derive(Clone, Copy)]
#[repr(C)]
struct Sent {
    /// The request, and the task that serves it; 0 if that is not known;
    span: u64,
    root: u64,
    /// the one that has sent it, and where its record is, where that is another one.
    maker: u64,
    object: u64,
    /// Not zero once the same was sent again before it was received: it is not known any more which of them is, nor later.
    twice: u64,
}

/// Where a goroutine will find what it receives.
#[derive(Clone, Copy)]
#[repr(C)]
struct Asking {
    /// The channel; 0 once it has got something.
    channel: u64,
    /// From the stack pointer on, which is elsewhere when the stack was moved meanwhile; or an address that is no stack's.
    at: u64,
    is_on_stack: u64,
    /// How often it has asked.
    count: u64,
}

/// Words of an element that are looked at.
const WORDS: usize = 8;
/// Bytes of those.
const BYTES: u64 = 8 * WORDS as u64;

/// Where the saved registers have the stack pointer.
#[cfg(not(bpf_target_arch = "aarch64"))]
const STACK: usize = 152;
#[cfg(bpf_target_arch = "aarch64")]
const STACK: usize = 248;

#[inline(always)]
unsafe fn stack(context: &ProbeContext) -> u64 {
    unsafe { context.as_ptr().cast::<u8>().add(STACK).cast::<u64>().read_volatile() }
}

/// An element's bytes in one number (FNV-1a by words); 0 if there are none, or all are zero: such are no work.
#[inline(never)]
unsafe fn sum(go: *const GoProcess, channel: u64, at: u64) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x100_0000_01b3;
    let mut words = [0u64; WORDS];
    unsafe {
        let size = word(channel.wrapping_add((*go).chan_elemsize)) & 0xffff;
        let size = if size > BYTES { BYTES } else { size };
        if size == 0 || at == 0 {
            return 0;
        }
        // Its bound where every verifier sees it.
        let len = ((size as u32 - 1) & (BYTES as u32 - 1)) + 1;
        if bpf_probe_read_user((&raw mut words).cast(), len, at as *const c_void) != 0 {
            return 0;
        }
    }
    let (mut sum, mut any, mut i) = (BASIS, 0, 0);
    while i < WORDS {
        any |= words[i];
        sum = (sum ^ words[i]).wrapping_mul(PRIME);
        i += 1;
    }
    if any == 0 { 0 } else { sum }
}

/// The process, the thread's desk, and the goroutine that comes by.
#[inline(always)]
unsafe fn here() -> Option<(*const GoProcess, *mut Desk, u64)> {
    let go = process(this_tgid())?;
    let desk = desk()?;
    unsafe {
        let g = goroutine::current(go);
        if g != 0 && is_on(go, Rule::GoChannel) { Some((go, desk, g)) } else { None }
    }
}

/// Where the program calls `runtime.chansend1`: it is given the channel, and where the element is.
#[uprobe]
pub(crate) fn go_send(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe { sends(register(&context, 0), register(&context, 1)) });
    0
}

#[inline(always)]
unsafe fn sends(channel: u64, at: u64) {
    unsafe {
        let Some((go, desk, g)) = here() else { return };
        nobody(&raw mut (*desk).caller);
        let is_known = goroutine::adopt(go, g, desk) && goroutine::works_for(go, g, desk) != 0;
        let key = if is_known { goroutine::key(go, g, desk) } else { 0 };
        remember(key, channel, sum(go, channel, at), desk);
    }
}

/// For whom the goroutine with that key works, which sends this; 0 if that is not known: then whoever sends the same is not, either.
#[inline(never)]
unsafe fn remember(key: u64, channel: u64, sum: u64, desk: *mut Desk) -> u64 {
    if sum == 0 {
        return 0;
    }
    unsafe {
        let mut sent = Sent { span: 0, root: 0, maker: 0, object: 0, twice: 0 };
        let caller = &raw const (*desk).caller;
        let second = (&raw const (*caller).tasks[1]).read_volatile();
        if let Some(served) = SERVING.get_ptr(key) {
            let root = (*served).root;
            if root == key {
                (sent.span, sent.root) = ((*served).span, root);
            } else if second == 0 {
                // Of a longer line of tasks it is not told that all of them end.
                (sent.span, sent.root) = ((*served).span, root);
                sent.maker = (&raw const (*caller).tasks[0]).read_volatile();
                sent.object = (&raw const (*caller).objects[0]).read_volatile();
            }
        }
        let this = [u64::from(this_tgid()), channel, sum];
        if GO_SENT.insert(this, sent, u64::from(BPF_NOEXIST)).is_err()
            && let Some(before) = GO_SENT.get_ptr_mut(this)
        {
            (*before).twice = 1;
        }
    }
    1
}

/// Whether that task still serves this request.
#[inline(always)]
unsafe fn is_served(span: u64, root: u64) -> bool {
    unsafe { SERVING.get_ptr(root).is_some_and(|request| (*request).span == span) }
}

/// Where it calls `runtime.chanrecv1` or `chanrecv2`, with the channel, and where the element is to go: so it has done what it got
/// before.
#[uprobe]
pub(crate) fn go_receive(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe {
        asks(register(&context, 0), register(&context, 1), stack(&context));
    });
    0
}

#[inline(always)]
unsafe fn asks(channel: u64, at: u64, stack: u64) {
    unsafe {
        let Some((go, desk, g)) = here() else { return };
        let key = goroutine::key(go, g, desk);
        ends(key);
        let count = match GO_ASKING.get_ptr(key) {
            Some(before) => (*before).count.wrapping_add(1),
            // One that is forgotten and comes again begins with others.
            None => emit::now() >> 9,
        };
        if at == 0 {
            let _ = GO_ASKING.remove(key);
            return;
        }
        // runtime.g begins with its stack: `lo`, `hi`.
        let is_on_stack = at >= word(g) && at < word(g.wrapping_add(8));
        let at = if is_on_stack { at.wrapping_sub(stack) } else { at };
        let asking = Asking { channel, at, is_on_stack: u64::from(is_on_stack), count };
        let _ = GO_ASKING.insert(key, asking, 0);
    }
}

/// What the goroutine has received is done, if it is anything.
#[inline(never)]
unsafe fn ends(key: u64) -> u64 {
    unsafe {
        let Some(served) = SERVING.get_ptr(key) else { return 0 };
        if (*served).rule != Rule::GoChannel as u64 {
            return 0;
        }
        if (*served).answered != 0
            && let Some(event) = emit::reserve::<TaskEnded>()
        {
            (*event).header = emit::header(ControlKind::TaskEnded);
            (*event).task = (*served).connection;
            emit::submit(event);
        }
        let _ = SERVING.remove(key);
    }
    1
}

/// Where that call has returned.
#[uprobe]
pub(crate) fn go_received(context: ProbeContext) -> u32 {
    preemption::whole(|| unsafe { received(stack(&context)) });
    0
}

#[inline(always)]
unsafe fn received(stack: u64) {
    unsafe {
        let Some((go, desk, g)) = here() else { return };
        let key = goroutine::key(go, g, desk);
        let Some(asking) = GO_ASKING.get_ptr_mut(key) else { return };
        let (channel, is_on_stack, at, count) =
            ((*asking).channel, (*asking).is_on_stack, (*asking).at, (*asking).count);
        if channel == 0 {
            return;
        }
        (*asking).channel = 0;
        let at = if is_on_stack != 0 { stack.wrapping_add(at) } else { at };
        begins(key, [channel, sum(go, channel, at)], new_task(key, count), desk);
    }
}

/// The goroutine works for whoever has sent this, unless it serves a request itself or was started for one.
#[inline(never)]
unsafe fn begins(key: u64, [channel, sum]: [u64; 2], task: u64, desk: *mut Desk) -> u64 {
    unsafe {
        let this = [u64::from(this_tgid()), channel, sum];
        let Some(sent) = GO_SENT.get_ptr(this) else { return 0 };
        let (span, root, maker, object, twice) =
            ((*sent).span, (*sent).root, (*sent).maker, (*sent).object, (*sent).twice);
        if twice != 0 {
            return 0;
        }
        let _ = GO_SENT.remove(this);
        if !is_served(span, root) || SERVING.get_ptr(key).is_some() {
            return 0;
        }
        let served = &raw mut (*desk).child;
        Served::fill(served, span, task, root);
        (&raw mut (*served).rule).write_volatile(Rule::GoChannel as u64);
        (&raw mut (*served).maker).write_volatile(maker);
        (&raw mut (*served).object).write_volatile(object);
        let served: &Served = &*served;
        let _ = SERVING.insert(key, served, 0);
    }
    1
}

/// The key of what a goroutine begins: by its own number and by how often it has asked. No goroutine's number is so large.
#[inline(always)]
fn new_task(key: u64, count: u64) -> u64 {
    const NUMBER: u64 = 0x3f_ffff;
    const COUNT: u64 = 0x1_ffff;
    const NONE: u64 = 1 << 39;
    task(this_tgid(), NONE | (count & COUNT) << 22 | key & NUMBER)
}
