//! The pipeline: inputs in, finished spans out. One function of its input, live and in replay.
//!
//! It only leads what each stage hands on to the next; it decides nothing, reads no clock and no file.
#![forbid(unsafe_code)]

use abi::{Direction, id::Seed};

use crate::{
    conn::{Connections, Limits, Loss},
    exchange::{Report, Role},
    input::{ConnId, Input, Nanos},
    selection::Selection,
    status::{Counter, Counters, Group, Meaning},
    trace::{Active, EncodedSpan, Need, Sampler, Settings, Tracer},
};

/// All stages between the kernel's events and the exporters.
pub struct Pipeline {
    connections: Connections,
    tracer: Tracer,
    reports: Vec<Report>,
    seen: Seen,
}

/// What came in, and what was said to be missing.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    data_events: u64,
    control_events: u64,
    data_lost: u64,
    control_lost: u64,
    requests: u64,
    /// Of those, the ones that the kernel had told of, by [`abi::Direction`].
    told: [u64; 2],
    exchanges: u64,
}

impl Pipeline {
    /// A pipeline that has seen nothing. The seed is the one the probes were given.
    #[must_use]
    pub fn new(seed: Seed, settings: Settings) -> Self {
        Self {
            connections: Connections::new(Limits::default()),
            tracer: Tracer::new(seed, settings),
            reports: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Takes one input; spans that it completes are appended to `out`.
    pub fn feed(&mut self, input: Input, out: &mut Vec<EncodedSpan>) {
        match &input {
            Input::Data(..) => self.seen.data_events += 1,
            Input::Process(_)
            | Input::UnixGone(_)
            | Input::TasksEnded(_)
            | Input::Lost { .. }
            | Input::Tick { .. } => {}
            _ => self.seen.control_events += 1,
        }
        match input {
            Input::Opened(event) => {
                self.tracer.opened(&event);
                self.connections.opened(&event, &mut self.reports);
            }
            Input::Closed(event) => {
                self.connections.closed(&event);
                self.tracer.closed(ConnId(event.connection));
            }
            Input::TcpState(event) => self.connections.tcp_state(&event),
            Input::Exec(event) => self.tracer.process_began(event.tgid),
            Input::Exit(event) => {
                self.connections.process_exit(&event);
                self.tracer.process_gone(event.tgid);
            }
            Input::Revoked(event) => self.tracer.revoked(event.tgid),
            Input::Worker(event) => self.tracer.worker(&event),
            Input::StreamCall(event) => self.tracer.stream_call(&event),
            Input::CallerFound(event) => self.tracer.caller_found(&event),
            Input::TaskEnded(event) => self.tracer.tasks_ended(&[event.task]),
            Input::TasksEnded(tasks) => self.tracer.tasks_ended(&tasks),
            Input::Retransmitted(event) => {
                let at = Nanos(event.header.time);
                self.tracer.retransmitted(ConnId(event.connection), at, event.segments);
            }
            Input::Carried(event) => self.tracer.carried(&event),
            Input::Inserted(event) => self.connections.inserted(&event),
            Input::Boundary(event) => self.connections.boundary(&event),
            Input::Data(header, payload) => {
                self.connections.data(&header, &payload, &mut self.reports);
            }
            Input::Process(facts) => self.tracer.process(*facts),
            Input::UnixGone(gone) => {
                self.connections.unix_gone(&gone);
                for connection in gone {
                    self.tracer.closed(connection);
                }
            }
            Input::Lost { data, control } => {
                self.seen.data_lost += data;
                self.seen.control_lost += control;
                if control > 0 {
                    self.tracer.control_lost();
                }
            }
            Input::Tick { now, wall_offset } => {
                self.connections.tick(now, &mut self.reports);
                self.hand_on();
                self.tracer.tick(now, wall_offset, out);
            }
        }
        self.hand_on();
    }

    /// The end of the input: what is complete goes out, what is not is counted.
    pub fn finish(&mut self, out: &mut Vec<EncodedSpan>) {
        self.connections.finish(&mut self.reports);
        self.hand_on();
        self.tracer.flush(out);
    }

    /// Requests whose head was read so far.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.seen.requests
    }

    /// Requests that are open for long, `most` of them by name.
    #[must_use]
    pub fn active(&self, most: usize) -> Active {
        self.tracer.active(most)
    }

    /// Processes that nothing is to be said of on the wire any more (`true`), or again; since this was last asked.
    pub fn quiet(&mut self) -> Vec<(u32, bool)> {
        self.tracer.quiet()
    }

    /// Where the next request begins on connections of which the kernel half asks that, and that rest; since this was last asked.
    pub fn boundaries(&mut self) -> Vec<(ConnId, u64)> {
        self.connections.boundaries()
    }

    /// What more must be known of processes, since this was last asked.
    pub fn needs(&mut self) -> Vec<(u32, Need)> {
        self.tracer.needs()
    }

    /// What a process's service is called; empty if that is not known.
    #[must_use]
    pub fn service(&self, pid: u32) -> &str {
        self.tracer.service_name(pid)
    }

    /// Other rules of what is traced and kept, from now on.
    pub fn select(&mut self, selection: Selection, sampler: Sampler) {
        self.tracer.select(selection, sampler);
    }

    /// The rule that leaves out all that a process says, as long as it runs this program and the rules stay.
    pub fn left_out_by(&mut self, pid: u32) -> Option<usize> {
        self.tracer.left_out_by(pid)
    }

    /// The processes that are known.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.tracer.processes()
    }

