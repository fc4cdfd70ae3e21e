//! Connections: one tracker for each end that is on this host, two byte streams placed by position.
//!
//! [`Connections`] is the door. Inside, an event is checked (`event`), ordered (`order`, `stream`), and read by
//! whatever the connection turns out to speak (`talk`); `ending` knows what an end means.
#![forbid(unsafe_code)]

mod connection;
mod ending;
mod event;
mod loss;
mod order;
mod stream;
mod table;
mod talk;
mod tracker;

pub use connection::{Address, Connection};
pub use loss::{Loss, Losses};
pub use table::{Connections, Limits};
