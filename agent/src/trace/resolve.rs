//! Deciding trace and parent of a span: once, through all its ancestors on this host, and never again.
//!
//! A server's request gets its trace from its client's end, a client's from the request its thread serves, and so on
//! up to a root or a header. Whatever is not decided on that way is decided from the top down; when something on it
//! has to be waited for, nothing is decided at all. So both ends of a request always have one trace id.

use crate::exchange::Role;
use crate::input::{Nanos, Runtime};
use crate::trace::context::{Cause, Context, Fixed, Pending, Rule, SpanId};
use crate::trace::thread_rule::Verdict;
use crate::trace::traceparent::{SAMPLED, TraceParent};
use crate::trace::tracer::candidate_of;
use crate::trace::{Count, Counts, Sampler, Tracer, sampler};

/// Longest way up that is followed at once. A chain of calls as deep as this within one moment is a loop.
const DEPTH: usize = 256;

/// A server's request that has to end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Blocked(pub SpanId);

/// What a span's trace comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A header, or nothing.
    Itself,
    /// The other end of the same request.
    OtherEnd(SpanId),
    /// The request its thread was serving.
    Served(SpanId),
    /// The request its thread had answered, or whose trace it cannot be in.
    Answered(SpanId),
}

impl Origin {
    const fn span(self) -> Option<SpanId> {
        match self {
            Self::Itself => None,
            Self::OtherEnd(span) | Self::Served(span) | Self::Answered(span) => Some(span),
        }
    }
}

impl Tracer {
    /// Decides a span's trace and parent; with `force` now, whatever is missing. `Err`: what to wait for.
    pub(in crate::trace) fn resolve(&mut self, span: SpanId, force: bool) -> Result<(), Blocked> {
        let mut way: Vec<(SpanId, Origin)> = Vec::new();
        let mut next = Some(span);
        while let Some(here) = next {
            let Some(context) = self.contexts.of(here).filter(|context| context.fixed.is_none())
            else {
                break;
            };
            let origin = match context.role {
                Role::Server => self.server_origin(here, context, force)?,
                Role::Client => self.client_origin(here, force)?,
            };
            next = origin.span();
            way.push((here, origin));
            let loops = next.is_some_and(|up| way.iter().any(|(known, _)| *known == up));
            if loops || way.len() >= DEPTH {
                self.cut(&way);
                way.clear();
                next = Some(span);
            }
        }
        while let Some((span, origin)) = way.pop() {
            self.fix(span, origin);
        }
        Ok(())
    }

    /// Whether a request that ended at `end` has had its time for late news.
    fn is_settled(&self, end: Nanos) -> bool {
        end.plus(self.settings.settle) <= self.now
    }

    fn server_origin(
        &self,
        span: SpanId,
        server: &Context,
        force: bool,
    ) -> Result<Origin, Blocked> {
        // The span of a client that traces itself is not ours: the header names it.
        let is_ours = |client: &SpanId| {
            self.contexts.of(*client).is_some_and(|client| !self.traces_itself(client.task.pid))
        };
        if let Some(client) = server.other_end.filter(is_ours) {
            return Ok(Origin::OtherEnd(client));
        }
        let settled = server.end.is_some_and(|end| self.is_settled(end));
        if settled || force { Ok(Origin::Itself) } else { Err(Blocked(span)) }
    }

    fn client_origin(&mut self, span: SpanId, force: bool) -> Result<Origin, Blocked> {
        let Some(client) = self.contexts.of(span) else { return Ok(Origin::Itself) };
        let Some(candidate) = candidate_of(client) else { return Ok(Origin::Itself) };
        let candidate = self.streams.span(candidate);
        let settled = |end| self.is_settled(end);
        let verdict = match client.runtime {
            Runtime::NotAsked => {
                let polls = self.services.serves_by_threads(client.task.pid);
                self.threads.judge(client, candidate, &self.contexts, settled, force, polls)
            }
            // Both must be so: a thread serves it, and what works for that thread ends with it.
            Runtime::Knows { rule, .. } if rule.is_of_threads() => {
                let polls = self.services.serves_by_threads(client.task.pid);
                match self.threads.served(client, candidate, &self.contexts, settled, force, polls)
                {
                    Ok((_, end)) => self.workers.is_contained(client, end),
                    Err(verdict) => verdict,
                }
            }
            _ => self.workers.judge(client, candidate, &self.contexts, settled, force),
        };
        match verdict {
            Verdict::Wait => Err(Blocked(candidate)),
            Verdict::Parent => Ok(Origin::Served(candidate)),
            Verdict::Link => Ok(Origin::Answered(candidate)),
            Verdict::No(reason) => {
                self.reject(span, reason);
                Ok(Origin::Itself)
            }
        }
    }

