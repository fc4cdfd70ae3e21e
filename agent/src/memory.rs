//! Memory that only the start needed goes back to the kernel: the kernel's types and what the probes are made of are three times what
//! is kept while nothing is traced.
//!
//! The allocator gives free pages back when later ones beside them are freed, which on an idle host is never. Must not be called while
//! there is work: each page that goes costs a fault when it is needed again.
#![allow(unsafe_code, reason = "the allocator's crate has no wrapper for it")]

/// Gives back what this thread has freed.
pub(crate) fn give_back() {
    // SAFETY: may be called at any time by any thread; it looks at free pages of the calling thread's heap alone (mimalloc.h, `mi_collect`).
    unsafe { libmimalloc_sys::mi_collect(true) };
}
