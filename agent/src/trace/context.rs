//! What is remembered of a request at one end, and for how long.
//!
//! A context outlives its span: children may come after it has gone out, and must get the trace it went out with. The
//! store is bounded by number and age; whoever takes a context out decides first what becomes of those that hang on it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::conn::Connection;
use crate::exchange::{Asked, ExchangeId, Role};
use crate::hash::Map;
use crate::input::{ConnId, Nanos, Runtime, Task, Waits};
use crate::service::Service;
use crate::trace::Share;
use crate::trace::arrivals::{Arrivals, Place};
use crate::trace::described::Described;
use crate::trace::runtime_rule::Chain;
use crate::trace::shelves::Shelves;
use crate::trace::traceparent::TraceParent;

/// Key of a context: the span id of its request ([`abi::id::span`]).
pub(in crate::trace) type SpanId = u64;

/// A request at one end, from its start to the last child that may ask for it.
///
/// Tens of thousands wait for nothing else but children, so what only the span itself needs lies apart ([`Pending`]).
#[derive(Debug)]
pub(in crate::trace) struct Context {
    /// Whose request, and where it begins.
    pub id: ExchangeId,
    /// Arrival number: the order in which starts were reported.
    pub sequence: u64,
    /// HTTP/2: the number of its stream.
    pub stream: Option<u32>,
    /// Client or server.
    pub role: Role,
    /// The connection's end.
    pub conn: Arc<Connection>,
    /// Who read or wrote the request's first byte.
    pub task: Task,
    /// When.
    pub at: Nanos,
    /// Servers: read from a blocking socket in no epoll set.
    pub thread_waits: Waits,
    /// Clients: what the process's runtime says of the request its task was serving.
    pub runtime: Runtime,
    /// Clients: the tasks whose work it is, where it is not that of the one which serves.
    pub workers: Option<Box<Chain>>,
    /// The same request at its other end on this host.
    pub other_end: Option<SpanId>,
    /// Servers: the thread had another request open at the same time.
    pub overlapped: bool,
    /// When it ended.
    pub end: Option<Nanos>,
    /// Bytes that we lost hide its true end.
    pub unseen: bool,
    /// Servers: who wrote the answer.
    pub answered_by: Option<Task>,
    /// Trace and parent, once decided: never changed after.
    pub fixed: Option<Fixed>,
    /// Calls under way that may turn out to have been made for it: as long as there are any it is not forgotten to make room.
    pub calls: u32,
    /// It is released, and in no order to be forgotten, because of them.
    pub parked: bool,
    /// The rest, until the span has gone out.
    pub pending: Option<Box<Pending>>,
}

// What a busy host keeps of these, it keeps of each of its last tens of thousands of requests.
const _: () = assert!(size_of::<Context>() <= 192);

/// What is remembered of a request until its span has gone out.
#[derive(Debug)]
pub(in crate::trace) struct Pending {
    /// Wall-clock time minus monotonic time at the span's start (D11); `None` before the first tick.
    pub wall_offset: Option<i64>,
    /// Clients: how long the connection took that it is the first on, ns.
    pub connected_in: Option<u64>,
    /// Segments of its connection that were sent again in its time.
    pub retransmits: u32,
    /// The valid `traceparent` the request carried.
    pub traceparent: Option<TraceParent>,
    /// The valid `tracestate` beside it.
    pub tracestate: Option<Arc<str>>,
    /// The context that came with it by the wire; of a client's, the one that went.
    pub wire: Option<TraceParent>,
    /// Clients: the request its task was serving as the kernel saw it; taken away when the thread rule says no.
    pub candidate: Option<SpanId>,
    /// The context in whose `calls` this one is counted for that.
    pub counted_in: Option<SpanId>,
    /// What it asks for, while it is open.
    pub asked: Asked,
    /// It is a health check, a probe or a scrape: a trace that begins with it is left out.
    pub check: bool,
    /// A rule keeps no more than this share of the traces that begin with it.
    pub share: Option<Share>,
    /// The process's service, once known.
    pub service: Option<Arc<Service>>,
    /// What the exchange says, from its end on.
    pub described: Option<Described>,
    /// When the span is looked at next, while it is held back.
    pub wake: Option<Nanos>,
    /// The server's request whose end is waited for.
    pub blocked_on: Option<SpanId>,
    /// Where it is among the live ones.
    pub place: Option<Place>,
}

/// Where a span stands: decided once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Fixed {
    /// Trace id.
    pub trace: [u8; 16],
    /// W3C flags: sampled and random.
    pub flags: u8,
    /// The trace's `tracestate`.
    pub state: Option<Arc<str>>,
    /// The parent's span id, and by which rule.
    pub parent: Option<(SpanId, Rule)>,
    /// A request that caused this one but was over before; hardly any has one.
    pub link: Option<Box<Cause>>,
}

/// A request that caused another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Cause {
    /// Its trace id.
    pub trace: [u8; 16],
    /// Its span id.
    pub span: SpanId,
    /// Its trace's flags.
    pub flags: u8,
}

/// Why a span has its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) enum Rule {
    /// A header named it.
    TraceParent,
    /// It is the other end of the same request.
    SameHost,
    /// The agent of the client's host named it, in a TCP option.
    TcpOption,
    /// Its thread was serving it.
    Thread,
    /// The process's runtime told, by this rule.
    Runtime(abi::runtime::Rule),
}

impl Rule {
    /// As the attribute `spanwire.link.rule` has it.
    pub(in crate::trace) const fn name(self) -> &'static str {
        match self {
            Self::TraceParent => "traceparent",
            Self::SameHost => "same-host",
            Self::TcpOption => "tcp-option",
            Self::Thread => "thread",
            Self::Runtime(rule) => rule.name(),
        }
    }
}

