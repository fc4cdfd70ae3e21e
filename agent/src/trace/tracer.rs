//! The tracer: takes what happened, in order, and keeps every part of this stage in step.

use std::collections::BTreeSet;
use std::sync::Arc;

use abi::id::Seed;
use abi::runtime::{Absent, Rule};
use abi::wire::Carried;
use abi::{Family, Opened};

use crate::exchange::{Asked, Finished, Report, Role, Started};
use crate::input::{ConnId, Nanos, Runtime};
use crate::service::{ProcessFacts, Service, Services};
use crate::trace::absences::Absences;
use crate::trace::admission::LeftOut;
use crate::trace::checks::Checks;
use crate::trace::context::{Context, Contexts, Pending, SpanId};
use crate::trace::described::Described;
use crate::trace::join::Joins;
use crate::trace::needs::{Need, Needs};
use crate::trace::own::Own;
use crate::trace::quiet::Quiet;
use crate::trace::retransmits::Retransmits;
use crate::trace::routes::Routes;
use crate::trace::runtime_rule::Workers;
use crate::trace::sdk::Sdks;
use crate::trace::span_writer::SpanWriter;
use crate::trace::streams::{Streams, Told};
use crate::trace::thread_rule::Threads;
use crate::trace::traceparent::{Incoming, TraceParent};
use crate::trace::tracestate::TraceState;
use crate::trace::unix::{Found, UnixPairs};
use crate::trace::wire::Wires;
use crate::trace::{Count, Counts, EncodedSpan, Settings, Share};

/// What is known of a stream before it is told who opened it.
const NOT_TOLD: Runtime = Runtime::Absent(Absent::NotTold);

/// Exchanges in, spans out. Time comes with [`Tracer::tick`] only.
pub struct Tracer {
    pub(in crate::trace) seed: Seed,
    pub(in crate::trace) settings: Settings,
    pub(in crate::trace) checks: Checks,
    /// The last tick's.
    pub(in crate::trace) now: Nanos,
    /// The last tick's.
    pub(in crate::trace) wall_offset: Option<i64>,
    pub(in crate::trace) services: Services,
    pub(in crate::trace) contexts: Contexts,
    pub(in crate::trace) joins: Joins,
    pub(in crate::trace) unix: UnixPairs,
    pub(in crate::trace) wires: Wires,
    pub(in crate::trace) quiet: Quiet,
    pub(in crate::trace) needs: Needs,
    pub(in crate::trace) threads: Threads,
    pub(in crate::trace) workers: Workers,
    pub(in crate::trace) streams: Streams,
    pub(in crate::trace) own: Own,
    pub(in crate::trace) routes: Routes,
    pub(in crate::trace) sdks: Sdks,
    pub(in crate::trace) left_out: LeftOut,
    pub(in crate::trace) retransmits: Retransmits,
    /// Held spans, all, by when they are looked at next, then by arrival.
    pub(in crate::trace) queue: BTreeSet<(Nanos, u64, SpanId)>,
    /// Held spans that wait for the end of a server's request: that one, arrival, span.
    pub(in crate::trace) blocked: BTreeSet<(SpanId, u64, SpanId)>,
    /// Spans that are ready to be handed on.
    pub(in crate::trace) ready: Vec<EncodedSpan>,
    pub(in crate::trace) writer: SpanWriter,
    pub(in crate::trace) counts: Counts,
    pub(in crate::trace) absences: Absences,
}

impl Tracer {
    /// A tracer that has seen nothing. `seed` is the one the kernel half was given: ids are made alike on both sides.
    #[must_use]
    pub fn new(seed: Seed, settings: Settings) -> Self {
        Self {
            seed,
            now: Nanos(0),
            wall_offset: None,
            checks: Checks::new(settings.checks.clone()),
            services: Services::new(settings.host_name.clone()),
            contexts: Contexts::default(),
            joins: Joins::default(),
            unix: UnixPairs::default(),
            wires: Wires::default(),
            quiet: Quiet::default(),
            needs: Needs::default(),
            threads: Threads::default(),
            workers: Workers::default(),
            streams: Streams::default(),
            own: Own::new(settings.own_pids.clone()),
            routes: Routes::new(settings.routes.clone()),
            sdks: Sdks::default(),
            left_out: LeftOut::default(),
            retransmits: Retransmits::default(),
            queue: BTreeSet::new(),
            blocked: BTreeSet::new(),
            ready: Vec::new(),
            writer: SpanWriter::default(),
            counts: Counts::default(),
            absences: Absences::default(),
            settings,
        }
    }

