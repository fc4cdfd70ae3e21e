//! Connections: one tracker for each end that is on this host, two byte streams placed by position.
//!
//! [`Connections`] is the door. Inside, an event is checked (`event`), ordered (`order`, `stream`), and read by
//! whatever the connection turns out to speak (`talk`); `ending` knows what an end means.
#![forbid(unsafe_code)]

mod connection;
mod ending;
mod event;
mod inserted;
mod loss;
mod order;
mod reassembly;
mod stream;
mod table;
mod talk;
#[cfg(test)]
mod tests;
mod tracker;

pub use connection::{Address, Connection};
pub use loss::{Loss, Losses};
pub use reassembly::reassemble;
pub use table::{Connections, Limits};

/// Most memory one connection can hold, bytes, whatever it sends: what waits for its turn (256 KiB), and what its reader
/// holds. Of HTTP/1 that is 384 KiB: two heads that are being read (grown by doubling), answers that wait for their
/// requests, and requests that wait for answers. Of HTTP/2 it is 4 MiB of open streams, two header tables, and two
/// header blocks that are being read.
pub const CONNECTION_HELD: usize = 6 << 20;
