//! Which requests become spans: not our own, not those of processes that trace themselves, not what the operator
//! leaves out.
//!
//! The one place that decides it. What the rules say of a whole process is in [`Tracer::left_out_by`], where the filter in
//! the kernel asks, too: it costs next to nothing then to leave a process out.

use std::collections::BTreeMap;

use abi::Opened;

use crate::conn::{Address, Connection};
use crate::exchange::{Role, Started};
use crate::selection::{Selection, Verdict};
use crate::trace::{Count, Sampler, Share, Tracer};

/// Rules whose counts are kept over changes of the configuration.
const RULES_COUNTED: usize = 1_024;

/// Requests left out, by rule: over all configurations that there were.
#[derive(Clone, Debug, Default)]
pub(in crate::trace) struct LeftOut(BTreeMap<String, u64>);

impl LeftOut {
    fn add(&mut self, rule: &str) {
        if let Some(count) = self.0.get_mut(rule) {
            *count += 1;
        } else if self.0.len() < RULES_COUNTED {
            self.0.insert(rule.to_owned(), 1);
        }
    }
}

impl Tracer {
    /// Other rules and another sampler from now on. Requests that have begun, and traces that are decided on, stay what
    /// they are.
    pub fn select(&mut self, selection: Selection, sampler: Sampler) {
        self.settings.selection = selection;
        self.settings.sampler = sampler;
        self.services.forget_verdicts();
        self.quiet.clear();
    }

    /// Requests that were left out, by the rule that did it.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, u64)> {
        self.left_out.0.iter().map(|(rule, count)| (rule.as_str(), *count))
    }

    /// The rule that leaves out all that a process says, as long as it runs this program and the rules stay.
    pub fn left_out_by(&mut self, pid: u32) -> Option<usize> {
        match self.services.verdict(pid, &self.settings.selection) {
            Verdict::LeftOut(rule) => {
                // Its requests may never be seen here.
                self.quiet.add(pid);
                Some(rule)
            }
            Verdict::Traced(_) | Verdict::ByPort => None,
        }
    }

    /// The processes that are known.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.services.pids()
    }

    /// Whether a request becomes a span, and of how many like it: `Err` says why it does not.
    pub(in crate::trace) fn admit(&mut self, started: &Started) -> Result<Option<Share>, Count> {
        let pid = started.task.pid;
        if self.own.leaves_out(pid, &started.conn) {
            return Err(Count::OwnTraffic);
        }
        if self.traces_itself(pid) {
            self.own.leave_out(started.conn.id);
            self.quiet.add(pid);
            return Err(Count::SdkTraffic);
        }
        let selection = &self.settings.selection;
        let verdict = match self.services.verdict(pid, selection) {
            Verdict::ByPort => {
                let port = server_port(started.role, &started.conn);
                self.services.of_request(pid, port, selection)
            }
            Verdict::LeftOut(rule) => {
                self.quiet.add(pid);
                Verdict::LeftOut(rule)
            }
            verdict @ Verdict::Traced(_) => verdict,
        };
        match verdict {
            Verdict::LeftOut(rule) => {
                if let Some(rule) = selection.rules().get(rule) {
                    self.left_out.add(&rule.name);
                }
                self.own.leave_out(started.conn.id);
                Err(Count::NotSelected)
            }
            Verdict::Traced(share) => Ok(share),
            Verdict::ByPort => Ok(None),
        }
    }

    /// Whether a process's own SDK exports its spans.
    pub(in crate::trace) fn traces_itself(&self, pid: u32) -> bool {
        self.sdks.exports(pid)
    }

    /// A connection is seen for the first time: perhaps an SDK's, to where it exports.
    pub(in crate::trace) fn look_for_sdk(&mut self, opened: &Opened) {
        if self.services.is_told_to_export_to(opened.tgid, opened.remote_port) {
            self.sdks.told(opened.tgid);
        }
    }
}

/// The port that the request was sent to; unix sockets have none.
fn server_port(role: Role, conn: &Connection) -> Option<u16> {
    let address = match role {
        Role::Client => &conn.remote,
        Role::Server => &conn.local,
    };
    match address {
        Address::Inet(_, port) => Some(*port),
        Address::Unix(_) | Address::Unknown => None,
    }
}
