//! The hooks: where the kernel calls us. Each finds out which connection, position and buffers it is about, and hands
//! on to [`crate::observe`].

mod enter;
mod lifecycle;
mod sock;
mod syscall;

pub(crate) use syscall::{Asked, Place};
