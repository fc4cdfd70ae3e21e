//! The kernel's side of the agent: what is loaded into it and what comes out of it.

pub mod object;
