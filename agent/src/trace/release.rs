//! Holding spans back until their place is known, and letting go of what is old or too much.
//!
//! A finished span waits a moment for late news, and where its parent may be a request that is still being served, for
//! the end of that, but not for ever. Every wait has an end in event time, every store has a size.

use crate::exchange::Role;
use crate::input::Nanos;
use crate::trace::context::{Context, Pending, Rule, SpanId};
use crate::trace::resolve::Blocked;
use crate::trace::{Count, Tracer, sampler};

impl Tracer {
    /// What is remembered of a span that has not gone out.
    fn pending(&self, span: SpanId) -> Option<&Pending> {
        self.contexts.of(span)?.pending.as_deref()
    }

    /// Likewise, to be changed.
    pub(in crate::trace) fn pending_mut(&mut self, span: SpanId) -> Option<&mut Pending> {
        self.contexts.of_mut(span)?.pending.as_deref_mut()
    }

    /// A span has ended: it waits for late news.
    pub(in crate::trace) fn hold(&mut self, span: SpanId, end: Nanos) {
        self.wake_at(span, end.plus(self.settings.settle));
        if self.queue.len() > self.settings.max_held
            && let Some((_, _, next)) = self.queue.first().copied()
        {
            self.counts.add(Count::HeldOverflow);
            self.force(next);
        }
    }

    /// Looks at every held span whose time has come.
    pub(in crate::trace) fn release_due(&mut self) {
        while let Some((_, _, span)) =
            self.queue.first().copied().filter(|(at, _, _)| *at <= self.now)
        {
            let waited = self.pending(span).is_some_and(|pending| pending.blocked_on.is_some());
            if waited {
                self.force(span);
            } else {
                self.try_release(span);
                self.unblock(span);
            }
        }
    }

    /// Releases every held span, in the order of their arrival.
    pub(in crate::trace) fn release_all(&mut self) {
        while !self.queue.is_empty() {
            let held = self.queue.iter().map(|(_, sequence, span)| (*sequence, *span));
            let mut held: Vec<(u64, SpanId)> = held.collect();
            held.sort_unstable();
            for (_, span) in held {
                let is_held = self.pending(span).is_some_and(|pending| pending.wake.is_some());
                if is_held {
                    self.force(span);
                }
            }
        }
    }

    /// Releases a span, whatever is not known by now.
    pub(in crate::trace) fn force(&mut self, span: SpanId) {
        if self.take_back(span) {
            return;
        }
        // Forced, it cannot be blocked.
        let _ = self.resolve(span, true);
        self.release(span);
        self.unblock(span);
    }

    /// Forgets released contexts that are too old for children to come.
    pub(in crate::trace) fn forget_old(&mut self) {
        let before = Nanos(self.now.0.saturating_sub(self.settings.context_age));
        while before.0 > 0
            && let Some(span) = self.contexts.oldest_released(before)
        {
            self.forget(span);
        }
    }

    /// Makes room for one more context: first what only waits for children, then what arrived first.
    pub(in crate::trace) fn make_room(&mut self) {
        while self.contexts.released() > self.settings.max_released
            && let Some(span) = self.contexts.oldest_released(Nanos(u64::MAX))
        {
            self.counts.add(Count::ContextsEvicted);
            self.forget(span);
        }
        while self.contexts.len() >= self.settings.max_contexts {
            if let Some(span) = self.contexts.oldest_released(Nanos(u64::MAX)) {
                self.counts.add(Count::ContextsEvicted);
                self.forget(span);
            } else if let Some(span) = self.contexts.oldest_live() {
                let finished =
                    self.pending(span).is_some_and(|pending| pending.described.is_some());
                self.counts.add(if finished {
                    Count::HeldOverflow
                } else {
                    Count::UnfinishedEvicted
                });
                self.force(span);
                self.forget(span);
            } else {
                return;
            }
        }
    }

    /// Takes a context out, after deciding what hangs on it.
    fn forget(&mut self, span: SpanId) {
        if let Some(Context { role: Role::Client, other_end: Some(server), .. }) =
            self.contexts.of(span)
        {
            // One request, one trace: its server's end must have the same as this one.
            let server = *server;
            let _ = self.resolve(server, true);
        }
        let Some(context) = self.contexts.remove(span) else { return };
        if let Some(pending) = &context.pending {
            self.sleep(span, context.sequence, pending);
            if let Some(served) = pending.counted_in {
                self.contexts.call_gone(served, self.now);
            }
        }
        if context.other_end.is_none() {
            self.joins.forget(span, &context);
            self.unix.forget(span, context.id.conn);
        }
        if context.role == Role::Server {
            self.threads.forget(span, context.task);
            self.workers.forget_request(span, context.id.conn);
        }
        if let Some(stream) = context.stream {
            self.streams.forget(self.name_of(context.id.conn, stream));
        }
        if let Some(workers) = &context.workers {
            self.workers.forget(workers);
        }
        self.unblock(span);
    }

