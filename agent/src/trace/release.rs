//! Holding spans back until their place is known, and letting go of what is old or too much.
//!
//! A finished span waits a moment for late news, and where its parent may be a request that is still being served, for
//! the end of that, but not for ever. Every wait has an end in event time, every store has a size.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};

use crate::exchange::Role;
use crate::input::{Nanos, Runtime, Waits};
use crate::service::attribute::text;
use crate::service::{Service, is_process};
use crate::trace::context::{Context, Fixed, Rule, SpanId};
use crate::trace::described::Described;
use crate::trace::resolve::{Blocked, own_rule};
use crate::trace::routes::Route;
use crate::trace::span_writer::SpanWriter;
use crate::trace::{Count, EncodedSpan, Tracer, sampler};

/// OTLP `Span.flags`, bit 8: whether the parent (or link target) is remote is known.
const REMOTE_KNOWN: u32 = 0x100;
/// Bit 9: it is.
const REMOTE: u32 = 0x200;
/// Attribute that says by which rule a span has its parent.
const LINK_RULE: &str = "spanwire.link.rule";
/// Attribute that says which rule led from the task that made the call to the one for which it did.
const LINK_VIA: &str = "spanwire.link.via";

impl Tracer {
    /// A span has ended: it waits for late news.
    pub(in crate::trace) fn hold(&mut self, span: SpanId, end: Nanos) {
        self.wake_at(span, end.plus(self.settings.settle));
        if self.held.len() > self.settings.max_held
            && let Some((_, oldest)) = self.held.first().copied()
        {
            self.counts.add(Count::HeldOverflow);
            self.force(oldest);
        }
    }

