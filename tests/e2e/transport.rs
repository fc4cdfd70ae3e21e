//! What TCP tells beside a request: how long its connection took, and the segments that had to be sent again, against the
//! kernel's own count of them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use tests::agent::{Agent, Hooks, Setup};
use tests::namespace::{ADDRESSES, Hosts};
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::process;
use tests::programs::{Server, python};
use tests::runner::Suite;
use tests::tour::{self, TOUR};
use tests::tracefs::Trace;

use crate::programs::find;

/// Where the server listens; its namespace is fresh, so nobody else does.
const PORT: u16 = 8080;

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        suite.test(format!("transport::sent_again[{}]", hooks.word()), move || sent_again(hooks));
    }
}

/// Runs of which none may be one that says nothing.
const RUNS: usize = 4;

/// A kernel may be built to run no programs while a task of its machine's management is on the CPU, and segments are sent again by timers, on
/// top of whatever runs. Where the kernel's own trace says that this has happened, what was told says nothing, and is asked for once more.
fn sent_again(hooks: Hooks) -> TestResult {
    for _ in 0..RUNS {
        let seen = on_a_bad_cable(Setup::default().hooks(hooks))?;
        if seen.at_management == 0 {
            return seen.is_the_truth();
        }
        eprintln!("once more, because of the task that was on the CPU: {seen:?}");
    }
    bail!("{RUNS} times segments were sent again while the machine's management was on the CPU")
}

/// What was told of segments that were sent again, by the near end and the far one, and what the kernel counts.
#[derive(Debug)]
struct SentAgain {
    told: [i64; 2],
    unassigned: i64,
    counted: [i64; 2],
    /// How often a task of process 1 was on the CPU meanwhile.
    at_management: usize,
}

impl SentAgain {
    fn is_the_truth(&self) -> TestResult {
        let Self { told, unassigned, counted, .. } = self;
        ensure!(told[0] > 0 && told[1] > 0, "nothing was told to be sent again: {self:?}");
        ensure!(
            told[0] + told[1] + unassigned == counted[0] + counted[1],
            "not as many as the kernel has sent again: {self:?}"
        );
        Ok(())
    }
}

/// A cable that loses segments both ways, but none of those that make a connection.
fn on_a_bad_cable(setup: Setup) -> anyhow::Result<SentAgain> {
    let hosts = Hosts::start()?;
    for (host, port) in [(0, "--sport"), (1, "--dport")] {
        let rule = ["-A", "INPUT", "-p", "tcp", port, "8080", "-m", "length", "--length", "80:"];
        let lose = ["-m", "statistic", "--mode", "nth", "--every", "7", "--packet", "2"];
        hosts.run(host, "iptables", &[&rule[..], &lose[..], &["-j", "DROP"]].concat())?;
    }
    let trace = Trace::start("tcp/tcp_retransmit_skb");
    let agent = setup.start()?;
    let mut server = python::script("tour_server.py")?;
    server.args([ADDRESSES[1], &PORT.to_string()]);
    let _server = Server::on_port("far", PORT, &mut hosts.on(1, &server)?)?;
    let before = [kernels_count(&hosts, 0)?, kernels_count(&hosts, 1)?];
    let mut client = python::tour_client()?;
    client.args([ADDRESSES[1], &PORT.to_string()]).args(tour::arguments());
    let mut client = hosts.on(0, &client)?;
    let told = process::output(client.env("OTEL_SERVICE_NAME", "near"))?;
    ensure!(String::from_utf8(told)? == tour::lines(), "the client was not told the truth");

    let (spans, unassigned) = finish(agent)?;
    let counted = [kernels_count(&hosts, 0)? - before[0], kernels_count(&hosts, 1)? - before[1]];
    let told = [of(&spans, "near", Kind::Client), of(&spans, "far", Kind::Server)];
    ensure!(
        told[0] <= counted[0] && told[1] <= counted[1],
        "more than the kernel has sent again: {told:?}, {counted:?}"
    );
    let first = find(&spans, "near", Kind::Client, &TOUR[0])?;
    ensure!(
        first.int("spanwire.time_to_connect_ns").is_some_and(|took| took > 0),
        "how long did it take to connect? {first}"
    );
    let tasks = trace.map_or(Ok(Vec::new()), |trace| trace.tasks())?;
    let at_management = tasks.iter().filter(|task| is_management(**task)).count();
    Ok(SentAgain { told, unassigned, counted, at_management })
}

/// Whether it is a thread of process 1.
fn is_management(task: u32) -> bool {
    Path::new("/proc/1/task").join(task.to_string()).exists()
}

fn finish(agent: Agent) -> anyhow::Result<(Spans, i64)> {
    agent.wait("the spans of both ends", |spans| {
        spans.of("near", Kind::Client).len() >= TOUR.len()
            && spans.of("far", Kind::Server).len() >= TOUR.len()
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    let unassigned = stopped.counters.value("trace.retransmits_unassigned")?;
    Ok((stopped.spans, i64::try_from(unassigned)?))
}

fn of(spans: &Spans, service: &str, kind: Kind) -> i64 {
    spans.of(service, kind).0.iter().filter_map(|span| span.int("spanwire.retransmits")).sum()
}

/// `RetransSegs` of the namespace (RFC 4022, `tcpRetransSegs`).
fn kernels_count(hosts: &Hosts, host: usize) -> anyhow::Result<i64> {
    let told = process::output(&mut hosts.on(host, Command::new("cat").arg("/proc/net/snmp"))?)?;
    let told = String::from_utf8(told)?;
    let mut tcp = told.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, numbers) = tcp.next().zip(tcp.next()).context("no counters of TCP")?;
    let at = names.split(' ').position(|name| name == "RetransSegs").context("no RetransSegs")?;
    Ok(numbers.split(' ').nth(at).context("too few numbers")?.parse()?)
}