    /// Takes a span back that turns out not to be ours to tell: of our own traffic, or of a process that traces itself.
    /// That a connection is ours is told when our call on it has returned; by then the other end may have read what we
    /// sent. That a process has an SDK is seen when that exports.
    fn take_back(&mut self, span: SpanId) -> bool {
        let Some(context) = self.contexts.of(span) else { return false };
        let pid = context.task.pid;
        let why = if self.own.leaves_out(pid, &context.conn) {
            Count::OwnTraffic
        } else if self.traces_itself(pid) {
            Count::SdkTraffic
        } else {
            return false;
        };
        self.forget(span);
        self.counts.add(why);
        true
    }

    /// Releases a span if its place is known; else it waits, for a limited time.
    fn try_release(&mut self, span: SpanId) {
        if self.take_back(span) {
            return;
        }
        match self.resolve(span, false) {
            Ok(()) => self.release(span),
            Err(Blocked(server)) => {
                let Some(context) = self.contexts.of_mut(span) else { return };
                let (Some(end), Some(pending)) = (context.end, &mut context.pending) else {
                    return;
                };
                let sequence = context.sequence;
                if let Some(before) = pending.blocked_on.replace(server) {
                    self.blocked.remove(&(before, sequence, span));
                }
                self.blocked.insert((server, sequence, span));
                self.wake_at(span, end.plus(self.settings.parent_wait));
            }
        }
    }

    /// A request has ended, settled or gone: whoever waited for it looks again.
    fn unblock(&mut self, server: SpanId) {
        let waiting: Vec<_> =
            self.blocked.range((server, 0, 0)..=(server, u64::MAX, u64::MAX)).copied().collect();
        for entry in waiting {
            self.blocked.remove(&entry);
            let (_, _, span) = entry;
            if let Some(pending) = self.pending_mut(span) {
                pending.blocked_on = None;
            }
            self.try_release(span);
        }
    }

    fn wake_at(&mut self, span: SpanId, at: Nanos) {
        let Some(context) = self.contexts.of_mut(span) else { return };
        let sequence = context.sequence;
        let Some(pending) = &mut context.pending else { return };
        if let Some(before) = pending.wake.replace(at) {
            self.queue.remove(&(before, sequence, span));
        }
        self.queue.insert((at, sequence, span));
    }

    /// Takes a span out of all waiting.
    fn sleep(&mut self, span: SpanId, sequence: u64, pending: &Pending) {
        if let Some(at) = pending.wake {
            self.queue.remove(&(at, sequence, span));
        }
        if let Some(server) = pending.blocked_on {
            self.blocked.remove(&(server, sequence, span));
        }
    }

    /// Hands a resolved, finished span on; the context stays for its children.
    fn release(&mut self, span: SpanId) {
        let Some(context) = self.contexts.of_mut(span) else { return };
        let Some(fixed) = context.fixed.clone() else { return };
        let finished = context.pending.take_if(|pending| pending.described.is_some());
        let (Some(pending), sequence) = (finished, context.sequence) else { return };
        self.sleep(span, sequence, &pending);
        if sampler::exports(fixed.flags) {
            if let Some(written) = self.encoded(span, &pending, &fixed) {
                self.ready.push(written);
                self.counts.add(Count::Released);
            }
        } else {
            let is_root = fixed.parent.is_none_or(|(_, rule)| rule == Rule::TcpOption);
            self.counts.add(if pending.check && is_root {
                Count::Checks
            } else {
                Count::NotSampled
            });
        }
        self.contexts.release(span, &pending, self.now);
        if let Some(served) = pending.counted_in {
            self.contexts.call_gone(served, self.now);
        }
        self.forget_client(span);
    }

    /// Once both ends of a request have gone out nobody asks for its client's any more: children are those of servers, and the
    /// server has its trace.
    fn forget_client(&mut self, span: SpanId) {
        let Some((role, other)) = self.contexts.of(span).map(|end| (end.role, end.other_end))
        else {
            return;
        };
        let client = if role == Role::Client { Some(span) } else { other };
        if let (Some(client), Some(other)) = (client, other)
            && self.contexts.is_out(span)
            && self.contexts.is_out(other)
        {
            self.forget(client);
        }
    }
}
