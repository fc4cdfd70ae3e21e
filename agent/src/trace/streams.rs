//! Requests of HTTP/2 by the name that the kernel half has for them: connection and stream, because it does not know where in the
//! bytes a stream begins ([`abi::id::stream`]).
//!
//! What is told of a stream may come before or after what its frames say; both meet here.

use std::collections::VecDeque;

use crate::hash::Map;
use crate::input::Runtime;
use crate::trace::context::SpanId;

/// Streams of which something was told and no frame seen yet. They follow within moments: more than a few are of connections that
/// are not read.
const TOLD: usize = 8192;

/// A stream's name.
type Name = u64;

/// What a runtime told of a call.
#[derive(Clone, Copy, Debug)]
pub(in crate::trace) struct Told {
    /// The request that it is made for: a span id, or a name.
    pub serving: Option<u64>,
    /// How that is known, or why not.
    pub runtime: Runtime,
}

/// The streams that are known.
#[derive(Debug, Default)]
pub(in crate::trace) struct Streams {
    spans: Map<Name, SpanId>,
    /// With the order in which they came.
    told: Map<Name, Told>,
    order: VecDeque<Name>,
}

impl Streams {
    /// A stream begins with this span: what was told of it before.
    pub(in crate::trace) fn started(&mut self, name: Name, span: SpanId) -> Option<Told> {
        self.spans.insert(name, span);
        let told = self.told.remove(&name)?;
        // It is among the last that came.
        if let Some(place) = self.order.iter().rposition(|known| *known == name) {
            self.order.remove(place);
        }
        Some(told)
    }

    /// Something is told of a stream: its span, if it has begun. Else it is kept until then.
    pub(in crate::trace) fn told(&mut self, name: Name, told: Told) -> Option<SpanId> {
        if let Some(span) = self.spans.get(&name) {
            return Some(*span);
        }
        if self.told.insert(name, told).is_none() {
            self.order.push_back(name);
        }
        while self.order.len() > TOLD {
            if let Some(oldest) = self.order.pop_front() {
                self.told.remove(&oldest);
            }
        }
        None
    }

    /// The span of a request: what is no stream's name is one already.
    pub(in crate::trace) fn span(&self, request: u64) -> SpanId {
        self.spans.get(&request).copied().unwrap_or(request)
    }

    /// The stream's request is forgotten.
    pub(in crate::trace) fn forget(&mut self, name: Name) {
        self.spans.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD_OF: Told = Told { serving: Some(9), runtime: Runtime::NotAsked };

    #[test]
    fn what_is_told_before_and_after_meets_the_stream() {
        let mut streams = Streams::default();
        assert_eq!(streams.told(1, TOLD_OF), None);
        assert_eq!(streams.started(1, 77).and_then(|told| told.serving), Some(9));
        assert!(streams.started(2, 78).is_none());
        assert_eq!(streams.told(2, TOLD_OF), Some(78));
        assert_eq!((streams.span(1), streams.span(5)), (77, 5));
        streams.forget(1);
        assert_eq!(streams.span(1), 1);
    }

    #[test]
    fn what_is_told_of_streams_that_never_begin_is_bounded() {
        let mut streams = Streams::default();
        for name in 0..3 * TOLD as u64 {
            assert_eq!(streams.told(name, TOLD_OF), None);
        }
        assert_eq!((streams.told.len(), streams.order.len()), (TOLD, TOLD));
        assert!(
            streams.started(0, 1).is_none() && streams.started(3 * TOLD as u64 - 1, 2).is_some()
        );
    }
}