    /// A protocol reports.
    pub fn report(&mut self, report: Report) {
        match report {
            Report::Started(started) => self.started(started),
            Report::Finished(finished) => self.finished(&finished),
        }
    }

    /// A connection is seen for the first time.
    pub fn opened(&mut self, opened: &Opened) {
        self.own.opened(opened);
        self.look_for_sdk(opened);
        if Family::from_abi(opened.family) == Some(Family::Unix) {
            self.unix.opened(
                ConnId(opened.connection),
                opened.socket,
                opened.peer_socket,
                Nanos(opened.header.time),
            );
        }
    }

    /// A connection is gone: destroyed, or found missing by the sweep.
    pub fn closed(&mut self, connection: ConnId) {
        self.unix.closed(connection, self.now);
    }

    /// Threads say nothing about requests in process `pid` any more.
    pub fn revoked(&mut self, pid: u32) {
        self.threads.revoke(pid);
    }

    /// A request's context came by the wire, or goes.
    pub fn carried(&mut self, carried: &Carried) {
        if self.wires.carried(carried) {
            self.counts.add(Count::WireForgotten);
        }
    }

    /// Processes that nothing is to be said of on the wire any more (`true`), or again; since this was last asked.
    pub fn quiet(&mut self) -> Vec<(u32, bool)> {
        self.quiet.news()
    }

    /// What more must be known of processes, since this was last asked.
    pub fn needs(&mut self) -> Vec<(u32, Need)> {
        self.needs.news()
    }

    /// Whose work the call is that comes next.
    pub fn worker(&mut self, event: &abi::Worker) {
        let span = abi::id::span(self.seed, event.connection, event.position);
        self.workers.told(span, event.tasks);
    }

    /// For whom a stream of HTTP/2 was opened, maybe before its first frame.
    pub fn stream_call(&mut self, event: &abi::StreamCall) {
        let name = self.name_of(ConnId(event.connection), event.stream);
        let told = Told {
            serving: (event.serving != 0).then_some(event.serving),
            runtime: Runtime::of_stream(event),
        };
        if event.tasks[0] != 0 {
            self.workers.told(name, event.tasks);
        }
        let Some(span) = self.streams.told(name, told) else { return };
        if let Some(context) = self.contexts.of_mut(span)
            && context.fixed.is_none()
            && context.end.is_none()
        {
            context.runtime = told.runtime;
            context.workers = self.workers.started(name, context.at).map(Box::new);
            self.may_serve(span, told.serving);
            self.absent(event.tgid, told.runtime);
        }
    }

    /// For whom a call was made that was sent before anybody waited for it.
    pub fn caller_found(&mut self, event: &abi::CallerFound) {
        let span = abi::id::span(self.seed, event.connection, event.position);
        let Some(context) = self.contexts.of_mut(span) else { return };
        let (Runtime::Absent(why), Some(rule)) = (context.runtime, Rule::from_abi(event.rule))
        else {
            return;
        };
        if context.role != Role::Client || context.fixed.is_some() || context.end.is_some() {
            return;
        }
        context.runtime = Runtime::Knows { rule, via: Rule::from_abi(event.via) };
        if event.tasks[0] != 0 {
            self.workers.told(span, event.tasks);
            context.workers = self.workers.started(span, context.at).map(Box::new);
        }
        self.may_serve(span, (event.serving != 0).then_some(event.serving));
        self.absences.found(event.tgid, why.name());
        self.counts.add(Count::RuntimeFound);
    }

    /// The name that the kernel half has for a stream's request.
    pub(in crate::trace) const fn name_of(&self, connection: ConnId, stream: u32) -> u64 {
        abi::id::stream(self.seed, connection.0, stream)
    }

    /// Counts why a runtime knows of no request that a call is made for, if it does not.
    fn absent(&mut self, pid: u32, runtime: Runtime) {
        if let Runtime::Absent(why) = runtime {
            self.absences.add(pid, why.name());
            self.needs.said(pid, runtime);
        }
    }

    /// Tasks that worked for requests have ended.
    pub fn tasks_ended(&mut self, tasks: &[u64]) {
        self.workers.ended(tasks);
    }

    /// What a process is: when it is first seen, and again after it began another program.
    pub fn process(&mut self, facts: ProcessFacts) {
        let pid = facts.pid;
        if self.services.process(facts) {
            self.another_program(pid);
        }
    }

    /// A process began another program; what it is was told just before.
    pub fn process_began(&mut self, pid: u32) {
        self.services.began(pid);
        self.another_program(pid);
    }

    /// What was seen of the process so far says nothing of this program.
    fn another_program(&mut self, pid: u32) {
        self.sdks.gone(pid);
        self.quiet.remove(pid);
        self.needs.remove(pid);
        if self.services.loads_sdk(pid) {
            self.sdks.told(pid);
        }
    }

