//! Protocols: sans-IO readers of one connection's two streams. One folder and one registry line each.
//!
//! A protocol takes bytes and times, and reports exchanges. It never reads a clock, never touches a socket, never
//! panics, and its memory is bounded whatever arrives.
#![forbid(unsafe_code)]

mod contract;
#[cfg(test)]
mod fixture;
mod grpc;
pub mod http1;
pub mod http2;
mod piece;
mod registry;

pub use contract::{Before, Detection, Ending, Outlet, Protocol};
pub use piece::{Body, Kept, Piece};
pub use registry::detect;
