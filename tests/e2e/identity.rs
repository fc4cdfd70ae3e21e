//! What applications say to each other is the same to the byte, whether contexts go between two agents or there is none.
//!
//! Each client asks a server on another host, once without agents and once with them: what arrived there, on each connection, and
//! what the client was told, must not differ. That contexts did go is seen, too: else nothing would be proven.

use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tests::agent::{Agent, Setup};
use tests::namespace::{ADDRESSES, Hosts};
use tests::outcome::TestResult;
use tests::process::{self, Program};
use tests::programs::{Server, go, java, nginx, node, npm, pypi, python};
use tests::runner::{Place, Suite};
use tests::tour;
use tests::vm;
use tests::wait::Deadline;

/// Where what is sent is recorded, and where it goes on to.
const RECORDER: u16 = 8080;
const SERVER: u16 = 8081;
/// Where nginx stands on the client's host.
const PROXY: u16 = 8082;

/// Forms of `forms.py`, and how many requests each makes.
const FORMS: [(&str, u64); 11] = [
    ("plain", 1),
    ("large_post", 1),
    ("chunked", 1),
    ("expect", 1),
    ("sendfile", 1),
    ("pipelining", 22),
    ("keep_alive", 1000),
    ("threads", 400),
    ("tiny_buffer", 1),
    ("more_follows", 2),
    ("half_close", 1),
];

/// A client of the tour: its command without `HOST PORT STOP…`, or with `HOST:PORT` in their place.
type Ask = fn() -> anyhow::Result<Command>;

const CLIENTS: [(&str, Ask); 8] = [
    ("http.client", python::tour_client),
    ("requests", || pypi::tour_client("requests")),
    ("aiohttp", || pypi::tour_client("aiohttp")),
    ("node http", || node::tour_client("http")),
    ("node fetch", || node::tour_client("fetch")),
    ("axios", || npm::tour_client("axios")),
    ("go", go::tour_client),
    ("java", java::tour_client),
];

/// Those that take `HOST:PORT`.
const JOINED: [&str; 2] = ["go", "java"];

pub(crate) fn add(suite: &mut Suite) {
    // Of the kernels that are booted the oldest with contexts on the wire: what differs in others is seen by other tests, and this
    // takes a minute there.
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let place = if release.starts_with("6.1.") { Place::Everywhere } else { Place::Here };
    suite.at(place, "identity::forms".to_owned(), 60, forms);
    suite.at(Place::Here, "identity::clients".to_owned(), 60, clients);
    suite.at(Place::Here, "identity::curl".to_owned(), 60, curl);
    suite.at(Place::Here, "identity::nginx".to_owned(), 60, proxied);
}

fn forms() -> TestResult {
    let form = |(form, requests): &(&str, u64)| {
        let mut command = python::script("forms.py")?;
        command.args([ADDRESSES[1], &RECORDER.to_string(), form]);
        Ok(Asker { name: (*form).to_owned(), command, requests: *requests })
    };
    // An emulated machine takes minutes for those that ask often.
    let few = |(_, requests): &&(&str, u64)| vm::hooks().is_none() || *requests < 100;
    let askers = FORMS.iter().filter(few).map(form).collect::<anyhow::Result<Vec<_>>>()?;
    same_with_and_without(&askers, None)
}

fn clients() -> TestResult {
    let client = |(name, ask): &(&str, Ask)| tour(name, ask()?, ADDRESSES[1], RECORDER);
    let askers = CLIENTS.iter().map(client).collect::<anyhow::Result<Vec<_>>>()?;
    same_with_and_without(&askers, None)
}

/// curl asks `Expect: 100-continue` of itself for what is long.
fn curl() -> TestResult {
    let folder = tempfile::tempdir()?;
    let body = folder.path().join("body");
    std::fs::write(&body, b"0123456789".repeat(300_000))?;
    let body = format!("@{}", body.display());
    let ways: [(&str, &[&str], &str); 4] = [
        ("GET", &[], "/hello"),
        ("POST", &["--data-binary", &body, "-H", "Expect: 100-continue"], "/echo"),
        ("chunked", &["--data-binary", &body, "-H", "Transfer-Encoding: chunked"], "/echo"),
        ("several", &["-H", "Accept: a"], "/{hello,chunked,missing,big}"),
    ];
    let asker = |(name, arguments, path): &(&str, &[&str], &str)| {
        let mut command = Command::new(tests::programs::installed("curl")?);
        command.args(["-sS", "--max-time", "20"]).args(*arguments);
        command.arg(format!("http://{}:{RECORDER}{path}", ADDRESSES[1]));
        let requests = if path.contains('{') { 4 } else { 1 };
        Ok(Asker { name: format!("curl {name}"), command, requests })
    };
    let askers = ways.iter().map(asker).collect::<anyhow::Result<Vec<_>>>()?;
    same_with_and_without(&askers, None)
}

