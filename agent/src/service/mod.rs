//! Services: which service a process is, from what can be known about the process.
//!
//! Naming is a pure function of [`ProcessFacts`]; only `read` touches /proc, for whoever gathers those facts. A name
//! never changes while a process lives, except by exec.
#![forbid(unsafe_code)]

pub(crate) mod attribute;
mod cgroup;
mod container;
mod environment;
mod facts;
mod instance;
mod labels;
mod naming;
mod read;
mod registry;
mod sdk;
mod threads;

pub(crate) use facts::is_process;
pub use facts::{FIRST_ADDRESS, ProcessFacts};
pub use instance::Service;
pub(crate) use naming::{is_named_by_arguments, language};
pub(crate) use read::Reader;
pub(crate) use registry::Services;