/// Releases remembered without a look at how many of them are gone.
const LEAST_RELEASED: usize = 1024;

/// A live context, as far as it is looked for by more than its span.
#[derive(Clone, Copy, Debug)]
struct Live {
    span: SpanId,
    conn: ConnId,
}

/// All contexts, live (their span has not gone out) and released.
///
/// There are tens of thousands, and each is looked at a dozen times: they lie in the order of their arrival, neighbours in time
/// beside each other, and are found by a small table.
#[derive(Debug, Default)]
pub(in crate::trace) struct Contexts {
    places: Map<SpanId, usize>,
    contexts: Shelves<Context>,
    live: Arrivals<Live>,
    /// Released ones with the time of it and their arrival, oldest first. Some are gone already.
    released: VecDeque<(Nanos, u64, SpanId)>,
    /// Arrival number of the next.
    next: u64,
}

impl Contexts {
    /// Number for the next arrival.
    pub(in crate::trace) const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Takes in a new, live context.
    pub(in crate::trace) fn insert(&mut self, span: SpanId, mut context: Context) {
        self.next = context.sequence + 1;
        if let Some(pending) = &mut context.pending {
            pending.place = Some(self.live.come(Live { span, conn: context.id.conn }));
        }
        let place = self.contexts.insert(context);
        if let Some(before) = self.places.insert(span, place)
            && let Some(before) = self.contexts.remove(before)
        {
            self.leave(before.pending.as_deref());
        }
    }

    /// The context of a span.
    pub(in crate::trace) fn of(&self, span: SpanId) -> Option<&Context> {
        self.contexts.get(*self.places.get(&span)?)
    }

    /// Likewise, to be changed.
    pub(in crate::trace) fn of_mut(&mut self, span: SpanId) -> Option<&mut Context> {
        self.contexts.get_mut(*self.places.get(&span)?)
    }

    /// Whether it is known.
    pub(in crate::trace) fn contains(&self, span: SpanId) -> bool {
        self.places.contains_key(&span)
    }

    /// How many there are.
    pub(in crate::trace) fn len(&self) -> usize {
        self.places.len()
    }

    /// The live ones in the order of their arrival.
    pub(in crate::trace) fn live_spans(&self) -> impl Iterator<Item = (SpanId, &Context)> {
        self.live.iter().filter_map(|live| Some((live.span, self.of(live.span)?)))
    }

    /// Those of them on connections that are `wanted`.
    pub(in crate::trace) fn live_on(
        &self,
        wanted: impl Fn(ConnId) -> bool,
    ) -> impl Iterator<Item = (SpanId, &Context)> {
        let of_wanted = self.live.iter().filter(move |live| wanted(live.conn));
        of_wanted.filter_map(|live| Some((live.span, self.of(live.span)?)))
    }

    /// How many are live.
    pub(in crate::trace) fn live(&self) -> usize {
        self.live.len()
    }

    /// How many are not.
    pub(in crate::trace) fn released(&self) -> usize {
        self.len() - self.live()
    }

    /// Its span has gone out, with what was `pending`; from now on it only waits for children.
    pub(in crate::trace) fn release(&mut self, span: SpanId, pending: &Pending, now: Nanos) {
        self.leave(Some(pending));
        if let Some(context) = self.of(span) {
            self.released.push_back((now, context.sequence, span));
        }
    }

    /// One with this `pending` is live no more.
    fn leave(&mut self, pending: Option<&Pending>) {
        pending.and_then(|pending| self.live.go(pending.place?));
    }

    /// Whether a span has gone out, or is not known any more.
    pub(in crate::trace) fn is_out(&self, span: SpanId) -> bool {
        self.of(span).is_none_or(|context| context.pending.is_none())
    }

    /// The released context that is oldest and has no calls under way, if it was released at `before` or earlier.
    pub(in crate::trace) fn oldest_released(&mut self, before: Nanos) -> Option<SpanId> {
        while let Some((at, sequence, span)) = self.released.front().copied() {
            if let Some(context) = self.of_mut(span).filter(|context| context.sequence == sequence)
            {
                if at > before {
                    return None;
                }
                if context.calls == 0 {
                    return Some(span);
                }
                context.parked = true;
            }
            self.released.pop_front();
        }
        None
    }

    /// A call is under way that may have been made for it. Whether it is known.
    pub(in crate::trace) fn called(&mut self, span: SpanId) -> bool {
        self.of_mut(span).map(|context| context.calls += 1).is_some()
    }

    /// Such a call has gone out, or is forgotten.
    pub(in crate::trace) fn call_gone(&mut self, span: SpanId, now: Nanos) {
        let Some(context) = self.of_mut(span) else { return };
        context.calls = context.calls.saturating_sub(1);
        if context.calls == 0 && std::mem::take(&mut context.parked) {
            let sequence = context.sequence;
            self.released.push_back((now, sequence, span));
        }
    }

    /// The live context that arrived first.
    pub(in crate::trace) fn oldest_live(&self) -> Option<SpanId> {
        self.live.first().map(|live| live.span)
    }

    /// Takes one out.
    pub(in crate::trace) fn remove(&mut self, span: SpanId) -> Option<Context> {
        let context = self.contexts.remove(self.places.remove(&span)?)?;
        self.leave(context.pending.as_deref());
        if self.released.len() > 2 * self.places.len() + LEAST_RELEASED {
            let places = &self.places;
            self.released.retain(|(_, _, span)| places.contains_key(span));
        }
        Some(context)
    }
}
