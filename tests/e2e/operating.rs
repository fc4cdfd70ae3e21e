//! What an operator does to a running agent: rules that change, the probes taken off, a backend away over a restart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use tests::agent::{Agent, Hooks, Setup};
use tests::listening::free_port;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::peer::Connection;
use tests::programs::{Server, python};
use tests::runner::{Place, Suite};
use tests::tour::TOUR;
use tests::wait::Deadline;

use crate::programs::{joined, take_tour};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("operating::rules_change_on_sighup", rules_change);
    suite.test("operating::labels_are_asked_for", labels);
    for &hooks in Hooks::each() {
        let name = format!("operating::open_connections_are_left_out[{}]", hooks.word());
        suite.at(Place::Everywhere, name, 60, move || open_connection(hooks));
    }
    suite.at(Place::Everywhere, "operating::detach_takes_every_probe_off".to_owned(), 60, detach);
    suite.test("operating::the_spool_outlives_a_restart", spool);
    suite.test("operating::always_off_exports_nothing", always_off);
    suite.test("operating::services_that_export_are_left_alone", exporting);
}

/// With this configuration file.
fn configured(file: &Path) -> Setup {
    Setup::default().argument("--config").argument(file.display().to_string())
}

fn tour(service: &str) -> TestResult {
    let server = python::tour_server(service, [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)
}

/// Whether the whole tour was seen at that service.
fn served(agent: &Agent, service: &str) -> TestResult {
    agent.wait(service, |spans| spans.of(service, Kind::Server).len() >= TOUR.len()).map(drop)
}

/// One connection before, while and after its server is left out: the kernel leaves it unread in between, and nothing else
/// changes.
fn open_connection(hooks: Hooks) -> TestResult {
    const ASKED: u64 = 20;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("spanwire.yaml");
    let other = "select:\n  - exclude: {service: other}\n";
    fs::write(&file, other)?;
    let mut agent = configured(&file).hooks(hooks).start()?;
    let server = python::tour_server("kept", [127, 0, 0, 1].into())?;
    let mut connection = Connection::open(&server.target)?;
    let mut ask = |path: &str| {
        let answer = connection.get(path)?;
        ensure!(answer.body == b"hello\n", "{answer:?}");
        Ok(())
    };
    ask("/hello?before")?;
    let at_server = |spans: &Spans, query: &str| {
        let is_it = |span: &Span| span.kind == Kind::Server && span.text("url.query") == query;
        spans.only(is_it).len()
    };
    agent.wait("the first", |spans| at_server(spans, "before") == 1)?;

    fs::write(&file, format!("{other}  - exclude: {{service: kept}}\n    name: hush\n"))?;
    agent.signal(Signal::HUP)?;
    agent.wait_line("rules of selection: 2", Deadline::seconds(5))?;
    for _ in 0..ASKED {
        ask("/hello?while")?;
    }
    fs::write(&file, other)?;
    agent.signal(Signal::HUP)?;
    agent.wait_line("rules of selection: 1", Deadline::seconds(5))?;
    for number in 0..3 {
        ask(&format!("/hello?after{number}"))?;
    }
    agent.wait("the last", |spans| at_server(spans, "after2") == 1)?;
    let stopped = agent.stop()?;
    ensure!(at_server(&stopped.spans, "while") == 0, "left out, and yet it has spans");
    let left = stopped.counters.value("connections_left_out_by.hush")?;
    ensure!(left == 1, "{left} connections were left out");
    // Who asks is not left out, and its other end is its own again.
    for query in ["before", "after0", "after1", "after2"] {
        let both = stopped
            .spans
            .only(|span| span.text("url.query") == query || span.text("url.full").ends_with(query));
        let (asked, served) = (both.of("e2e", Kind::Client), both.of("kept", Kind::Server));
        joined(asked.single()?, served.single()?)?;
    }
    let asked = stopped.spans.of("e2e", Kind::Client);
    let asked = asked.only(|span| span.text("url.full").ends_with("?while")).len();
    ensure!(asked as u64 == ASKED, "{asked} of {ASKED} requests have a span at their client");
    stopped.counters.nothing_lost()
}

fn rules_change() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("spanwire.yaml");
    fs::write(&file, "select:\n  - exclude: {service: quiet}\n    name: hush\n")?;
    let mut agent = configured(&file).start()?;
    tour("quiet")?;
    tour("first")?;
    served(&agent, "first")?;
    // A file that is wrong changes nothing.
    fs::write(&file, "select:\n  - exclude: {servise: first}\n")?;
    agent.signal(Signal::HUP)?;
    agent.wait_line("did you mean `service`?", Deadline::seconds(5))?;
    tour("second")?;
    served(&agent, "second")?;
    fs::write(&file, "select:\n  - exclude: {service: second}\n")?;
    agent.signal(Signal::HUP)?;
    agent.wait_line("the configuration was read again", Deadline::seconds(5))?;
    tour("second")?;
    tour("quiet")?;
    served(&agent, "quiet")?;
    let stopped = agent.stop()?;
    for service in ["quiet", "first", "second"] {
        let count = stopped.spans.of(service, Kind::Server).len();
        ensure!(count == TOUR.len(), "{service}: {count} spans, not {}", TOUR.len());
    }
    // A request that comes before the kernel knows is counted by itself.
    for rule in ["hush", "exclude_1"] {
        let counted = |of: &str| stopped.counters.value(&format!("{of}.{rule}")).unwrap_or(0);
        let left = (counted("connections_left_out_by"), counted("left_out_by"));
        ensure!(left.0 + left.1 > 0, "nothing is counted by {rule}");
    }
    stopped.counters.nothing_lost()
}

