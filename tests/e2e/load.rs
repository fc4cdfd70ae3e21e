//! Full speed and sudden death: nothing is lost while there is room, every loss is counted when there is none, and
//! nobody notices that the agent is killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tests::agent::{Agent, Hooks, Setup};
use tests::kernel;
use tests::otlp::{Kind, Spans};
use tests::outcome::{TestResult, note, skip};
use tests::peer::{Connection, Target};
use tests::privileges;
use tests::programs::{nginx, python};
use tests::runner::Suite;
use tests::wait::{self, Deadline};

/// Requests of a load test.
const REQUESTS: usize = 10_000;

/// Requests that fill a tiny ring several times.
const UNREAD: usize = 500;

/// Clients at once.
const CLIENTS: usize = 8;

/// Name of this process: the client.
const OURSELVES: &str = "e2e";

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        suite.test(format!("load::ten_thousand_requests[{}]", hooks.word()), move || {
            ten_thousand(Setup::default().hooks(hooks))
        });
    }
    suite.test("load::tiny_ring_counts_its_losses", tiny_ring);
    suite.test("load::idle_agent_sleeps_until_something_happens", idle_agent);
    suite.test("load::killed_under_load", killed_under_load);
}

fn ten_thousand(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let front = nginx::start(None)?;
    let took = full_speed(&front.server.target)?;
    println!("{REQUESTS} requests in {took:?}");
    agent.wait("all spans", |spans| {
        spans.of("nginx", Kind::Server).len() >= REQUESTS
            && spans.of(OURSELVES, Kind::Client).len() >= REQUESTS
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    // By its timer, and not whenever something lies in the rings. A new process wakes it, and a ring that fills up.
    let (looks, wakes) =
        (stopped.counters.value("kernel.looks")?, stopped.counters.value("kernel.wakes")?);
    ensure!(wakes < looks / 2 + 50, "woken {wakes} times in {looks} looks at the rings");
    // Who computes for others must not keep them from a CPU.
    let pauses = stopped.counters.value("kernel.pauses")?;
    let (_, capabilities) = privileges::of(std::process::id())?;
    if capabilities & privileges::SYS_NICE != 0 {
        ensure!(pauses > 0, "it never stopped for others");
    } else {
        note(format!("it may not go first here, and so takes no short turns: {pauses} pauses"));
    }
    for (service, kind) in [("nginx", Kind::Server), (OURSELVES, Kind::Client)] {
        let paths = each_once(&stopped.spans, service, kind)?;
        ensure!(paths == REQUESTS, "{paths} of {REQUESTS} requests at {service}");
    }
    Ok(())
}

/// What does not fit is lost, and each request that is lost is counted: those with a span and those without are all.
fn tiny_ring() -> TestResult {
    let agent = Setup::default().argument("--data-ring").argument("32768").start()?;
    let front = nginx::start(None)?;
    full_speed(&front.server.target)?;
    // However fast it reads, it does not while it is stopped.
    agent.signal(Signal::STOP)?;
    let mut connection = Connection::open(&front.server.target)?;
    for number in 0..UNREAD {
        ensure!(connection.get(&format!("/unread?n={number}"))?.status == 404);
    }
    agent.signal(Signal::CONT)?;
    // How many spans will come is not known. The last to come are those of a request made when all is quiet; one made
    // while the ring is still full may itself be lost, so another follows until one is seen.
    let mut asked = REQUESTS + UNREAD;
    let mut ask = || -> anyhow::Result<bool> {
        asked += 1;
        Connection::open(&front.server.target)?.get("/after")?;
        Ok(!agent.receiver().spans()?.of("nginx", Kind::Server).at("/after").is_empty())
    };
    wait::until("the last span", Deadline::seconds(15), || match ask() {
        Ok(seen) => seen.then_some(Ok(())),
        Err(error) => Some(Err(error)),
    })??;
    let stopped = agent.stop()?;
    let count = |name: &str| stopped.counters.value(name);
    ensure!(
        count("kernel.requests_sent_lost")? > 0,
        "the ring was not tiny enough: nothing was lost"
    );
    // More would be lost if nothing woke it before its timer.
    ensure!(count("kernel.wakes")? > 100, "the reader was not woken by a ring that fills up");
    let open = count("trace.spans_unfinished_at_flush")?; // somebody else's: all of ours were answered
    // The agent sees the whole host: the receiver of its spans is a server, too, and somebody else may talk.
    let sides = [
        ("nginx", Kind::Server, "received", count("trace.spans_own_traffic")?),
        (OURSELVES, Kind::Client, "sent", 0),
    ];
    for (service, kind, way, own) in sides {
        each_once(&stopped.spans, service, kind)?;
        let of_kind = stopped.spans.only(|span| span.kind == kind);
        let others = of_kind.only(|span| span.service != service).len();
        let told = count(&format!("kernel.requests_{way}"))?;
        let lost = count(&format!("kernel.requests_{way}_lost"))?;
        let unread = count(&format!("protocols.requests_{way}_unread"))?;
        let seen = of_kind.len() as u64;
        println!(
            "{service}: {seen} seen ({others} of others), {lost} lost, {unread} unread, {own} own; {told} told"
        );
        ensure!(
            (told.saturating_sub(open)..=told).contains(&(seen + lost + unread + own)),
            "{seen} requests {way} have spans, {lost} were lost in the ring, {unread} were not to be read after a loss, {own} \
             were our own: that is not {told}"
        );
        let exports = if kind == Kind::Server {
            count("export.requests_accepted")? + count("export.attempts_failed")?
        } else {
            0
        };
        ensure!(told >= asked as u64, "only {told} of {asked} requests {way} were told of");
        ensure!(
            others > 0 || told <= asked as u64 + exports,
            "{told} requests {way} were told of, but only {asked} were made, and {exports} exports"
        );
    }
    Ok(())
}

/// How many requests have a span of that service and kind.
///
/// Fails when one has two, or a span is of no request.
fn each_once(spans: &Spans, service: &str, kind: Kind) -> anyhow::Result<usize> {
    let of_load = spans.of(service, kind).only(|span| span.path() == "/hello");
    let mut numbers = BTreeSet::new();
    for span in &of_load.0 {
        let query =
            if kind == Kind::Client { span.text("url.full") } else { span.text("url.query") };
        let number =
            query.rsplit(['?', '=']).next().and_then(|number| number.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < REQUESTS) else {
            anyhow::bail!("a span of no request: {span}");
        };
        ensure!(numbers.insert(number), "request {number} has two spans: {span}");
    }
    Ok(numbers.len())
}

/// All requests, each once, as fast as the clients can.
fn full_speed(target: &Target) -> anyhow::Result<std::time::Duration> {
    let began = wait::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(target)?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= REQUESTS {
                            return anyhow::Ok(());
                        }
                        ensure!(connection.get(&format!("/hello?n={number}"))?.body == b"hello\n");
                    }
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("clients do not panic"))
    })?;
    Ok(began.elapsed())
}

