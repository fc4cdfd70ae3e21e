//! Streams of HTTP/2: a field is put behind their header blocks, and nothing else of what is sent changes, however many share a
//! connection.

use std::path::Path;
use std::process::Command;

use abi::insert::HEADS;
use anyhow::{Context as _, ensure};
use serde_json::Value as Json;
use tests::agent::{Agent, Hooks, Setup};
use tests::grpc_tour;
use tests::outcome::TestResult;
use tests::programs::grpc::{self, Runtime};
use tests::programs::http2::{self, H2loadSum, Start};
use tests::programs::{Server, nginx, python};
use tests::runner::Suite;
use tests::truth::cases::Case;
use tests::truth::run::Stage;

use super::{Came, Ground, TRIED, are_served, are_spans, named, need};

/// What h2load asks for, on how many connections, and how many streams at once on each.
const LOAD: (usize, usize, usize) = (600, 3, 20);

/// Clients of gRPC whose sockets do not block, and who can ask for things without being asked themselves.
const CLIENTS: [Runtime; 4] = [Runtime::Python, Runtime::Asyncio, Runtime::Node, Runtime::Tonic];

/// A context that a program sends itself.
const TRACEPARENT: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

pub(super) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        if hooks != Hooks::Syscall {
            suite.test(format!("insert::streams[{}]", hooks.word()), move || of_nginx(hooks));
        }
    }
    for runtime in CLIENTS {
        suite
            .test(format!("insert::streams_of_grpc[{}]", runtime.name()), move || of_grpc(runtime));
    }
    for case in ["go-http2", "go-x-http2"] {
        suite.test(format!("insert::streams_for_requests[{case}]"), move || for_requests(case));
    }
}

/// A ground whose recorder reads frames on the way to that port.
fn ground(behind: Server) -> anyhow::Result<Ground> {
    Ground::before(behind, "reads_frames.py")
}

/// curl and h2load through the recorder to nginx: streams in turn, and many at once.
fn of_nginx(hooks: Hooks) -> TestResult {
    let front = nginx::start_http2(None)?;
    let ground = ground(front.server)?;
    let url = |path: &str| format!("http://127.0.0.1:{}/{path}", ground.port);
    let (requests, connections, streams) = LOAD;
    let mut get = http2::curl(Start::PriorKnowledge)?;
    get.args(["--write-out", "%{http_version} %{http_code}\\n", &url("hello")]);
    let mut long = http2::curl(Start::PriorKnowledge)?;
    long.args(["--write-out", "%{http_version} %{http_code}\\n"]);
    long.args(["--header", &format!("x-long: {}", "y*".repeat(1500)), &url("hello")]);
    let load = http2::h2load(requests, connections, streams, &url("hello"))?;
    let commands = [("GET", get), ("a long head", long), ("h2load", load)];
    let ask_all = |mut agent: Option<&mut Agent>| {
        let each = commands.iter().map(|(name, command)| {
            let came = ground.ask(command, agent.as_deref_mut());
            let mut came = came.with_context(|| (*name).to_owned())?;
            if *name == "h2load" {
                // What else it says are times.
                let sum = H2loadSum::read(&came.told)?;
                ensure!(sum == H2loadSum { succeeded: requests, failed: 0 }, "{sum:?}");
                came.told.clear();
            }
            Ok(came)
        });
        each.collect::<anyhow::Result<Vec<Came>>>()
    };
    let without = ask_all(None)?;
    let mut agent = named(hooks, "curl,h2load,dash").start()?;
    need(&agent)?;
    let with = ask_all(Some(&mut agent))?;
    let stopped = agent.stop()?;
    let mut all = Vec::new();
    for ((name, _), (without, with)) in commands.iter().zip(without.iter().zip(&with)) {
        ensure!(without.inserted.is_empty() && !without.arrived.is_empty(), "{name}: {without:?}");
        ensure!(without.told == with.told, "{name}:\n{without:#?}\nwith\n{with:#?}");
        ensure!(without.arrived == with.arrived, "{name}:\n{without:#?}\nwith\n{with:#?}");
        println!("{name}: {} of {}", with.inserted.len(), with.arrived.len());
        all.extend(with.inserted.clone());
    }
    ensure!(with[0].inserted.len() == 1 && with[1].inserted.len() == 1, "curl's were given none");
    are_spans(&all, &stopped, "01")?;
    are_served(&stopped, all.len())?;
    let count = |name: &str| stopped.counters.value(&format!("kernel.insert_{name}"));
    // How many streams a client opens in one message is up to its pace: at most as many as a connection may have at once, and the
    // first few of each are given one. Whatever others there are is counted.
    let given = with[2].inserted.len();
    ensure!(given >= requests * HEADS / streams, "{given} of h2load's");
    ensure!(given as u64 + count("split")? == requests as u64, "{given} and what is counted");
    ensure!(count("done")? == all.len() as u64 + TRIED && count("failed")? == 0);
    ensure!(count("lost")? == 0, "{} connections were lost sight of", count("lost")?);
    stopped.counters.nothing_lost()
}