/// What a process's own environment says of it is as good as a label of its container.
fn labels() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("spanwire.yaml");
    fs::write(&file, "select:\n  - exclude: {label: {team: [noise, hum], stage: '*'}}\n")?;
    let agent = configured(&file).start()?;
    for (service, attributes) in [
        ("hushed", "team=noise,stage=prod"),
        ("other", "team=shop,stage=prod"),
        ("half", "team=hum"),
    ] {
        let port = free_port()?;
        let mut command = python::script("tour_server.py")?;
        command.args(["127.0.0.1", &port.to_string()]);
        command.env("OTEL_RESOURCE_ATTRIBUTES", attributes);
        let server = Server::on_port(service, port, &mut command)?;
        ensure!(Connection::open(&server.target)?.get("/hello")?.status == 200);
    }
    agent.wait("the others", |spans| {
        ["other", "half"].iter().all(|service| spans.of(service, Kind::Server).len() == 1)
    })?;
    let stopped = agent.stop()?;
    ensure!(stopped.spans.of("hushed", Kind::Server).is_empty(), "{}", stopped.spans);
    // Its client's end is its client's.
    ensure!(stopped.spans.of("e2e", Kind::Client).len() == 3, "{}", stopped.spans);
    stopped.counters.nothing_lost()
}

fn detach() -> TestResult {
    let mut agent = Agent::start()?;
    tour("before")?;
    served(&agent, "before")?;
    ensure!(programs(agent.pid())? > 0, "an agent that traces holds programs");
    agent.signal(Signal::USR1)?;
    agent.wait_line("every probe is off", Deadline::seconds(5))?;
    ensure!(programs(agent.pid())? == 0, "programs are left");
    tour("after")?;
    let stopped = agent.stop()?;
    ensure!(stopped.spans.of("before", Kind::Server).len() == TOUR.len());
    ensure!(stopped.spans.of("after", Kind::Server).is_empty());
    Ok(())
}

/// Programs and links of eBPF that a process holds.
fn programs(pid: u32) -> anyhow::Result<usize> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = descriptors.filter_map(Result::ok).filter_map(|fd| fs::read_link(fd.path()).ok());
    let is_program = |name: &str| name.contains("bpf-prog") || name.contains("bpf_link");
    Ok(targets.filter(|target| target.to_str().is_some_and(is_program)).count())
}

fn spool() -> TestResult {
    let folder = tempfile::tempdir()?;
    let spool = folder.path().join("spool").display().to_string();
    let port = free_port()?;
    let away = Setup::default()
        .endpoint(format!("http://127.0.0.1:{port}"), "http/protobuf")
        .environment("SPANWIRE_SPOOL_DIRECTORY", &spool)
        .start()?;
    tour("kept")?;
    // Its end is asked for when nothing could be sent yet.
    let stopped = away.stop()?;
    let kept = stopped.counters.value("export.spans_spooled")?;
    ensure!(kept >= u64::try_from(2 * TOUR.len())?, "{kept} spans are kept");
    ensure!(stopped.counters.value("export.spans_dropped_at_shutdown")? == 0);
    let back = Setup::default().environment("SPANWIRE_SPOOL_DIRECTORY", &spool).start()?;
    back.receiver().wait("what was kept", Duration::from_secs(15), |spans| {
        spans.of("kept", Kind::Server).len() >= TOUR.len()
    })?;
    let stopped = back.stop()?;
    ensure!(stopped.counters.value("export.spans_recovered")? == kept);
    ensure!(stopped.counters.value("export.spans_spooled")? == 0);
    let found = stopped.spans.of("kept", Kind::Server).len();
    ensure!(found == TOUR.len(), "{found} spans, not {}: some came twice", TOUR.len());
    Ok(())
}

fn always_off() -> TestResult {
    let agent = Setup::default().environment("OTEL_TRACES_SAMPLER", "always_off").start()?;
    tour("unseen")?;
    let stopped = agent.stop()?;
    ensure!(stopped.spans.of("unseen", Kind::Server).is_empty());
    let left = stopped.counters.value("trace.spans_not_sampled")?;
    ensure!(left >= u64::try_from(2 * TOUR.len())?, "{left} spans were not sampled");
    Ok(())
}

/// A service that was seen to post spans itself, as an SDK does, has none of ours; who talks to it has.
fn exporting() -> TestResult {
    let agent = Agent::start()?;
    let backend = python::tour_server("backend", [127, 0, 0, 1].into())?;
    let server = python::exporting_server("sdk", backend.port())?;
    agent.wait("the export", |spans| spans.of("backend", Kind::Server).len() == 1)?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    agent.wait("the client", |spans| spans.of("tour-client", Kind::Client).len() >= TOUR.len())?;
    let stopped = agent.stop()?;
    let doubled = stopped.spans.of("sdk", Kind::Server);
    ensure!(doubled.is_empty(), "spans of a service that traces itself:\n{doubled}");
    ensure!(stopped.spans.of("sdk", Kind::Client).is_empty(), "its export has a span");
    let left = stopped.counters.value("trace.requests_of_sdks")?;
    ensure!(left >= u64::try_from(TOUR.len())?, "{left} requests were left alone");
    Ok(())
}
