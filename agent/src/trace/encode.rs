//! Writing a span: what its exchange said, and its place, once that is decided.
//!
//! Decides nothing; what it cannot know (a service, a route) is left out or counted.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};

use crate::exchange::Role;
use crate::input::{Nanos, Runtime, Waits};
use crate::service::attribute::text;
use crate::service::{Service, is_process};
use crate::trace::context::{Cause, Context, Fixed, Pending, Rule, SpanId};
use crate::trace::described::Described;
use crate::trace::resolve::own_rule;
use crate::trace::routes::Route;
use crate::trace::span_writer::SpanWriter;
use crate::trace::{Count, EncodedSpan, Tracer};

/// OTLP `Span.flags`, bit 8: whether the parent (or link target) is remote is known.
const REMOTE_KNOWN: u32 = 0x100;
/// Bit 9: it is.
const REMOTE: u32 = 0x200;
/// Attribute that says by which rule a span has its parent.
const LINK_RULE: &str = "spanwire.link.rule";
/// Attribute that says which rule led from the task that made the call to the one for which it did.
const LINK_VIA: &str = "spanwire.link.via";

impl Tracer {
    /// A span whose place is decided, written; `None` if its context is gone, or its exchange is not over.
    pub(in crate::trace) fn encoded(
        &mut self,
        span: SpanId,
        pending: &Pending,
        fixed: &Fixed,
    ) -> Option<EncodedSpan> {
        let described = pending.described.as_ref()?;
        let service = self.service(span, pending);
        let route = self.route(described, &service);
        let mut out = std::mem::take(&mut self.writer);
        out.begin();
        let encoded = self.contexts.of(span).map(|context| {
            self.write(span, (context, pending, described), fixed, route.as_ref(), &mut out);
            EncodedSpan { service, scope: described.scope, bytes: out.written().into() }
        });
        self.writer = out;
        encoded
    }

    /// The route of a server's request, as far as it is known (semconv 1.44, `http.route`: servers only).
    fn route(&mut self, described: &Described, service: &Service) -> Option<Route> {
        let path = described.path?.of(&described.written);
        self.routes.of(&service.name, path, described.status_code, &mut self.counts)
    }

    /// The service of a span's process: as it was when the request began, if it was known by then.
    fn service(&mut self, span: SpanId, pending: &Pending) -> Arc<Service> {
        if let Some(service) = &pending.service {
            return Arc::clone(service);
        }
        let pid = self.contexts.of(span).map_or(0, |context| context.task.pid);
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
        (context, pending, described): (&Context, &Pending, &Described),
        fixed: &Fixed,
        route: Option<&Route>,
        out: &mut SpanWriter,
    ) {
        let (began, role) = (self.began(context), context.role);
        let offset = pending.wall_offset.or(self.wall_offset).unwrap_or(0);
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
        if let Some(took) = pending.connected_in {
            out.number("spanwire.time_to_connect_ns", took);
        }
        if pending.retransmits > 0 {
            out.number("spanwire.retransmits", pending.retransmits);
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
    pub(in crate::trace) fn began(&self, context: &Context) -> Nanos {
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
fn link(to: &Cause, rule: Rule) -> Link {
    Link {
        trace_id: to.trace.to_vec(),
        span_id: to.span.to_be_bytes().to_vec(),
        attributes: vec![text(LINK_RULE, rule.name())],
        flags: u32::from(to.flags) | REMOTE_KNOWN,
        ..Link::default()
    }
}
