//! Parents where another thread than the one that serves makes the call: each call's parent is the request that it was made for, or it
//! has none. Whose each call is stands in its path.

use std::process::Command;

use anyhow::ensure;
use tests::agent::{self, Agent, Setup, Stopped};
use tests::otlp::{Kind, Spans};
use tests::outcome::{TestResult, skip};
use tests::peer::Connection;
use tests::process;
use tests::programs::Server;
use tests::programs::goroutines::{Load, downstream};
use tests::programs::python::pools;
use tests::runner::{Place, Suite};
use tests::vm;
use tests::wait::{self, Deadline};

use crate::goroutines::IN_VM;
use crate::goroutines::truth::{self, REQUESTS, SERVICE, Truth, Way, collect, way};

/// A call of the serving thread's own, one in a pool, and one of its own again.
const BETWEEN: Way = way("between", 3, 999);

/// Ways in which a call's request is known.
const KNOWN: [Way; 8] = [
    way("one", 1, 999),
    way("fanout", 3, 999),
    way("mapped", 3, 999),
    way("fresh", 3, 999),
    way("nested", 1, 999),
    BETWEEN,
    way("queued", 1, 999),
    way("signalled", 1, 999),
];

/// Ways in which it is not, or only sometimes: what counts is that it is not another's.
const TRAPS: [Way; 4] =
    [way("late", 1, 0), way("lazy", 1, 0), way("handmade", 1, 0), way("drained", 1, 0)];

/// Interpreters beside the installed one, where there are such: what is looked at in them differs.
const OTHERS: [&str; 6] =
    ["python3.8", "python3.9", "python3.10", "python3.12", "python3.13", "python3.14"];

pub(crate) fn add(suite: &mut Suite) {
    for concurrency in [1, 8, 32] {
        for (name, ways) in [("known", &KNOWN[..]), ("traps", &TRAPS[..])] {
            suite.at(
                Place::Here,
                format!("pools::{name}[{concurrency} at once]"),
                180,
                move || score("python3", ways, concurrency),
            );
        }
    }
    for other in OTHERS {
        suite.at(Place::Here, format!("pools::interpreters[{other}]"), 120, move || {
            let version = process::output(Command::new(other).arg("--version"));
            if version.is_err() {
                return Err(skip(format!("there is no {other}")));
            }
            score(other, &KNOWN, 8)
        });
    }
    suite.at(Place::InVm, "pools::on_this_kernel", 60, on_this_kernel);
    suite.test("pools::rule_is_switched_off_by_name", rule_off);
    suite.at(Place::Here, "pools::answers_are_the_same", 120, answers_are_the_same);
    suite.at(Place::Here, "pools::whoever_uses_a_queue_much_is_left_alone", 120, left_alone);
    suite.at(Place::Here, "pools::what_was_known_before_is_not_used", 120, known_before);
    suite.at(Place::Here, "pools::what_does_not_fit_is_counted", 120, hoarded);
}

/// How its probes stand in that server's process, as a debug line tells of the last of them.
fn standing(server: &Server, words: &str) -> String {
    format!("process {}: python_got is {words}", server.program.pid())
}

const IN: &str = "in";
const OUT: &str = "out while its queues are used much";

/// An agent whose probes are in these servers, as after the first call of each that needs them.
fn watching(setup: Setup, servers: &[&Server]) -> anyhow::Result<Agent> {
    let mut agent = setup.environment("OTEL_LOG_LEVEL", "debug").start()?;
    for server in servers {
        let line = format!("process {} runs Python", server.program.pid());
        agent.wait_line(&line, vm::deadline(10))?;
        Load { way: "one", concurrency: 1, count: 1, first: 19_999 }.send(server)?;
        let line = format!("process {}: its pools are followed", server.program.pid());
        agent.wait_line(&line, vm::deadline(10))?;
    }
    Ok(agent)
}

/// Scores ways of a server with so many requests at once, and no limit: many requests must not find their parents missing, either.
fn score(python: &str, ways: &[Way], concurrency: usize) -> TestResult {
    let called = downstream("called")?;
    let server = pools(python, SERVICE, called.port())?;
    let unlimited = Setup::default().environment("SPANWIRE_RULES_UNLIMITED", "python-pool");
    let agent = watching(unlimited, &[&server])?;
    truth::score(agent, ways, |way, first| {
        Load { way, concurrency, count: REQUESTS, first }.send(&server)
    })
}

/// Its probes, each for one process, go into that process on each kernel, and are met there.
fn on_this_kernel() -> TestResult {
    let called = downstream("called")?;
    let server = pools("python3", SERVICE, called.port())?;
    let agent = watching(Setup::default(), &[&server])?;
    truth::score_of(agent, &[way("one", 1, 900), way("between", 3, 900)], IN_VM, |way, first| {
        Load { way, concurrency: 2, count: IN_VM, first }.send(&server)
    })
}

