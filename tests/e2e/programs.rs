//! Real servers and clients, each doing the whole tour: both sides' spans attribute by attribute, the two joined, and
//! the applications' bytes the same as without the agent.

use std::process::Command;

use anyhow::{Context as _, ensure};
use tests::agent::{Agent, Hooks, Setup};
use tests::expect::Expected;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::peer::{Answer, Connection, Target};
use tests::process;
use tests::programs::{Server, go, gunicorn, installed, java, nginx, node, python};
use tests::runner::Suite;
use tests::tour::{self, Stop, TOUR};

/// What the tour's clients are called.
const CLIENT: &str = "tour-client";

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        let setup = move || Setup::default().hooks(hooks);
        suite.at(hooks.place(), format!("programs::python[{}]", hooks.word()), 60, move || {
            direct(
                setup(),
                || python::tour_server("python", [127, 0, 0, 1].into()),
                python::tour_client()?,
            )
        });
        suite.test(
            format!("programs::nginx_to_gunicorn_on_unix_socket[{}]", hooks.word()),
            move || behind_nginx(setup(), true),
        );
    }
    suite.test("programs::node_http", || {
        direct(Setup::default(), || node::tour_server("node"), node::tour_client("http")?)
    });
    suite.test("programs::node_fetch", || {
        direct(Setup::default(), || node::tour_server("node"), node::tour_client("fetch")?)
    });
    suite.test("programs::go", || {
        direct(Setup::default(), || go::tour_server("go"), go::tour_client()?)
    });
    suite.test("programs::java", || {
        direct(Setup::default(), || java::tour_server("java"), java::tour_client()?)
    });
    suite.test("programs::gunicorn", || {
        direct(Setup::default(), || gunicorn::on_port("gunicorn"), python::tour_client()?)
    });
    suite.test("programs::nginx_to_gunicorn_on_port", || behind_nginx(Setup::default(), false));
    suite.test("programs::nginx_static_asked_by_curl", nginx_static);
    suite.test("programs::answers_are_the_same_bytes_as_without_agent", same_bytes);
}

/// A client that asks a server directly. The agent starts first, so that the server is new to it.
fn direct(
    setup: Setup,
    server: impl Fn() -> anyhow::Result<Server>,
    mut client: Command,
) -> TestResult {
    let agent = setup.start()?;
    let server = server()?;
    take_tour(&mut client, &server.target)?;
    let spans = finish(agent, &[(CLIENT, Kind::Client), (&server.service, Kind::Server)])?;
    for stop in &TOUR {
        let asked = find(&spans, CLIENT, Kind::Client, stop)?;
        let served = find(&spans, &server.service, Kind::Server, stop)?;
        stop.client_span(server.port()).check(asked)?;
        stop.server_span(server.port()).check(served)?;
        ensure!(asked.parent.is_empty(), "a client that serves nobody has a parent: {asked}");
        joined(asked, served)?;
    }
    Ok(())
}

/// Client, nginx, gunicorn: the two ends of each connection joined. Whether nginx's two spans are joined is not asked
/// here: it is an event loop, and may only be right or silent.
fn behind_nginx(setup: Setup, by_unix_socket: bool) -> TestResult {
    let agent = setup.start()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let (behind, upstream) = if by_unix_socket {
        (gunicorn::on_unix("flask", &socket)?, format!("http://unix:{}", socket.display()))
    } else {
        let server = gunicorn::on_port("flask")?;
        let upstream = format!("http://127.0.0.1:{}", server.port());
        (server, upstream)
    };
    let front = nginx::start(Some(&upstream))?;
    take_tour(&mut python::tour_client()?, &front.server.target)?;
    let proxied = TOUR.iter().filter(|stop| stop.path != "/hello" && stop.path != "/big").count();
    let spans = finish_counted(
        agent,
        &[
            (CLIENT, Kind::Client, TOUR.len()),
            ("nginx", Kind::Server, TOUR.len()),
            ("nginx", Kind::Client, proxied),
            ("flask", Kind::Server, proxied),
        ],
    )?;
    for stop in &TOUR {
        let asked = find(&spans, CLIENT, Kind::Client, stop)?;
        let fronted = find(&spans, "nginx", Kind::Server, stop)?;
        stop.client_span(front.server.port()).check(asked)?;
        stop.server_span(front.server.port()).check(fronted)?;
        joined(asked, fronted)?;
        if stop.path == "/hello" || stop.path == "/big" {
            continue;
        }
        let forwarded = find(&spans, "nginx", Kind::Client, stop)?;
        let served = find(&spans, "flask", Kind::Server, stop)?;
        joined(forwarded, served)?;
        ensure!(
            forwarded.parent.is_empty() || forwarded.parent == fronted.span_id,
            "a wrong parent: {forwarded}"
        );
        let (client, server) = if by_unix_socket {
            over_unix(stop, &socket.display().to_string())
        } else {
            (stop.client_span(behind.port()), stop.server_span(behind.port()))
        };
        client.check(forwarded)?;
        server.check(served)?;
    }
    Ok(())
}

