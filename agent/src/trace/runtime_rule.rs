//! The rules of runtimes (D5): a call's parent is the request that its task works for, by the runtime's own record.
//!
//! That record proves who started a task, not for whom it still works: a sender that is started by the first request and then
//! sends for all looks like that one's child. So a link through another task holds only if that task, and every one between it
//! and the task that serves, ended before the answer: none of their calls reaches beyond it, and they are seen to be gone. A
//! sender never is.

use std::collections::VecDeque;

use crate::exchange::Role;
use crate::hash::Map;
use crate::input::{ConnId, Nanos, Runtime};
use crate::trace::Count;
use crate::trace::context::{Context, Contexts, SpanId};
use crate::trace::thread_rule::Verdict;

/// Keys of the task that called, of the one that started it, and so on; 0 behind the last.
pub(in crate::trace) type Chain = [u64; abi::CHAIN];

/// Chains kept for calls that have not begun yet. They come with the next event: more than a few are of calls that were lost.
const TOLD: usize = 8192;

/// What is known of tasks that work for requests which others serve.
#[derive(Debug, Default)]
pub(in crate::trace) struct Workers {
    /// Chains of calls that are still to be reported, with the order in which they came.
    told: Map<SpanId, Chain>,
    order: VecDeque<SpanId>,
    /// When each request of a connection that is served was read, in order of arrival.
    requests: Map<ConnId, VecDeque<(Nanos, SpanId)>>,
    /// Each task that a call which is remembered depends on.
    tasks: Map<u64, Task>,
}

/// What is known of a task.
#[derive(Clone, Copy, Debug, Default)]
struct Task {
    /// Calls that depend on it.
    calls: u32,
    /// Of those that it made itself, the ones that have not ended.
    open: u32,
    /// Until when it certainly was at work.
    worked: Nanos,
    /// It was seen to be gone.
    ended: bool,
}

impl Workers {
    /// The kernel told whose work a call is.
    pub(in crate::trace) fn told(&mut self, call: SpanId, chain: Chain) {
        // From now on: that a task has ended may be told before its call begins.
        for task in Self::tasks_of(&chain) {
            self.tasks.entry(task).or_default().calls += 1;
        }
        match self.told.insert(call, chain) {
            Some(before) => self.forget(&before),
            None => self.order.push_back(call),
        }
        while self.order.len() > TOLD {
            if let Some(chain) = self.order.pop_front().and_then(|old| self.told.remove(&old)) {
                self.forget(&chain);
            }
        }
    }

    /// The call has begun: its chain, if it has one.
    pub(in crate::trace) fn started(&mut self, call: SpanId, at: Nanos) -> Option<Chain> {
        let chain = self.told.remove(&call)?;
        // It is among the last that came.
        if let Some(place) = self.order.iter().rposition(|known| *known == call) {
            self.order.remove(place);
        }
        if let Some(task) = self.tasks.get_mut(&chain[0]) {
            task.open += 1;
            task.worked = task.worked.max(at);
        }
        Some(chain)
    }

    /// A request that is served was read.
    pub(in crate::trace) fn read(&mut self, request: SpanId, connection: ConnId, at: Nanos) {
        self.requests.entry(connection).or_default().push_back((at, request));
    }

    /// A request that was served is forgotten.
    pub(in crate::trace) fn forget_request(&mut self, request: SpanId, connection: ConnId) {
        if let Some(requests) = self.requests.get_mut(&connection) {
            // Nearly always the one that came first.
            if let Some(place) = requests.iter().position(|(_, known)| *known == request) {
                requests.remove(place);
            }
            if requests.is_empty() {
                self.requests.remove(&connection);
            }
        }
    }

    /// Whether another request of the same connection was read with or after this one, before that time: then its goroutine may
    /// have served that one.
    fn is_overtaken(&self, server: &Context, candidate: SpanId, before: Nanos) -> bool {
        self.requests.get(&server.id.conn).is_some_and(|requests| {
            requests
                .iter()
                .any(|(at, other)| *other != candidate && server.at <= *at && *at <= before)
        })
    }

    /// The call has ended.
    pub(in crate::trace) fn finished(&mut self, chain: &Chain, end: Nanos) {
        if let Some(task) = self.tasks.get_mut(&chain[0]) {
            task.open = task.open.saturating_sub(1);
            task.worked = task.worked.max(end);
        }
    }

    /// The call is forgotten.
    pub(in crate::trace) fn forget(&mut self, chain: &Chain) {
        for task in Self::tasks_of(chain) {
            if let Some(known) = self.tasks.get_mut(&task) {
                known.calls = known.calls.saturating_sub(1);
                if known.calls == 0 {
                    self.tasks.remove(&task);
                }
            }
        }
    }

    /// Tasks were seen to be gone.
    pub(in crate::trace) fn ended(&mut self, tasks: &[u64]) {
        for task in tasks {
            if let Some(known) = self.tasks.get_mut(task) {
                known.ended = true;
            }
        }
    }

    /// Judges a client's candidate; see [`Threads::judge`](crate::trace::thread_rule::Threads::judge).
    pub(in crate::trace) fn judge(
        &self,
        client: &Context,
        candidate: SpanId,
        contexts: &Contexts,
        settled: impl Fn(Nanos) -> bool,
        force: bool,
    ) -> Verdict {
        let Some(server) = contexts.of(candidate).filter(|server| server.role == Role::Server)
        else {
            return Verdict::No(Count::RuntimeUnknownServer);
        };
        if server.task.pid != client.task.pid {
            return Verdict::No(Count::RuntimeOtherProcess);
        }
        if client.at < server.at {
            return Verdict::No(Count::RuntimeBeforeServer);
        }
        let end = match server.end {
            Some(end) if force || settled(end) => end,
            None if force => return Verdict::No(Count::RuntimeTimedOut),
            _ => return Verdict::Wait,
        };
        if self.is_overtaken(server, candidate, client.at) {
            return Verdict::No(Count::RuntimeOvertaken);
        }
        let Runtime::Knows { rule, .. } = client.runtime else {
            return Verdict::No(Count::RuntimeUnknownWorker);
        };
        if rule.is_of_another_task() {
            return self.is_contained(client, end);
        }
        match (client.at <= end, rule) {
            (true, _) => Verdict::Parent,
            // A stream is answered last of all: what seems to come later was found by a descriptor that is another connection's
            // by now.
            (false, abi::runtime::Rule::GoHandler) if server.stream.is_none() => Verdict::Link,
            (false, _) => Verdict::No(Count::RuntimeAfterAnswer),
        }
    }

    /// Whether all that the call depends on had ended before the answer did.
    pub(in crate::trace) fn is_contained(&self, client: &Context, end: Nanos) -> Verdict {
        if client.at > end {
            return Verdict::No(Count::RuntimeAfterAnswer);
        }
        let Some(chain) = &client.workers else {
            return Verdict::No(Count::RuntimeUnknownWorker);
        };
        let is_over = |task: u64| {
            self.tasks
                .get(&task)
                .is_some_and(|task| task.ended && task.open == 0 && task.worked <= end)
        };
        if Self::tasks_of(chain).all(is_over) {
            Verdict::Parent
        } else {
            Verdict::No(Count::RuntimeOutlived)
        }
    }

    #[cfg(test)]
    pub(in crate::trace) fn kept(&self) -> usize {
        self.told.len().max(self.order.len())
    }

    fn tasks_of(chain: &Chain) -> impl Iterator<Item = u64> {
        chain.iter().copied().filter(|task| *task != 0)
    }
}
