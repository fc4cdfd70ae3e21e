//! Random socket calls against the truth: whatever forms of calls move the bytes, a span says what was said or is
//! honestly missing, and nothing that was not said becomes a span.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value as Json;
use tests::agent::{Counters, Hooks, Setup};
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::{TestResult, skip};
use tests::peer::{Script, Scripted};
use tests::process;
use tests::programs::socket_calls;
use tests::runner::{Place, Suite};
use tests::vm;
use tests::wait::{self, Deadline};

/// Seeds for each set of hooks.
const SEEDS: u64 = 500;

/// The same where the CPU is emulated: every form of call comes in them.
const SEEDS_IN_VM: u64 = 60;

/// Seeds whose answers, requests or ghosts have been wrong before.
const ONCE_WRONG: [u64; 14] =
    [2482, 3734, 6395, 6413, 8667, 8850, 9086, 9106, 10305, 10461, 10529, 23975, 24523, 25099];

/// How a difference begins that is a span of something that was in a body.
const GHOST: &str = "a ghost";

/// Differences that are told in full.
const TOLD: usize = 40;

pub(crate) fn add(suite: &mut Suite) {
    for (first, &hooks) in (0..).step_by(1000).zip(Hooks::each()) {
        suite.at(
            Place::Everywhere,
            format!("socket_calls::random_seeds[{}]", hooks.word()),
            120,
            move || random_seeds(hooks, &[seeds(first)]),
        );
    }
    for &hooks in Hooks::each() {
        suite.test(format!("socket_calls::seeds_that_were_wrong[{}]", hooks.word()), move || {
            random_seeds(hooks, &ONCE_WRONG.map(|seed| seed..seed + 1))
        });
    }
    for &hooks in Hooks::each() {
        suite.test(
            format!("socket_calls::received_inside_another_call[{}]", hooks.word()),
            move || inside_another_call(hooks),
        );
    }
    for &hooks in Hooks::each() {
        suite.test(format!("socket_calls::thrown_away_unread[{}]", hooks.word()), move || {
            thrown_away(hooks)
        });
    }
    for &hooks in Hooks::each() {
        suite.test(format!("socket_calls::packets_are_no_stream[{}]", hooks.word()), move || {
            packets(hooks)
        });
    }
    suite.test("socket_calls::truth_is_told_without_an_agent", || {
        let truth = truth(0..20)?;
        ensure!(truth.len() == 20 && truth.iter().all(|seed| !seed.exchanges.is_empty()));
        Ok(())
    });
}

/// A receive by `io_uring` completes inside a read of something else: its buffer is not taken for what was received.
fn inside_another_call(hooks: Hooks) -> TestResult {
    let agent = Setup::default().hooks(hooks).start()?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let server = Scripted::start(vec![Script::Heads(1), Script::say(answer), Script::Drain])?;
    let mut program = Command::new(socket_calls::io_uring()?);
    program.env("OTEL_SERVICE_NAME", "uring").arg(server.port().to_string());
    let ended = program.output()?;
    if ended.status.code() == Some(77) {
        return Err(skip("this kernel has no io_uring for us"));
    }
    ensure!(
        ended.status.success(),
        "{:?}: {}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    let spans = agent.wait("the server's span", |spans| {
        spans.0.iter().any(|span| span.path() == "/uring" && span.kind == Kind::Server)
    });
    let stopped = agent.stop()?;
    spans?;
    for span in &stopped.spans.0 {
        let status = span.int("http.response.status_code");
        ensure!(status != Some(500), "an answer that was never sent: {span}");
    }
    Ok(())
}

/// A receive with `MSG_TRUNC` throws the answer away; what its buffer held before is not taken for it.
fn thrown_away(hooks: Hooks) -> TestResult {
    use std::io::{Read as _, Write as _};
    let agent = Setup::default().hooks(hooks).start()?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let server = Scripted::start(vec![Script::Heads(1), Script::say(answer)])?;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.write_all(b"GET /thrown HTTP/1.1\r\nHost: away\r\n\r\n")?;
    let mut buffer = b"HTTP/1.1 500 Ghost\r\nContent-Length: 0\r\n\r\n ".to_vec();
    let flags = rustix::net::RecvFlags::TRUNC;
    let (_, moved) = rustix::net::recv(&stream, &mut buffer, flags)?;
    ensure!(moved == answer.len() && buffer.starts_with(b"HTTP/1.1 500"), "{moved}");
    ensure!(stream.read(&mut buffer)? == 0);
    drop(stream);
    let spans = agent.wait("both spans", |spans| spans.at("/thrown").len() == 2);
    let stopped = agent.stop()?;
    spans?;
    for span in &stopped.spans.at("/thrown").0 {
        let status = span.int("http.response.status_code");
        ensure!(status != Some(500), "an answer that was never sent: {span}");
    }
    Ok(())
}