/// nginx asks over a unix socket with `Host: localhost`; the peer of its socket is the path, that of gunicorn's has no
/// name.
fn over_unix(stop: &Stop, socket: &str) -> (Expected, Expected) {
    let client = stop
        .client_span(80)
        .with("url.full", format!("http://localhost{}", stop.path))
        .with("server.address", "localhost")
        .with("server.port", 80)
        .with("network.transport", "unix")
        .with("network.peer.address", socket)
        .without("network.peer.port");
    let server = stop
        .server_span(80)
        .with("server.address", "localhost")
        .with("network.transport", "unix")
        .without("client.address")
        .without("network.peer.address")
        .without("network.peer.port");
    (client, server)
}

/// Static files, sent by sendfile, to curl.
fn nginx_static() -> TestResult {
    let agent = Agent::start()?;
    let front = nginx::start(None)?;
    let port = front.server.port();
    let stops = TOUR
        .iter()
        .filter(|stop| stop.path == "/hello" || stop.path == "/big" || stop.path == "/missing");
    let mut wanted = 0;
    for stop in stops.clone() {
        let mut curl = Command::new(installed("curl")?);
        curl.env("OTEL_SERVICE_NAME", CLIENT).args(["-s", "-A", "tour/1"]);
        curl.args(if stop.method == "HEAD" { &["-I", "-o", "/dev/null"][..] } else { &[] });
        let told = process::output(curl.arg(format!("http://127.0.0.1:{port}{}", stop.target())))?;
        ensure!(told == stop.body(), "{stop:?}: {} bytes", told.len());
        wanted += 1;
    }
    let spans =
        finish_counted(agent, &[(CLIENT, Kind::Client, wanted), ("nginx", Kind::Server, wanted)])?;
    for stop in stops {
        let asked = find(&spans, CLIENT, Kind::Client, stop)?;
        let served = find(&spans, "nginx", Kind::Server, stop)?;
        stop.client_span(port).check(asked)?;
        stop.server_span(port).check(served)?;
        joined(asked, served)?;
    }
    Ok(())
}

/// Whole answers, heads included, with and without the agent. Only dates may differ.
fn same_bytes() -> TestResult {
    let servers = [
        python::tour_server("python", [127, 0, 0, 1].into())?,
        node::tour_server("node")?,
        go::tour_server("go")?,
        java::tour_server("java")?,
        gunicorn::on_port("gunicorn")?,
    ];
    let proxy = nginx::start(Some(&format!("http://127.0.0.1:{}", servers[0].port())))?;
    let targets: Vec<&Target> =
        servers.iter().map(|server| &server.target).chain([&proxy.server.target]).collect();
    let without =
        targets.iter().map(|target| answers(target)).collect::<anyhow::Result<Vec<_>>>()?;
    let agent = Agent::start()?;
    let with = targets.iter().map(|target| answers(target)).collect::<anyhow::Result<Vec<_>>>()?;
    agent.wait("spans of all servers", |spans| {
        spans.only(|span| span.kind == Kind::Server).len() >= targets.len() * TOUR.len()
    })?;
    agent.stop()?;
    for (target, (without, with)) in targets.iter().zip(without.iter().zip(&with)) {
        for (stop, (without, with)) in TOUR.iter().zip(without.iter().zip(with)) {
            ensure!(
                without == with,
                "{target:?} {stop:?}: {without:?} without and {with:?} with the agent"
            );
        }
    }
    Ok(())
}

