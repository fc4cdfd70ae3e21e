//! What is remembered of a request at one end, and for how long.
//!
//! A context outlives its span: children may come after it has gone out, and must get the trace it went out with. The
//! store is bounded by number and age; whoever takes a context out decides first what becomes of those that hang on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::conn::Connection;
use crate::exchange::{Asked, ExchangeId, Finished, Role};
use crate::hash::Map;
use crate::input::{Nanos, Runtime, Task, Waits};
use crate::service::Service;
use crate::trace::Share;
use crate::trace::runtime_rule::Chain;
use crate::trace::traceparent::TraceParent;

/// Key of a context: the span id of its request ([`abi::id::span`]).
pub(in crate::trace) type SpanId = u64;

/// A request at one end, from its start to the last child that may ask for it.
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
    /// Wall-clock time minus monotonic time at the span's start (D11); `None` before the first tick.
    pub wall_offset: Option<i64>,
    /// Servers: read from a blocking socket in no epoll set.
    pub thread_waits: Waits,
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
    /// Clients: what the process's runtime says of that.
    pub runtime: Runtime,
    /// Clients: the tasks whose work it is, where it is not that of the one which serves.
    pub workers: Option<Chain>,
    /// What it asks for, while it is open.
    pub asked: Asked,
    /// It is a health check, a probe or a scrape: a trace that begins with it is left out.
    pub check: bool,
    /// The same request at its other end on this host.
    pub other_end: Option<SpanId>,
    /// Servers: the thread had another request open at the same time.
    pub overlapped: bool,
    /// A rule keeps no more than this share of the traces that begin with it.
    pub share: Option<Share>,
    /// The process's service, once known.
    pub service: Option<Arc<Service>>,
    /// When it ended.
    pub end: Option<Nanos>,
    /// Bytes that we lost hide its true end.
    pub unseen: bool,
    /// Servers: who wrote the answer.
    pub answered_by: Option<Task>,
    /// The whole exchange, from its end until its span goes out.
    pub finished: Option<Box<Finished>>,
    /// Trace and parent, once decided: never changed after.
    pub fixed: Option<Fixed>,
    /// When the span is looked at next, while it is held back.
    pub wake: Option<Nanos>,
    /// The server's request whose end is waited for.
    pub blocked_on: Option<SpanId>,
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
    /// A request that caused this one but was over before: trace id, span id, flags.
    pub link: Option<([u8; 16], SpanId, u8)>,
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

/// All contexts, live (their span has not gone out) and released.
#[derive(Debug, Default)]
pub(in crate::trace) struct Contexts {
    by_span: Map<SpanId, Context>,
    /// Live ones by arrival.
    live: BTreeMap<u64, SpanId>,
    /// Released ones with the time of it, oldest first.
    released: VecDeque<(Nanos, SpanId)>,
    /// Arrival number of the next.
    next: u64,
}

impl Contexts {
    /// Number for the next arrival.
    pub(in crate::trace) const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Takes in a new, live context.
    pub(in crate::trace) fn insert(&mut self, span: SpanId, context: Context) {
        self.next = context.sequence + 1;
        self.live.insert(context.sequence, span);
        self.by_span.insert(span, context);
    }

    /// The context of a span.
    pub(in crate::trace) fn of(&self, span: SpanId) -> Option<&Context> {
        self.by_span.get(&span)
    }

    /// Likewise, to be changed.
    pub(in crate::trace) fn of_mut(&mut self, span: SpanId) -> Option<&mut Context> {
        self.by_span.get_mut(&span)
    }

    /// Whether it is known.
    pub(in crate::trace) fn contains(&self, span: SpanId) -> bool {
        self.by_span.contains_key(&span)
    }

    /// How many there are.
    pub(in crate::trace) fn len(&self) -> usize {
        self.by_span.len()
    }

    /// The live ones in the order of their arrival.
    pub(in crate::trace) fn live_spans(&self) -> impl Iterator<Item = (SpanId, &Context)> {
        self.live.values().filter_map(|span| Some((*span, self.by_span.get(span)?)))
    }

    /// How many are live.
    pub(in crate::trace) fn live(&self) -> usize {
        self.live.len()
    }

    /// Its span has gone out; from now on it only waits for children.
    pub(in crate::trace) fn release(&mut self, span: SpanId, now: Nanos) {
        if let Some(context) = self.by_span.get(&span)
            && self.live.remove(&context.sequence).is_some()
        {
            self.released.push_back((now, span));
        }
    }

    /// The released context that is oldest, if it was released at `before` or earlier.
    pub(in crate::trace) fn oldest_released(&self, before: Nanos) -> Option<SpanId> {
        self.released.front().filter(|(at, _)| *at <= before).map(|(_, span)| *span)
    }

    /// The live context that arrived first.
    pub(in crate::trace) fn oldest_live(&self) -> Option<SpanId> {
        self.live.first_key_value().map(|(_, span)| *span)
    }

    /// Takes one out. Released ones must go oldest first.
    pub(in crate::trace) fn remove(&mut self, span: SpanId) -> Option<Context> {
        let context = self.by_span.remove(&span)?;
        if self.live.remove(&context.sequence).is_none()
            && self.released.front().is_some_and(|(_, first)| *first == span)
        {
            self.released.pop_front();
        }
        Some(context)
    }
}
