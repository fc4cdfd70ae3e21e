//! What is measured: each mode is a load that can be run for a while, again and again, with and without the agent.
//!
//! A mode knows its programs and what they say of themselves. It must not know whether the agent is there.

mod calls;
pub(crate) mod goroutines;
mod others;
mod services;
pub(crate) mod web;

use std::time::Duration;

use crate::bench::Bench;
use crate::watched::Dress;

/// One mode.
pub(crate) struct Mode {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is, for the reader of the table.
    pub(crate) about: &'static str,
    /// What is counted: `request`, `call`, `process`.
    pub(crate) unit: &'static str,
    /// What the agent should see of it.
    pub(crate) speaks: Speaks,
    /// What its rounds are without and with.
    pub(crate) compares: Compares,
    /// Starts what it needs.
    pub(crate) start: fn(&Bench) -> anyhow::Result<Box<dyn Load>>,
}

/// What a round compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compares {
    /// The host without the agent and with it.
    Agent,
    /// The same, and the agent leaves the load's client out.
    Server,
    /// The same, and the agent puts headers into the requests of the load's client.
    Headers,
    /// The same; and its programs are counted with and without the rules of runtimes.
    Rules,
    /// The agent without the viewer and with it.
    Viewer,
}

impl Compares {
    /// The agent that is compared.
    pub(crate) const fn with(self) -> Dress {
        match self {
            Self::Agent | Self::Rules => Dress::Plain,
            Self::Server => Dress::Serving,
            Self::Headers => Dress::Headers,
            Self::Viewer => Dress::Viewer,
        }
    }

    /// The one that it is compared with, where that is not none at all.
    pub(crate) const fn without(self) -> Option<Dress> {
        match self {
            Self::Viewer => Some(Dress::Plain),
            Self::Agent | Self::Server | Self::Headers | Self::Rules => None,
        }
    }
}

/// How many exchanges there are to be seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speaks {
    /// So many for each unit: 2 where both ends are on this host.
    Each(f64),
    /// Some, beside what is counted.
    Some,
    /// None. (Others on this host may speak; their exchanges are not this mode's.)
    Never,
}

/// A load that is ready to run.
pub(crate) trait Load {
    /// What it measures.
    fn measures(&self) -> &[Measure];

    /// Kinds of calls that can be run alone, so that the agent's programs can be counted for each.
    fn parts(&self) -> &[&'static str] {
        &[]
    }

    /// How long an agent must be watched beside it until it holds all that it ever holds, where rounds are too short for that.
    fn lasts(&self) -> Option<Duration> {
        None
    }

    /// Runs it for about that time.
    fn run(&mut self, order: &Order) -> anyhow::Result<Sample>;
}

/// How to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) time: Duration,
    /// A delay to be planted in each call, ns.
    pub(crate) planted: u32,
    /// Only this part.
    pub(crate) part: Option<&'static str>,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// How many requests, calls, processes.
    pub(crate) units: f64,
    /// A value for each measure (of that part).
    pub(crate) values: Vec<f64>,
    /// Which part of what was measured counts, where the CPU must have been ours alone for that.
    pub(crate) alone: Option<f64>,
}

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) sort: Sort,
}

/// How a measure is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A rate, a second: the ratio counts, the more the better.
    Rate,
    /// Nanoseconds of CPU for each unit: ratio and difference count.
    Cpu,
    /// Nanoseconds of one call, in which a delay can be planted: the difference counts.
    Call,
    /// Nanoseconds that somebody waits: the difference counts.
    Wait,
}

/// All modes, in the order they run.
pub(crate) const ALL: &[Mode] = &[
    calls::CALLS,
    calls::UNRELATED,
    web::SATURATED,
    web::SERVING,
    web::HALF,
    web::FIXED,
    web::HEADERS,
    web::VIEWER,
    services::PYTHON,
    services::GO,
    goroutines::CALLS,
    goroutines::CALLS_SATURATED,
    goroutines::GRPC,
    goroutines::GRPC_SATURATED,
    services::DOWNLOAD,
    services::UPLOAD,
    web::CONNECTIONS,
    services::HUNDRED,
    others::PROCESSES,
    others::IDLE_CONNECTIONS,
    others::IDLE,
];