/// A client of gRPC on its tour, the last call of which has a context of its own: that stays alone.
fn of_grpc(client: Runtime) -> TestResult {
    let ground = ground(grpc::server(Runtime::Go, "server")?)?;
    let mut command = grpc::client(client)?;
    command.arg(format!("127.0.0.1:{}", ground.port)).args(["tour", TRACEPARENT]);
    let calls = grpc_tour::calls(client, Runtime::Go).len();
    let without = ground.ask(&command, None)?;
    let programs = format!("{},dash", program(&command)?);
    let mut agent = named(Hooks::Auto, &programs).start()?;
    need(&agent)?;
    let mut with = ground.ask(&command, Some(&mut agent))?;
    let stopped = agent.stop()?;
    let told = [told(&without)?, told(&with)?];
    ensure!(told[0] == told[1] && told[0].len() == calls + 1, "{told:#?}");
    // The last call beside them.
    ensure!(with.arrived.len() == calls + 1, "{with:#?}");
    // A call with a deadline says how much time is left, to the microsecond.
    let other = with.arrived.iter().filter(|stream| !without.arrived.contains(stream)).count();
    ensure!(other <= 1, "{other} streams are not as without:\n{without:#?}\nwith\n{with:#?}");
    // Some write their own as it is put in.
    with.inserted.retain(|inserted| inserted != TRACEPARENT);
    let inserted = with.inserted.len();
    ensure!(inserted == calls, "{inserted} of {calls} were given one: {with:#?}");
    are_spans(&with.inserted, &stopped, "01")?;
    ensure!(stopped.counters.value("kernel.insert_has_one")? == 1);
    ensure!(stopped.counters.value("kernel.insert_failed")? == 0);
    Ok(())
}

/// What a client printed of its calls, but for its own words, which hold times, and for which end's clock was first.
fn told(came: &Came) -> anyhow::Result<Vec<Json>> {
    let calls = came.told.lines().map(|line| {
        let mut call: Json = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let fields = call.as_object_mut().context("a call is an object")?;
        fields.remove("message");
        if fields["status"] == "DEADLINE_EXCEEDED" {
            fields["status"] = "CANCELLED".into();
        }
        Ok(call)
    });
    calls.collect()
}

/// Its path, or of a language's that runs it.
fn program(command: &Command) -> anyhow::Result<String> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("python") {
        let mut asked = python::command()?;
        let script = "import os; print(os.readlink('/proc/self/exe'))";
        let told = tests::process::output(asked.args(["-c", script]))?;
        return Ok(String::from_utf8(told)?.trim().to_owned());
    }
    Ok(name.into_owned())
}

/// Services that ask each other over HTTP/2 for what they are asked: whatever is put in is of the trace that is served, and of the
/// span that the agent tells.
fn for_requests(case: &str) -> TestResult {
    let case = Case::named(case).context("there is no such case")?;
    let setup = Setup::default().environment("SPANWIRE_HEADERS", "truth-*");
    let outcome = Stage::run_from_the_beginning(case, 2, setup, 100, 8)?;
    let scores = &outcome.scores;
    ensure!(scores.wrong() == 0, "{} wrong:\n{}", scores.wrong(), scores.told.join("\n"));
    ensure!(scores.missing() == 0, "{} missing", scores.missing());
    let counters = &outcome.counters[0];
    let count = |name: &str| counters.value(name);
    let done = count("kernel.insert_done")?.saturating_sub(TRIED);
    println!("{done} contexts, {} unbound", count("kernel.insert_unbound")?);
    // Two calls for each request, and for each of these, of three services: 1,400, less those that are sent before it is certain for
    // whom, and all below them.
    ensure!(done >= 700, "{done} contexts were put in");
    ensure!(count("kernel.insert_failed")? == 0 && count("kernel.insert_lost")? == 0);
    for name in ["wire_contexts_contradicted", "wire_calls_unparented", "joins_contradicted"] {
        let found = count(&format!("trace.{name}"))?;
        ensure!(found == 0, "{name}: {found}");
    }
    Ok(())
}
