//! Contexts in headers (D6.4): a line is put into requests of programs that were named, and nothing else of them changes: not what
//! is sent, not what is told to the program, and not how its sockets behave. Who was not named, or could be harmed, is left alone.
//!
//! What arrives is compared with what arrives without an agent, with the lines taken out that were put in; and each of these lines
//! is the context of a client's span.

mod clients;
mod going_on;
mod passed_on;
mod streams;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tests::agent::{Agent, Hooks, Setup, Stopped};
use tests::listening::free_port;
use tests::namespace::{ADDRESSES, Hosts};
use tests::otlp::Kind;
use tests::outcome::{TestResult, skip};
use tests::process::{self, Program};
use tests::programs::{Server, installed, python, workload};
use tests::runner::{Place, Suite};
use tests::vm;
use tests::wait::Deadline;

/// Forms of `forms.py`, how many requests each makes, and into how many of them a line is put.
const FORMS: [(&str, usize, usize); 11] = [
    ("plain", 1, 1),
    ("large_post", 1, 1),
    ("chunked", 1, 1),
    ("expect", 1, 1),
    ("sendfile", 1, 1),
    // All in one call: what begins behind the first is not looked at.
    ("pipelining", 22, 1),
    ("keep_alive", 1000, 1000),
    ("threads", 400, 400),
    // Its head is larger than the buffer.
    ("tiny_buffer", 1, 0),
    // Heads in pieces.
    ("more_follows", 2, 0),
    ("half_close", 1, 1),
];

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        if hooks == Hooks::Syscall {
            suite.test("insert::refused_with_hooks_at_system_calls", refused);
        } else {
            // Of the kernels that are booted those have it that have these hooks.
            let place = if hooks == Hooks::Locked { Place::Everywhere } else { Place::Here };
            suite.at(place, format!("insert::forms[{}]", hooks.word()), 60, move || forms(hooks));
        }
    }
    if vm::hooks().is_some_and(|hooks| !hooks.contains(&Hooks::Locked)) {
        suite.at(Place::InVm, "insert::refused_by_older_kernels", 60, refused_as_it_comes);
    }
    suite.test("insert::nothing_is_loaded_unasked", nothing_is_loaded);
    suite.test("insert::clients", clients::as_they_are);
    suite.test("insert::java_is_left_alone", clients::java_is_left_alone);
    suite.test("insert::a_header_of_its_own_stays_alone", own_header);
    suite.test("insert::a_header_that_is_passed_on_names_its_span", passed_on::names_its_span);
    suite.test("insert::bodies_that_look_like_heads", || {
        cases_are_same(&[("bodies_like_heads", 3)])
    });
    suite.test("insert::connections_go_on", going_on::connections_go_on);
    suite.test("insert::older_connections", going_on::older_connections);
    suite.test("insert::older_connections_elsewhere", going_on::older_connections_elsewhere);
    streams::add(suite);
    suite.test("insert::not_sampled", not_sampled);
    suite.test("insert::sockets_that_block", blocking);
    suite.test("insert::sockets_that_begin_to_block", begins_to_block);
    suite.test("insert::what_the_rules_protect_from", what_the_rules_protect_from);
    suite.test("insert::programs_that_it_would_harm", harmed);
    suite.test("insert::public_addresses", public);
    suite.test("insert::released_at_once", released);
    suite.test("insert::killed_in_the_middle", killed);
}

/// The agent with these programs named.
fn named(hooks: Hooks, programs: &str) -> Setup {
    Setup::default()
        .hooks(hooks)
        .environment("SPANWIRE_HEADERS", programs)
        .environment("OTEL_LOG_LEVEL", "debug")
}

/// Skips the test where the agent says that it cannot, which of the kernels that are booted none does that it runs on.
fn need(agent: &Agent) -> TestResult {
    let says = |line: &&String| line.contains("contexts in headers: off");
    let lines = agent.lines();
    let Some(line) = lines.iter().find(says) else { return Ok(()) };
    ensure!(vm::hooks().is_none(), "{line}");
    Err(skip(line.clone()))
}

