//! Status: what the agent counts, and the unprivileged child that tells it, and shows the traces, to whoever may know.
//!
//! The privileged process listens on nothing. A child of the same binary, without privileges, is fed numbers and spans
//! by a pipe and serves them on loopback, to holders of a token that lies in a file only root can read. `doctor --live`
//! asks it, and so does the page of the viewer. Everything goes from the agent to the child and nothing back: nothing
//! that the child is told by the network reaches the agent.

mod agent_file;
mod child;
mod connections;
mod counters;
mod feed;
mod frame;
mod keep;
mod live;
mod news;
mod open;
mod otlp_in;
mod request;
mod response;
mod sample;
mod served;
mod server;
mod unprivileged;

use serde::{Deserialize, Serialize};

pub use child::{Serving, StartError, StatusChild};
pub use counters::{Counter, Counters, Group, Meaning};
pub use live::{LiveError, ask, live};
pub use open::{OpenRequest, table};
pub use sample::SampleServer;
pub use server::serve;

/// Where a running agent says how to reach it.
pub const RUN_DIRECTORY: &str = "/run/spanwire";

/// The subcommand that the agent starts its child with: hidden, of no use to people.
pub const SUBCOMMAND: &str = "status-server";

/// The port that is taken when it is free.
const PORT: u16 = 7726;

/// What the agent tells of itself, as it is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All counters.
    pub counters: Counters,
    /// Requests that are under way, those that are open for longest first.
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
