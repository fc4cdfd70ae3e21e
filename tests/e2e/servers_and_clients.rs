//! More servers and clients that people run: each takes the whole tour, or what it can of it, against a Python program
//! that does, and gives or gets the same bytes as without the agent.
//!
//! A program's own peculiarities stand in its row or its test; what must hold for all is said once.

use std::process::Command;

use anyhow::ensure;
use tests::agent::Agent;
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::process;
use tests::programs::{
    Server, apache, haproxy, installed, nginx, npm, perl, php, pypi, python, ruby, tomcat,
};
use tests::runner::Suite;
use tests::tour::{Stop, TOUR};

use crate::programs::{answers, find, finish, finish_counted, joined, take_tour};

/// What the clients are called.
const CLIENT: &str = "tour-client";

/// A server that answers by itself.
type Serve = fn(&str) -> anyhow::Result<Kept>;

/// A server, and what must live as long as it.
struct Kept(Server, Option<Box<dyn std::any::Any>>);

const SERVERS: &[(&str, Serve)] = &[
    ("php_built_in", |name| Ok(Kept(php::built_in(name)?, None))),
    ("puma", |name| Ok(Kept(ruby::puma(name)?, None))),
    ("starman", |_| Ok(Kept(perl::starman()?, None))),
    ("aiohttp", |name| Ok(Kept(pypi::aiohttp_server(name)?, None))),
    ("tomcat", |name| {
        let tomcat::Tomcat { server, folder } = tomcat::start(name)?;
        Ok(Kept(server, Some(Box::new(folder))))
    }),
];

/// A client, by its name: its command without `HOST PORT STOP…`.
type Ask = fn() -> anyhow::Result<Command>;

const CLIENTS: &[(&str, Ask)] = &[
    ("aiohttp", || pypi::tour_client("aiohttp")),
    ("requests", || pypi::tour_client("requests")),
    ("axios", || npm::tour_client("axios")),
    ("undici", || npm::tour_client("undici")),
    ("perl", perl::tour_client),
];

pub(crate) fn add(suite: &mut Suite) {
    for (name, serve) in SERVERS {
        suite.test(format!("servers::{name}"), || served_by(name, *serve));
    }
    suite.test("servers::apache", || {
        in_front(|upstream| {
            let it = apache::start("front", &format!("http://127.0.0.1:{upstream}"))?;
            Ok(Kept(it.server, Some(Box::new(it.folder))))
        })
    });
    suite.test("servers::haproxy", || {
        in_front(|upstream| {
            let it = haproxy::start("front", upstream)?;
            Ok(Kept(it.server, Some(Box::new(it.folder))))
        })
    });
    suite.test("servers::php_fpm_on_unix_socket", || behind_fastcgi(true));
    suite.test("servers::php_fpm_on_port", || behind_fastcgi(false));
    for (name, ask) in CLIENTS {
        suite.test(format!("clients::{name}"), || asked_by(ask()?));
    }
    suite.test("clients::wget", wget);
    suite.test("clients::apache_bench", apache_bench);
}

/// The tour, twice: without the agent, and with it. The program prints what it was told, which is compared with the truth,
/// and each answer must be the same, heads included.
fn served_by(name: &str, serve: Serve) -> TestResult {
    let Kept(server, _keep) = serve(name)?;
    let name = server.service.as_str();
    let without = answers(&server.target)?;
    let agent = Agent::start()?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    let spans = finish(agent, &[(CLIENT, Kind::Client), (name, Kind::Server)])?;
    for stop in &TOUR {
        let (asked, served) = both(&spans, name, stop)?;
        stop.client_span(server.port()).check(asked)?;
        stop.server_span(server.port()).check(served)?;
    }
    let agent = Agent::start()?;
    let with = answers(&server.target)?;
    finish(agent, &[(name, Kind::Server)])?;
    for (stop, (without, with)) in TOUR.iter().zip(without.iter().zip(&with)) {
        ensure!(without == with, "{stop:?}: {without:?} without and {with:?} with the agent");
    }
    Ok(())
}

