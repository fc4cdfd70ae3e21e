//! What more must be known of processes than their runtimes' records tell by themselves: what was seen of them that probes in their
//! programs would explain.
//!
//! Such a probe costs whoever comes by a trap. Those of HTTP/2 are in the way of what goes through TLS as well, which is not read; those
//! of `go` statements and of queues in everybody's. So they wait for this. Must never say less than there is: what may be of interest is told.

use abi::runtime::Absent;

use crate::exchange::{Role, Started};
use crate::hash::Map;
use crate::input::Runtime;

/// Processes remembered. Beyond it they are no longer told.
const KEPT: usize = 8192;

/// What must be known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Who serves its streams: it was asked over HTTP/2 in the clear.
    ServerStreams = 1,
    /// Who opens its streams: it has asked, and is not grpc-go.
    ClientStreams = 2,
    /// The same; by whom it was written is not known, but it may be grpc-go.
    MaybeClientStreams = 4,
    /// Who starts its tasks: one that made a call was started by one of which nothing is known.
    Makers = 8,
    /// What goes through its queues: a thread that serves nothing made a call.
    Queues = 16,
}

impl Need {
    /// What a request tells; `None` if it is none of HTTP/2, or one that grpc-go has written.
    fn of(started: &Started) -> Option<Self> {
        /// What its clients end their `user-agent` with (PROTOCOL-HTTP2.md, "User Agents").
        const GRPC_GO: &str = "grpc-go/";
        started.stream?;
        if started.role == Role::Server {
            return Some(Self::ServerStreams);
        }
        match &started.asked.user_agent {
            Some(agent) => (!agent.contains(GRPC_GO)).then_some(Self::ClientStreams),
            // Calls of gRPC are POSTs. On a connection older than we are what says more may be hidden.
            None if matches!(&*started.asked.method, "POST" | "") => Some(Self::MaybeClientStreams),
            None => Some(Self::ClientStreams),
        }
    }
}

/// What is known, and what is still to be told.
#[derive(Debug, Default)]
pub(in crate::trace) struct Needs {
    known: Map<u32, u8>,
    news: Vec<(u32, Need)>,
}

impl Needs {
    /// A request has begun.
    pub(in crate::trace) fn started(&mut self, started: &Started) {
        if let Some(need) = Need::of(started) {
            self.add(started.task.pid, need);
        }
    }

    /// A runtime said this of a call.
    pub(in crate::trace) fn said(&mut self, pid: u32, runtime: Runtime) {
        match runtime {
            Runtime::Absent(Absent::MakerUnknown) => self.add(pid, Need::Makers),
            Runtime::Absent(Absent::QueueUnwatched) => self.add(pid, Need::Queues),
            _ => {}
        }
    }

    fn add(&mut self, pid: u32, need: Need) {
        if self.known.len() >= KEPT && !self.known.contains_key(&pid) {
            return;
        }
        let known = self.known.entry(pid).or_default();
        if *known & need as u8 == 0 {
            *known |= need as u8;
            self.news.push((pid, need));
        }
    }

    /// It is another program now, or gone.
    pub(in crate::trace) fn remove(&mut self, pid: u32) {
        self.known.remove(&pid);
    }

    /// What was seen since this was last asked.
    pub(in crate::trace) fn news(&mut self) -> Vec<(u32, Need)> {
        std::mem::take(&mut self.news)
    }
}
