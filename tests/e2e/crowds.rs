//! Hosts with much on them: many processes and connections at once, and processes that come and go.
//!
//! Nothing is lost or mixed up, and what is gone leaves nothing behind in the agent.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::agent::Agent;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::peer::Connection;
use tests::process;
use tests::programs::{Server, go, installed};
use tests::runner::Suite;
use tests::wait;

/// Processes of the crowd, and connections to each: 2,000 at once, each with its two ends on this host.
const PROCESSES: usize = 200;
const CONNECTIONS: usize = 10;

/// Short-lived processes: 500 a minute for 3 minutes in the paced form, else some hundred without a pause.
const SHORT_LIVED: usize = 1500;
const HURRIED: usize = 600;
const EACH: Duration = Duration::from_millis(120);

/// Growth that is none, KiB: what the allocator keeps, and of each process what it was for half a minute, and its requests
/// for five, for children that may come late. (That in the end nothing is kept, `trace::scenarios` show.)
const FLAT_KIB: u64 = 2 * 1024;
const EACH_KIB: u64 = 4;

const OURSELVES: &str = "e2e";

pub(crate) fn add(suite: &mut Suite) {
    suite.slow("crowds::two_hundred_processes_with_two_thousand_connections", 120, crowd);
    suite.slow("crowds::short_lived_processes_leave_nothing_behind", 300, short_lived);
}

fn crowd() -> TestResult {
    let files =
        Rlimit { current: getrlimit(Resource::Nofile).maximum, ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, files)?;
    let agent = Agent::start()?;
    let servers: Vec<Server> = (0..PROCESSES)
        .map(|number| go::tour_server(&format!("crowd-{number}")))
        .collect::<anyhow::Result<_>>()?;
    let mut connections = Vec::new();
    for server in &servers {
        for _ in 0..CONNECTIONS {
            connections.push((server, Connection::open(&server.target)?));
        }
    }
    // All are open before the first is used, and stay so until the second round is over.
    let mut asked = 0;
    for _ in 0..2 {
        for (_, connection) in &mut connections {
            ensure!(connection.get(&format!("/hello?n={asked}"))?.body == b"hello\n");
            asked += 1;
        }
    }
    agent.wait("all spans", |spans| {
        let ours = spans.of(OURSELVES, Kind::Client).len();
        spans.len() >= 2 * asked && ours >= asked
    })?;
    println!("the agent has {} KiB", resident(agent.pid())?);
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    let by_number = |kind: Kind, key: &str| {
        let mut found: BTreeMap<usize, Vec<&Span>> = BTreeMap::new();
        for span in stopped.spans.0.iter().filter(|span| span.kind == kind) {
            let number = span.text(key).rsplit("n=").next().and_then(|number| number.parse().ok());
            if let Some(number) = number {
                found.entry(number).or_default().push(span);
            }
        }
        found
    };
    let (clients, served) =
        (by_number(Kind::Client, "url.full"), by_number(Kind::Server, "url.query"));
    ensure!(
        clients.len() == asked && served.len() == asked,
        "{} and {}",
        clients.len(),
        served.len()
    );
    for number in 0..asked {
        let server = connections[number % connections.len()].0;
        let (Some([client]), Some([serving])) =
            (clients.get(&number).map(Vec::as_slice), served.get(&number).map(Vec::as_slice))
        else {
            anyhow::bail!("request {number} has not one span at each end");
        };
        ensure!(serving.service == server.service, "not {}: {serving}", server.service);
        ensure!(serving.int("server.port") == Some(i64::from(server.port())), "{serving}");
        ensure!(serving.parent == client.span_id, "{client}\n{serving}");
    }
    Ok(())
}

fn short_lived() -> TestResult {
    let server = go::tour_server("asked")?;
    let curl = installed("curl")?;
    let agent = Agent::start()?;
    let paced = crate::is_paced();
    let processes = if paced { SHORT_LIVED } else { HURRIED };
    let mut before = None;
    for number in 0..processes {
        let mut curl = Command::new(&curl);
        curl.env_remove("OTEL_SERVICE_NAME").args(["--silent", "--fail"]);
        curl.arg(format!("http://127.0.0.1:{}/hello?n={number}", server.port()));
        ensure!(process::output(&mut curl)? == b"hello\n");
        if paced {
            wait::pace(EACH);
        }
        // The first third is for what is built up once.
        if number == processes / 3 {
            before = Some(holds(agent.pid())?);
        }
    }
    let before = before.context("too few processes")?;
    let port = i64::from(server.port());
    let of_port = |spans: &Spans, kind: Kind| {
        spans.only(|span| span.kind == kind && span.int("server.port") == Some(port))
    };
    agent.wait("all spans", |spans| {
        [Kind::Client, Kind::Server].iter().all(|kind| of_port(spans, *kind).len() >= processes)
    })?;
    let after = holds(agent.pid())?;
    let flat = FLAT_KIB + EACH_KIB * u64::try_from(processes - processes / 3)?;
    println!("KiB and descriptors of each process, first and last: {before:?}, {after:?}");
    ensure!(before.len() == after.len(), "the agent has other processes: {before:?}, {after:?}");
    for (pid, (resident, descriptors)) in &after {
        let (was, had) = before.get(pid).with_context(|| format!("{pid} is new"))?;
        ensure!(*descriptors <= had + 2, "{had} descriptors have become {descriptors}");
        ensure!(*resident <= was + flat, "{was} KiB have become {resident}");
    }
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    let spans = of_port(&stopped.spans, Kind::Client);
    ensure!(spans.len() == processes, "{} of {processes} processes have a span", spans.len());
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for span in &spans.0 {
        *names.entry(&span.service).or_default() += 1;
    }
    ensure!(names.keys().eq(&["curl"]), "they are called {names:?}");
    Ok(())
}

/// Memory (KiB) and open files of the agent's process and its children.
fn holds(agent: u32) -> anyhow::Result<BTreeMap<u32, (u64, usize)>> {
    let children = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children"))?;
    let pids = children.split_whitespace().map(str::parse).chain([Ok(agent)]);
    pids.map(|pid| {
        let pid = pid?;
        Ok((pid, (resident(pid)?, std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())))
    })
    .collect()
}

/// Memory in use, KiB.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