/// A proxy before a server: both its connections joined with their other ends, and bytes as without the agent.
fn in_front(start: impl Fn(u16) -> anyhow::Result<Kept>) -> TestResult {
    let behind = python::tour_server("behind", [127, 0, 0, 1].into())?;
    let Kept(front, _keep) = start(behind.port())?;
    let without = answers(&front.target)?;
    let agent = Agent::start()?;
    take_tour(&mut python::tour_client()?, &front.target)?;
    let spans = agent.wait("the tour", |spans| {
        spans.of(CLIENT, Kind::Client).len() >= TOUR.len()
            && spans.of("front", Kind::Client).len() >= spans.of("behind", Kind::Server).len()
            && spans.of("front", Kind::Server).len() >= TOUR.len()
    })?;
    drop(spans);
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    let spans = stopped.spans;
    for stop in &TOUR {
        let (asked, fronted) = both(&spans, "front", stop)?;
        stop.client_span(front.port()).check(asked)?;
        stop.server_span(front.port()).check(fronted)?;
    }
    let forwarded = spans.of("front", Kind::Client);
    ensure!(forwarded.len() >= TOUR.len() - 3, "only some are its own files:\n{forwarded}");
    for call in &forwarded.0 {
        let of_call = spans.of("behind", Kind::Server).only(|span| span.parent == call.span_id);
        joined(call, of_call.single()?)?;
        let wrong = !call.parent.is_empty()
            && spans.by_id(&call.parent).is_none_or(|parent| {
                parent.path() != call.path()
                    || parent.text("http.request.method") != call.text("http.request.method")
            });
        ensure!(!wrong, "a wrong parent: {call}");
    }
    let agent = Agent::start()?;
    let with = answers(&front.target)?;
    finish(agent, &[("front", Kind::Server)])?;
    for (stop, (without, with)) in TOUR.iter().zip(without.iter().zip(&with)) {
        ensure!(without == with, "{stop:?}: {without:?} without and {with:?} with the agent");
    }
    Ok(())
}

/// nginx before PHP-FPM: what they speak is nothing we read. That is counted, and makes no span; a request that PHP sends
/// while it serves is one of the pool's.
fn behind_fastcgi(by_unix_socket: bool) -> TestResult {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let socket = folder.path().join("socket");
    let pool = php::pool("till", by_unix_socket.then_some(socket.as_path()))?;
    let upstream = if by_unix_socket {
        format!("unix:{}", socket.display())
    } else {
        format!("127.0.0.1:{}", pool.server.port())
    };
    let asked = python::tour_server("asked", [127, 0, 0, 1].into())?;
    let front = nginx::start_fastcgi(&upstream, &php::script())?;
    let without = answers(&front.server.target)?;
    let agent = Agent::start()?;
    take_tour(&mut python::tour_client()?, &front.server.target)?;
    let with = answers(&front.server.target)?;
    let mut on = tests::peer::Connection::open(&front.server.target)?;
    ensure!(on.get(&format!("/ask/{}", asked.port()))?.body == b"hello\n");
    let served = 2 * TOUR.len() + 1;
    agent.wait("the last span", |spans| spans.of("nginx", Kind::Server).len() >= served)?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    let spans = stopped.spans;
    ensure!(spans.of("nginx", Kind::Server).len() == served, "{spans}");
    ensure!(spans.of("nginx", Kind::Client).is_empty(), "FastCGI was taken for HTTP:\n{spans}");
    ensure!(spans.of("till", Kind::Server).is_empty(), "FastCGI was taken for HTTP:\n{spans}");
    let call = spans.of("till", Kind::Client);
    let told = spans.of("asked", Kind::Server);
    joined(call.single()?, told.single()?)?;
    // nginx asks each on a connection of its own, and both its ends are here.
    let count = |name: &str| stopped.counters.value(name);
    let unparsed = count("kernel.connections_met")? - count("protocols.connections_read")?;
    ensure!(unparsed >= u64::try_from(2 * served)?, "only {unparsed} connections were unparsed");
    for stop in &TOUR {
        let of_tour = spans.only(|span| span.trace_id == trace_of(&spans, stop));
        let (asked, served) = both(&of_tour, "nginx", stop)?;
        stop.client_span(front.server.port()).check(asked)?;
        stop.server_span(front.server.port()).check(served)?;
    }
    for (stop, (without, with)) in TOUR.iter().zip(without.iter().zip(&with)) {
        ensure!(without == with, "{stop:?}: {without:?} without and {with:?} with the agent");
    }
    Ok(())
}

