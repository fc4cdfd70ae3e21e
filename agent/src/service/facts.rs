//! What is known about a process: gathered once from /proc, recorded, and never read again.

use serde::{Deserialize, Serialize};

/// From here on numbers are no process's (Linux's `PID_MAX_LIMIT` is 2^22): they stand for what is known by its address
/// only, as in a packet capture, and are told to nobody.
pub const FIRST_ADDRESS: u32 = 1 << 31;

/// Whether a number is a process's.
pub(crate) const fn is_process(pid: u32) -> bool {
    pid < FIRST_ADDRESS
}

/// A process as it was when it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Its pid in the initial pid namespace.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Start time in clock ticks after boot: with the pid, its identity.
    pub start_ticks: u64,
    /// The task's name.
    pub comm: String,
    /// Path of the executable; empty when not readable.
    pub exe: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working directory; empty when not readable.
    pub directory: String,
    /// The `OTEL_*` variables of its environment, and no others.
    pub otel: Vec<(String, String)>,
    /// Names of other variables that load an OpenTelemetry SDK into the runtime that reads them, such as
    /// `JAVA_TOOL_OPTIONS`. Their values are not kept.
    #[serde(default)]
    pub sdk_variables: Vec<String>,
    /// Lines of its cgroup file.
    pub cgroup: Vec<String>,
    /// What its container is called; empty when that is not known.
    #[serde(default)]
    pub container_name: String,
    /// What its container is labelled with, and then the attributes that `OTEL_RESOURCE_ATTRIBUTES` gives it, as far as
    /// they are known.
    #[serde(default)]
    pub labels: Vec<(String, String)>,
    /// It is the process that systemd started for its unit: a child of init, and the unit's oldest.
    #[serde(default)]
    pub leads_unit: bool,
}
