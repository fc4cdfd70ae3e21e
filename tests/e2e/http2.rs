//! Plain HTTP/2 in the clear: of nginx from the first byte, and of nghttpx by Upgrade; asked by curl and h2load.

use std::path::PathBuf;

use anyhow::ensure;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tests::agent::Agent;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::process::{self, Program};
use tests::programs::http2::{self, H2loadSum, Start};
use tests::programs::{nghttpx, nginx};
use tests::runner::Suite;
use tests::wait::{self, Deadline};

use crate::programs::{finish_counted, joined};

/// What the clients are called.
const CLIENT: &str = "http2-client";

pub(crate) fn add(suite: &mut Suite) {
    suite.test("http2::asked_by_curl", asked_by_curl);
    suite.test("http2::upgraded", upgraded);
    suite.test("http2::h2load", h2load);
}

/// From the first byte.
fn asked_by_curl() -> TestResult {
    let front = nginx::start_http2(None)?;
    let port = front.server.port();
    let without = ask(port, Start::PriorKnowledge, None)?;
    let agent = Agent::start()?;
    let with = ask(port, Start::PriorKnowledge, Some(&agent))?;
    ensure!(with == without, "curl was told {with:?}, without the agent {without:?}");
    let spans = finish_counted(agent, &[(CLIENT, Kind::Client, 2), ("nginx", Kind::Server, 2)])?;
    are_told(&spans, (CLIENT, "2"), ("nginx", "2"))
}

/// The first request is one of HTTP/1.1 whose answer comes in HTTP/2 (RFC 7540 section 3.2), the second is in HTTP/2; both
/// go on to nginx in HTTP/1.1.
fn upgraded() -> TestResult {
    let behind = nginx::start(None)?;
    let front = nghttpx::start(behind.server.port())?;
    let without = ask(front.port(), Start::Upgrade, None)?;
    let agent = Agent::start()?;
    let with = ask(front.port(), Start::Upgrade, Some(&agent))?;
    ensure!(with == without, "curl was told {with:?}, without the agent {without:?}");
    let spans = finish_counted(
        agent,
        &[
            (CLIENT, Kind::Client, 2),
            ("nghttpx", Kind::Server, 2),
            ("nghttpx", Kind::Client, 2),
            ("nginx", Kind::Server, 2),
        ],
    )?;
    are_told(&spans, (CLIENT, "2"), ("nghttpx", "2"))?;
    are_told(&spans, ("nghttpx", "1.1"), ("nginx", "1.1"))
}

/// Asks for something that is there, and something that is not; what curl was told. On one connection where it is upgraded;
/// curl 7.88 takes a second request on one that was HTTP/2 from its first byte for a framing error.
fn ask(port: u16, start: Start, agent: Option<&Agent>) -> anyhow::Result<String> {
    let urls = ["hello", "missing"].map(|path| format!("http://127.0.0.1:{port}/{path}"));
    let processes = match start {
        Start::PriorKnowledge => vec![&urls[..1], &urls[1..]],
        Start::Upgrade => vec![&urls[..]],
    };
    let (mut told, mut asked) = (String::new(), 0);
    for urls in processes {
        let stays = Stays::new()?;
        let mut curl = http2::curl(start)?;
        curl.env("OTEL_SERVICE_NAME", CLIENT);
        curl.args(["--write-out", "%{http_version} %{http_code} %{num_connects}\n"]).args(urls);
        let mut curl = Program::start("curl", curl.arg(stays.url()))?;
        asked += urls.len();
        if let Some(agent) = agent {
            agent.wait("the spans of what curl asked for", |spans| {
                spans.of(CLIENT, Kind::Client).len() >= asked
            })?;
        }
        stays.let_go()?;
        let status = curl.wait_end(Deadline::seconds(10))?;
        let lines = curl.lines();
        ensure!(status.success(), "curl ended with {status}: {lines:?}");
        told += &(lines.join("\n") + "\n");
    }
    let of_a_file = "0 000 0";
    let wanted = match start {
        Start::PriorKnowledge => {
            format!("hello\n2 200 1\n{of_a_file}\nmissing\n2 404 1\n{of_a_file}\n")
        }
        Start::Upgrade => format!("hello\n2 200 1\nmissing\n2 404 0\n{of_a_file}\n"),
    };
    ensure!(told == wanted, "curl told {told:?}, not {wanted:?}");
    Ok(told)
}