/// What is sent as a raw packet of TCP is no request, whatever it begins with.
fn packets(hooks: Hooks) -> TestResult {
    use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

    use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
    let agent = Setup::default().hooks(hooks).start()?;
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP))?;
    let packet = b"GET /packet HTTP/1.1\r\nHost: raw\r\n\r\n";
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    ensure!(sendto(&raw, packet, SendFlags::empty(), &to)? == packet.len());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let server = Scripted::start(vec![Script::Heads(1), Script::say(answer)])?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    std::io::Write::write_all(&mut stream, b"GET /stream HTTP/1.1\r\nHost: tcp\r\n\r\n")?;
    ensure!(std::io::read_to_string(&stream)? == answer);
    drop((stream, raw));
    let spans = agent.wait("both spans", |spans| spans.at("/stream").len() == 2);
    let stopped = agent.stop()?;
    spans?;
    let packets = stopped.spans.at("/packet");
    ensure!(packets.is_empty(), "a packet is told of as a request: {packets}");
    Ok(())
}

/// The seeds of a run. `SPANWIRE_SEEDS=FIRST..END` runs others: one that failed, or many more.
fn seeds(first: u64) -> std::ops::Range<u64> {
    let given = std::env::var("SPANWIRE_SEEDS").ok();
    let parsed = given
        .as_deref()
        .and_then(|text| text.split_once(".."))
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let count = if vm::is_here() { SEEDS_IN_VM } else { SEEDS };
    parsed.unwrap_or(first..first + count)
}

fn random_seeds(hooks: Hooks, seeds: &[std::ops::Range<u64>]) -> TestResult {
    let agent = Setup::default().hooks(hooks).start()?;
    let mut truth = Vec::new();
    for range in seeds {
        truth.extend(self::truth(range.clone())?);
    }
    let mut required = 0;
    let mut all = 0;
    for seed in &truth {
        for side in [Side::Client, Side::Server] {
            required += seed.certain(side).into_iter().filter(|seen| *seen == Seen::Whole).count();
            all += seed.exchanges.len();
        }
    }
    // Of a few seeds it may be less.
    ensure!(
        truth.len() < 50 || required * 10 > all * 6,
        "only {required} of {all} must be seen: the test says nothing"
    );
    // Not all may come: the comparison below says which.
    let arrived = wait::until("as many spans as must come", Deadline::seconds(15), || {
        agent.receiver().spans().map(|spans| (random(&spans) >= required).then_some(())).transpose()
    });
    let stopped = agent.stop()?;
    let differences = compare(&truth, &stopped.spans);
    println!(
        "{} seeds: {all} exchanges' ends, {required} must be seen, {} were; {} differences; in time: {}",
        truth.len(),
        random(&stopped.spans),
        differences.len(),
        arrived.is_ok()
    );
    let told = &differences[..differences.len().min(TOLD)];
    let told = told.join("\n");
    ensure!(!differences.iter().any(|difference| difference.starts_with(GHOST)), "ghosts:\n{told}");
    ensure!(
        differences.len() as u64 <= passed_over(&stopped.counters)?,
        "{} differences:\n{told}",
        differences.len()
    );
    stopped.counters.nothing_lost()
}

/// Calls that a preempting kernel has passed the probes over for, by its own count: each can spoil one connection's end.
fn passed_over(counters: &Counters) -> anyhow::Result<u64> {
    if vm::passes_over_probes() { counters.value("kernel.recursion_misses") } else { Ok(0) }
}

/// How many spans are of our random exchanges.
fn random(spans: &Spans) -> usize {
    spans.0.iter().filter(|span| span.path().starts_with("/s/")).count()
}

