//! What the probes and the agent agree on: event layouts, the kernel's tuning words, and the pure functions both
//! sides must compute alike.
//!
//! Plain fixed-width structs without padding, in which an all-zero slot means something harmless. Nothing here may
//! depend on `aya-ebpf`, allocate, or know what an event is used for. Everything in `scan` and `id` runs in the
//! kernel and is tested on the host.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod config;
mod control;
mod counter;
mod data;
pub mod frame;
pub mod id;
pub mod insert;
pub mod kfunc;
pub mod runtime;
pub mod scan;
pub mod wire;

pub use config::{Config, OFFSETS, Offset, STRUCTS, Struct, flag as config_flag, wake};
pub use control::{
    CHAIN, CallerFound, Closed, ControlHeader, ControlKind, Family, Opened, ProcessEvent,
    Retransmitted, Revoked, StreamCall, TaskEnded, TcpState, Worker, tcp_state,
};
pub use counter::{Counter, LEFT_OUT_RULES, NAMED_PROCESSES, SOCKETS};
pub use data::{DATA_RINGS, DataHeader, Direction, MAX_PAYLOAD, NoData, data_flag};

/// Version of every layout in this crate. Recordings carry it; a change of any pinned layout raises it.
pub const ABI_VERSION: u32 = 4;