    /// The thread rule says no, for good.
    fn reject(&mut self, client: SpanId, reason: Count) {
        if let Some(context) = self.contexts.of_mut(client)
            && let Some(pending) = &mut context.pending
            && pending.candidate.take().is_some()
        {
            self.counts.add(reason);
            self.absences.add(context.task.pid, reason.name());
        }
    }

    /// Takes away the last thread parent of a way that leads nowhere. There always is one: a server's request comes
    /// from a client's, and that from nothing but the thread rule.
    fn cut(&mut self, way: &[(SpanId, Origin)]) {
        let thread = |origin: &Origin| matches!(origin, Origin::Served(_) | Origin::Answered(_));
        if let Some((client, _)) = way.iter().rev().find(|(_, origin)| thread(origin)) {
            self.reject(*client, Count::ThreadCycle);
        }
    }

    /// Decides one span whose origin is decided.
    fn fix(&mut self, span: SpanId, origin: Origin) {
        let Some(context) = self.contexts.of(span) else { return };
        let Some(pending) = &context.pending else { return };
        let up = origin.span().and_then(|up| Some((up, self.contexts.of(up)?.fixed.clone()?)));
        let header = by_header(pending, &self.settings.sampler);
        let wire =
            pending.wire.map(|wire| by_wire(context.role, pending, wire, &self.settings.sampler));
        let went = pending.wire.filter(|_| context.role == Role::Client);
        // The other end is in the trace that went: this one cannot be in another, and says whom it was for by a link.
        let said = header.as_ref().map(|header| header.trace).or(went.map(|went| went.trace));
        let origin = match (origin, said, &up) {
            (Origin::Served(server), Some(trace), Some((_, cause))) if trace != cause.trace => {
                if header.is_none() {
                    self.counts.add(Count::WireContradicted);
                }
                Origin::Answered(server)
            }
            _ => origin,
        };
        let fixed = match context.role {
            Role::Server => server(header, wire, up.as_ref(), &mut self.counts),
            Role::Client => {
                client(header, origin, own_rule(context), up.as_ref(), &mut self.counts)
                    .or_else(|| wire.filter(|wire| wire.trace != self.own_trace(span)))
            }
        };
        let mut fixed = fixed.unwrap_or_else(|| self.root(span, went));
        if let Some(went) = went {
            if fixed.trace != went.trace {
                self.counts.add(Count::WireContradicted);
            } else if fixed.parent.is_none() && fixed.trace != self.own_trace(span) {
                self.counts.add(Count::WireUnparented);
            }
        }
        if let (Origin::Answered(_), Some((server, cause))) = (origin, up) {
            let by_thread =
                self.contexts.of(span).is_some_and(|context| own_rule(context) == Rule::Thread);
            self.counts.add(if by_thread { Count::ThreadLinks } else { Count::RuntimeLinks });
            let cause = Cause { trace: cause.trace, span: server, flags: cause.flags };
            fixed.link = Some(Box::new(cause));
        }
        if let Some(context) = self.contexts.of_mut(span) {
            context.fixed = Some(fixed);
        }
    }

