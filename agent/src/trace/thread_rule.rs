//! The thread rule (D5): a call's parent is the request that its thread was serving, only where that is proven.
//!
//! The kernel proposes ("this task read that request last"); here every condition is checked, with the end of the
//! served request in hand. A thread that reads a second request before it has answered the first, or sends a second call before the
//! first is answered, proves that threads say nothing in its process. Any doubt is a no: a wrong parent is worse than none.

use std::collections::VecDeque;

use crate::exchange::{Finished, Role};
use crate::hash::Map;
use crate::input::{Nanos, Task, Waits};
use crate::trace::Count;
use crate::trace::context::{Context, Contexts, SpanId};
use crate::trace::mixed_calls::MixedCalls;

/// Requests of one thread looked at together. A thread with more of them open at once serves no single one.
const RECENT: usize = 32;
/// Processes remembered as revoked. A host has at most 4 Mi pids; beyond this number nothing is believed any more.
const REVOKED: usize = 65_536;
/// How long a revocation outlives its process: longer than any span of it is held back.
const REVOKED_AFTERLIFE: u64 = 120_000_000_000;

/// What the rule says about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) enum Verdict {
    /// The served request has not ended, or only just: ask again then.
    Wait,
    /// It is the parent.
    Parent,
    /// It was over before the call began: a cause, but no parent.
    Link,
    /// Not proven, and never will be.
    No(Count),
}

/// A request that a thread served: what is compared with its others, without a look at them all.
#[derive(Clone, Copy, Debug)]
struct Served {
    span: SpanId,
    at: Nanos,
    /// `None` while it is open.
    end: Option<Nanos>,
}

/// What is known about threads.
#[derive(Debug, Default)]
pub(in crate::trace) struct Threads {
    /// Processes whose threads say nothing, with the time at which that may be forgotten (their end, and some).
    revoked: Map<u32, Option<Nanos>>,
    /// There were too many to remember.
    revoked_all: bool,
    /// The last served requests of each thread, in order of arrival.
    served: Map<Task, VecDeque<Served>>,
    /// The last calls of each served request.
    calls: MixedCalls,
    /// Requests that arrived before this number were there when control events were lost.
    doubted_below: u64,
}

impl Threads {
    /// The process's threads say nothing any more.
    pub(in crate::trace) fn revoke(&mut self, pid: u32) {
        if self.revoked.len() >= REVOKED && !self.revoked.contains_key(&pid) {
            self.revoked_all = true;
        } else {
            self.revoked.insert(pid, None);
        }
    }

    /// The process has ended.
    pub(in crate::trace) fn gone(&mut self, pid: u32, now: Nanos) {
        if let Some(forget) = self.revoked.get_mut(&pid) {
            *forget = Some(now.plus(REVOKED_AFTERLIFE));
        }
    }

    /// Whether the process's threads say nothing.
    pub(in crate::trace) fn is_revoked(&self, pid: u32) -> bool {
        self.revoked_all || self.revoked.contains_key(&pid)
    }

    /// Forgets the revocations of processes that ended long ago.
    pub(in crate::trace) fn tick(&mut self, now: Nanos) {
        self.revoked.retain(|_, forget| forget.is_none_or(|at| now < at));
        if self.revoked.len() < REVOKED / 2 {
            self.revoked_all = false;
        }
    }

    /// Control events were lost: one of them may have revoked any of the requests known so far.
    pub(in crate::trace) const fn control_lost(&mut self, next_sequence: u64) {
        self.doubted_below = next_sequence;
    }

    /// A request began to be served.
    pub(in crate::trace) fn started(&mut self, span: SpanId, task: Task, at: Nanos) {
        let served = self.served.entry(task).or_default();
        if served.len() >= RECENT {
            // Those still open are what doubts hang on: they go last.
            let first = served.iter().position(|served| served.end.is_some()).unwrap_or(0);
            served.remove(first);
        }
        served.push_back(Served { span, at, end: None });
    }

    /// A served request ended: finds those that the same thread had open at the same time.
    pub(in crate::trace) fn finished(&mut self, span: SpanId, contexts: &mut Contexts) {
        let Some(context) = contexts.of(span) else { return };
        let (task, at, conn) = (context.task, context.at, context.id.conn);
        let Some(end) = context.end else { return };
        let proves = is_whole(context);
        let mut revoke = false;
        let mut overlapped = Vec::new();
        for other in self.served.get_mut(&task).into_iter().flatten() {
            if other.span == span {
                other.end = Some(end);
                continue;
            }
            // Without an end yet it will find us when it ends.
            if other.end.is_some_and(|other_end| at < other_end) && other.at < end {
                let Some(context) = contexts.of(other.span) else { continue };
                overlapped.push(other.span);
                // On one connection it is pipelining, which says nothing about the thread.
                revoke |= proves && is_whole(context) && context.id.conn != conn;
            }
        }
        if !overlapped.is_empty() {
            overlapped.push(span);
        }
        for span in overlapped {
            if let Some(context) = contexts.of_mut(span) {
                context.overlapped = true;
            }
        }
        if revoke {
            self.revoke(task.pid);
        }
    }

