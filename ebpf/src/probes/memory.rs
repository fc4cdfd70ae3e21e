//! Reading kernel memory: directly, through pointers whose type the verifier knows (1–2 ns), or by the probe-read
//! helper, through any address (30 ns). Where the kernel can cast (6.2), any address can be given a type.

use core::{
    ffi::c_void,
    mem::{self, MaybeUninit},
    ptr,
};

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user,
};
use spanwire_ebpf::{Offset, Struct, kfunc::RDONLY_CAST};

use crate::config::{number, offset};

/// A way to read members of kernel structs. The hooks differ in it; what they do with it does not.
pub(crate) trait Reach {
    /// Programs that read so run for every call on a socket, on kernels whose verifier follows all of it in one piece: calls
    /// between functions, which cost them more than what is done in them, are spared.
    const IN_ONE_PIECE: bool;

    /// Reads a member.
    ///
    /// # Safety
    ///
    /// `base` must be what `of` is an offset into; for [`Typed`] the verifier must know it as such.
    unsafe fn member<T: Copy>(base: *const c_void, of: Offset) -> T;

    /// The running task.
    unsafe fn task() -> *const c_void;
}

/// Pointers that come from a BTF-typed context.
pub(crate) struct Typed;

/// Addresses of unknown type. A failed read is all zero.
pub(crate) struct Probed;

impl Reach for Typed {
    const IN_ONE_PIECE: bool = true;

    #[inline(always)]
    unsafe fn member<T: Copy>(base: *const c_void, of: Offset) -> T {
        unsafe { ptr::read_volatile(base.cast::<u8>().add(offset(of)).cast::<T>()) }
    }

    #[inline(always)]
    unsafe fn task() -> *const c_void {
        unsafe { bpf_get_current_task_btf() as *const c_void }
    }
}

impl Reach for Probed {
    const IN_ONE_PIECE: bool = false;

    #[inline(always)]
    unsafe fn member<T: Copy>(base: *const c_void, of: Offset) -> T {
        unsafe { kernel(base as u64 + offset(of) as u64) }
    }

    #[inline(always)]
    unsafe fn task() -> *const c_void {
        unsafe { bpf_get_current_task() as *const c_void }
    }
}

/// Reads kernel memory at any address; zero where there is none: the helper sees to that.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Copy>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    if size_of::<T>() <= size_of::<u64>() {
        let word = kernel_word(address, size_of::<T>() as u32);
        // SAFETY: the first bytes of the word are what was read: little-endian.
        return unsafe { (&raw const word).cast::<T>().read_unaligned() };
    }
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
        value.assume_init()
    }
}

/// An address as that of a struct, which the verifier then lets [`Typed`] read: zero where there is no memory. Nothing is
/// checked; what is there is what the caller says, or else nonsense.
///
/// Only in programs of hooks that kernels have which can cast.
#[inline(always)]
pub(crate) unsafe fn cast(address: u64, to: Struct) -> *const c_void {
    // SAFETY: helpers are called by number, and the agent puts the kernel's function with these arguments in this one's place.
    let call: extern "C" fn(u64, u64) -> *const c_void =
        unsafe { mem::transmute(RDONLY_CAST as usize) };
    call(address, number(to))
}

/// The word of kernel memory at an address, zero where there is none. Only where [`cast`] may be used.
#[inline(always)]
pub(crate) unsafe fn word_at(address: u64) -> u64 {
    unsafe { ptr::read_volatile(cast(address, Struct::ListHead).cast::<u64>()) }
}

/// Up to eight bytes of kernel memory. A function of its own, because each read in line takes a place on the stack.
#[inline(never)]
fn kernel_word(address: u64, len: u32) -> u64 {
    let mut word = 0u64;
    unsafe {
        bpf_probe_read_kernel((&raw mut word).cast(), len, address as *const c_void);
    }
    word
}

/// Reads the current process's memory; `None` where it cannot be read now (probes do not fault pages in).
#[inline(always)]
pub(crate) unsafe fn user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    unsafe {
        let failed = bpf_probe_read_user(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
        if failed == 0 { Some(value.assume_init()) } else { None }
    }
}
