//! Contexts that came by the wire, or went (D6.3), until their request is told.
//!
//! The kernel half tells of each before the request itself. What it sent cannot be taken back: a request whose context went is
//! in that trace, here as at its other end, whatever is found out later.

use std::collections::VecDeque;

use abi::wire::Carried;

use crate::hash::Map;
use crate::input::ConnId;
use crate::trace::traceparent::{SAMPLED, TraceParent};

/// Contexts kept: a request follows its own at once.
const KEPT: usize = 8192;

/// All that wait.
#[derive(Debug, Default)]
pub(in crate::trace) struct Wires {
    waiting: Map<(ConnId, u64), TraceParent>,
    order: VecDeque<(ConnId, u64)>,
}

impl Wires {
    /// A context was carried; whether another one had to be forgotten for it.
    pub(in crate::trace) fn carried(&mut self, carried: &Carried) -> bool {
        let [high, low] = carried.trace.map(u128::from);
        let context = TraceParent {
            trace: (high << 64 | low).to_be_bytes(),
            parent: carried.span,
            flags: if carried.sampled != 0 { SAMPLED } else { 0 },
        };
        let key = (ConnId(carried.connection), carried.position);
        let mut forgotten = false;
        if self.waiting.insert(key, context).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                forgotten |= self.waiting.remove(&oldest).is_some();
            }
        }
        forgotten
    }

    /// The context of a request that begins there.
    pub(in crate::trace) fn take(&mut self, conn: ConnId, position: u64) -> Option<TraceParent> {
        self.waiting.remove(&(conn, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(position: u64) -> Carried {
        Carried {
            connection: 7,
            position,
            trace: [1, 2],
            span: 3,
            sampled: 1,
            ..Carried::default()
        }
    }

    #[test]
    fn a_context_is_had_once() {
        let mut wires = Wires::default();
        assert!(!wires.carried(&carried(9)));
        assert_eq!(wires.take(ConnId(7), 8), None);
        let context = wires.take(ConnId(7), 9).unwrap();
        assert_eq!(context.trace, (1u128 << 64 | 2).to_be_bytes());
        assert_eq!((context.parent, context.flags), (3, SAMPLED));
        assert_eq!(wires.take(ConnId(7), 9), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut wires = Wires::default();
        let forgotten = (0..3 * KEPT as u64).filter(|at| wires.carried(&carried(*at))).count();
        assert_eq!(forgotten, 2 * KEPT);
        assert_eq!((wires.waiting.len(), wires.order.len()), (KEPT, KEPT));
    }
}
