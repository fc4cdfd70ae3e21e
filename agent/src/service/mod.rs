//! Services: which service a process is, from what can be known about the process.
//!
//! Naming is a pure function of [`ProcessFacts`]; only `read` touches /proc, for whoever gathers those facts. A name
//! never changes while a process lives, except by exec.
#![forbid(unsafe_code)]

mod facts;

use opentelemetry_proto::tonic::resource::v1::Resource;

pub use facts::ProcessFacts;

/// A service's instance, as spans are put on it: compare by [`Service::instance_id`].
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `service.name`; `unknown_service` when nothing is known.
    pub name: String,
    /// `service.version`, if the process says.
    pub version: Option<String>,
    /// `deployment.environment.name`, if the process says.
    pub environment: Option<String>,
    /// `service.instance.id`: the same for all processes of an instance (a master and its workers).
    pub instance_id: String,
    /// Pid of the instance's leader.
    pub pid: u32,
    /// All of it as OTLP has it.
    pub resource: Resource,
}
