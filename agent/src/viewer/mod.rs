//! The viewer: the traces of this host on a page of its own, with nothing else installed.
//!
//! It lives in the unprivileged child (`status/`), is fed finished spans through the pipe, keeps them in a store that is
//! bounded by bytes, and answers questions about them: to its page, to Jaeger's clients, to `spanwire top` and
//! `spanwire trace`. What is said of a trace (critical path, own time, why it failed) is computed here and nowhere else.
//! It must never reach back to the agent, and holds nothing that the exporters would not have sent.
#![forbid(unsafe_code)]

mod analysis;
mod api;
mod attributes;
mod dictionary;
mod disk;
mod histogram;
mod ingest;
mod losses;
mod operation;
mod outgoing;
pub(crate) mod page;
#[cfg(test)]
mod sample;
mod search;
mod span;
mod store;
pub mod terminal;
mod underway;

pub use api::{Host, Watched};
pub(crate) use api::{Live, Viewer};
pub(crate) use disk::{Disk, DiskLimits};
pub use store::Limits;
