//! spanwire: what the processes of a host say to each other, as OpenTelemetry traces.
//!
//! Data goes one way: `kernel` → `conn` → `protocols` → `exchange` → `trace` → `export`. A stage knows the type it
//! receives and the type it hands on, nothing else. `pipeline` leads it from stage to stage; `run` and `replay` are the
//! two ends it can come from.

pub mod cli;
pub mod config;
pub mod conn;
pub mod control;
mod courtesy;
pub mod doctor;
pub mod exchange;
pub mod export;
pub mod hash;
pub mod input;
pub mod insertion;
pub mod kernel;
pub mod logging;
pub mod manual;
mod memory;
pub mod pcap;
pub mod pipeline;
pub mod protocols;
pub mod ps;
pub mod record;
pub mod replay;
pub mod run;
pub mod runtime;
pub mod selection;
pub mod service;
pub mod status;
mod text;
pub mod trace;
pub mod viewer;
