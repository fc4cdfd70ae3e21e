//! Publishes the counters to the unprivileged child, once a second.

use std::path::Path;

use abi::Counter;

use super::output::Output;
use crate::{
    input::Nanos,
    kernel::capture::Capture,
    pipeline::Pipeline,
    status::{Counters, Meaning, RUN_DIRECTORY, Snapshot, StatusChild},
};

/// Time between two snapshots, ns.
const EVERY: u64 = 1_000_000_000;

/// The child, if there is one: tracing goes on without it.
pub(super) struct Status {
    child: Option<StatusChild>,
    last: Nanos,
}

impl Status {
    pub(super) fn start() -> Self {
        let child = match StatusChild::start(Path::new("/proc/self/exe"), Path::new(RUN_DIRECTORY))
        {
            Ok(child) => Some(child),
            Err(error) => {
                log::warn!("`doctor --live` will not work: {error}");
                None
            }
        };
        Self { child, last: Nanos(0) }
    }

    pub(super) fn publish(&mut self, now: Nanos, snapshot: impl FnOnce() -> Snapshot) {
        if let Some(child) = &self.child
            && now.since(self.last) >= EVERY
        {
            self.last = now;
            child.publish(snapshot());
        }
    }
}

/// Requests that are shown while they are open. Most hosts have none; a chat server's thousands are counted.
const OPEN_SHOWN: usize = 100;

/// What the agent tells of itself now.
pub(super) fn snapshot(pipeline: &Pipeline, capture: &Capture, output: &Output) -> Snapshot {
    Snapshot {
        counters: counters(pipeline, capture, output),
        open: pipeline.active(OPEN_SHOWN).oldest,
    }
}

/// Everything that is counted, stage by stage.
pub(super) fn counters(pipeline: &Pipeline, capture: &Capture, output: &Output) -> Counters {
    with_stages(of_kernel(capture), pipeline, output)
}

/// What the kernel half counts, and what its events meet first.
pub(super) fn of_kernel(capture: &Capture) -> Counters {
    let mut counters = Counters::default();
    for (counter, name, value) in capture.counters() {
        let meaning = match counter {
            Counter::DataEvents
            | Counter::ConnectionsIgnored
            | Counter::ConnectionsMet
            | Counter::RequestsSent
            | Counter::RequestsReceived
            | Counter::ThreadRuleRevoked
            | Counter::KernelPages
            | Counter::WireOffered
            | Counter::WireAnswered
            | Counter::WireMirrored
            | Counter::WireRetried
            | Counter::WireSilenced
            | Counter::WireSent
            | Counter::WireReceived
            | Counter::WireRead => Meaning::Event,
            _ => Meaning::Loss,
        };
        counters.add("kernel", name, meaning, value);
    }
    counters.add("kernel", "recursion_misses", Meaning::Loss, capture.recursion_misses());
    counters.add("kernel", "looks", Meaning::Event, capture.looks);
    counters.add("kernel", "wakes", Meaning::Event, capture.wakes());
    counters.add("kernel", "events_malformed", Meaning::Loss, capture.malformed);
    counters
}

/// The same, with what the other stages count.
pub(super) fn with_stages(
    mut counters: Counters,
    pipeline: &Pipeline,
    output: &Output,
) -> Counters {
    pipeline.count(&mut counters);
    output.count(&mut counters);
    counters
}
