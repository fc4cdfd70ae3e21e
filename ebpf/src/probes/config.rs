//! The frozen words that user space set before loading. The verifier sees them as constants and drops the branches
//! they close, so one object serves every kernel.

use core::ptr;

use spanwire_ebpf::{Config, Offset, Struct, id::Seed};

#[unsafe(no_mangle)]
static CONFIG: Config = Config::EMPTY;

macro_rules! word {
    ($field:ident $([$index:expr])?) => {
        // SAFETY: a live static; volatile, because the value in the object is not the value at run time.
        unsafe { ptr::read_volatile(&raw const CONFIG.$field $([$index])?) }
    };
}

#[inline(always)]
pub(crate) fn has(flag: u32) -> bool {
    word!(flags) & flag != 0
}

#[inline(always)]
pub(crate) fn own_tgid() -> u32 {
    word!(own_tgid)
}

/// The one network namespace that is traced; 0 for all.
#[inline(always)]
pub(crate) fn network_namespace() -> u32 {
    word!(network_namespace)
}

/// Its cookie, for programs that have no other name of it; 0 for all.
#[inline(always)]
pub(crate) fn network_namespace_cookie() -> u64 {
    word!(network_namespace_cookie)
}

#[inline(always)]
pub(crate) fn wake_at() -> u64 {
    u64::from(word!(wake_at))
}

#[inline(always)]
pub(crate) fn seed() -> Seed {
    word!(seed)
}

#[inline(always)]
pub(crate) fn offset(of: Offset) -> usize {
    word!(offsets[of as usize]) as usize
}

/// Whether this kernel has the member at all.
#[inline(always)]
pub(crate) fn exists(of: Offset) -> bool {
    word!(offsets[of as usize]) != u32::MAX
}

/// The number of a struct in the kernel's type information.
#[inline(always)]
pub(crate) fn number(of: Struct) -> u64 {
    u64::from(word!(structs[of as usize]))
}
