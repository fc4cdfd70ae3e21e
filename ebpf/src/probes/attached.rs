//! Whether all probes are in their places.
//!
//! They are attached one after the other, so for some milliseconds a send would be seen and the receive after it not. What is
//! remembered of a connection from then on has holes that nobody lost, and the request behind a hole is not believed. So no
//! probe does anything before the last one is there.

use core::ptr;

/// Not zero from then on; the agent sets it. Its section's only word.
#[unsafe(no_mangle)]
static mut ATTACHED: u32 = 0;

#[inline(always)]
pub(crate) fn all() -> bool {
    // SAFETY: a live static that nobody has a reference to; volatile, because the agent writes it.
    unsafe { ptr::read_volatile(&raw const ATTACHED) != 0 }
}