/// A server, and before it who reads what comes.
struct Ground {
    _server: Server,
    recorder: Server,
    port: u16,
    folder: tempfile::TempDir,
}

/// What came of a client: what it printed, what arrived without what was put in, and that.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    told: String,
    arrived: Vec<String>,
    inserted: Vec<String>,
}

impl Ground {
    fn start() -> anyhow::Result<Self> {
        Self::before(python::tour_server("server", [127, 0, 0, 1].into())?, "reads_headers.py")
    }

    /// Before that server the recorder by that script.
    fn before(server: Server, script: &str) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut recorder = python::script(script)?;
        recorder.args(["127.0.0.1", &port.to_string(), &server.port().to_string()]);
        let recorder = Server::on_port("recorder", port, &mut recorder)?;
        Ok(Self { _server: server, recorder, port, folder: tempfile::tempdir()? })
    }

    fn fifo(&self) -> anyhow::Result<PathBuf> {
        let fifo = self.folder.path().join("begin");
        if !fifo.exists() {
            mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        Ok(fifo)
    }

    /// Starts a client, which waits.
    fn wait(&self, command: &Command) -> anyhow::Result<Program> {
        let mut waits = waiting(command, &self.fifo()?)?;
        Program::start("client", waits.env("OTEL_SERVICE_NAME", "client"))
    }

    /// Has it begin, once the agent has named it if there is one.
    fn begin(&self, client: &Program, agent: Option<&mut Agent>) -> TestResult {
        if let Some(agent) = agent {
            let line = format!("into requests of process {} from now on", client.pid());
            agent.wait_line(&line, Deadline::seconds(10))?;
        }
        // Curl reads this as its configuration.
        Ok(fs::write(self.fifo()?, "# begin\n")?)
    }

    /// Has a client ask, and sees what came of it.
    fn ask(&self, command: &Command, agent: Option<&mut Agent>) -> anyhow::Result<Came> {
        let mut client = self.wait(command)?;
        self.begin(&client, agent)?;
        self.came(&mut client)
    }

    fn came(&self, client: &mut Program) -> anyhow::Result<Came> {
        let status = client.wait_end(Deadline::seconds(40))?;
        ensure!(status.success(), "the client ended with {status}: {:?}", client.lines());
        let before = self.recorder.program.lines().len();
        self.recorder.program.signal(Signal::USR1)?;
        let lines = self.recorder.program.lines_until("recorded", before, Deadline::seconds(20))?;
        let inserted = |line: &String| line.strip_prefix("inserted ").map(str::to_owned);
        Ok(Came {
            told: client.lines().join("\n"),
            arrived: lines.iter().filter(|line| inserted(line).is_none()).cloned().collect(),
            inserted: lines.iter().filter_map(inserted).collect(),
        })
    }

    fn form(&self, form: &str) -> anyhow::Result<Command> {
        let mut command = python::script("forms.py")?;
        command.args(["127.0.0.1", &self.port.to_string(), form]);
        Ok(command)
    }

    fn case(&self, case: &str) -> anyhow::Result<Command> {
        let mut command = python::script("insertions.py")?;
        command.args(["127.0.0.1", &self.port.to_string(), case]);
        Ok(command)
    }
}

/// The same program with the same arguments, that waits for a word first: each as its kind can.
fn waiting(command: &Command, fifo: &Path) -> anyhow::Result<Command> {
    let program = Path::new(command.get_program());
    let mut waits = Command::new(program);
    match program.file_name().and_then(OsStr::to_str) {
        Some("curl") => waits.arg("--config").arg(fifo),
        Some(name) if name.starts_with("go-tourclient") => waits.env("BEGINS", fifo),
        Some("h2load") => return with_shell(command, fifo),
        Some(name) if name.contains("tonic") => return with_shell(command, fifo),
        Some("node") => waits.arg(workload("node/begins.mjs")).arg(fifo),
        _ => waits.arg(workload("python/begins.py")).arg(fifo),
    };
    waits.args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            waits.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        waits.current_dir(folder);
    }
    Ok(waits)
}

