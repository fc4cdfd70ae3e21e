//! Publishes the counters to the unprivileged child, once a second, and shows it the spans where they are to be viewed.

use std::io::IsTerminal;
use std::path::Path;

use abi::Counter;

use super::output::Output;
use crate::{
    courtesy::Stops,
    input::Nanos,
    kernel::capture::Capture,
    pipeline::Pipeline,
    status::{Counters, Meaning, RUN_DIRECTORY, Serving, Snapshot, StatusChild},
    trace::EncodedSpan,
    viewer::Host,
};

/// Time between two snapshots, ns.
const EVERY: u64 = 1_000_000_000;

/// The child, if there is one: tracing goes on without it.
pub(super) struct Status {
    child: Option<StatusChild>,
    views: bool,
    last: Nanos,
}

impl Status {
    /// # Errors
    ///
    /// When what was asked for cannot be had; a child that nobody asked for may be missing.
    pub(super) fn start(serving: Option<&Serving>) -> anyhow::Result<Self> {
        let serving = serving.cloned().unwrap_or_default();
        let (program, directory) = (Path::new("/proc/self/exe"), Path::new(RUN_DIRECTORY));
        let child = match StatusChild::start(program, directory, &serving) {
            Ok(child) => Some(child),
            Err(error) if serving != Serving::default() => return Err(error.into()),
            Err(error) => {
                log::warn!("the viewer and `doctor --live` will not work: {error}");
                None
            }
        };
        Ok(Self { child, views: false, last: Nanos(0) })
    }

    /// From now on spans are shown, too; says where.
    pub(super) fn start_viewing(&mut self, host: Host) -> Option<String> {
        self.introduce(host);
        let child = self.child.as_ref()?;
        self.views = true;
        let port = child.port();
        // The token opens everything: it is for who started the agent, not for a log that others read.
        Some(if std::io::stderr().is_terminal() {
            format!("http://127.0.0.1:{port}/#k={}", child.token())
        } else {
            format!("http://127.0.0.1:{port}/ (its token is in {RUN_DIRECTORY}/agent.json)")
        })
    }

    /// Says who the agent is, and who talks here.
    pub(super) fn introduce(&self, host: Host) {
        if let Some(child) = &self.child {
            child.introduce(host);
        }
    }

    /// The child's pid: what it says, and what is said to it, is no traffic of the host's.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(StatusChild::pid)
    }

    pub(super) const fn views(&self) -> bool {
        self.views
    }

    /// Shows spans. Never waits.
    pub(super) fn view(&self, spans: Vec<EncodedSpan>) {
        if let Some(child) = self.child.as_ref().filter(|_| self.views && !spans.is_empty()) {
            child.view(spans);
        }
    }

    /// Adds what was handed to the viewer.
    fn count(&self, counters: &mut Counters) {
        if let Some(child) = self.child.as_ref().filter(|_| self.views) {
            child.count(counters);
        }
    }

    /// Publishes what is so now, when it is time.
    pub(super) fn publish(&mut self, now: Nanos, snapshot: impl FnOnce(&Self) -> Snapshot) {
        if now.since(self.last) < EVERY {
            return;
        }
        self.last = now;
        if let Some(child) = &self.child {
            child.publish(snapshot(self));
        }
    }
}

/// Requests that are shown while they are open. Most hosts have none; a chat server's thousands are counted.
const OPEN_SHOWN: usize = 100;

/// What the agent tells of itself now.
pub(super) fn snapshot(
    of_kernel: Counters,
    pipeline: &Pipeline,
    output: &Output,
    status: &Status,
) -> Snapshot {
    Snapshot {
        counters: with_stages(of_kernel, pipeline, output, status),
        open: pipeline.active(OPEN_SHOWN).oldest,
    }
}

/// What the kernel half counts, and what its events meet first.
pub(super) fn of_kernel(capture: &Capture, stops: Stops) -> Counters {
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
            | Counter::WireRead
            | Counter::InsertEnrolled
            | Counter::InsertNotPrivate
            | Counter::InsertBlocks
            | Counter::InsertAgent
            | Counter::InsertUnenrolled
            | Counter::InsertDone
            | Counter::InsertHasOne
            | Counter::InsertReplaced
            | Counter::InsertSigned
            | Counter::SeenSecond
            | Counter::InsertFound
            | Counter::InsertOlder
            | Counter::InsertQuiet => Meaning::Event,
            _ => Meaning::Loss,
        };
        counters.add("kernel", name, meaning, value);
    }
    counters.add("kernel", "recursion_misses", Meaning::Loss, capture.recursion_misses());
    counters.add("kernel", "looks", Meaning::Event, capture.looks);
    counters.add("kernel", "wakes", Meaning::Event, capture.wakes());
    counters.add("kernel", "pauses", Meaning::Event, stops.pauses);
    counters.add("kernel", "went_first", Meaning::Event, stops.went_first);
    counters.add("kernel", "events_malformed", Meaning::Loss, capture.malformed);
    counters
}

/// The same, with what the other stages count.
pub(super) fn with_stages(
    mut counters: Counters,
    pipeline: &Pipeline,
    output: &Output,
    status: &Status,
) -> Counters {
    pipeline.count(&mut counters);
    output.count(&mut counters);
    status.count(&mut counters);
    counters
}
