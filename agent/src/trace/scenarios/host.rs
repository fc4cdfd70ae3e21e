//! A host to be traced: makes reports, and reads spans.

use std::net::IpAddr;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::conn::{Address, Connection};
use crate::exchange::{
    Asked, Call, ExchangeId, Failure, Finished, Http, Propagation, Report, Role, Sizes, Started,
};
use crate::input::{ConnId, Nanos, Runtime, Task, Waits};
use crate::service::ProcessFacts;
use crate::trace::{Count, FinishedSpan, Settings, Tracer};

/// A millisecond, in ns.
pub(super) const MS: u64 = 1_000_000;
/// Wall clock minus monotonic clock.
pub(super) const WALL: i64 = 1_700_000_000_000_000_000;
/// Seed of all ids.
pub(super) const SEED: abi::id::Seed = [17, 4711];

/// One end of one request, to be changed before it is reported.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub started: Started,
    pub finished: Finished,
}

impl Request {
    /// A request at one end, in milliseconds.
    pub(super) fn new(
        role: Role,
        conn: &Arc<Connection>,
        position: u64,
        pid: u32,
        from: u64,
        to: u64,
    ) -> Self {
        let id = ExchangeId { conn: conn.id, position };
        let task = Task { pid, tid: pid };
        let http = Http {
            method: Some("GET".into()),
            target: Some("/".into()),
            status: Some(200),
            ..Http::default()
        };
        Self {
            started: Started {
                told: true,
                id,
                stream: None,
                role,
                conn: Arc::clone(conn),
                at: Nanos(from * MS),
                task,
                serving: None,
                runtime: Runtime::NotAsked,
                thread_waits: match role {
                    Role::Server => Waits::Alone,
                    Role::Client => Waits::Otherwise,
                },
                connected_in: None,
                propagation: Propagation::default(),
                asked: Asked::of("GET", "/", None),
            },
            finished: Finished {
                id,
                end: Nanos(to * MS),
                first_answer: Some(Nanos(to * MS)),
                answered_by: (role == Role::Server).then_some(task),
                on_cpu: None,
                bytes: Sizes { request: 100, response: 100 },
                failure: None,
                call: Call::Http(http),
            },
        }
    }

    pub(super) fn client(
        conn: &Arc<Connection>,
        position: u64,
        pid: u32,
        from: u64,
        to: u64,
    ) -> Self {
        Self::new(Role::Client, conn, position, pid, from, to)
    }

    pub(super) fn server(
        conn: &Arc<Connection>,
        position: u64,
        pid: u32,
        from: u64,
        to: u64,
    ) -> Self {
        Self::new(Role::Server, conn, position, pid, from, to)
    }

    /// The kernel saw its task serve that request.
    pub(super) fn serving(mut self, server: &Self) -> Self {
        self.started.serving = Some(server.span());
        self
    }

    pub(super) fn traceparent(mut self, value: &str) -> Self {
        self.started.propagation.traceparent.push(value.as_bytes().to_vec());
        self
    }

    pub(super) fn tracestate(mut self, value: &str) -> Self {
        self.started.propagation.tracestate.push(value.as_bytes().to_vec());
        self
    }

    /// Read or written, and answered, by another thread of its process.
    pub(super) fn thread(mut self, tid: u32) -> Self {
        self.started.task.tid = tid;
        self.finished.answered_by = self.finished.answered_by.map(|task| Task { tid, ..task });
        self
    }

    pub(super) fn failed(mut self, failure: Failure) -> Self {
        self.finished.failure = Some(failure);
        self.finished.first_answer = None;
        self.finished.answered_by = None;
        self
    }

    pub(super) fn span(&self) -> u64 {
        abi::id::span(SEED, self.started.id.conn.0, self.started.id.position)
    }

    pub(super) fn start(&self) -> Report {
        Report::Started(self.started.clone())
    }

    pub(super) fn end(&self) -> Report {
        Report::Finished(Box::new(self.finished.clone()))
    }
}