/// While nothing happens the agent looks once a second; what happens then it sees at once.
fn idle_agent() -> TestResult {
    let front = nginx::start(None)?;
    let agent = Agent::start()?;
    let mut connection = Connection::open(&front.server.target)?;
    connection.get("/hello?n=0")?;
    agent.wait("the first span", |spans| !spans.of("nginx", Kind::Server).is_empty())?;
    // Its main thread gives up the CPU once for each look.
    let looks = || -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Ok(line.context("no voluntary_ctxt_switches")?.trim().parse()?)
    };
    let second = std::time::Duration::from_secs(1);
    let mut since = (wait::now(), looks()?);
    let idle = wait::until("the agent to sleep", Deadline::seconds(30), || {
        let seen = match looks() {
            Ok(seen) => seen,
            Err(error) => return Some(Err(error)),
        };
        let woke_now = seen > since.1;
        let slept = since.0.elapsed() > second * 9 / 10;
        if woke_now {
            since = (wait::now(), seen);
        }
        // Just woken by its timer after a whole second: the next time would be in a second.
        (woke_now && slept).then_some(Ok(seen))
    });
    let Ok(asleep) = idle else { return Err(skip("something happens on this host all the time")) };
    let asleep = asleep?;
    connection.get("/hello?n=1")?;
    wait::until("the agent to wake", Deadline::after(second / 2), || match looks() {
        Ok(seen) => (seen > asleep).then_some(Ok(())),
        Err(error) => Some(Err(error)),
    })??;
    agent.wait("the second span", |spans| spans.of("nginx", Kind::Server).len() == 2)?;
    agent.stop()?.counters.nothing_lost()
}

/// SIGKILL in the middle: the applications go on, the kernel is clean, and the next agent sees the connections that
/// are still open.
fn killed_under_load() -> TestResult {
    let threaded = python::tour_server("survivor", [127, 0, 0, 1].into())?;
    let front = nginx::start(Some(&format!("http://127.0.0.1:{}", threaded.port())))?;
    let pinned = kernel::pinned();
    let agent = Agent::start()?;
    let programs = kernel::programs_of(agent.pid())?;
    ensure!(!programs.is_empty(), "the agent holds no program");
    for id in &programs {
        ensure!(kernel::has_program(*id)?, "program {id} cannot be looked up");
    }

    let stop = AtomicBool::new(false);
    let era = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            [&threaded.target, &front.server.target, &threaded.target, &front.server.target]
                .into_iter()
                .map(|target| {
                    scope.spawn(|| {
                        // One connection for the whole test: it must outlive the agent.
                        let mut connection = Connection::open(target)?;
                        while !stop.load(Ordering::Relaxed) {
                            let path = format!("/chunked?era={}", era.load(Ordering::Relaxed));
                            ensure!(connection.get(&path)?.body == b"one, two, three\n");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        anyhow::Ok(())
                    })
                })
                .collect();
        let result = kill_and_restart(agent, &programs, &pinned, &era, &answered);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("clients do not panic")?;
        }
        result
    })
}

fn kill_and_restart(
    agent: Agent,
    programs: &BTreeSet<u32>,
    pinned: &BTreeSet<std::path::PathBuf>,
    era: &AtomicUsize,
    answered: &AtomicUsize,
) -> TestResult {
    agent.wait("spans under load", |spans| spans.of("survivor", Kind::Server).len() > 50)?;
    agent.kill();
    wait::until(
        "the kernel to forget the killed agent's programs",
        Deadline::seconds(10),
        || {
            let left =
                programs.iter().map(|id| kernel::has_program(*id)).collect::<Result<Vec<_>, _>>();
            match left {
                Ok(left) => (!left.contains(&true)).then_some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        },
    )??;
    let new: Vec<_> = kernel::pinned().difference(pinned).cloned().collect();
    ensure!(new.is_empty(), "left pinned: {new:?}");
    let so_far = answered.load(Ordering::Relaxed);
    wait::until("the applications to go on", Deadline::seconds(10), || {
        (answered.load(Ordering::Relaxed) > so_far + 50).then_some(())
    })?;

    let next = Agent::start()?;
    era.store(1, Ordering::Relaxed);
    next.wait("spans of connections that outlived the agent", |spans| {
        let of_era = |service: &str| {
            spans.of(service, Kind::Server).only(|span| span.text("url.query") == "era=1").len()
        };
        of_era("survivor") > 50 && of_era("nginx") > 50
    })?;
    next.stop()?;
    Ok(())
}