/// All differences between what was said and what spans say; of each connection's end only the first, as others
/// follow from it.
fn compare(truth: &[Seed], spans: &Spans) -> Vec<String> {
    let mut differences: Vec<String> = spans
        .0
        .iter()
        .filter(|span| span.path().contains("ghost"))
        .map(|span| format!("{GHOST}: {span}\n  beside {}", beside(span, spans)))
        .collect();
    let mut by_path = ByPath::new();
    for span in &spans.0 {
        by_path.entry((span.path().to_owned(), span.kind)).or_default().push(span);
    }
    for seed in truth {
        for side in [Side::Client, Side::Server] {
            differences.extend(seed.first_difference(side, &mut by_path));
        }
    }
    let strange = by_path.into_iter().filter(|((path, _), _)| path.starts_with("/s/"));
    differences.extend(
        strange.map(|((path, kind), _)| format!("{kind:?} span for {path}, which was never asked")),
    );
    differences
}

/// What else the process of a ghost said: that tells its seed.
fn beside(ghost: &Span, spans: &Spans) -> String {
    let pid = ghost.int("spanwire.process.pid");
    let mut paths: Vec<&str> = spans
        .0
        .iter()
        .filter(|span| span.int("spanwire.process.pid") == pid && span.path().starts_with("/s/"))
        .map(Span::path)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(" ")
}

/// Spans by what their path and kind say they are of.
type ByPath<'a> = std::collections::BTreeMap<(String, Kind), Vec<&'a Span>>;

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Side {
    const fn kind(self) -> Kind {
        match self {
            Self::Client => Kind::Client,
            Self::Server => Kind::Server,
        }
    }

    fn of(json: &Json) -> Self {
        if json == "client" { Self::Client } else { Self::Server }
    }
}

/// The truth about one seed.
struct Seed {
    transport: String,
    exchanges: Vec<Exchange>,
    hidden: Vec<Hidden>,
}

struct Exchange {
    path: String,
    /// Exchanges of one group are pipelined.
    group: i64,
    method: String,
    status: i64,
    request: Message,
    answer: Message,
}

/// Positions in its direction's stream.
#[derive(Debug)]
struct Message {
    start: u64,
    head_end: u64,
    end: u64,
    body: i64,
    framing: String,
}

/// A stretch whose bytes one side moved by a call that never had them in its memory.
struct Hidden {
    by: Side,
    sender: Side,
    from: u64,
    to: u64,
    form: String,
}

impl Seed {
    /// Which of the exchanges one side must have seen whole.
    ///
    /// Those before the first whose head, or whose framing inside the body, was moved by a hiding call: what comes
    /// after that on the connection may be lost too. A splice out of a TCP socket makes no event at all; the next call's
    /// position tells of it, so only an end that nothing follows is lost.
    fn certain(&self, side: Side) -> Vec<Seen> {
        let mut is_lost = false;
        self.exchanges
            .iter()
            .map(|exchange| {
                let mut has_end = true;
                for hidden in self.hidden.iter().filter(|hidden| hidden.by == side) {
                    let is_request = hidden.sender == Side::Client;
                    let message = if is_request { &exchange.request } else { &exchange.answer };
                    let without_event = hidden.form == "splice" && hidden.sender != side;
                    let touches = hidden.from < message.end && message.start < hidden.to;
                    is_lost |= message.needs(hidden.from, hidden.to);
                    has_end &= !(without_event && touches && message.end <= hidden.to);
                }
                if is_lost || !has_end { Seen::InPart } else { Seen::Whole }
            })
            .collect()
    }

    /// What is wrong with the first exchange that is not as it was at one side.
    fn first_difference(&self, side: Side, by_path: &mut ByPath<'_>) -> Option<String> {
        let certain = self.certain(side);
        let mut first = None;
        for (at, exchange) in self.exchanges.iter().enumerate() {
            let found = by_path.remove(&(exchange.path.clone(), side.kind())).unwrap_or_default();
            let wrong = match found.as_slice() {
                [] if certain[at] == Seen::InPart => continue,
                [] => "no span".to_owned(),
                [span] => match exchange.check(span, certain[at] == Seen::Whole) {
                    Ok(()) => continue,
                    Err(error) => format!("{error}\n    {span}"),
                },
                several => format!("{} spans", several.len()),
            };
            first.get_or_insert_with(|| {
                let together =
                    self.exchanges.iter().filter(|other| other.group == exchange.group).count();
                format!(
                    "{}, {side:?} of {} {}, {together} pipelined, request {:?}, answer {:?}, hidden {}: {wrong}",
                    self.transport,
                    exchange.method,
                    exchange.path,
                    exchange.request,
                    exchange.answer,
                    self.hidden_by(side)
                )
            });
        }
        first
    }

