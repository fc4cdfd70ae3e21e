//! What the trace stage counts: every span, parent or context that was given up, by reason.

use crate::status::Meaning;

/// Reasons and totals. The order is that of [`Count::ALL`]; new ones go to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs, reason = "each variant is explained by its row in ALL")]
pub enum Count {
    Released,
    NotSampled,
    OwnTraffic,
    DuplicateStart,
    EndWithoutStart,
    ContextsEvicted,
    UnfinishedEvicted,
    HeldOverflow,
    UnfinishedAtFlush,
    JoinedTcp,
    JoinedUnix,
    JoinLate,
    JoinContradicted,
    UnixOffsetsDoubted,
    TraceparentUsed,
    TraceparentInvalid,
    TracestateInvalid,
    TracestateCut,
    ThreadParents,
    ThreadLinks,
    ThreadUnknownServer,
    ThreadOtherProcess,
    ThreadNotWaiting,
    ThreadRevoked,
    ThreadMixedCalls,
    ThreadOtherThread,
    ThreadNotAnswered,
    ThreadBeforeServer,
    ThreadOverlapped,
    ThreadControlLost,
    ThreadTimedOut,
    ThreadCycle,
    ServiceUnknown,
    Checks,
    RoutesFull,
    SdkTraffic,
    NotSelected,
    RetransmitsUnassigned,
    WireUsed,
    WireContradicted,
    WireUnparented,
    WireForgotten,
    RuntimeParents,
    RuntimeLinks,
    RuntimeFound,
    RuntimeUnknownServer,
    RuntimeOtherProcess,
    RuntimeBeforeServer,
    RuntimeTimedOut,
    RuntimeAfterAnswer,
    RuntimeUnknownWorker,
    RuntimeOutlived,
    RuntimeOvertaken,
}

