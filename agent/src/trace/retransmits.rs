//! Which request a segment was sent again for.
//!
//! The kernel tells of each time with its connection and its time. The request is the only one that was open on that
//! connection then, else the last that had ended before: its answer was still on its way. Where several were open nobody can
//! tell, and it is only counted. Never holds more than [`MOST`] of them, from one tick to the next.
#![forbid(unsafe_code)]

use crate::hash::{Map, Set};
use crate::input::{ConnId, Nanos};
use crate::trace::context::{Context, SpanId};
use crate::trace::{Count, Tracer};

/// Most that wait for a tick: of a host that loses so many in 10 ms nobody counts them one by one.
const MOST: usize = 4096;

/// What was sent again since the last tick.
#[derive(Debug, Default)]
pub(in crate::trace) struct Retransmits {
    seen: Vec<(ConnId, Nanos, u32)>,
}

/// Whose it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The last that had ended, and when.
    Ended(SpanId, Nanos),
    /// The one that was open.
    Open(SpanId),
    /// One of several.
    Several,
}

impl Tracer {
    /// TCP sent so many segments of a connection again at `at`.
    pub fn retransmitted(&mut self, connection: ConnId, at: Nanos, segments: u32) {
        if self.retransmits.seen.len() < MOST {
            self.retransmits.seen.push((connection, at, segments));
        } else {
            self.counts.add_all(Count::RetransmitsUnassigned, segments.into());
        }
    }

    /// Gives what was told since the last tick to the requests whose spans have not gone out.
    pub(in crate::trace) fn assign_retransmits(&mut self) {
        if self.retransmits.seen.is_empty() {
            return;
        }
        let seen = std::mem::take(&mut self.retransmits.seen);
        let mut by_connection: Map<ConnId, Vec<(Nanos, u32, Option<Owner>)>> = Map::default();
        for (connection, at, segments) in seen {
            by_connection.entry(connection).or_default().push((at, segments, None));
        }
        let connections: Set<ConnId> = by_connection.keys().copied().collect();
        // One walk for all of them: retransmissions are rare, and come in bursts.
        for (span, context) in self.contexts.live_on(|conn| connections.contains(&conn)) {
            for (at, _, owner) in by_connection.get_mut(&context.id.conn).into_iter().flatten() {
                *owner = among(*owner, span, context, *at);
            }
        }
        for (_, segments, owner) in by_connection.into_values().flatten() {
            let span = match owner {
                Some(Owner::Open(span) | Owner::Ended(span, _)) => span,
                Some(Owner::Several) | None => {
                    self.counts.add_all(Count::RetransmitsUnassigned, segments.into());
                    continue;
                }
            };
            if let Some(pending) = self.pending_mut(span) {
                pending.retransmits = pending.retransmits.saturating_add(segments);
            }
        }
    }
}

/// Whose it is, with one more request looked at.
fn among(owner: Option<Owner>, span: SpanId, context: &Context, at: Nanos) -> Option<Owner> {
    if context.at > at {
        return owner;
    }
    let ended = context.end.filter(|end| *end <= at);
    Some(match (owner, ended) {
        (Some(Owner::Open(_) | Owner::Several), None) => Owner::Several,
        (_, None) => Owner::Open(span),
        (None, Some(end)) => Owner::Ended(span, end),
        (Some(Owner::Ended(_, before)), Some(end)) if end > before => Owner::Ended(span, end),
        (Some(known), Some(_)) => known,
    })
}