    /// Looks at every held span whose time has come.
    pub(in crate::trace) fn release_due(&mut self) {
        while let Some((_, _, span)) =
            self.queue.first().copied().filter(|(at, _, _)| *at <= self.now)
        {
            let waited = self.contexts.of(span).and_then(|context| context.blocked_on).is_some();
            if waited {
                self.force(span);
            } else {
                self.try_release(span);
                self.unblock(span);
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
        while self.contexts.len() >= self.settings.max_contexts {
            if let Some(span) = self.contexts.oldest_released(Nanos(u64::MAX)) {
                self.counts.add(Count::ContextsEvicted);
                self.forget(span);
            } else if let Some(span) = self.contexts.oldest_live() {
                let finished =
                    self.contexts.of(span).is_some_and(|context| context.described.is_some());
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
        self.sleep(span, &context);
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
                let Some(end) = context.end else { return };
                let sequence = context.sequence;
                if let Some(before) = context.blocked_on.replace(server) {
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
            if let Some(context) = self.contexts.of_mut(span) {
                context.blocked_on = None;
            }
            self.try_release(span);
        }
    }

    fn wake_at(&mut self, span: SpanId, at: Nanos) {
        let Some(context) = self.contexts.of_mut(span) else { return };
        let sequence = context.sequence;
        if let Some(before) = context.wake.replace(at) {
            self.queue.remove(&(before, sequence, span));
        }
        self.queue.insert((at, sequence, span));
        self.held.insert((sequence, span));
    }

    /// Takes a span out of all waiting.
    fn sleep(&mut self, span: SpanId, context: &Context) {
        if let Some(at) = context.wake {
            self.queue.remove(&(at, context.sequence, span));
        }
        if let Some(server) = context.blocked_on {
            self.blocked.remove(&(server, context.sequence, span));
        }
        self.held.remove(&(context.sequence, span));
    }

    /// Hands a resolved, finished span on; the context stays for its children.
    fn release(&mut self, span: SpanId) {
        let Some(context) = self.contexts.of_mut(span) else { return };
        let (Some(described), Some(fixed)) = (context.described.take(), context.fixed.clone())
        else {
            return;
        };
        let (wake, blocked_on) = (context.wake.take(), context.blocked_on.take());
        let sequence = context.sequence;
        if let Some(at) = wake {
            self.queue.remove(&(at, sequence, span));
        }
        if let Some(server) = blocked_on {
            self.blocked.remove(&(server, sequence, span));
        }
        self.held.remove(&(sequence, span));
        if sampler::exports(fixed.flags) {
            let service = self.service(span);
            let route = self.route(&described, &service);
            let mut writer = std::mem::take(&mut self.writer);
            if let Some(context) = self.contexts.of(span) {
                writer.begin();
                self.write(span, context, &described, &fixed, route.as_ref(), &mut writer);
                let (scope, bytes) = (described.scope, writer.written().into());
                self.ready.push(EncodedSpan { service, scope, bytes });
                self.counts.add(Count::Released);
            }
            self.writer = writer;
        } else {
            let check = self.contexts.of(span).is_some_and(|context| context.check);
            let is_root = fixed.parent.is_none_or(|(_, rule)| rule == Rule::TcpOption);
            self.counts.add(if check && is_root { Count::Checks } else { Count::NotSampled });
        }
        if let Some(context) = self.contexts.of_mut(span) {
            // Of all that is kept for children that may come, a process of its own each, this is the most.
            context.service = None;
        }
        self.contexts.release(span, self.now);
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

    /// The route of a server's request, as far as it is known (semconv 1.44, `http.route`: servers only).
    fn route(&mut self, described: &Described, service: &Service) -> Option<Route> {
        let path = described.path?.of(&described.written);
        self.routes.of(&service.name, path, described.status_code, &mut self.counts)
    }

    /// The service of a span's process: as it was when the request began, if it was known by then.
    fn service(&mut self, span: SpanId) -> Arc<Service> {
        let context = self.contexts.of(span);
        if let Some(service) = context.and_then(|context| context.service.clone()) {
            return service;
        }
        let pid = context.map_or(0, |context| context.task.pid);
        let service = self.services.of(pid);
        if !service.is_known() {
            self.counts.add(Count::ServiceUnknown);
        }
        service
    }

    /// Writes a span: what its exchange said, and its place.
    fn write(
        &self,
        span: SpanId,
        context: &Context,
        described: &Described,
        fixed: &Fixed,
        route: Option<&Route>,
        out: &mut SpanWriter,
    ) {
        let (began, role) = (self.began(context), context.role);
        let offset = context.wall_offset.or(self.wall_offset).unwrap_or(0);
        let start = began.0.saturating_add_signed(offset);
        let end = context.end.map_or(0, |end| end.since(began));
        out.ids(fixed.trace, span);
        if let Some(state) = &fixed.state {
            out.trace_state(state);
        }
        if let Some((parent, _)) = fixed.parent {
            out.parent(parent);
        }
        out.flags(flags(role, fixed));
        out.kind(match role {
            Role::Client => SpanKind::Client,
            Role::Server => SpanKind::Server,
        });
        out.times(start, start.saturating_add(end));
        out.copied(&described.written);
        if let Some(first) = described.first_answer {
            out.number("spanwire.time_to_first_byte_ns", first.since(began));
        }
        if let Some(route) = route {
            out.text("http.route", &route.template);
            out.text("spanwire.http.route.source", route.source.name());
        }
        if is_process(context.task.pid) {
            out.number("spanwire.process.pid", context.task.pid);
        }
        if let Some(nanos) = self.on_cpu(span, context, described) {
            out.number("spanwire.thread.cpu_time_ns", nanos);
        }
        if let Some(took) = context.connected_in {
            out.number("spanwire.time_to_connect_ns", took);
        }
        if context.retransmits > 0 {
            out.number("spanwire.retransmits", context.retransmits);
        }
        if let Some((_, rule)) = fixed.parent {
            out.text(LINK_RULE, rule.name());
            if let (Rule::Runtime(_), Runtime::Knows { via: Some(via), .. }) =
                (rule, context.runtime)
            {
                out.text(LINK_VIA, via.name());
            }
        }
        if let Some(to) = &fixed.link {
            out.link(&link(to, own_rule(context)));
        }
        let name = described.name.of(&described.written);
        out.name(name, route.map(|route| &*route.template));
    }

    /// How long the thread that served a request was on a CPU for it, ns: known where it served no other meanwhile.
    fn on_cpu(&self, span: SpanId, context: &Context, described: &Described) -> Option<u64> {
        let on_cpu = described.on_cpu.filter(|on_cpu| on_cpu.since == span)?;
        let alone = context.thread_waits == Waits::Alone
            && !context.overlapped
            && context.answered_by == Some(context.task)
            && !self.threads.is_revoked(context.task.pid);
        let took = context.end?.since(context.at);
        alone.then(|| on_cpu.nanos.min(took))
    }

    /// When a span began. A client's send is stamped when the call returns where nothing better is to be had; the
    /// other end cannot have read it before it was written.
    fn began(&self, context: &Context) -> Nanos {
        let read = || Some(self.contexts.of(context.other_end?)?.at);
        match context.role {
            Role::Client => read().map_or(context.at, |read| read.min(context.at)),
            Role::Server => context.at,
        }
    }
}

/// W3C flags, and whether the parent is in another process. A header that a client carries may name a span of its own
/// process or one far away: that is not known.
fn flags(role: Role, fixed: &Fixed) -> u32 {
    u32::from(fixed.flags)
        | match (role, fixed.parent) {
            (Role::Client, Some((_, Rule::TraceParent))) => 0,
            (_, None | Some((_, Rule::Thread | Rule::Runtime(_)))) => REMOTE_KNOWN,
            (_, Some(_)) => REMOTE_KNOWN | REMOTE,
        }
}

/// The request that caused this one and was over before.
fn link((trace, span, flags): &([u8; 16], SpanId, u8), rule: Rule) -> Link {
    Link {
        trace_id: trace.to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        attributes: vec![text(LINK_RULE, rule.name())],
        flags: u32::from(*flags) | REMOTE_KNOWN,
        ..Link::default()
    }
}
