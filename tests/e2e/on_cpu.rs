//! How long a thread was on a CPU for a request: as the thread itself has measured it; and no word of it where a thread
//! serves several at once.

use anyhow::{Context as _, ensure};
use tests::agent::{Hooks, Setup};
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::peer::Connection;
use tests::programs::python;
use tests::runner::Suite;
use tests::vm;

const ATTRIBUTE: &str = "spanwire.thread.cpu_time_ns";

/// The scheduler's longest tick, ns: what may be missing where a clock jumps.
const TICK: i64 = 10_000_000;
/// What the agent sees and the program does not, ns: from the end of the read and to the end of the write.
const AROUND: i64 = 2_000_000;

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        suite.at(
            hooks.place(),
            format!("on_cpu::is_what_the_thread_says[{}]", hooks.word()),
            60,
            move || as_measured(hooks),
        );
    }
    suite.test("on_cpu::is_not_told_of_loops", loops);
}

fn as_measured(hooks: Hooks) -> TestResult {
    let agent = Setup::default().hooks(hooks).start()?;
    let server = python::works("works")?;
    let mut connection = Connection::open(&server.target)?;
    // An interpreter finds its modules at the first request, before and behind what the program measures.
    ensure!(connection.get("/0/0")?.status == 200);
    let mut told = Vec::new();
    // More and less than a tick, of work and of waiting.
    for path in ["/0/0", "/1/0", "/30/0", "/0/30", "/3/5", "/20/20"].repeat(4) {
        let answer = connection.get(path)?;
        ensure!(answer.status == 200);
        told.push((path, String::from_utf8(answer.body)?.parse::<i64>()?));
    }
    let spans = agent.wait("the spans", |spans| spans.of("works", Kind::Server).len() >= 25)?;
    let mut served = spans.of("works", Kind::Server);
    served.0.sort_by_key(|span| span.start);
    served.0.remove(0);
    let around = AROUND * if vm::is_here() { i64::from(vm::SLOWER) } else { 1 };
    let mut wrong = Vec::new();
    let mut taken_away = 0;
    for (span, (path, told)) in served.0.iter().zip(told) {
        ensure!(span.path() == path, "another request: {span}");
        let seen = span.int(ATTRIBUTE).with_context(|| format!("not told: {span}"))?;
        let range = told - TICK..=told + TICK + around;
        if vm::is_here() && !range.contains(&seen) {
            // The host took an emulated CPU away, which the thread cannot tell from its own work: now and then.
            taken_away += 1;
            continue;
        }
        ensure!(range.contains(&seen), "{seen} ns, not {told}: {span}");
        wrong.push((seen - told).abs());
    }
    ensure!(taken_away <= 4, "{taken_away} of 24 are not as measured");
    wrong.sort_unstable();
    // Most are exact, whatever the length of a tick.
    let median = wrong[wrong.len() / 2];
    ensure!(median < around, "half of them differ by more than {median} ns: {wrong:?}");
    println!("differ by, ns: {wrong:?}");
    agent.stop()?.counters.nothing_lost()
}

/// One thread that serves all requests, and a client.
fn loops() -> TestResult {
    let agent = Setup::default().start()?;
    let last = python::chain("last", None)?;
    let server = python::chain_asyncio("loop", last.port())?;
    ensure!(Connection::open(&server.target)?.get("/x")?.status == 200);
    let spans = agent.wait("the spans", |spans| {
        spans.of("loop", Kind::Server).len() == 1 && spans.of("last", Kind::Server).len() == 1
    })?;
    for span in &spans.0 {
        let knows = span.service == "last" && span.kind == Kind::Server;
        ensure!(span.int(ATTRIBUTE).is_some() == knows, "{span}");
    }
    agent.stop()?.counters.nothing_lost()
}
