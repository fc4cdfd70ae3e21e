//! The kernel's side of the agent: what this kernel allows, what is loaded into it, and what comes out of it.

pub mod btf;
pub mod capture;
pub mod counters;
pub mod data_rings;
pub mod decode;
pub mod features;
pub mod hooks;
pub mod insert;
pub mod left_out;
pub mod load;
pub mod mounts;
pub mod netns;
pub mod object;
mod order;
pub mod own_calls;
mod refusal;
mod wait;
mod walk;
pub mod wire;
