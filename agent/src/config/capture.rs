//! How to capture, in the words of a person: on the command line, in a variable and in the file alike.
#![forbid(unsafe_code)]

use clap::ValueEnum;

use crate::kernel::hooks::HookSet;

/// A set of hooks, or the best that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that loads, attaches and fires on this kernel.
    Auto,
    /// tcp_sendmsg_locked and sock_*_length (Linux 6.16).
    Locked,
    /// sock_*_length (Linux 6.3).
    Length,
    /// System calls (any kernel).
    Syscall,
}

impl Hooks {
    /// The set, unless it is left to the kernel.
    #[must_use]
    pub const fn set(self) -> Option<HookSet> {
        match self {
            Self::Auto => None,
            Self::Locked => Some(HookSet::Locked),
            Self::Length => Some(HookSet::Length),
            Self::Syscall => Some(HookSet::Syscall),
        }
    }
}

/// A size that the kernel takes for a ring.
pub(crate) fn ring_size(text: &str) -> Result<u32, String> {
    let bytes: u32 = text.parse().map_err(|_| "not a number of bytes".to_owned())?;
    if bytes.is_power_of_two() && bytes >= 4096 {
        Ok(bytes)
    } else {
        Err("must be a power of two and at least 4096".to_owned())
    }
}
