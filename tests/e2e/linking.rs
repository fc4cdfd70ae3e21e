//! Parents: a chain of services is one trace wherever threads tell who is served, no parent is ever wrong, and a
//! `traceparent` on the wire is believed.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use tests::agent::{Agent, Hooks, Setup};
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::peer::{Connection, Target};
use tests::programs::{Server, node, python};
use tests::runner::{Place, Suite};

/// Requests in each chain test.
const REQUESTS: usize = 100;

/// Name of this process, which is the client of all chains.
const OURSELVES: &str = "e2e";

pub(crate) fn add(suite: &mut Suite) {
    for clients in [1, 32] {
        for &hooks in Hooks::each() {
            suite.at(
                // So many threads at once are too much for an emulated CPU.
                if clients == 1 { hooks.place() } else { Place::Here },
                format!("linking::four_threaded_services[{}, {clients} clients]", hooks.word()),
                60,
                move || four_threaded_services(Setup::default().hooks(hooks), clients),
            );
        }
        for way in ["http", "fetch"] {
            suite.test(
                format!("linking::event_loops_in_the_middle[node {way}, {clients} clients]"),
                move || event_loops_in_the_middle(way, clients),
            );
        }
    }
    for how in ["select", "epoll", "blocking", "mixed"] {
        suite.test(format!("linking::event_loop_that_waits[{how}]"), move || loop_that_waits(how));
    }
    suite.test("linking::traceparent_is_continued", traceparent_is_continued);
    suite.test("linking::bad_traceparent_is_ignored", bad_traceparent_is_ignored);
}

fn four_threaded_services(setup: Setup, clients: usize) -> TestResult {
    let agent = setup.start()?;
    let d = python::chain("chain-d", None)?;
    let c = python::chain("chain-c", Some(d.port()))?;
    let b = python::chain("chain-b", Some(c.port()))?;
    let a = python::chain("chain-a", Some(b.port()))?;
    ask(&a.target, clients, b"chain-a chain-b chain-c chain-d")?;
    let services = ["chain-a", "chain-b", "chain-c", "chain-d"];
    let spans = collect(agent, &services)?;
    for number in 0..REQUESTS {
        let of_this = spans.at(&path(number));
        let trace = Chain::of(&of_this, &services)?;
        let mut parent: Option<&Span> = None;
        for span in trace.in_order() {
            let wanted = parent.map_or("", |parent| parent.span_id.as_str());
            ensure!(span.parent == wanted, "{span}: the parent must be {wanted:?}:\n{of_this}");
            ensure!(
                parent.is_none_or(|parent| parent.trace_id == span.trace_id),
                "two traces:\n{of_this}"
            );
            parent = Some(span);
        }
    }
    Ok(())
}

fn event_loops_in_the_middle(way: &str, clients: usize) -> TestResult {
    let agent = Agent::start()?;
    let last = python::chain("loop-last", None)?;
    let asyncio = python::chain_asyncio("loop-asyncio", last.port())?;
    let node = node::chain("loop-node", asyncio.port(), way)?;
    let first = python::chain("loop-first", Some(node.port()))?;
    ask(&first.target, clients, b"loop-first loop-node loop-asyncio loop-last")?;
    let services = ["loop-first", "loop-node", "loop-asyncio", "loop-last"];
    let spans = collect(agent, &services)?;
    let mut silent = 0;
    for number in 0..REQUESTS {
        let of_this = spans.at(&path(number));
        let trace = Chain::of(&of_this, &services)?;
        let mut before: Option<&Span> = None;
        for span in trace.in_order() {
            let right = before.map_or("", |before| before.span_id.as_str());
            // Only a call that an event loop makes may be without its parent. No other parent is right, ever.
            let may_be_silent = span.kind == Kind::Client
                && ["loop-node", "loop-asyncio"].contains(&&*span.service);
            let is_silent = span.parent.is_empty() && may_be_silent;
            silent += usize::from(is_silent);
            ensure!(
                span.parent == right || is_silent,
                "{span}\nhas a wrong parent, not {right:?}:\n{of_this}"
            );
            let same_trace = before.is_none_or(|before| before.trace_id == span.trace_id);
            ensure!(same_trace || is_silent, "two traces at {span}:\n{of_this}");
            before = Some(span);
        }
    }
    println!("{silent} of {} calls of event loops have no parent", 2 * REQUESTS);
    Ok(())
}

/// A loop that serves one request at a time, of two connections in turn. It is like a thread that does, unless its sockets do
/// not block or are in an epoll set, or it once mixed two requests: then its calls have no parent.
fn loop_that_waits(how: &str) -> TestResult {
    let agent = Agent::start()?;
    let last = python::chain("waited-for", None)?;
    let server = python::chain_selectors("waiting-loop", last.port(), how)?;
    let mut clients = [Connection::open(&server.target)?, Connection::open(&server.target)?];
    for pair in 0..REQUESTS / 2 {
        for together in if how == "mixed" { vec![vec![0, 1]] } else { vec![vec![0], vec![1]] } {
            for &client in &together {
                let path = path(2 * pair + client);
                clients[client].send(format!("GET {path} HTTP/1.1\r\nHost: loop\r\n\r\n"))?;
            }
            for &client in &together {
                let answer = clients[client].answer("GET")?;
                ensure!(answer.body == b"waiting-loop waited-for", "{answer:?}");
            }
        }
    }
    agent.wait("the spans of all requests", |spans| {
        spans.of("waiting-loop", Kind::Client).len() >= REQUESTS
            && spans.of("waiting-loop", Kind::Server).len() >= REQUESTS
    })?;
    let stopped = agent.stop()?;
    let revoked = stopped.counters.value("kernel.thread_rule_revoked")?;
    // It mixes requests twice, and is known from the first time on.
    ensure!(revoked == 1 || how != "mixed", "requests were found to be mixed {revoked} times");
    let spans = stopped.spans;
    for number in 0..REQUESTS {
        let of_this = spans.at(&path(number));
        let served = of_this.of("waiting-loop", Kind::Server);
        let call = of_this.of("waiting-loop", Kind::Client);
        let wanted = if how == "blocking" { &*served.single()?.span_id } else { "" };
        ensure!(call.single()?.parent == wanted, "the parent must be {wanted:?}:\n{of_this}");
    }
    Ok(())
}