/// The same begun by a shell, which waits and then becomes it: named if both are.
fn with_shell(command: &Command, fifo: &Path) -> anyhow::Result<Command> {
    let mut waits = Command::new(installed("sh")?);
    waits.args(["-c", "read -r begins < \"$0\"; exec \"$@\""]).arg(fifo);
    waits.arg(command.get_program()).args(command.get_args());
    Ok(waits)
}

/// The path of Python, whatever stands before it, as the kernel knows it.
fn python_path() -> anyhow::Result<String> {
    of_python("os.readlink('/proc/self/exe')")
}

/// What Python says of itself.
fn of_python(what: &str) -> anyhow::Result<String> {
    let script = format!("import os, sys; print({what})");
    let told = process::output(python::command()?.args(["-c", &script]))?;
    Ok(String::from_utf8(told)?.trim().to_owned())
}

/// Each line that was put in is the context of one span of the client, with this flag.
fn are_spans(inserted: &[String], stopped: &Stopped, flag: &str) -> TestResult {
    let spans = stopped.spans.of("client", Kind::Client);
    let of_spans: BTreeSet<String> = spans
        .0
        .iter()
        .map(|span| format!("00-{}-{}-{flag}", span.trace_id, span.span_id))
        .collect();
    let distinct: BTreeSet<&String> = inserted.iter().collect();
    ensure!(distinct.len() == inserted.len(), "a context was put into two requests");
    for line in inserted {
        let trace = line.split('-').nth(1).unwrap_or_default();
        ensure!(
            of_spans.contains(line),
            "{line} is no span's; of its trace there are: {:?}",
            stopped.spans.0.iter().filter(|span| span.trace_id == trace).collect::<Vec<_>>()
        );
    }
    Ok(())
}

/// Every span of the recorder that serves a client's request is that one's child.
fn are_served(stopped: &Stopped, least: usize) -> TestResult {
    let clients = stopped.spans.of("client", Kind::Client);
    let served = stopped.spans.of("recorder", Kind::Server);
    let mut joined = 0;
    for span in &served.0 {
        let Some(client) = clients.0.iter().find(|client| client.span_id == span.parent) else {
            bail!("nobody's: {span}");
        };
        ensure!(client.trace_id == span.trace_id, "another trace than its parent's: {span}");
        joined += 1;
    }
    ensure!(joined >= least, "{joined} of {least} requests were seen to be served");
    Ok(())
}

fn forms(hooks: Hooks) -> TestResult {
    let ground = Ground::start()?;
    // An emulated machine takes minutes for those that ask often.
    let few = |(_, requests, _): &&(&str, usize, usize)| vm::hooks().is_none() || *requests < 100;
    let forms: Vec<_> = FORMS.iter().filter(few).collect();
    let ask_all = |mut agent: Option<&mut Agent>| {
        let each = forms.iter().map(|(form, ..)| {
            ground
                .ask(&ground.form(form)?, agent.as_deref_mut())
                .with_context(|| (*form).to_owned())
        });
        each.collect::<anyhow::Result<Vec<_>>>()
    };
    let without = ask_all(None)?;
    let mut agent = named(hooks, &python_path()?).start()?;
    need(&agent)?;
    let with = ask_all(Some(&mut agent))?;
    let stopped = agent.stop()?;
    let mut all = Vec::new();
    let mut requests = 0;
    for ((form, asked, expected), (without, with)) in forms.iter().zip(without.iter().zip(&with)) {
        ensure!(without.inserted.is_empty() && !without.arrived.is_empty(), "{form}: {without:?}");
        ensure!(without.arrived == with.arrived, "{form}:\n{without:#?}\nwith\n{with:#?}");
        ensure!(without.told == with.told, "{form}:\n{without:#?}\nwith\n{with:#?}");
        ensure!(with.inserted.len() == *expected, "{form}: {} were given one", with.inserted.len());
        all.extend(with.inserted.clone());
        requests += asked;
    }
    are_spans(&all, &stopped, "01")?;
    // Of those pipelined with a body the later ones may be missing.
    are_served(&stopped, requests - 22)?;
    let count = |name: &str| stopped.counters.value(&format!("kernel.insert_{name}"));
    ensure!(count("done")? == all.len() as u64 + TRIED && count("failed")? == 0);
    ensure!(count("split")? >= 1 && count("lost")? >= 4);
    ensure!(count("enrolled")? as usize >= forms.len());
    // The recorder's own connections block.
    ensure!(count("blocks")? >= 1);
    stopped.counters.nothing_lost()?;
    Ok(())
}