fn rule_off() -> TestResult {
    let called = downstream("called")?;
    let server = pools("python3", SERVICE, called.port())?;
    let agent = Setup::default().environment("SPANWIRE_RULES_OFF", "python-pool").start()?;
    Load { way: "between", concurrency: 4, count: REQUESTS, first: 0 }.send(&server)?;
    let spans = collect(agent, 3 * REQUESTS)?;
    let row = Truth::of(&spans).row(&BETWEEN, 0);
    // The first and the last of the three are the serving thread's own.
    ensure!(row.exact == 2 * REQUESTS && row.absent == REQUESTS && row.wrong == 0, "{row}");
    Ok(())
}

fn ask(server: &Server, way: &str, number: usize) -> anyhow::Result<Vec<u8>> {
    let answer = Connection::open(&server.target)?.get(&format!("/{way}/{number}"))?;
    ensure!(answer.status == 200, "/{way}/{number}: {answer:?}");
    Ok(answer.body)
}

/// What the program was told by whom it called, by eight clients at once.
fn answers(server: &Server) -> anyhow::Result<Vec<(usize, Vec<u8>)>> {
    let ways = || KNOWN.iter().chain(&TRAPS).map(|way| way.name);
    let client = |client: usize| -> anyhow::Result<Vec<(usize, Vec<u8>)>> {
        let numbers = (0..10).flat_map(|_| ways()).enumerate();
        numbers
            .map(|(at, way)| (1000 * client + at, way))
            .map(|(number, way)| Ok((number, ask(server, way, number)?)))
            .collect()
    };
    let told: Result<Vec<_>, _> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|at| scope.spawn(move || client(at))).collect();
        clients.into_iter().map(|client| client.join().expect("it does not panic")).collect()
    });
    Ok(told?.concat())
}

/// With its probes in a program, as without an agent.
fn answers_are_the_same() -> TestResult {
    let called = downstream("called")?;
    let server = pools("python3", SERVICE, called.port())?;
    let without = answers(&server)?;
    let agent = watching(Setup::default(), &[&server])?;
    let with = answers(&server)?;
    ensure!(with == without, "with the agent {with:?}, without {without:?}");
    let calls = with.iter().filter(|(_, told)| told.starts_with(b"200 ok")).count();
    ensure!(calls > with.len() / 2, "most have called: {with:?}");
    agent.stop()?.counters.nothing_lost()
}

/// How often a server uses its queue while it does nothing else, in a tenth of a second: the best of a few, because a look of the agent at
/// whether that is still so may come in between.
fn pace(server: &Server) -> anyhow::Result<u64> {
    let mut best = 0;
    for _ in 0..5 {
        best = best.max(String::from_utf8(ask(server, "churn", 100)?)?.parse()?);
    }
    Ok(best)
}

/// Has the server use its queue until the probes are out.
fn drive_out(agent: &Agent, server: &Server) -> TestResult {
    let before = told(agent, server, OUT);
    let deadline = Deadline::seconds(20);
    while told(agent, server, OUT) == before {
        ensure!(!deadline.is_past(), "its probes are still in");
        ask(server, "churn", 100)?;
    }
    Ok(())
}

/// How often it was told that its probes stand so.
fn told(agent: &Agent, server: &Server, words: &str) -> usize {
    let line = standing(server, words);
    agent.lines().iter().filter(|told| told.ends_with(&line)).count()
}

/// Requests that come one after the other.
const FEW: usize = 50;

/// Has a server answer a few.
fn few(server: &Server, first: usize) -> TestResult {
    (first..first + FEW).try_for_each(|number| ask(server, BETWEEN.name, number).map(|_| ()))
}