fn traceparent_is_continued() -> TestResult {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";
    let agent = Agent::start()?;
    let server = python::chain("continued", None)?;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers =
        [("TraceParent", traceparent.as_str()), ("tracestate", "a=1"), ("TraceState", "b=2")];
    Connection::open(&server.target)?.ask("GET", "/continued", &headers)?;
    let spans = wait_pair(agent, &server, "/continued")?;
    let (client, served) = (spans.of(OURSELVES, Kind::Client), spans.of("continued", Kind::Server));
    let (client, served) = (client.single()?, served.single()?);
    for span in [client, served] {
        ensure!(span.trace_id == TRACE, "not continued: {span}");
        ensure!(span.trace_state == "a=1,b=2", "tracestate {:?}: {span}", span.trace_state);
        ensure!(span.flags & 0xff == 1, "flags {:x}: {span}", span.flags);
        ensure!(span.parent == PARENT || span.parent == client.span_id, "a wrong parent: {span}");
    }
    ensure!(client.parent == PARENT, "who sends a context is a child of it: {client}");
    Ok(())
}

fn bad_traceparent_is_ignored() -> TestResult {
    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let cases: [(&str, Vec<&str>); 5] = [
        ("/upper", vec!["00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01"]),
        ("/zero", vec!["00-00000000000000000000000000000000-b7ad6b7169203331-01"]),
        ("/version", vec!["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
        ("/longer", vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"]),
        ("/twice", vec![GOOD, GOOD]),
    ];
    let agent = Agent::start()?;
    let server = python::chain("restarted", None)?;
    for (path, values) in &cases {
        let mut headers: Vec<(&str, &str)> =
            values.iter().map(|value| ("traceparent", *value)).collect();
        headers.push(("tracestate", "a=1"));
        Connection::open(&server.target)?.ask("GET", path, &headers)?;
    }
    let spans = wait_pair(agent, &server, cases[4].0)?;
    for (path, _) in &cases {
        let spans = spans.at(path);
        let (client, served) =
            (spans.of(OURSELVES, Kind::Client), spans.of("restarted", Kind::Server));
        let (client, served) = (client.single()?, served.single()?);
        ensure!(client.parent.is_empty() && served.parent == client.span_id, "{path}:\n{spans}");
        for span in [client, served] {
            ensure!(
                !span.trace_id.eq_ignore_ascii_case(&GOOD[3..35]) && span.trace_state.is_empty(),
                "{span}"
            );
        }
    }
    Ok(())
}

/// Waits for both spans of a request, and gives all there are at the agent's end.
fn wait_pair(agent: Agent, server: &Server, path: &str) -> anyhow::Result<Spans> {
    agent.wait("both spans", |spans| {
        let spans = spans.at(path);
        !spans.of(OURSELVES, Kind::Client).is_empty()
            && !spans.of(&server.service, Kind::Server).is_empty()
    })?;
    Ok(agent.stop()?.spans)
}

/// The path that names one request of a chain.
fn path(number: usize) -> String {
    format!("/chain/{number}")
}

/// Sends all requests, each on a connection of its own, from so many threads at once.
fn ask(target: &Target, clients: usize, answer: &[u8]) -> TestResult {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= REQUESTS {
                            return anyhow::Ok(());
                        }
                        let told = Connection::open(target)?.get(&path(number))?;
                        ensure!(told.status == 200 && told.body == answer, "{told:?}");
                    }
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("clients do not panic"))
    })
}

/// Waits for the spans of all requests in all services.
fn collect(agent: Agent, services: &[&str]) -> anyhow::Result<Spans> {
    agent.wait("the spans of all requests", |spans| {
        spans.of(OURSELVES, Kind::Client).len() >= REQUESTS
            && services.iter().all(|service| spans.of(service, Kind::Server).len() >= REQUESTS)
            && services
                .iter()
                .rev()
                .skip(1)
                .all(|service| spans.of(service, Kind::Client).len() >= REQUESTS)
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    Ok(stopped.spans)
}

/// The spans of one request, in the order in which it passed them.
struct Chain<'a>(Vec<&'a Span>);

impl<'a> Chain<'a> {
    /// Takes one request's spans apart; there must be exactly one of each.
    fn of(spans: &'a Spans, services: &[&str]) -> anyhow::Result<Self> {
        let mut order = vec![(OURSELVES, Kind::Client)];
        for (at, service) in services.iter().enumerate() {
            order.push((service, Kind::Server));
            if at + 1 < services.len() {
                order.push((service, Kind::Client));
            }
        }
        let find = |(service, kind): (&str, Kind)| {
            spans
                .0
                .iter()
                .find(|span| span.service == service && span.kind == kind)
                .with_context(|| format!("no {kind:?} span of {service}:\n{spans}"))
        };
        let count = order.len();
        let found = order.into_iter().map(find).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(spans.len() == count, "{} spans instead of {count}:\n{spans}", spans.len());
        Ok(Self(found))
    }

    fn in_order(&self) -> impl Iterator<Item = &'a Span> {
        self.0.iter().copied()
    }
}
