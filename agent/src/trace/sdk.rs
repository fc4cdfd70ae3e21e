//! Processes that trace themselves (D12): an OpenTelemetry SDK in them exports their spans, so ours would be doubles.
//!
//! What makes sure of it, any one of these:
//!
//! - its command line, or a variable that its runtime reads, loads an SDK;
//! - it holds a connection to the port to which its variables tell an SDK to export;
//! - it posted to `…/v1/traces` and was answered with success. Not if it was posted the same by others: then it is a
//!   proxy or a Collector that hands on what is not its own.
//!
//! The last is known a few seconds late, when the SDK first exports; until then such a process is traced twice.

use crate::exchange::{Call, Finished, Role};
use crate::hash::Map;

/// Processes remembered. Beyond it the memory starts anew: the next export tells again.
const KEPT: usize = 16_384;
/// Where OTLP/HTTP traces are posted (OTLP specification, "OTLP/HTTP Request").
const TRACES: &str = "/v1/traces";

/// What was seen of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// It loads an SDK's agent, or is told to export and connected to where.
    told: bool,
    /// It posted traces, and was answered.
    posted: bool,
    /// It was posted traces.
    relays: bool,
}

/// How traces are exported over gRPC (OTLP 1.x, `TraceService`).
const EXPORT: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// All of them.
#[derive(Debug, Default)]
pub(in crate::trace) struct Sdks {
    seen: Map<u32, Seen>,
}

impl Sdks {
    /// A process loads an SDK's agent, or is told to export and holds a connection to where.
    pub(in crate::trace) fn told(&mut self, pid: u32) {
        self.of(pid).told = true;
    }

    /// An exchange is over. Whether its process is from now on one that traces itself.
    pub(in crate::trace) fn finished(&mut self, pid: u32, role: Role, finished: &Finished) -> bool {
        let accepted = match &finished.call {
            Call::Http(call) => {
                let target = call.target.as_deref().filter(|target| is_traces(target));
                if target.is_none() || call.method.as_deref() != Some("POST") {
                    return false;
                }
                call.status.is_some_and(|status| status / 100 == 2)
            }
            Call::Rpc(call) => {
                if call.method.as_deref() != Some(EXPORT) {
                    return false;
                }
                call.status == Some(0)
            }
        };
        let before = self.exports(pid);
        let seen = self.of(pid);
        match role {
            Role::Server => seen.relays = true,
            Role::Client => seen.posted |= accepted,
        }
        !before && self.exports(pid)
    }

    /// Whether a process exports its own spans.
    pub(in crate::trace) fn exports(&self, pid: u32) -> bool {
        self.seen.get(&pid).is_some_and(|seen| seen.told || (seen.posted && !seen.relays))
    }

    /// The pid is another process's, or the process began another program.
    pub(in crate::trace) fn gone(&mut self, pid: u32) {
        self.seen.remove(&pid);
    }

    fn of(&mut self, pid: u32) -> &mut Seen {
        if self.seen.len() >= KEPT && !self.seen.contains_key(&pid) {
            self.seen.clear();
        }
        self.seen.entry(pid).or_default()
    }
}

/// A request target whose path ends in `/v1/traces`.
fn is_traces(target: &str) -> bool {
    target.split(['?', '#']).next().is_some_and(|path| path.ends_with(TRACES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{ExchangeId, Http, Sizes};
    use crate::input::{ConnId, Nanos};

    fn posted(target: &str, status: Option<u16>) -> Finished {
        let call = Http {
            method: Some("POST".into()),
            target: Some(target.into()),
            status,
            ..Http::default()
        };
        Finished {
            id: ExchangeId { conn: ConnId(1), position: 0 },
            end: Nanos(1),
            first_answer: None,
            answered_by: None,
            on_cpu: None,
            bytes: Sizes::default(),
            failure: None,
            call: Call::Http(call),
        }
    }

    #[test]
    fn a_post_that_was_taken_is_an_export() {
        for (target, status, expected) in [
            ("/v1/traces", Some(200), true),
            ("/otlp/v1/traces?x=1", Some(202), true),
            ("http://c:4318/v1/traces", Some(200), true),
            ("/v1/traces", Some(404), false),
            ("/v1/traces", None, false),
            ("/v1/metrics", Some(200), false),
            ("/?next=/v1/traces", Some(200), false),
        ] {
            let mut sdks = Sdks::default();
            assert_eq!(
                sdks.finished(7, Role::Client, &posted(target, status)),
                expected,
                "{target}"
            );
            assert_eq!(sdks.exports(7), expected);
            assert!(!sdks.exports(8));
        }
    }

    #[test]
    fn what_hands_on_is_no_sdk() {
        let mut sdks = Sdks::default();
        sdks.finished(7, Role::Server, &posted("/v1/traces", Some(200)));
        sdks.finished(7, Role::Client, &posted("/v1/traces", Some(200)));
        assert!(!sdks.exports(7));
        // Nor if that is seen later.
        let mut sdks = Sdks::default();
        sdks.finished(7, Role::Client, &posted("/v1/traces", Some(200)));
        sdks.finished(7, Role::Server, &posted("/v1/traces", Some(200)));
        assert!(!sdks.exports(7));
        // Unless it is told to export of its own.
        sdks.told(7);
        assert!(sdks.exports(7));
        sdks.gone(7);
        assert!(!sdks.exports(7));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sdks = Sdks::default();
        for pid in 0..100_000 {
            sdks.told(pid);
        }
        assert!(sdks.seen.len() <= KEPT);
        assert!(sdks.exports(99_999));
    }
}
