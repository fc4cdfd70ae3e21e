//! Calls that one thread has under way at once. A thread that waits for each answer never makes them; one that does is a loop,
//! or may as well be one: what else it sends may be for anybody.
//!
//! It shows what reading two requests at once does not: a loop that was only ever asked one thing at a time, and whose timers
//! send while that is being served. Only what was seen from its first byte to its answer proves anything.

use crate::exchange::{Failure, Finished};
use crate::hash::Map;
use crate::input::{ConnId, Nanos};
use crate::trace::context::{Context, SpanId};

/// Calls looked at together, of those made while one request was served. Each is compared with those around it in time.
const RECENT: usize = 16;

/// A call, from its first byte to the first of its answer, while its thread waits.
#[derive(Clone, Copy, Debug)]
struct Call {
    span: SpanId,
    conn: ConnId,
    from: Nanos,
    /// `None` while that is not known.
    to: Option<Nanos>,
}

/// The last calls of each served request, by the thread that serves it. Never more entries than there are contexts: each goes with
/// the request's.
#[derive(Debug, Default)]
pub(in crate::trace) struct MixedCalls {
    of: Map<SpanId, Vec<Call>>,
}

impl MixedCalls {
    /// A call began while its thread served that request.
    pub(in crate::trace) fn started(&mut self, served: SpanId, span: SpanId, call: &Context) {
        let calls = self.of.entry(served).or_default();
        if calls.len() >= RECENT {
            calls.remove(0);
        }
        calls.push(Call { span, conn: call.id.conn, from: call.at, to: None });
    }

    /// A call ended: whether it proves that its thread had two of them under way.
    pub(in crate::trace) fn finished(
        &mut self,
        served: SpanId,
        span: SpanId,
        finished: &Finished,
    ) -> bool {
        let Some(calls) = self.of.get_mut(&served) else { return false };
        let Some(at) = calls.iter().position(|call| call.span == span) else { return false };
        // What was lost may have been the answer.
        if finished.failure == Some(Failure::Unseen) {
            calls.remove(at);
            return false;
        }
        calls[at].to = Some(finished.first_answer.unwrap_or(finished.end));
        let this = calls[at];
        // On one connection it is pipelining.
        let others = calls.iter().filter(|other| other.conn != this.conn);
        // Of two that overlap, the later one begins inside the earlier one.
        let begins_inside = |one: Call, other: Call| {
            one.from <= other.from && one.to.is_some_and(|to| other.from < to)
        };
        others.copied().any(|other| begins_inside(this, other) || begins_inside(other, this))
    }

    /// A served request is forgotten.
    pub(in crate::trace) fn forget(&mut self, served: SpanId) {
        self.of.remove(&served);
    }

    #[cfg(test)]
    pub(in crate::trace) fn len(&self) -> usize {
        self.of.len()
    }
}