/// Two programs of the same interpreter: one uses a queue as often as it can. It is as fast as without an agent, calls of its pool have no
/// parent and say why; the other one's have theirs all the time; and its own have again when it has been calm.
fn left_alone() -> TestResult {
    let called = downstream("called")?;
    let [busy, modest] = [(); 2].map(|()| pools("python3", SERVICE, called.port()));
    let (busy, modest) = (busy?, modest?);
    let without = pace(&busy)?;
    let agent = watching(Setup::default(), &[&busy, &modest])?;

    drive_out(&agent, &busy)?;
    let with = pace(&busy)?;
    ensure!(with > without / 2, "{with} uses in a tenth of a second, {without} without the agent");
    let row = format!("{SERVICE}[{}] python-pool, {OUT}", busy.program.pid());
    let shown = || {
        ask(&busy, "churn", 100).ok()?;
        let live = Command::new(agent::binary().ok()?).args(["doctor", "--live"]).output().ok()?;
        String::from_utf8_lossy(&live.stdout).contains(&row).then_some(())
    };
    wait::until("what doctor --live says of its probes", Deadline::seconds(20), shown)?;
    // A moment ago it was busy, so its probes are not back before this is over.
    drive_out(&agent, &busy)?;
    few(&busy, 0)?;
    few(&modest, 1000)?;

    let back = told(&agent, &busy, IN);
    let calm = || (told(&agent, &busy, IN) > back).then_some(());
    wait::until("its probes to be back", Deadline::seconds(70), calm)?;
    few(&busy, 2000)?;
    ensure!(told(&agent, &modest, OUT) == 0, "the other one's were out");

    let stopped = stop(agent, 9 * FEW)?;
    let truth = Truth::of(&stopped.spans);
    let row = |first| truth.row_of(&BETWEEN, first, FEW);
    let (out, other, again) = (row(0), row(1000), row(2000));
    ensure!(out.exact == 2 * FEW && out.absent == FEW && out.wrong == 0, "while busy: {out}");
    ensure!(other.exact == 3 * FEW, "the other one: {other}");
    ensure!(again.exact == 3 * FEW, "when it is calm: {again}");
    let why = format!("without_parent.{SERVICE}[{}] queue_unwatched", busy.program.pid());
    ensure!(stopped.counters.value(&why)? >= FEW as u64, "{:?}", stopped.counters);
    Ok(())
}

/// A thread works for a request, and while the probes are out it ends that and takes up another one's work: when they are back and the first
/// request is still open, it is not taken for that one's.
fn known_before() -> TestResult {
    let called = downstream("called")?;
    let server = pools("python3", SERVICE, called.port())?;
    let agent = watching(Setup::default(), &[&server])?;
    std::thread::scope(|scope| -> TestResult {
        let server = &server;
        let asks = |way, number| scope.spawn(move || ask(server, way, number));
        let first = asks("opened", 1);
        ask(server, "awaits", 0)?;
        drive_out(&agent, server)?;
        ask(server, "rests", 0)?;
        let second = asks("across", 2);
        let back = told(&agent, server, IN);
        let calm = || (told(&agent, server, IN) > back).then_some(());
        wait::until("its probes to be back", Deadline::seconds(70), calm)?;
        ask(server, "goes", 3)?;
        second.join().expect("it does not panic")?;
        // The thread has asked for more by now: what it did has ended while the first is open.
        ask(server, "one", 4)?;
        ask(server, "closes", 5)?;
        first.join().expect("it does not panic")?;
        Ok(())
    })?;
    let stopped = stop(agent, 4)?;
    let truth = Truth::of(&stopped.spans);
    let [first, second, third] = [1, 2, 4].map(|number| truth.row_of(&way("", 1, 0), number, 1));
    // That the first work ended nobody saw.
    ensure!(first.wrong == 0 && third.exact == 1, "{first}, {third}");
    ensure!(second.absent == 1, "what it did meanwhile: {second}\n{}", stopped.spans);
    Ok(())
}

/// As much queued work as is remembered.
const ITEMS: usize = 16_384;

/// More work than is remembered: what does not fit is counted, and has no parent. What is left of a process goes with it.
fn hoarded() -> TestResult {
    let called = downstream("called")?;
    let [hoards, other] = [(); 2].map(|()| pools("python3", SERVICE, called.port()));
    let (hoards, other) = (hoards?, other?);
    let mut agent = watching(Setup::default(), &[&hoards, &other])?;
    let told = ask(&hoards, "hoard", ITEMS + FEW)?;
    ensure!(told == (ITEMS + FEW).to_string().as_bytes(), "{}", String::from_utf8_lossy(&told));
    few(&other, 0)?;
    let pid = hoards.program.pid();
    drop(hoards);
    agent.wait_line(&format!("process {pid} is forgotten"), Deadline::seconds(20))?;
    few(&other, 1000)?;

    let stopped = stop(agent, 6 * FEW)?;
    let truth = Truth::of(&stopped.spans);
    let (full, empty) = (truth.row_of(&BETWEEN, 0, FEW), truth.row_of(&BETWEEN, 1000, FEW));
    ensure!(full.exact == 2 * FEW && full.absent == FEW, "while there is no room: {full}");
    ensure!(empty.exact == 3 * FEW, "when there is again: {empty}");
    let lost = stopped.counters.value("kernel.pool_items_full")?;
    ensure!(lost >= 2 * FEW as u64, "{lost} are counted");
    Ok(())
}

/// What an agent has seen once it has all of these calls.
fn stop(agent: Agent, calls: usize) -> anyhow::Result<Stopped> {
    let enough = |spans: &Spans| spans.of(SERVICE, Kind::Client).len() >= calls;
    agent.wait("the spans of all calls", enough)?;
    agent.stop()
}