/// nginx passes on what its client asks for; its own requests are those that are recorded.
fn proxied() -> TestResult {
    let asker = tour("through nginx", python::tour_client()?, "127.0.0.1", PROXY)?;
    // What nginx sends itself is not passed on: /hello twice, and /big.
    let asker = Asker { requests: asker.requests - 3, ..asker };
    same_with_and_without(&[asker], Some(&format!("http://{}:{RECORDER}", ADDRESSES[1])))
}

/// A client, and how many requests it has pass by the recorder.
struct Asker {
    name: String,
    command: Command,
    requests: u64,
}

fn tour(name: &str, mut command: Command, host: &str, port: u16) -> anyhow::Result<Asker> {
    if JOINED.contains(&name) {
        command.arg(format!("{host}:{port}"));
    } else {
        command.args([host, &port.to_string()]);
    }
    command.args(tour::arguments());
    Ok(Asker { name: name.to_owned(), command, requests: tour::TOUR.len() as u64 })
}

/// What came of a client: what it printed, and what arrived.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    told: String,
    arrived: Vec<String>,
}

fn same_with_and_without(askers: &[Asker], upstream: Option<&str>) -> TestResult {
    let hosts = Hosts::start()?;
    let mut server = python::script("tour_server.py")?;
    server.args(["127.0.0.1", &SERVER.to_string()]);
    let _server = Server::on_port("server", SERVER, &mut hosts.on(1, &server)?)?;
    let folder = tempfile::tempdir()?;
    let _proxy = upstream
        .map(|upstream| {
            let command = nginx::command_to(PROXY, folder.path(), upstream)?;
            Server::on_port("nginx", PROXY, &mut hosts.on(0, &command)?)
        })
        .transpose()?;
    // Anew each time: listeners that are older than the agents do not answer them on every kernel.
    let ask_all = || {
        let mut recorder = python::script("recorder.py")?;
        recorder.args([ADDRESSES[1], &RECORDER.to_string(), &SERVER.to_string()]);
        let recorder = Server::on_port("recorder", RECORDER, &mut hosts.on(1, &recorder)?)?;
        let each = askers.iter().map(|asker| came(&hosts, asker, &recorder.program));
        each.collect::<anyhow::Result<Vec<_>>>()
    };
    let without = ask_all()?;
    let agents = [0, 1].map(|host| {
        let file = hosts.file(host).display().to_string();
        let setup = Setup::default().argument("--netns").argument(file);
        setup.environment("SPANWIRE_TCP_OPTION", "all").start()
    });
    let [near, far] = agents;
    let (near, far) = (near?, far?);
    let with = ask_all()?;
    let can_send = goes_by_wire(&near);
    let sent = near.stop()?.counters.value("kernel.wire_sent").unwrap_or(0);
    far.stop()?;
    for (asker, (without, with)) in askers.iter().zip(without.iter().zip(&with)) {
        ensure!(!without.arrived.is_empty(), "{}: nothing arrived", asker.name);
        ensure!(without == with, "{}:\n{without:#?}\nwith agents\n{with:#?}", asker.name);
    }
    // Pipelined requests share segments, which have room for one context each; and some come before it is known that anybody
    // wants one.
    let asked: u64 =
        askers.iter().map(|it| if it.name == "pipelining" { 1 } else { it.requests }).sum();
    ensure!(!can_send || sent * 10 >= asked * 8, "{sent} contexts went with {asked} requests");
    Ok(())
}

/// Before 5.15 an agent that looks at one namespace only has nothing on the wire, and says so.
fn goes_by_wire(agent: &Agent) -> bool {
    vm::hooks().is_none()
        || !agent.lines().iter().any(|line| line.contains("contexts in TCP options: off"))
}

fn came(hosts: &Hosts, asker: &Asker, recorder: &Program) -> anyhow::Result<Came> {
    let told =
        process::output(&mut hosts.on(0, &asker.command)?).with_context(|| asker.name.clone())?;
    let before = recorder.lines().len();
    recorder.signal(Signal::USR1)?;
    let arrived = recorder.lines_until("recorded", before, Deadline::seconds(20))?;
    Ok(Came { told: String::from_utf8_lossy(&told).into_owned(), arrived })
}
