//! Status: what the agent counts, and the unprivileged child that tells it to whoever may know.
//!
//! The privileged process listens on nothing. A child of the same binary, without privileges, is fed snapshots by a
//! pipe and serves them on loopback, to holders of a token that lies in a file only root can read. `doctor --live`
//! asks it. Numbers go from the agent to the child and never back: nothing that the child is told by the network
//! reaches the agent.

mod agent_file;
mod child;
mod counters;
mod live;
mod open;
mod request;
mod server;
mod unprivileged;

use serde::{Deserialize, Serialize};

pub use child::{StartError, StatusChild};
pub use counters::{Counter, Counters, Group, Meaning};
pub use live::{LiveError, live};
pub use open::{OpenRequest, table};
pub use server::serve;

/// Where a running agent says how to reach it.
pub const RUN_DIRECTORY: &str = "/run/spanwire";

/// The subcommand that the agent starts its child with: hidden, of no use to people.
pub const SUBCOMMAND: &str = "status-server";

/// The port that is taken when it is free.
const PORT: u16 = 7726;

/// What the child is told, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// First: who may ask.
    Token(String),
    /// The newest numbers.
    Snapshot(Snapshot),
}

/// What the agent tells of itself, as it is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All counters.
    pub counters: Counters,
    /// The requests that are open for longest.
    pub open: Vec<OpenRequest>,
}

impl From<Counters> for Snapshot {
    fn from(counters: Counters) -> Self {
        Self { counters, open: Vec::new() }
    }
}

/// What the child says, once: the port it listens on.
#[derive(Debug, Serialize, Deserialize)]
struct Listening {
    port: u16,
}
