//! Full speed and sudden death: nothing is lost while there is room, every loss is counted when there is none, and
//! nobody notices that the agent is killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::ensure;
use tests::agent::{Agent, Hooks, Setup};
use tests::kernel;
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::peer::{Connection, Target};
use tests::programs::{nginx, python};
use tests::runner::Suite;
use tests::wait::{self, Deadline};

/// Requests of a load test.
const REQUESTS: usize = 10_000;

/// Clients at once.
const CLIENTS: usize = 8;

/// Name of this process: the client.
const OURSELVES: &str = "e2e";

pub(crate) fn add(suite: &mut Suite) {
    for hooks in Hooks::each() {
        suite.test(format!("load::ten_thousand_requests[{}]", hooks.word()), move || {
            ten_thousand(Setup::default().hooks(hooks))
        });
    }
    suite.test("load::tiny_ring_counts_its_losses", tiny_ring);
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
    for (service, kind) in [("nginx", Kind::Server), (OURSELVES, Kind::Client)] {
        let paths = each_once(&stopped.spans, service, kind)?;
        ensure!(paths == REQUESTS, "{paths} of {REQUESTS} requests at {service}");
    }
    Ok(())
}

/// What does not fit is lost, and said to be lost: as many spans as requests, or losses in the counters.
fn tiny_ring() -> TestResult {
    let agent = Setup::default().argument("--data-ring").argument("32768").start()?;
    let front = nginx::start(None)?;
    full_speed(&front.server.target)?;
    // How many spans will come is not known. The last to come are those of a request made when all is quiet; one made
    // while the ring is still full may itself be lost, so another follows until one is seen.
    let ask = || -> anyhow::Result<bool> {
        Connection::open(&front.server.target)?.get("/after")?;
        Ok(!agent.receiver().spans()?.of("nginx", Kind::Server).at("/after").is_empty())
    };
    wait::until("the last span", Deadline::seconds(15), || match ask() {
        Ok(seen) => seen.then_some(Ok(())),
        Err(error) => Some(Err(error)),
    })??;
    let stopped = agent.stop()?;
    let lost = stopped.counters.value("kernel.data_ring_full")?;
    let mut missing = 0;
    for (service, kind) in [("nginx", Kind::Server), (OURSELVES, Kind::Client)] {
        let seen = each_once(&stopped.spans, service, kind)?;
        missing += REQUESTS - seen;
        println!("{service}: {seen} of {REQUESTS} requests seen, {lost} calls lost");
    }
    ensure!(lost > 0, "the ring was not tiny enough: nothing was lost");
    // A request takes two calls at each end, one that moves the request and one (or, where head and body go apart,
    // more) that moves the answer: no end can be missing without a lost call of its own.
    ensure!(missing as u64 <= lost, "{missing} ends are missing, but only {lost} calls were lost");
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