    /// A process ended.
    pub fn process_gone(&mut self, pid: u32) {
        self.quiet.remove(pid);
        self.needs.remove(pid);
        self.services.gone(pid, self.now);
        self.threads.gone(pid, self.now);
    }

    /// Control events were lost: a revocation may be among them.
    pub fn control_lost(&mut self) {
        self.threads.control_lost(self.contexts.next_sequence());
    }

    /// Time went on: `now` on the monotonic clock, `wall_offset` wall-clock time minus monotonic time in ns. Spans
    /// that are ready are appended to `out`.
    pub fn tick(&mut self, now: Nanos, wall_offset: i64, out: &mut Vec<EncodedSpan>) {
        self.now = self.now.max(now);
        self.wall_offset = Some(wall_offset);
        self.assign_retransmits();
        self.release_due();
        self.forget_old();
        self.unix.tick(self.now);
        self.threads.tick(self.now);
        self.services.tick(self.now);
        out.append(&mut self.ready);
    }

    /// The end: every finished span goes out, with what is known of its parents by now.
    pub fn flush(&mut self, out: &mut Vec<EncodedSpan>) {
        self.assign_retransmits();
        self.release_all();
        for _ in 0..self.contexts.live() {
            self.counts.add(Count::UnfinishedAtFlush);
        }
        out.append(&mut self.ready);
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What a process's service is called; empty if that is not known.
    pub fn service_name(&self, pid: u32) -> &str {
        self.services.name(pid).unwrap_or_default()
    }

    /// Why calls have no parent in their process: process, its service's name, reason, how many.
    pub fn absences(&self) -> impl Iterator<Item = (u32, &str, &'static str, u64)> {
        self.absences.iter().map(|(pid, why, count)| (pid, self.service_name(pid), why, count))
    }

    fn started(&mut self, mut started: Started) {
        let span = abi::id::span(self.seed, started.id.conn.0, started.id.position);
        let wire = self.wires.take(started.id.conn, started.id.position);
        let share = match self.admit(&started) {
            Ok(share) => share,
            Err(why) => {
                self.counts.add(why);
                return;
            }
        };
        if self.contexts.contains(span) {
            self.counts.add(Count::DuplicateStart);
            return;
        }
        self.make_room();
        self.needs.started(&started);
        let service = self.services.known(started.task.pid);
        let mut name = span;
        if let Some(stream) = started.stream {
            name = self.name_of(started.id.conn, stream);
            if let Some(told) = self.streams.started(name, span) {
                (started.serving, started.runtime) = (told.serving, told.runtime);
            }
        }
        let workers = self.workers.started(name, started.at).map(Box::new);
        // Who opened a stream may be told after its first frame; whether it ever was is seen at the end.
        if started.role == Role::Client && started.runtime != NOT_TOLD {
            self.absent(started.task.pid, started.runtime);
        }
        let context = Context { workers, ..self.context(started, share, wire, service) };
        let joined = self.joins.started(span, &context, &self.contexts);
        let found = self.unix.started(span, &context);
        if context.role == Role::Server {
            self.threads.started(span, context.task, context.at);
            // Of a stream it does not matter what else its connection carries.
            if context.stream.is_none() {
                self.workers.read(span, context.id.conn, context.at);
            }
        }
        let (role, candidate) = (context.role, candidate_of(&context));
        if let Some(served) = self.served_by_its_thread(&context) {
            self.threads.called(served, span, &context);
        }
        self.contexts.insert(span, context);
        self.may_serve(span, candidate);
        if let Some(other) = joined {
            let (client, server) = if role == Role::Client { (span, other) } else { (other, span) };
            self.join(client, server, Count::JoinedTcp);
        }
        self.join_found(&found);
    }

    fn context(
        &mut self,
        started: Started,
        share: Option<Share>,
        wire: Option<TraceParent>,
        service: Option<Arc<Service>>,
    ) -> Context {
        let traceparent = match Incoming::of(&started.propagation.traceparent) {
            Incoming::Valid(traceparent) => Some(traceparent),
            Incoming::Absent => None,
            Incoming::Invalid => {
                self.counts.add(Count::TraceparentInvalid);
                None
            }
        };
        // Without a good traceparent a tracestate is not even read (W3C §3.3).
        let tracestate =
            traceparent.and_then(|_| match TraceState::of(&started.propagation.tracestate) {
                TraceState::Empty => None,
                TraceState::List { text, cut } => {
                    if cut {
                        self.counts.add(Count::TracestateCut);
                    }
                    Some(Arc::from(text))
                }
                TraceState::Invalid => {
                    self.counts.add(Count::TracestateInvalid);
                    None
                }
            });
        let pending = Pending {
            wall_offset: self.wall_offset,
            connected_in: started.connected_in,
            retransmits: 0,
            traceparent,
            tracestate,
            wire,
            candidate: started.serving.filter(|_| started.role == Role::Client),
            counted_in: None,
            check: self.checks.hold(&started.asked),
            asked: started.asked,
            share,
            service,
            described: None,
            wake: None,
            blocked_on: None,
            place: None,
        };
        Context {
            id: started.id,
            stream: started.stream,
            sequence: self.contexts.next_sequence(),
            role: started.role,
            runtime: started.runtime,
            workers: None,
            conn: started.conn,
            task: started.task,
            at: started.at,
            thread_waits: started.thread_waits,
            other_end: None,
            overlapped: false,
            end: None,
            unseen: false,
            answered_by: None,
            fixed: None,
            calls: 0,
            parked: false,
            pending: Some(Box::new(pending)),
        }
    }

    fn finished(&mut self, finished: &Finished) {
        let span = abi::id::span(self.seed, finished.id.conn.0, finished.id.position);
        let Some(context) = self.contexts.of_mut(span).filter(|context| context.end.is_none())
        else {
            if !self.own.left_out(finished.id.conn) {
                self.counts.add(Count::EndWithoutStart);
            }
            return;
        };
        let end = finished.end.max(context.at);
        context.end = Some(end);
        context.answered_by = finished.answered_by;
        if let Some(pending) = &mut context.pending {
            pending.asked = Asked::default();
        }
        context.unseen = finished.failure == Some(crate::exchange::Failure::Unseen);
        let role = context.role;
        let pid = context.task.pid;
        if role == Role::Client && context.runtime == NOT_TOLD {
            self.absences.add(pid, Absent::NotTold.name());
        }
        if let Some(workers) = &context.workers {
            self.workers.finished(workers, end);
        }
        self.sdks.finished(pid, role, finished);
        let found = self.unix.finished(span, finished);
        let served = self.contexts.of(span).and_then(|call| self.served_by_its_thread(call));
        if let Some(served) = served
            && self.threads.call_finished(served, span, pid, finished)
        {
            self.counts.add(Count::ThreadMixedCalls);
        }
        if let Some(context) = self.contexts.of_mut(span) {
            let described = Described::new(context, finished, &self.settings, &mut self.writer);
            if let Some(pending) = &mut context.pending {
                pending.described = Some(described);
            }
        }
        if role == Role::Server {
            self.threads.finished(span, &mut self.contexts);
        }
        self.join_found(&found);
        self.hold(span, end);
    }

    /// The request that a call's own thread serves, as the kernel saw it.
    fn served_by_its_thread(&self, call: &Context) -> Option<SpanId> {
        let served = candidate_of(call)?;
        let is_its = |served: &Context| served.role == Role::Server && served.task == call.task;
        self.contexts.of(served).is_some_and(is_its).then_some(served)
    }

    /// A call may have been made for that request, and for no other: as long as it is under way, that is remembered.
    fn may_serve(&mut self, call: SpanId, candidate: Option<SpanId>) {
        let served = candidate.map(|name| self.streams.span(name));
        let counted_in = served.filter(|served| self.contexts.called(*served));
        let before = match self.pending_mut(call) {
            Some(pending) => {
                pending.candidate = candidate;
                std::mem::replace(&mut pending.counted_in, counted_in)
            }
            None => counted_in,
        };
        if let Some(before) = before {
            self.contexts.call_gone(before, self.now);
        }
    }

    fn join_found(&mut self, found: &Found) {
        if found.doubted {
            self.counts.add(Count::UnixOffsetsDoubted);
        }
        for (client, server) in &found.joins {
            self.join(*client, *server, Count::JoinedUnix);
        }
    }

    /// Both ends of one request are known.
    fn join(&mut self, client: SpanId, server: SpanId, count: Count) {
        if !self.contexts.contains(client) {
            return;
        }
        let Some(context) = self.contexts.of_mut(server) else { return };
        if context.fixed.is_some() {
            // It went out, or gave its trace to others that did: a trace never changes.
            self.counts.add(Count::JoinLate);
            return;
        }
        context.other_end = Some(client);
        if let Some(context) = self.contexts.of_mut(client) {
            context.other_end = Some(server);
        }
        self.counts.add(count);
    }
}

/// The request that a call may have been made for.
pub(in crate::trace) fn candidate_of(call: &Context) -> Option<SpanId> {
    call.pending.as_ref()?.candidate
}
