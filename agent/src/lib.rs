//! spanwire: what the processes of a host say to each other, as OpenTelemetry traces.
//!
//! Data goes one way: `kernel` → `conn` → `protocols` → `exchange` → `trace` → `export`. A stage knows the type it
//! receives and the type it hands on, nothing else.

pub mod conn;
pub mod exchange;
pub mod export;
pub mod input;
pub mod protocols;
pub mod record;
pub mod service;
pub mod status;
