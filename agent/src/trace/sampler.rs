//! Whether a trace is exported: the one place that decides.
//!
//! `parentbased_always_on` (the default of OpenTelemetry SDKs): what the caller decided holds, and a trace that begins
//! here is kept. The decision is the sampled flag of the trace and travels with it through every link of this host.

use crate::trace::traceparent::{RANDOM, SAMPLED};

/// Flags of a trace that begins here. Random: the low 56 bits of [`abi::id::trace`] are.
pub(in crate::trace) const fn root() -> u8 {
    SAMPLED | RANDOM
}

/// Flags of a trace that begins here and is left out.
pub(in crate::trace) const fn left_out() -> u8 {
    RANDOM
}

/// Flags of a span whose parent has `flags`. The random bit is passed on as it came (Level 2, §3.2.2.5.2).
pub(in crate::trace) const fn child(flags: u8) -> u8 {
    flags
}

/// Whether a span with these flags is exported.
pub(in crate::trace) const fn exports(flags: u8) -> bool {
    flags & SAMPLED != 0
}
