//! The chain of `context.Context`s: a call that was handed the request's context, or one made of it, leads back to it.
//!
//! Every context of the standard library has its parent first. On the way up from a request's own there is, in
//! `net/http`: the context that ends with the request, the one that ends with the connection, and the value that is the connection's
//! `LocalAddr`. That address names the connection, and that the first is not cancelled names its request that is served
//! now. A foreign type on the way breaks the chain.

use spanwire_ebpf::runtime::{GoProcess, Rule};

use super::{
    GO_ADDRESSES,
    goroutine::{self, word},
    process_of, tgid_of,
    transport::{frame_below, receiver},
};
use crate::{emit, maps::SERVING, runtime::Desk};

/// Contexts looked at on the way up.
const DEPTH: u32 = 24;
/// Data of an interface value.
const DATA: u64 = 8;
/// Data of `context.valueCtx.val`, behind its parent and its key, two words each, and the type of the value.
const VALUE: u64 = 40;

/// Remembers which connection the goroutine `g` serves.
#[inline(never)]
pub(super) unsafe fn remember(go: *const GoProcess, g: u64, key: u64, desk: *const Desk) -> u64 {
    unsafe {
        let address = local_address(go, g);
        if address != 0 {
            let here = [u64::from(tgid_of(desk)), address];
            match GO_ADDRESSES.get_ptr_mut(here) {
                Some(known) => *known = key,
                None => {
                    let _ = GO_ADDRESSES.insert(here, key, 0);
                }
            }
        }
        0
    }
}

/// The address of the `LocalAddr` of the connection that the goroutine `g` serves now; 0 if it serves none.
#[inline(never)]
unsafe fn local_address(go: *const GoProcess, g: u64) -> u64 {
    unsafe {
        let frame = frame_below(g, (*go).serve_frame, (*go).serve_return);
        if frame == 0 {
            return 0;
        }
        let tcp = word(receiver(frame).wrapping_add((*go).conn_rwc + DATA));
        word(word(tcp).wrapping_add((*go).fd_laddr + DATA))
    }
}

/// Puts onto the desk which context the request has that `writeLoop` writes, whose frame that is: for [`walk`].
#[inline(always)]
pub(super) unsafe fn begin(go: *const GoProcess, frame: u64, desk: *mut Desk) {
    unsafe {
        let request = word(frame.wrapping_sub((*go).write_request));
        let context = if (*go).transport_ctx != 0 {
            word(request.wrapping_add((*go).transport_ctx + DATA))
        } else {
            word(word(request).wrapping_add((*go).request_ctx + DATA))
        };
        (&raw mut (*desk).caller.context).write_volatile(context);
    }
}

/// Walks up from the context that the scratch event's desk names. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk() -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe { walk_from(&raw mut (*scratch).desk) }
}

/// The same from any desk.
#[inline(always)]
pub(super) unsafe fn walk_from(desk: *mut Desk) -> u64 {
    unsafe {
        let Some(go) = process_of(desk) else { return 0 };
        let caller = &raw mut (*desk).caller;
        let mut here = [u64::from(tgid_of(desk)), 0];
        let mut context = (&raw const (*caller).context).read_volatile();
        let (mut below, mut two_below) = (0u64, 0u64);
        let mut i = 0;
        while i < DEPTH {
            if context == 0 {
                return 0;
            }
            here[1] = word(context.wrapping_add(VALUE));
            if here[1] != 0
                && let Some(key) = GO_ADDRESSES.get_ptr(here)
            {
                let key = *key;
                if let Some(served) = SERVING.get_ptr(key)
                    && (*served).root == key
                    && goroutine::key(go, (*served).object, desk) == key
                    && local_address(go, (*served).object) == here[1]
                {
                    // Without the request's own context it is the connection's, and says nothing of requests.
                    if two_below == 0 || word(two_below.wrapping_add((*go).cancel_err)) != 0 {
                        return 0;
                    }
                    (&raw mut (*caller).span).write_volatile((*served).span);
                    (&raw mut (*caller).rule).write_volatile(Rule::GoContext as u64);
                    (&raw mut (*caller).absent).write_volatile(0);
                    (&raw mut (*caller).server).write_volatile(key);
                    return 1;
                }
                // Something else lies there since that connection is gone.
                let _ = GO_ADDRESSES.remove(here);
            }
            two_below = below;
            below = context;
            context = word(context.wrapping_add(DATA));
            i += 1;
        }
        0
    }
}