/// What keeps a curl from ending: a pipe that it reads as a file after all else. One that is gone after ten milliseconds may be gone
/// before the agent has read what it is called.
struct Stays {
    folder: tempfile::TempDir,
}

impl Stays {
    fn new() -> anyhow::Result<Self> {
        let stays = Self { folder: tempfile::tempdir()? };
        mknodat(CWD, stays.pipe(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(stays)
    }

    fn pipe(&self) -> PathBuf {
        self.folder.path().join("stays")
    }

    fn url(&self) -> String {
        format!("file://{}", self.pipe().display())
    }

    /// Gives it an empty file to read, once it wants to.
    fn let_go(&self) -> TestResult {
        wait::until("curl at its last file", Deadline::seconds(10), || {
            // Where nobody reads, this fails.
            open(self.pipe(), OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok()
        })?;
        Ok(())
    }
}

/// What the spans of both requests must say at both ends, and that the ends are joined.
fn are_told(spans: &Spans, client: (&str, &str), server: (&str, &str)) -> TestResult {
    for (path, status) in [("/hello", 200), ("/missing", 404)] {
        let one = |(service, version): (&str, &str), kind| -> anyhow::Result<Span> {
            let found = spans.of(service, kind).only(|span| span.path() == path);
            ensure!(found.len() == 1, "{kind:?} spans of {service} for {path}:\n{spans}");
            let span = found.0[0].clone();
            ensure!(
                span.text("http.request.method") == "GET"
                    && span.int("http.response.status_code") == Some(status)
                    && span.text("network.protocol.version") == version,
                "not what was asked and answered in HTTP/{version}: {span}"
            );
            Ok(span)
        };
        joined(&one(client, Kind::Client)?, &one(server, Kind::Server)?)?;
    }
    Ok(())
}

/// Many streams on few connections: a span for each request at both ends, nothing lost.
fn h2load() -> TestResult {
    const REQUESTS: usize = 20_000;
    let agent = Agent::start()?;
    let front = nginx::start_http2(None)?;
    let url = format!("http://127.0.0.1:{}/hello", front.server.port());
    let mut client = http2::h2load(REQUESTS, 8, 50, &url)?;
    let told = process::output(client.env("OTEL_SERVICE_NAME", CLIENT))?;
    let sum = H2loadSum::read(&String::from_utf8(told)?)?;
    ensure!(sum == H2loadSum { succeeded: REQUESTS, failed: 0 }, "{sum:?}");
    let of = |spans: &Spans, service: &str, kind| {
        spans.of(service, kind).only(|span| span.text("network.protocol.version") == "2")
    };
    agent.wait("a span for each request at both ends", |spans| {
        of(spans, CLIENT, Kind::Client).len() >= REQUESTS
            && of(spans, "nginx", Kind::Server).len() >= REQUESTS
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    for (service, kind) in [(CLIENT, Kind::Client), ("nginx", Kind::Server)] {
        let spans = of(&stopped.spans, service, kind);
        ensure!(spans.len() == REQUESTS, "{} {kind:?} spans", spans.len());
        let other = spans.only(|span| {
            span.text("http.request.method") != "GET"
                || span.int("http.response.status_code") != Some(200)
        });
        ensure!(other.is_empty(), "not what was asked and answered: {other}");
    }
    let joins = stopped.counters.value("trace.joins_tcp")?;
    ensure!(joins >= REQUESTS as u64, "{joins} of {REQUESTS} requests joined");
    Ok(())
}
