//! The probes: what runs in the kernel.
//!
//! They filter, copy and make ids; whatever user space can do, user space does. Three sets of hooks lead into one
//! function, [`observe::moved`]: which connection, which way, at which position, where the bytes are.
//!
//! Kernel structs are reached at offsets that the agent reads from the kernel's BTF before loading; there is no
//! kernel header here. Nothing here may wait, and no program may rely on kprobes, fentry or writing user memory.

#![no_std]
#![no_main]
#![allow(
    missing_docs,
    clippy::undocumented_unsafe_blocks,
    reason = "the verifier proves each access of each program; what it cannot prove is said where it matters"
)]

mod attached;
mod bytes;
mod config;
mod control;
mod emit;
mod hooks;
mod insert;
mod iterator;
mod left_out;
mod maps;
mod memory;
mod observe;
mod on_cpu;
mod preemption;
mod registers;
mod runtime;
mod serving;
mod socket;
mod state;
mod wire;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