/// The tracer, and all that came out of it.
pub(super) struct Host {
    pub tracer: Tracer,
    pub spans: Vec<FinishedSpan>,
    pub now: u64,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let mut host = Self { tracer: Tracer::new(SEED, settings), spans: Vec::new(), now: 0 };
        for pid in 1..100 {
            host.tracer.process(facts(pid));
        }
        host.tick(0);
        host
    }

    /// Time goes on to `ms`.
    pub(super) fn tick(&mut self, ms: u64) {
        self.now = self.now.max(ms);
        self.tick_with(WALL);
    }

    /// The same moment, on a wall clock that differs from the monotonic one by so much.
    pub(super) fn tick_with(&mut self, wall_offset: i64) {
        let mut spans = Vec::new();
        self.tracer.tick(Nanos(self.now * MS), wall_offset, &mut spans);
        self.spans.extend(spans.into_iter().map(FinishedSpan::from));
    }

    /// The end.
    pub(super) fn flush(&mut self) {
        let mut spans = Vec::new();
        self.tracer.flush(&mut spans);
        self.spans.extend(spans.into_iter().map(FinishedSpan::from));
    }

    /// Time goes on by `ms`.
    pub(super) fn wait(&mut self, ms: u64) {
        self.tick(self.now + ms);
    }

    pub(super) fn start(&mut self, request: &Request) {
        self.tracer.report(request.start());
    }

    pub(super) fn end(&mut self, request: &Request) {
        self.tracer.report(request.end());
    }

    /// All starts, then all ends, then everything settles.
    pub(super) fn all(&mut self, requests: &[&Request]) {
        for request in requests {
            self.start(request);
        }
        for request in requests {
            self.end(request);
        }
        let last = requests.iter().map(|request| request.finished.end.0 / MS).max().unwrap_or(0);
        self.tick(last + 1000);
    }

    /// The span of a request.
    #[track_caller]
    pub(super) fn span(&self, request: &Request) -> Seen<'_> {
        let id = request.span().to_be_bytes();
        let mut found = self.spans.iter().filter(|span| span.span.span_id == id);
        let first = found
            .next()
            .unwrap_or_else(|| panic!("no span of {:?}: {:?}", request.started.id, self.counted()));
        assert!(found.next().is_none(), "two spans of {:?}", request.started.id);
        Seen(&first.span)
    }

    /// Whether a request's span has come out.
    pub(super) fn has(&self, request: &Request) -> bool {
        self.spans.iter().any(|span| span.span.span_id == request.span().to_be_bytes())
    }

    pub(super) fn count(&self, count: Count) -> u64 {
        self.tracer.counts().of(count)
    }

    /// All that was counted.
    pub(super) fn counted(&self) -> Vec<(&'static str, u64)> {
        self.tracer.counts().iter().filter(|(_, n)| *n > 0).collect()
    }
}

/// A span that came out.
pub(super) struct Seen<'a>(pub &'a Span);

impl Seen<'_> {
    pub(super) fn trace(&self) -> u128 {
        u128::from_be_bytes(self.0.trace_id.as_slice().try_into().unwrap())
    }

    pub(super) fn parent(&self) -> Option<u64> {
        (!self.0.parent_span_id.is_empty())
            .then(|| u64::from_be_bytes(self.0.parent_span_id.as_slice().try_into().unwrap()))
    }

    pub(super) fn rule(&self) -> Option<&str> {
        let found =
            self.0.attributes.iter().find(|attribute| attribute.key == "spanwire.link.rule")?;
        match found.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text),
            other => panic!("{other:?}"),
        }
    }

    /// A child of that request by that rule, in its trace.
    #[track_caller]
    pub(super) fn is_child_of(&self, host: &Host, parent: &Request, rule: &str) {
        assert_eq!(self.parent(), Some(parent.span()), "parent; {:?}", host.counted());
        assert_eq!(self.rule(), Some(rule));
        assert_eq!(self.trace(), host.span(parent).trace(), "one trace, one id");
    }

    /// A trace begins with it.
    #[track_caller]
    pub(super) fn is_root(&self) {
        assert_eq!(self.parent(), None);
        assert_eq!(self.rule(), None);
        let id = u64::from_be_bytes(self.0.span_id.as_slice().try_into().unwrap());
        let [high, low] = abi::id::trace(SEED, id);
        assert_eq!(self.trace(), u128::from(high) << 64 | u128::from(low));
        assert_eq!(self.0.flags, 0x103);
    }
}

/// Both ends of a TCP connection between two processes of this host: client's, server's.
pub(super) fn tcp(number: u64) -> (Arc<Connection>, Arc<Connection>) {
    let at = |port| Address::Inet(IpAddr::from([127, 0, 0, 1]), port);
    let port = 40_000 + u16::try_from(number).unwrap();
    let client = Connection {
        id: ConnId(number * 2),
        local: at(port),
        remote: at(8080),
        socket: 0,
        peer_socket: 0,
        inode: 0,
        netns: 1,
        origins: [0; 2],
        pid: 0,
    };
    let server = Connection {
        id: ConnId(number * 2 + 1),
        local: at(8080),
        remote: at(port),
        ..client.clone()
    };
    (Arc::new(client), Arc::new(server))
}

/// A server's end of a connection from elsewhere.
pub(super) fn from_outside(number: u64) -> Arc<Connection> {
    let (_, mut server) = tcp(number);
    let connection = Arc::make_mut(&mut server);
    connection.remote = Address::Inet(IpAddr::from([192, 0, 2, 1]), 1000);
    connection.local = Address::Inet(IpAddr::from([192, 0, 2, 9]), 80);
    server
}

/// Both ends of a unix connection: client's, server's. `client`, `server`: the kernel's addresses of the sockets.
pub(super) fn unix(number: u64, client: u64, server: u64) -> (Arc<Connection>, Arc<Connection>) {
    let path = Address::Unix(Some("/run/app.sock".into()));
    let (one, two) = tcp(number);
    let one = Connection {
        local: Address::Unix(None),
        remote: path.clone(),
        socket: client,
        peer_socket: server,
        ..(*one).clone()
    };
    let two = Connection {
        local: path,
        remote: Address::Unix(None),
        socket: server,
        peer_socket: client,
        ..(*two).clone()
    };
    (Arc::new(one), Arc::new(two))
}

pub(super) fn facts(pid: u32) -> ProcessFacts {
    ProcessFacts {
        pid,
        start_ticks: u64::from(pid),
        exe: format!("/usr/bin/service{pid}"),
        ..ProcessFacts::default()
    }
}
