//! Connections: one tracker for each end that is on this host, two byte streams placed by position.

mod connection;

pub use connection::{Address, Connection};