/// Each stop's answer as the client sees it: every header line but the date, and the body. How a server cuts a body
/// into chunks is its own timing and no difference.
pub(crate) fn answers(target: &Target) -> anyhow::Result<Vec<Answer>> {
    TOUR.iter()
        .map(|stop| {
            let mut connection = Connection::open(target)?;
            let body = if stop.sent > 0 { stop.body() } else { Vec::new() };
            let mut request = format!(
                "{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                stop.method,
                stop.target(),
                body.len()
            )
            .into_bytes();
            request.extend(body);
            connection.send(request)?;
            let mut answer =
                connection.answer(stop.method).with_context(|| format!("{target:?} {stop:?}"))?;
            ensure!(connection.rest()?.is_empty(), "{target:?} {stop:?}: bytes after the answer");
            answer.headers.retain(|(name, _)| name != "date");
            Ok(answer)
        })
        .collect()
}

/// Runs a tour client and compares what it prints with the truth.
pub(crate) fn take_tour(client: &mut Command, target: &Target) -> TestResult {
    let Target::Tcp(address) = target else { anyhow::bail!("the tour's clients speak TCP") };
    // Some clients take host and port apart, some together.
    let program = format!("{client:?}");
    if program.contains("tourclient") || program.contains("TourClient") {
        client.arg(address.to_string());
    } else {
        client.args([address.ip().to_string(), address.port().to_string()]);
    }
    let told = process::output(client.env("OTEL_SERVICE_NAME", CLIENT).args(tour::arguments()))?;
    let told = String::from_utf8(told)?;
    ensure!(
        told == tour::lines(),
        "the client was told\n{told}but the truth is\n{}",
        tour::lines()
    );
    Ok(())
}

/// Waits for the whole tour's spans of these services, stops the agent, and checks that there are no more and that
/// nothing was lost.
pub(crate) fn finish(agent: Agent, wanted: &[(&str, Kind)]) -> anyhow::Result<Spans> {
    let wanted: Vec<_> =
        wanted.iter().map(|(service, kind)| (*service, *kind, TOUR.len())).collect();
    finish_counted(agent, &wanted)
}

/// As [`finish`], with a number for each.
pub(crate) fn finish_counted(
    agent: Agent,
    wanted: &[(&str, Kind, usize)],
) -> anyhow::Result<Spans> {
    agent.wait("the spans of the whole tour", |spans| {
        wanted.iter().all(|(service, kind, count)| spans.of(service, *kind).len() >= *count)
    })?;
    let stopped = agent.stop()?;
    for (service, kind, count) in wanted {
        let found = stopped.spans.of(service, *kind);
        ensure!(
            found.len() == *count,
            "{} {kind:?} spans of {service}, not {count}:\n{found}",
            found.len()
        );
    }
    stopped.counters.nothing_lost()?;
    Ok(stopped.spans)
}

/// The span of one stop.
pub(crate) fn find<'a>(
    spans: &'a Spans,
    service: &str,
    kind: Kind,
    stop: &Stop,
) -> anyhow::Result<&'a Span> {
    let mut fitting = spans.0.iter().filter(|span| {
        span.service == service
            && span.kind == kind
            && span.path() == stop.path
            && span.text("http.request.method") == stop.method
    });
    let first = fitting
        .next()
        .with_context(|| format!("no {kind:?} span of {service} for {stop:?}:\n{spans}"))?;
    ensure!(fitting.next().is_none(), "several {kind:?} spans of {service} for {stop:?}:\n{spans}");
    Ok(first)
}

/// The server's span is the child of the client's.
pub(crate) fn joined(client: &Span, server: &Span) -> TestResult {
    ensure!(
        server.parent == client.span_id && server.trace_id == client.trace_id,
        "not joined:\n  {client}\n  {server}"
    );
    Ok(())
}