impl Count {
    /// Every count with the name a user sees and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 53] = [
        (Self::Released, "spans_released", "spans handed on"),
        (
            Self::NotSampled,
            "spans_not_sampled",
            "spans dropped by the sampler: ours, or the caller's",
        ),
        (Self::OwnTraffic, "spans_own_traffic", "requests from or to ourselves"),
        (Self::DuplicateStart, "requests_started_twice", "starts of a request already known"),
        (Self::EndWithoutStart, "ends_without_start", "ends of requests not known (any more)"),
        (
            Self::ContextsEvicted,
            "contexts_evicted",
            "contexts forgotten before their age because there were too many",
        ),
        (
            Self::UnfinishedEvicted,
            "spans_evicted_unfinished",
            "requests forgotten before their end because there were too many",
        ),
        (
            Self::HeldOverflow,
            "spans_released_early",
            "spans released without waiting because too many were held",
        ),
        (
            Self::UnfinishedAtFlush,
            "spans_unfinished_at_flush",
            "requests without an end when we stopped",
        ),
        (Self::JoinedTcp, "joins_tcp", "requests whose both ends were seen here, over TCP"),
        (
            Self::JoinedUnix,
            "joins_unix",
            "requests whose both ends were seen here, over unix sockets",
        ),
        (
            Self::JoinLate,
            "joins_too_late",
            "joins found after the server's span had gone out without it",
        ),
        (
            Self::JoinContradicted,
            "joins_contradicted",
            "joins left alone because the server read another trace's traceparent",
        ),
        (
            Self::UnixOffsetsDoubted,
            "unix_pairs_doubted",
            "unix socket pairs whose positions turned out not to fit: joined no more",
        ),
        (Self::TraceparentUsed, "traceparents_used", "requests continued by their traceparent"),
        (
            Self::TraceparentInvalid,
            "traceparents_invalid",
            "requests whose traceparent broke the W3C rules",
        ),
        (
            Self::TracestateInvalid,
            "tracestates_invalid",
            "tracestates dropped because they broke the W3C rules",
        ),
        (Self::TracestateCut, "tracestates_cut", "tracestates cut to 512 characters"),
        (
            Self::ThreadParents,
            "thread_parents",
            "calls whose parent is the request their thread served",
        ),
        (
            Self::ThreadLinks,
            "thread_links",
            "calls linked to the request their thread had answered before",
        ),
        (
            Self::ThreadUnknownServer,
            "thread_rejected_unknown",
            "no parent: the served request is not known (any more)",
        ),
        (
            Self::ThreadOtherProcess,
            "thread_rejected_process",
            "no parent: the served request is another process's",
        ),
        (
            Self::ThreadNotWaiting,
            "thread_rejected_event_loop",
            "no parent: the served socket is non-blocking or in an epoll set",
        ),
        (
            Self::ThreadRevoked,
            "thread_rejected_revoked",
            "no parent: a thread of the process was seen to mix requests or calls",
        ),
        (
            Self::ThreadMixedCalls,
            "thread_rule_ended_by_calls",
            "processes without thread parents from then on: a thread had two calls unanswered at once",
        ),
        (
            Self::ThreadOtherThread,
            "thread_rejected_thread",
            "no parent: request, call and answer are not one thread's",
        ),
        (
            Self::ThreadNotAnswered,
            "thread_rejected_unanswered",
            "no parent: the served request was never answered",
        ),
        (
            Self::ThreadBeforeServer,
            "thread_rejected_before",
            "no parent: the call is older than the served request",
        ),
        (
            Self::ThreadOverlapped,
            "thread_rejected_overlap",
            "no parent: the thread had another request open at the same time",
        ),
        (
            Self::ThreadControlLost,
            "thread_rejected_control_lost",
            "no parent: control events were lost meanwhile, a revocation may be among them",
        ),
        (
            Self::ThreadTimedOut,
            "thread_rejected_timeout",
            "no parent: the served request did not end in time to confirm it",
        ),
        (Self::ThreadCycle, "thread_rejected_cycle", "no parent: it would be its own ancestor"),
        (
            Self::ServiceUnknown,
            "spans_of_unknown_service",
            "spans of processes of which nothing is known",
        ),
        (
            Self::Checks,
            "traces_left_out_checks",
            "traces left out because they began with a health check, a probe or a scrape",
        ),
        (
            Self::RoutesFull,
            "routes_without_room",
            "requests whose route is not learned because their service has too many paths, or there are too many services",
        ),
        (
            Self::SdkTraffic,
            "requests_of_sdks",
            "requests of processes whose own OpenTelemetry SDK traces them",
        ),
        (Self::NotSelected, "requests_not_selected", "requests left out by the operator's rules"),
        (
            Self::RetransmitsUnassigned,
            "retransmits_unassigned",
            "segments sent again of which nobody can tell for which request",
        ),
        (
            Self::WireUsed,
            "wire_contexts_used",
            "requests continued by what their client's agent said",
        ),
        (
            Self::WireContradicted,
            "wire_contexts_contradicted",
            "contexts on the wire that were of another trace than was found out later: the trace that went stays",
        ),
        (
            Self::WireUnparented,
            "wire_calls_unparented",
            "calls whose context had gone before threads turned out to tell nothing: their trace stays, their parent does not",
        ),
        (
            Self::WireForgotten,
            "wire_contexts_forgotten",
            "contexts on the wire whose request was not told in time",
        ),
        (
            Self::RuntimeParents,
            "runtime_parents",
            "calls whose parent is known from the process's runtime",
        ),
        (
            Self::RuntimeLinks,
            "runtime_links",
            "calls linked to the request that their task had answered before",
        ),
        (
            Self::RuntimeFound,
            "runtime_found",
            "calls of which it was known when their answer came who had made them",
        ),
        (
            Self::RuntimeUnknownServer,
            "runtime_rejected_unknown",
            "no parent: the served request is not known (any more)",
        ),
        (
            Self::RuntimeOtherProcess,
            "runtime_rejected_process",
            "no parent: the served request is another process's",
        ),
        (
            Self::RuntimeBeforeServer,
            "runtime_rejected_before",
            "no parent: the call is older than the served request",
        ),
        (
            Self::RuntimeTimedOut,
            "runtime_rejected_timeout",
            "no parent: the served request did not end in time to confirm it",
        ),
        (
            Self::RuntimeAfterAnswer,
            "runtime_rejected_after_answer",
            "no parent: the request for which its task was started had been answered",
        ),
        (
            Self::RuntimeUnknownWorker,
            "runtime_rejected_worker",
            "no parent: it was not told which tasks worked for the served request",
        ),
        (
            Self::RuntimeOutlived,
            "runtime_rejected_outlived",
            "no parent: a task that worked for the served request went on after its answer, and may work for many",
        ),
        (
            Self::RuntimeOvertaken,
            "runtime_rejected_overtaken",
            "no parent: the connection had the next request already, and which of them is served is not known",
        ),
    ];

    /// Whether it means that something is missing from the traces that was there to be seen. A parent that could not be
    /// confirmed is no loss: it is not known that there is one.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        match self {
            Self::UnfinishedEvicted | Self::HeldOverflow | Self::JoinLate => Meaning::Loss,
            _ => Meaning::Event,
        }
    }

    /// The name a user sees.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// One number for each [`Count`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; Count::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Count::ALL.len()])
    }
}

impl Counts {
    /// One more.
    pub(in crate::trace) fn add(&mut self, count: Count) {
        self.add_all(count, 1);
    }

    /// So many more.
    pub(in crate::trace) fn add_all(&mut self, count: Count, more: u64) {
        let slot = &mut self.0[count as usize];
        *slot = slot.saturating_add(more);
    }

    /// How many.
    #[must_use]
    pub const fn of(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Number, name and meaning of each, in the order of [`Count::ALL`].
    pub fn rows(&self) -> impl Iterator<Item = (u64, &'static str, Meaning)> {
        Count::ALL.iter().map(|(count, name, _)| (self.of(*count), *name, count.meaning()))
    }

    /// Name and number of each, in the order of [`Count::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Count::ALL.iter().map(|(count, name, _)| (*name, self.of(*count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_names_differ() {
        let mut names = std::collections::HashSet::new();
        for (index, (count, name, _)) in Count::ALL.iter().enumerate() {
            assert_eq!(*count as usize, index, "{name}");
            assert!(names.insert(*name));
        }
    }

    #[test]
    fn counts_are_kept_apart() {
        let mut counts = Counts::default();
        counts.add(Count::JoinLate);
        counts.add(Count::JoinLate);
        assert_eq!(counts.of(Count::JoinLate), 2);
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 2);
    }
}