/// Cases of `insertions.py`, and into how many requests a line is put: all else is the same.
fn cases_are_same(cases: &[(&str, usize)]) -> TestResult {
    let ground = Ground::start()?;
    let without = cases
        .iter()
        .map(|(case, _)| ground.ask(&ground.case(case)?, None))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let mut all = Vec::new();
    for ((case, expected), without) in cases.iter().zip(&without) {
        let with = ground.ask(&ground.case(case)?, Some(&mut agent))?;
        ensure!(without.arrived == with.arrived, "{case}:\n{without:#?}\nwith\n{with:#?}");
        ensure!(without.told == with.told, "{case}:\n{without:#?}\nwith\n{with:#?}");
        ensure!(with.inserted.len() == *expected, "{case}: {:?}", with.inserted);
        all.extend(with.inserted);
    }
    are_spans(&all, &agent.stop()?, "01")
}

/// A request that has one never gets a second, however its name is spelled; what stands beside it is not touched.
fn own_header() -> TestResult {
    cases_are_same(&[("own_header", 3)])
}

fn not_sampled() -> TestResult {
    let ground = Ground::start()?;
    let setup = named(Hooks::Auto, &python_path()?);
    let mut agent = setup.environment("OTEL_TRACES_SAMPLER", "always_off").start()?;
    need(&agent)?;
    let came = ground.ask(&ground.form("plain")?, Some(&mut agent))?;
    ensure!(came.inserted.len() == 1 && came.inserted[0].ends_with("-00"), "{came:?}");
    ensure!(agent.stop()?.spans.0.is_empty());
    Ok(())
}

fn blocking() -> TestResult {
    let ground = Ground::start()?;
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let came = ground.ask(&ground.case("blocks")?, Some(&mut agent))?;
    ensure!(came.inserted.is_empty(), "{came:?}");
    let counters = agent.stop()?.counters;
    ensure!(counters.value("kernel.insert_blocks")? >= 1);
    // Those of the trial are.
    ensure!(counters.value("kernel.insert_done")? == TRIED, "{counters:?}");
    Ok(())
}

/// Requests that the agent makes to try it.
const TRIED: u64 = 33;

/// A socket that begins to block is taken out with the next it sends: its reads wait for what they read.
fn begins_to_block() -> TestResult {
    let ground = Ground::start()?;
    let without = ground.ask(&ground.case("begins_to_block")?, None)?;
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let with = ground.ask(&ground.case("begins_to_block")?, Some(&mut agent))?;
    ensure!(without.told == with.told, "{without:#?}\nwith\n{with:#?}");
    ensure!(without.arrived == with.arrived, "{without:#?}\nwith\n{with:#?}");
    ensure!(with.inserted.len() == 1, "{:?}", with.inserted);
    let counters = agent.stop()?.counters;
    ensure!(counters.value("kernel.insert_unenrolled")? >= 1);
    Ok(())
}