    /// A call began, of the thread that serves `served`.
    pub(in crate::trace) fn called(&mut self, served: SpanId, span: SpanId, call: &Context) {
        self.calls.started(served, span, call);
    }

    /// A call of the thread that serves `served` ended. Whether that ends the rule for its process.
    pub(in crate::trace) fn call_finished(
        &mut self,
        served: SpanId,
        span: SpanId,
        pid: u32,
        finished: &Finished,
    ) -> bool {
        let mixes = self.calls.finished(served, span, finished) && !self.revoked.contains_key(&pid);
        if mixes {
            self.revoke(pid);
        }
        mixes
    }

    /// A context is forgotten.
    pub(in crate::trace) fn forget(&mut self, span: SpanId, task: Task) {
        self.calls.forget(span);
        if let Some(served) = self.served.get_mut(&task) {
            served.retain(|known| known.span != span);
            if served.is_empty() {
                self.served.remove(&task);
            }
        }
    }

    /// Judges a client's candidate. `settled`: how long after its end all news of a request has come; `force`: there
    /// is no more time to wait; `polls`: the process is known to serve each request with a thread, though its sockets do not block.
    pub(in crate::trace) fn judge(
        &self,
        client: &Context,
        candidate: SpanId,
        contexts: &Contexts,
        settled: impl Fn(Nanos) -> bool,
        force: bool,
        polls: bool,
    ) -> Verdict {
        let (server, end) = match self.served(client, candidate, contexts, settled, force, polls) {
            Ok(served) => served,
            Err(verdict) => return verdict,
        };
        if server.task != client.task {
            return Verdict::No(Count::ThreadOtherThread);
        }
        match (client.at <= end, server.thread_waits) {
            (true, _) => Verdict::Parent,
            // The next request may have been read for it by another one.
            (false, Waits::Polling) => Verdict::No(Count::ThreadNotWaiting),
            (false, _) => Verdict::Link,
        }
    }

    /// The request that a client's own thread, or one for which that works, is said to serve, and when it ended; `Err` where one thread
    /// does not serve it from its begin to its end. See [`Self::judge`].
    pub(in crate::trace) fn served<'a>(
        &self,
        client: &Context,
        candidate: SpanId,
        contexts: &'a Contexts,
        settled: impl Fn(Nanos) -> bool,
        force: bool,
        polls: bool,
    ) -> Result<(&'a Context, Nanos), Verdict> {
        let no = |why| Err(Verdict::No(why));
        let Some(server) = contexts.of(candidate).filter(|server| server.role == Role::Server)
        else {
            return no(Count::ThreadUnknownServer);
        };
        if server.task.pid != client.task.pid {
            return no(Count::ThreadOtherProcess);
        }
        let is_one_for_each = match server.thread_waits {
            Waits::Alone => true,
            Waits::Polling => polls,
            Waits::Otherwise => false,
        };
        if !is_one_for_each {
            return no(Count::ThreadNotWaiting);
        }
        if self.is_revoked(client.task.pid) {
            return no(Count::ThreadRevoked);
        }
        if client.at < server.at {
            return no(Count::ThreadBeforeServer);
        }
        if server.sequence < self.doubted_below {
            return no(Count::ThreadControlLost);
        }
        let end = match server.end {
            Some(end) if force || settled(end) => end,
            None if force => return no(Count::ThreadTimedOut),
            _ => return Err(Verdict::Wait),
        };
        match server.answered_by {
            None => return no(Count::ThreadNotAnswered),
            Some(task) if task != server.task => return no(Count::ThreadOtherThread),
            Some(_) => {}
        }
        if server.overlapped || self.has_older_open(server, candidate, end) {
            return no(Count::ThreadOverlapped);
        }
        Ok((server, end))
    }

    /// Whether the thread still has a request open that it read before this one ended.
    fn has_older_open(&self, server: &Context, span: SpanId, end: Nanos) -> bool {
        let mut served = self.served.get(&server.task).into_iter().flatten();
        served.any(|other| other.span != span && other.end.is_none() && other.at < end)
    }

    #[cfg(test)]
    pub(in crate::trace) fn tasks(&self) -> usize {
        self.served.len() + self.calls.len()
    }
}

/// Seen from end to end and answered by the thread that read it: what it says about its thread can be relied on.
fn is_whole(context: &Context) -> bool {
    context.answered_by == Some(context.task) && !context.unseen
}
