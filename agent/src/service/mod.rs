//! Services: which service a process is, from what can be known about the process.

mod facts;

pub use facts::ProcessFacts;
