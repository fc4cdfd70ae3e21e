//! Memory that only the start needed goes back to the kernel: its types, and what the probes are made of, are several times what is kept
//! while nothing is traced.
//!
//! The allocator gives free pages back when later ones beside them are freed, which on an idle host is never. Must not be called while
//! there is work: each page that goes costs a fault when it is needed again.
#![allow(unsafe_code, reason = "the allocator's crate has no wrapper for it")]

/// Gives back what is free.
pub(crate) fn give_back() {
    // SAFETY: any thread may call it at any time (mimalloc.h, `mi_collect`); what is in use it leaves as it is.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
