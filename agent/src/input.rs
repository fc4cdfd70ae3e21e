//! Everything that enters the pipeline, as one type: what a recording holds and a replay feeds.
//!
//! Kernel events come as decoded ABI structs; the few facts that user space adds (a clock, what a process is) come
//! the same way, so that the pipeline itself never reads a clock, a file or a socket and is the same function of its
//! input live and in replay.

use std::fmt;

use abi::{
    CallerFound, Closed, DataHeader, Opened, ProcessEvent, Retransmitted, Revoked, StreamCall,
    TaskEnded, TcpState, Worker, data_flag,
    insert::{Boundary, Inserted},
    runtime::{Absent, Rule},
    wire::Carried,
};

use crate::service::ProcessFacts;

/// A moment of `CLOCK_MONOTONIC`, in nanoseconds. All durations are differences of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Nanoseconds from `earlier` to this; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and `nanos` more.
    #[must_use]
    pub const fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

/// Generation number of a connection's one end: made in the kernel, never used twice while the machine is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Who made a call: process and thread, as the initial pid namespace numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Task {
    /// Thread group: what users call a pid.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
}

/// How a thread that read a request waits for its connection, and so whether it may be serving that request alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    /// With others, in an epoll set; or that is not known.
    #[default]
    Otherwise,
    /// In no epoll set, but the socket does not block: what event loops do that poll, and some servers with threads.
    Polling,
    /// Alone: the socket blocks.
    Alone,
}

impl Waits {
    /// By the flags of an event.
    #[must_use]
    pub const fn of(flags: u16) -> Self {
        if flags & data_flag::THREAD_WAITS != 0 {
            Self::Alone
        } else if flags & data_flag::THREAD_POLLS != 0 {
            Self::Polling
        } else {
            Self::Otherwise
        }
    }
}

/// What a process's runtime says about for which request a call is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// No runtime was asked: there is only the thread.
    #[default]
    NotAsked,
    /// It is known.
    Knows {
        /// By this rule.
        rule: Rule,
        /// The rule that led from what was written to the task which this one is about: another writes for many.
        via: Option<Rule>,
    },
    /// It is not known, for this reason.
    Absent(Absent),
}

impl Runtime {
    /// What an event says; what no probe writes says nothing.
    #[must_use]
    pub fn of(header: &DataHeader) -> Self {
        match (Rule::from_abi(header.rule), Absent::from_abi(header.absent)) {
            (Some(rule), _) => {
                Self::Knows { rule, via: (header.for_another != 0).then_some(Rule::GoTransport) }
            }
            (None, Some(why)) => Self::Absent(why),
            (None, None) => Self::NotAsked,
        }
    }

    /// The same of a stream that was opened.
    #[must_use]
    pub fn of_stream(call: &StreamCall) -> Self {
        match (Rule::from_abi(call.rule), Absent::from_abi(call.absent)) {
            (Some(rule), _) => Self::Knows { rule, via: Rule::from_abi(call.via) },
            (None, Some(why)) => Self::Absent(why),
            (None, None) => Self::NotAsked,
        }
    }
}

/// One thing that happened, in the order the pipeline must see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A connection is seen for the first time.
    Opened(Opened),
    /// The kernel destroyed a connection.
    Closed(Closed),
    /// A TCP connection changed state.
    TcpState(TcpState),
    /// A process began another program.
    Exec(ProcessEvent),
    /// A process ended.
    Exit(ProcessEvent),
    /// Threads say nothing about requests in this process any more.
    Revoked(Revoked),
    /// Whose work the call is that comes next.
    Worker(Worker),
    /// For whom a stream of HTTP/2 was opened.
    StreamCall(StreamCall),
    /// For which request a call was made, where that was not known when it was sent.
    CallerFound(CallerFound),
    /// A task that was named by [`Input::Worker`] has ended, as the kernel has seen.
    TaskEnded(TaskEnded),
    /// Tasks ([`abi::runtime::task`]) that were named by [`Input::Worker`], [`Input::StreamCall`] or [`Input::CallerFound`] are found to have ended.
    TasksEnded(Vec<u64>),
    /// TCP sent a segment of a connection again.
    Retransmitted(Retransmitted),
    /// A request's context came by the wire, or goes. Before the request.
    Carried(Carried),
    /// Bytes were put into a request on its way. Before the call that sends it.
    Inserted(Inserted),
    /// It is not known to the kernel half where a connection's next request begins, or is again.
    Boundary(Boundary),
    /// Bytes moved: the header, then exactly `head + tail` payload bytes.
    Data(DataHeader, Box<[u8]>),
    /// What user space found out about a process, before the first event that needs it.
    Process(Box<ProcessFacts>),
    /// Unix sockets that are no longer there, found by the sweep.
    UnixGone(Vec<ConnId>),
    /// Events of a ring were lost since the last input.
    Lost {
        /// Data events.
        data: u64,
        /// Control events.
        control: u64,
    },
    /// Time went on.
    Tick {
        /// Now.
        now: Nanos,
        /// Wall-clock time minus monotonic time, ns.
        wall_offset: i64,
    },
}
