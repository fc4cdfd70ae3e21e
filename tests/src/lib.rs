//! What the end-to-end tests stand on: a runner, child processes, an OTLP receiver, and questions to ask of spans.
//!
//! The tests themselves are in `e2e/`, the programs they trace in `workloads/`, the backends in `backends/`. Nothing
//! here may reach into the agent's own code: these tests see the product as its users do, through its command line,
//! the wire, and what traced programs notice.

pub mod agent;
pub mod expect;
pub mod grpc_tour;
pub mod hex;
pub mod kernel;
pub mod listening;
pub mod namespace;
pub mod otlp;
pub mod outcome;
pub mod peer;
pub mod privileges;
pub mod process;
pub mod programs;
pub mod runner;
pub mod tour;
pub mod tracefs;
pub mod truth;
pub mod vm;
pub mod wait;
