//! OTLP export of spans: a bounded queue, one thread that sends batches, and a count for every span.
//!
//! The capture side only ever calls [`Exporter::offer`], which never blocks on the network or a disk. A batch is held
//! until the server has accepted it or refused it for good; meanwhile the queue fills, or moves into the spool on disk if
//! there is one, and what does not fit is dropped and counted. At all times: offered + recovered = sent + rejected +
//! refused + dropped + spooled + waiting ([`Totals`]).

mod backlog;
mod config;
mod counts;
mod endpoint;
mod exporter;
mod grpc;
mod http;
mod pieces;
mod queue;
mod retry;
mod spool;
mod tls;

#[cfg(test)]
mod tests;

pub use config::{Choice, Config, Limits, Protocol, Weight, Wrong, choose};
pub use counts::Totals;
pub use exporter::{Exporter, StartError};
pub use retry::BackoffTimes;
pub use spool::{SpoolConfig, SpoolError};
pub use tls::{TlsError, TlsFiles};

/// What we call ourselves (OTLP exporter specification, "User Agent").
const USER_AGENT: &str = concat!(
    "spanwire/",
    env!("CARGO_PKG_VERSION"),
    " OTel-OTLP-Exporter-Rust/",
    env!("CARGO_PKG_VERSION")
);