    fn hidden_by(&self, side: Side) -> String {
        let shown: Vec<String> = self
            .hidden
            .iter()
            .filter(|hidden| hidden.by == side)
            .map(|hidden| {
                format!("{} of {:?} {}..{}", hidden.form, hidden.sender, hidden.from, hidden.to)
            })
            .collect();
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
    }
}

/// What one side can have seen of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Everything that matters: there must be a span, and it must be right.
    Whole,
    /// Too little for a span; if there is one, what it says must be right.
    InPart,
}

impl Message {
    /// Whether some of these bytes are needed to know where this message ends.
    fn needs(&self, from: u64, to: u64) -> bool {
        let end = match self.framing.as_str() {
            "chunked" | "close" => self.end,
            _ => self.head_end,
        };
        from < end && self.start < to
    }
}

impl Exchange {
    fn check(&self, span: &Span, is_certain: bool) -> TestResult {
        let method = span.text("http.request.method");
        ensure!(method == self.method, "method {method}");
        let status = span.int("http.response.status_code");
        ensure!(
            status == Some(self.status) || (status.is_none() && !is_certain),
            "status {status:?}"
        );
        let sizes =
            [("http.request.body.size", &self.request), ("http.response.body.size", &self.answer)];
        for (key, message) in sizes {
            let size = span.int(key);
            ensure!(
                size.is_none_or(|size| size == message.body),
                "{key} {size:?}, not {}",
                message.body
            );
        }
        if is_certain {
            let error = span.text("error.type");
            let least = if span.kind == Kind::Client { 400 } else { 500 };
            let wanted = if self.status >= least { self.status.to_string() } else { String::new() };
            ensure!(error == wanted, "error.type {error:?}");
        }
        Ok(())
    }
}

/// Runs the generator.
fn truth(seeds: std::ops::Range<u64>) -> anyhow::Result<Vec<Seed>> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(socket_calls::binary()?);
    command.current_dir(folder.path()).env("OTEL_SERVICE_NAME", "socket-calls");
    command.args([seeds.start.to_string(), (seeds.end - seeds.start).to_string()]);
    let told = String::from_utf8(process::output(&mut command)?)?;
    told.lines().map(|line| parse(&serde_json::from_str(line)?)).collect()
}

fn parse(json: &Json) -> anyhow::Result<Seed> {
    let list = |key: &str| json[key].as_array().with_context(|| key.to_owned());
    let text = |json: &Json, key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let position = |json: &Json, key: &str| json[key].as_u64().with_context(|| key.to_owned());
    let message = |json: &Json| {
        anyhow::Ok(Message {
            start: position(json, "start")?,
            head_end: position(json, "head_end")?,
            end: position(json, "end")?,
            body: json["body"].as_i64().context("body")?,
            framing: text(json, "framing"),
        })
    };
    let exchange = |json: &Json| {
        anyhow::Ok(Exchange {
            path: text(json, "path"),
            group: json["group"].as_i64().context("group")?,
            method: text(json, "method"),
            status: json["status"].as_i64().context("status")?,
            request: message(&json["request"])?,
            answer: message(&json["answer"])?,
        })
    };
    let hidden = |json: &Json| {
        anyhow::Ok(Hidden {
            by: Side::of(&json["by"]),
            sender: Side::of(&json["sender"]),
            from: position(json, "from")?,
            to: position(json, "to")?,
            form: text(json, "form"),
        })
    };
    Ok(Seed {
        transport: format!("seed {} {}", json["seed"], text(json, "transport")),
        exchanges: list("exchanges")?.iter().map(exchange).collect::<anyhow::Result<_>>()?,
        hidden: list("hidden")?.iter().map(hidden).collect::<anyhow::Result<_>>()?,
    })
}