/// The trace in which the tour's client asked for that stop.
fn trace_of(spans: &Spans, stop: &Stop) -> String {
    let asked = find(spans, CLIENT, Kind::Client, stop);
    asked.map_or_else(|_| String::new(), |span| span.trace_id.clone())
}

/// A client that takes the tour.
fn asked_by(mut client: Command) -> TestResult {
    let server = python::tour_server("asked", [127, 0, 0, 1].into())?;
    let agent = Agent::start()?;
    take_tour(&mut client, &server.target)?;
    let spans = finish(agent, &[(CLIENT, Kind::Client), ("asked", Kind::Server)])?;
    for stop in &TOUR {
        let (asked, served) = both(&spans, "asked", stop)?;
        stop.client_span(server.port()).check(asked)?;
        stop.server_span(server.port()).check(served)?;
        ensure!(asked.parent.is_empty(), "a client that serves nobody has a parent: {asked}");
    }
    Ok(())
}

/// wget, which gives up its body where the status is an error: the stops that have none.
fn wget() -> TestResult {
    let server = python::tour_server("asked", [127, 0, 0, 1].into())?;
    let agent = Agent::start()?;
    let asks = |stop: &&Stop| stop.status == 200 && stop.received > 0;
    for stop in TOUR.iter().filter(asks) {
        let mut wget = Command::new(installed("wget")?);
        wget.env("OTEL_SERVICE_NAME", CLIENT);
        wget.args(["--quiet", "--user-agent", "tour/1", "--output-document", "-"]);
        let body = tempfile::NamedTempFile::new()?;
        if stop.sent > 0 {
            std::fs::write(body.path(), stop.body())?;
            wget.arg("--post-file").arg(body.path());
        }
        wget.arg(format!("http://127.0.0.1:{}{}", server.port(), stop.target()));
        ensure!(process::output(&mut wget)? == stop.body(), "{stop:?}");
    }
    let asked = TOUR.iter().filter(asks).count();
    let spans =
        finish_counted(agent, &[(CLIENT, Kind::Client, asked), ("asked", Kind::Server, asked)])?;
    for stop in TOUR.iter().filter(asks) {
        let (asked, served) = both(&spans, "asked", stop)?;
        stop.client_span(server.port()).check(asked)?;
        stop.server_span(server.port()).check(served)?;
    }
    Ok(())
}

/// `ab`, which speaks HTTP/1.0 and keeps its connections by asking for it.
fn apache_bench() -> TestResult {
    const REQUESTS: usize = 500;
    let agent = Agent::start()?;
    let front = nginx::start(None)?;
    let mut bench = Command::new(installed("ab")?);
    bench.env("OTEL_SERVICE_NAME", CLIENT);
    bench.args(["-q", "-k", "-c", "4", "-n", &REQUESTS.to_string()]);
    bench.arg(format!("http://127.0.0.1:{}/hello", front.server.port()));
    let told = String::from_utf8(process::output(&mut bench)?)?;
    for line in [format!("Complete requests:      {REQUESTS}"), "Failed requests:        0".into()]
    {
        ensure!(told.contains(&line), "no {line:?} in\n{told}");
    }
    let spans = finish_counted(
        agent,
        &[(CLIENT, Kind::Client, REQUESTS), ("nginx", Kind::Server, REQUESTS)],
    )?;
    for asked in &spans.of(CLIENT, Kind::Client).0 {
        let served = spans.only(|span| span.parent == asked.span_id);
        let served = served.single()?;
        joined(asked, served)?;
        // Each end is told the version of what it reads.
        ensure!(served.text("network.protocol.version") == "1.0", "{served}");
        ensure!(asked.text("network.protocol.version") == "1.1", "{asked}");
        ensure!(asked.int("http.response.status_code") == Some(200), "{asked}");
    }
    Ok(())
}

/// The two spans of a stop, which must be joined.
fn both<'a>(
    spans: &'a Spans,
    server: &str,
    stop: &Stop,
) -> anyhow::Result<(&'a tests::otlp::Span, &'a tests::otlp::Span)> {
    let asked = find(spans, CLIENT, Kind::Client, stop)?;
    let served = find(spans, server, Kind::Server, stop)?;
    joined(asked, served)?;
    Ok((asked, served))
}