/// Why programs that ask how much they can read are refused: who is none that is known, and asks, is told what the agent's trial has found.
fn what_the_rules_protect_from() -> TestResult {
    let ground = Ground::start()?;
    let without = ground.ask(&ground.case("asks_how_much")?, None)?;
    ensure!(without.told == "10 of 10 times something", "{without:?}");
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let says = |what: &str| agent.lines().iter().any(|line| line.contains(what));
    let expected = match (says("FIONREAD is wrong"), says("FIONREAD is right")) {
        (true, false) => "0 of 10 times something",
        (false, true) => "10 of 10 times something",
        found => bail!("the trial says of it that it is wrong, or right: {found:?}"),
    };
    let with = ground.ask(&ground.case("asks_how_much")?, Some(&mut agent))?;
    agent.stop()?;
    ensure!(with.told == expected, "{with:?}");
    ensure!(with.arrived == without.arrived, "{without:#?}\nwith\n{with:#?}");
    Ok(())
}

/// A program that is known to ask how much it can read is refused though it was named.
fn harmed() -> TestResult {
    let ground = Ground::start()?;
    let mut agent = named(Hooks::Auto, "nginx,python3*").start()?;
    need(&agent)?;
    // It need not be what it is called.
    let copy = ground.folder.path().join("nginx");
    fs::copy(python_path()?, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let original = ground.form("plain")?;
    let mut command = Command::new(&copy);
    command.args(original.get_args()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PYTHONHOME", of_python("sys.base_prefix")?);
    let mut client = ground.wait(&command)?;
    let line = format!("no header is put into requests of process {}", client.pid());
    agent.wait_line(&line, Deadline::seconds(10))?;
    ground.begin(&client, None)?;
    let came = ground.came(&mut client)?;
    ensure!(came.inserted.is_empty() && !came.arrived.is_empty(), "{came:?}");
    let mut ps = Command::new(tests::agent::binary()?);
    let told = process::output(ps.arg("ps").env("SPANWIRE_HEADERS", "python3*"))?;
    let told = String::from_utf8(told)?;
    let recorder = ground.recorder.program.pid().to_string();
    let says = |line: &str| line.contains(&recorder) && line.contains("headers: into requests");
    ensure!(told.lines().any(says), "ps does not say that the recorder is named:\n{told}");
    agent.stop()?;
    Ok(())
}

/// A server on the second host, behind one that records on port 8080 of its address.
fn recorded_on(hosts: &Hosts) -> anyhow::Result<(Server, Server)> {
    let mut server = python::script("tour_server.py")?;
    server.args(["127.0.0.1", "8081"]);
    let server = Server::on_port("server", 8081, &mut hosts.on(1, &server)?)?;
    let mut recorder = python::script("reads_headers.py")?;
    recorder.args([ADDRESSES[1], "8080", "8081"]);
    let recorder = Server::on_port("recorder", 8080, &mut hosts.on(1, &recorder)?)?;
    Ok((server, recorder))
}

/// Into how many requests that came there a line was put.
fn inserted_at(recorder: &Server) -> anyhow::Result<usize> {
    recorder.program.signal(Signal::USR1)?;
    let lines = recorder.program.lines_until("recorded", 0, Deadline::seconds(20))?;
    Ok(lines.iter().filter(|line| line.starts_with("inserted")).count())
}

/// To public addresses only what the operator has allowed.
fn public() -> TestResult {
    for (to, expected) in [("private", 0), ("all", 1)] {
        let hosts = Hosts::start()?;
        let (_server, recorder) = recorded_on(&hosts)?;
        let setup = named(Hooks::Auto, &python_path()?).environment("SPANWIRE_TCP_OPTION", "off");
        let mut agent = setup.environment("SPANWIRE_HEADERS_TO", to).start()?;
        need(&agent)?;
        let folder = tempfile::tempdir()?;
        let fifo = folder.path().join("begin");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let mut form = python::script("forms.py")?;
        form.args([ADDRESSES[1], "8080", "plain"]);
        let mut client = Program::start("client", &mut hosts.on(0, &waiting(&form, &fifo)?)?)?;
        // `ip` has become Python by then.
        let line = format!("into requests of process {} from now on", client.pid());
        agent.wait_line(&line, Deadline::seconds(10))?;
        fs::write(&fifo, "begin")?;
        ensure!(client.wait_end(Deadline::seconds(20))?.success());
        let inserted = inserted_at(&recorder)?;
        ensure!(inserted == expected, "{to}: {inserted} were given one");
        let left = agent.stop()?.counters.value("kernel.insert_not_private")?;
        ensure!((left > 0) == (to == "private"), "{to}: {left} connections were left alone");
    }
    Ok(())
}

/// Once the configuration names nobody any more, every socket is as any other, in the middle of what it says.
fn released() -> TestResult {
    let ground = Ground::start()?;
    let file = ground.folder.path().join("spanwire.yaml");
    fs::write(&file, format!("propagation: {{headers: [{}]}}\n", python_path()?))?;
    let setup = Setup::default().environment("OTEL_LOG_LEVEL", "debug");
    let mut agent = setup.argument("--config").argument(file.display().to_string()).start()?;
    need(&agent)?;
    let mut client = ground.wait(&ground.case("until_told")?)?;
    ground.begin(&client, Some(&mut agent))?;
    client.wait_line("under way", Deadline::seconds(20))?;
    fs::write(&file, "log_level: info\n")?;
    agent.signal(Signal::HUP)?;
    let line = agent.wait_line("sockets released", Deadline::seconds(10))?;
    ensure!(line.ends_with(": 1"), "{line}");
    agent.wait_line("the configuration was read again", Deadline::seconds(10))?;
    client.signal(Signal::USR1)?;
    let came = ground.came(&mut client)?;
    ensure!(came.told.ends_with("done") && came.inserted.len() >= 3, "{came:?}");
    let done = agent.stop()?.counters.value("kernel.insert_done")? as usize;
    ensure!(done == came.inserted.len() + TRIED as usize, "{done} of {}", came.inserted.len());
    Ok(())
}

/// Whatever becomes of the agent, applications go on.
fn killed() -> TestResult {
    let ground = Ground::start()?;
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let mut client = ground.wait(&ground.case("until_told")?)?;
    ground.begin(&client, Some(&mut agent))?;
    client.wait_line("under way", Deadline::seconds(20))?;
    agent.kill();
    client.signal(Signal::USR1)?;
    let came = ground.came(&mut client)?;
    ensure!(came.told.ends_with("done") && came.inserted.len() >= 3, "{came:?}");
    Ok(())
}

/// Unless programs are named there is no map of sockets in the kernel, and no program that looks at what is sent.
fn nothing_is_loaded() -> TestResult {
    for (programs, expected) in [("", false), ("curl", true)] {
        let agent = named(Hooks::Auto, programs).start()?;
        if expected {
            need(&agent)?;
        }
        let mut maps = 0;
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", agent.pid()))? {
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            // `BPF_MAP_TYPE_SOCKHASH`
            maps += text.lines().filter(|line| *line == "map_type:\t18").count();
        }
        ensure!((maps > 0) == expected, "{programs:?}: {maps} maps of sockets");
        agent.stop()?;
    }
    Ok(())
}

/// What needs other hooks says so, and does nothing else.
fn refused() -> TestResult {
    refused_by(Hooks::Syscall, "contexts in headers: off, it needs the hooks")
}

/// So does what needs a newer kernel.
fn refused_as_it_comes() -> TestResult {
    refused_by(Hooks::Auto, "contexts in headers: off, it")
}

fn refused_by(hooks: Hooks, why: &str) -> TestResult {
    let agent = named(hooks, "curl").start()?;
    let says = |line: &String| line.contains(why);
    ensure!(agent.lines().iter().any(says), "{:?}", agent.lines());
    ensure!(agent.stop()?.counters.value("kernel.insert_enrolled")? == 0);
    Ok(())
}
