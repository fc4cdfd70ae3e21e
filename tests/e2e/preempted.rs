//! More threads than CPUs, none of which waits: the kernel takes them off their CPU wherever they are. Where that was in one of our
//! probes, kernels since 7.0 pass over it for all other threads: the second probe must see their calls, and what neither sees must be counted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, bail, ensure};
use tests::agent::{Hooks, Setup};
use tests::otlp::Kind;
use tests::outcome::{TestResult, note};
use tests::runner::Suite;
use tests::vm;

/// Both ends of all connections are in this process.
const OURSELVES: &str = "e2e";
/// Connections, with a thread at each end.
const CONNECTIONS: usize = 4;
/// Requests on each, of which `AHEAD` are sent before the first answer is read.
const REQUESTS: usize = 320;
const AHEAD: usize = 16;
/// What a thread reckons before each call, so that its time is up before it has to wait: rounds, at least, and up to twice as many. Not
/// always the same: where time goes by instructions, it would be up at the same few of them again and again.
const RECKONED: u64 = 10_000;
/// How often all of this is tried until a probe was in the way: whether one is, is chance.
const TRIES: usize = 4;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) fn add(suite: &mut Suite) {
    // Elsewhere tracepoints are not preempted.
    if Hooks::each().contains(&Hooks::Locked) {
        suite.at(
            Hooks::Locked.place(),
            "preempted::calls_are_seen_or_counted",
            60,
            calls_are_seen_or_counted,
        );
    }
}

fn calls_are_seen_or_counted() -> TestResult {
    if !vm::passes_over_probes() {
        let second = seen_second()?;
        ensure!(second == 0, "{second} calls seen by the second probe");
        return Ok(());
    }
    for _ in 0..TRIES {
        if seen_second()? > 0 {
            return Ok(());
        }
    }
    bail!("no call was seen by the second probe")
}

/// Has all threads speak, and sees that every call was seen or counted; how many the second probe saw.
fn seen_second() -> anyhow::Result<u64> {
    let agent = Setup::default().hooks(Hooks::Locked).start()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let stream = TcpStream::connect(address)?;
            Ok(thread::spawn(move || asks(&stream, number)))
        })
        .collect::<anyhow::Result<_>>()?;
    let servers: Vec<_> = (0..CONNECTIONS)
        .map(|_| Ok(listener.accept().map(|(stream, _)| thread::spawn(move || serves(&stream)))?))
        .collect::<anyhow::Result<_>>()?;
    for end in clients.into_iter().chain(servers) {
        end.join().ok().context("a thread ended")??;
    }
    let all = CONNECTIONS * REQUESTS;
    if !vm::passes_over_probes() {
        agent.wait("all spans", |spans| spans.len() >= 2 * all)?;
    }
    let stopped = agent.stop()?;
    let misses = stopped.counters.value("kernel.recursion_misses")?;
    let second = stopped.counters.value("kernel.calls_seen_second")?;
    note(format!("{second} calls seen by the second probe, {misses} by none"));
    stopped.counters.nothing_lost()?;
    for kind in [Kind::Client, Kind::Server] {
        let spans = stopped.spans.of(OURSELVES, kind);
        ensure!(misses > 0 || spans.len() == all, "{} {kind:?} spans of {all}", spans.len());
        for span in &spans.0 {
            let status = span.int("http.response.status_code");
            ensure!(status == Some(200) || misses > 0, "{span}");
        }
    }
    Ok(second)
}

fn asks(stream: &TcpStream, number: usize) -> TestResult {
    let mut answers = BufReader::new(stream);
    let mut line = String::new();
    let mut reckons = Reckons(number as u64);
    for round in 0..REQUESTS / AHEAD {
        for n in 0..AHEAD {
            reckons.some();
            let request = format!("GET /{number}/{round}/{n} HTTP/1.1\r\nHost: preempted\r\n\r\n");
            (&mut &*stream).write_all(request.as_bytes())?;
        }
        let mut answer = vec![0; AHEAD * ANSWER.len()];
        std::io::Read::read_exact(&mut answers, &mut answer)?;
        ensure!(answer == ANSWER.repeat(AHEAD), "other bytes");
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    ensure!(answers.read_line(&mut line)? == 0, "more than was asked for");
    Ok(())
}

fn serves(stream: &TcpStream) -> TestResult {
    let mut requests = BufReader::new(stream);
    let mut line = String::new();
    let mut reckons = Reckons(CONNECTIONS as u64 + u64::from(stream.peer_addr()?.port()));
    while requests.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            reckons.some();
            (&mut &*stream).write_all(ANSWER)?;
        }
        line.clear();
    }
    Ok(())
}

/// A thread that reckons; with what its next number follows from.
struct Reckons(u64);

impl Reckons {
    fn some(&mut self) {
        // Knuth's MMIX generator: its high bits are well spread.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let rounds = RECKONED + (self.0 >> 33) % RECKONED;
        let sum = (0..rounds).fold(0_u64, |sum, n| std::hint::black_box(sum ^ n));
        std::hint::black_box(sum);
    }
}