    /// Adds what the stages counted.
    pub fn count(&self, counters: &mut Counters) {
        let seen = &self.seen;
        counters.add("conn", "data_events", Meaning::Event, seen.data_events);
        counters.add("conn", "control_events", Meaning::Event, seen.control_events);
        counters.add("conn", "connections", Meaning::Level, self.connections.len() as u64);
        counters.add("conn", "data_events_lost", Meaning::Loss, seen.data_lost);
        counters.add("conn", "control_events_lost", Meaning::Loss, seen.control_lost);
        for (loss, count) in self.connections.losses().iter() {
            let meaning = if loss.is_harmless() { Meaning::Event } else { Meaning::Loss };
            counters.add("conn", loss.name(), meaning, count);
        }
        let told = self.connections.told();
        let unread = |way: usize, quoted| {
            let quoted = self.connections.losses().count(quoted);
            told[way].saturating_sub(seen.told[way] + quoted)
        };
        let sent = unread(0, Loss::QuotedSent);
        let received = unread(1, Loss::QuotedReceived);
        counters.add("protocols", "connections_read", Meaning::Event, self.connections.read());
        counters.add("protocols", "requests_sent_unread", Meaning::Loss, sent);
        counters.add("protocols", "requests_received_unread", Meaning::Loss, received);
        counters.add("protocols", "requests", Meaning::Event, seen.requests);
        counters.add("protocols", "exchanges", Meaning::Event, seen.exchanges);
        counters.add("trace", "requests_open_long", Meaning::Level, self.active(0).count);
        for (count, name, meaning) in self.tracer.counts().rows() {
            counters.add("trace", name, meaning, count);
        }
        let absent: Vec<Counter> = self
            .tracer
            .absences()
            .map(|(pid, service, why, value)| Counter {
                name: format!("{service}[{pid}] {why}").into(),
                value,
                meaning: Meaning::Event,
            })
            .collect();
        if !absent.is_empty() {
            counters.groups.push(Group { name: "without_parent".into(), counters: absent });
        }
        let left_out: Vec<Counter> = self
            .tracer
            .left_out()
            .map(|(rule, value)| Counter {
                name: rule.to_owned().into(),
                value,
                meaning: Meaning::Event,
            })
            .collect();
        if !left_out.is_empty() {
            counters.groups.push(Group { name: "left_out_by".into(), counters: left_out });
        }
    }

    fn hand_on(&mut self) {
        for report in self.reports.drain(..) {
            match &report {
                Report::Started(started) => {
                    self.seen.requests += 1;
                    let way = match started.role {
                        Role::Client => Direction::Sent,
                        Role::Server => Direction::Received,
                    };
                    self.seen.told[way as usize] += u64::from(started.told);
                }
                Report::Finished(_) => self.seen.exchanges += 1,
            }
            self.tracer.report(report);
        }
    }
}

impl Loss {
    /// Whether this is only told, and no span is the poorer for it.
    const fn is_harmless(self) -> bool {
        matches!(self, Self::Duplicate | Self::Unmeasured | Self::QuotedSent | Self::QuotedReceived)
    }
}
