//! Processes that were seen to speak HTTP/2 in the clear: of which parts of a runtime more must be known from then on.
//!
//! What tells of single streams costs every process a trap that has the same functions for HTTP/2 under TLS, which is not read. So it
//! waits for this. Must never say less than there is: a stream that may be of interest is told.

use crate::exchange::{Role, Started};
use crate::hash::Map;

/// Processes remembered. Beyond it they are no longer told.
const KEPT: usize = 8192;

/// What was seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// It was asked.
    Served = 1,
    /// It has asked, and is not grpc-go.
    Called = 2,
    /// It has asked; by whom it was written is not known, but it may be grpc-go.
    CalledMaybeByGrpc = 4,
}

impl Spoken {
    /// What a request tells; `None` if it is none of HTTP/2, or one that grpc-go has written.
    fn of(started: &Started) -> Option<Self> {
        /// What its clients end their `user-agent` with (PROTOCOL-HTTP2.md, "User Agents").
        const GRPC_GO: &str = "grpc-go/";
        started.stream?;
        if started.role == Role::Server {
            return Some(Self::Served);
        }
        match &started.asked.user_agent {
            Some(agent) => (!agent.contains(GRPC_GO)).then_some(Self::Called),
            // Calls of gRPC are POSTs. On a connection older than we are what says more may be hidden.
            None if matches!(&*started.asked.method, "POST" | "") => Some(Self::CalledMaybeByGrpc),
            None => Some(Self::Called),
        }
    }
}

/// What is known, and what is still to be told.
#[derive(Debug, Default)]
pub(in crate::trace) struct Speakers {
    known: Map<u32, u8>,
    news: Vec<(u32, Spoken)>,
}

impl Speakers {
    /// A request has begun.
    pub(in crate::trace) fn started(&mut self, started: &Started) {
        let Some(spoken) = Spoken::of(started) else { return };
        let pid = started.task.pid;
        if self.known.len() >= KEPT && !self.known.contains_key(&pid) {
            return;
        }
        let known = self.known.entry(pid).or_default();
        if *known & spoken as u8 == 0 {
            *known |= spoken as u8;
            self.news.push((pid, spoken));
        }
    }

    /// It is another program now, or gone.
    pub(in crate::trace) fn remove(&mut self, pid: u32) {
        self.known.remove(&pid);
    }

    /// What was seen since this was last asked.
    pub(in crate::trace) fn news(&mut self) -> Vec<(u32, Spoken)> {
        std::mem::take(&mut self.news)
    }
}