    /// The id of a trace that begins with this span.
    fn own_trace(&self, span: SpanId) -> [u8; 16] {
        let [high, low] = abi::id::trace(self.seed, span);
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    /// A trace that begins with this span. What `went` with its request has decided for the other end, and so for this one,
    /// whatever the sampler has become since; but checks, and shares of rules, the kernel half does not know.
    fn root(&self, span: SpanId, went: Option<TraceParent>) -> Fixed {
        let trace = self.own_trace(span);
        let pending = self.contexts.of(span).and_then(|context| context.pending.as_ref());
        let share = pending.and_then(|pending| pending.share);
        let (mut flags, state) = if pending.is_some_and(|pending| pending.check) {
            (sampler::left_out(), None)
        } else {
            self.settings.sampler.root(trace, share)
        };
        if let Some(went) = went
            && went.trace == trace
            && share.is_none()
            && pending.is_some_and(|pending| !pending.check)
        {
            flags = flags & !SAMPLED | went.flags & SAMPLED;
        }
        Fixed { trace, flags, state, parent: None, link: None }
    }
}

/// A server's request: the other end's child, whether that was seen here or is told by its agent, unless the request has
/// another trace's header; else the header's.
fn server(
    header: Option<Fixed>,
    wire: Option<Fixed>,
    up: Option<&(SpanId, Fixed)>,
    counts: &mut Counts,
) -> Option<Fixed> {
    if let Some((client, fixed)) = up {
        if header.as_ref().is_none_or(|header| header.trace == fixed.trace) {
            return Some(below(*client, Rule::SameHost, fixed));
        }
        counts.add(Count::JoinContradicted);
    } else if let Some(wire) = wire {
        match &header {
            None => {
                counts.add(Count::WireUsed);
                return Some(wire);
            }
            // The header's state goes with the header's trace.
            Some(header) if header.trace == wire.trace => {
                counts.add(Count::WireUsed);
                return Some(Fixed { state: header.state.clone(), ..wire });
            }
            Some(_) => counts.add(Count::WireContradicted),
        }
    }
    if header.is_some() {
        counts.add(Count::TraceparentUsed);
    }
    header
}

/// A client's request: in the trace of the header it carries, if it does. Its parent is the request that its thread
/// serves where that is of the same trace, else whom the header names (a header that was only passed on names the
/// caller of the passing process: the trace is right, and a level may be missing).
fn client(
    header: Option<Fixed>,
    origin: Origin,
    rule: Rule,
    up: Option<&(SpanId, Fixed)>,
    counts: &mut Counts,
) -> Option<Fixed> {
    match (origin, up) {
        (Origin::Served(_), Some((server, fixed)))
            if header.as_ref().is_none_or(|header| header.trace == fixed.trace) =>
        {
            let by_thread = rule == Rule::Thread;
            counts.add(if by_thread { Count::ThreadParents } else { Count::RuntimeParents });
            let inherited = below(*server, rule, fixed);
            // What is on the wire decides for the other end: its flags and its state.
            Some(match header {
                Some(header) => Fixed { parent: inherited.parent, ..header },
                None => inherited,
            })
        }
        _ => {
            if header.is_some() {
                counts.add(Count::TraceparentUsed);
            }
            header
        }
    }
}

/// The rule by which a client's request may have a parent in its own process.
pub(in crate::trace) const fn own_rule(client: &Context) -> Rule {
    match client.runtime {
        Runtime::Knows { rule, .. } => Rule::Runtime(rule),
        Runtime::NotAsked | Runtime::Absent(_) => Rule::Thread,
    }
}

/// Where the `traceparent` that a request carries puts it.
fn by_header(pending: &Pending, sampler: &Sampler) -> Option<Fixed> {
    let header = pending.traceparent?;
    let (flags, state) = sampler.continued(header.trace, header.flags, pending.tracestate.as_ref());
    Some(Fixed {
        trace: header.trace,
        flags,
        state,
        parent: Some((header.parent, Rule::TraceParent)),
        link: None,
    })
}

/// Where the context that was carried beside a request puts it. A client's own has no parent by it: its span is the one that
/// is named.
fn by_wire(role: Role, pending: &Pending, wire: TraceParent, sampler: &Sampler) -> Fixed {
    let (mut flags, state) = sampler.continued(wire.trace, wire.flags, None);
    let came = role == Role::Server;
    if came && pending.check {
        // Whether it begins its trace is known to its client's agent only, and checks hardly ever do not.
        flags = sampler::left_out();
    }
    Fixed {
        trace: wire.trace,
        flags,
        state,
        parent: came.then_some((wire.parent, Rule::TcpOption)),
        link: None,
    }
}

/// A child of a span of this host: in its trace, which is kept or not as a whole.
fn below(parent: SpanId, rule: Rule, above: &Fixed) -> Fixed {
    Fixed {
        trace: above.trace,
        flags: above.flags,
        state: above.state.clone(),
        parent: Some((parent, rule)),
        link: None,
    }
}
