//! Requests that stay open: WebSockets, server-sent events and long polls are shown while they last, and are one span at
//! each end when they are over.

use std::process::Command;

use anyhow::{Context as _, ensure};
use tests::agent::{self, Setup};
use tests::otlp::{Kind, Span, Status};
use tests::outcome::TestResult;
use tests::peer::Connection;
use tests::process::{self, Program};
use tests::programs::pypi;
use tests::runner::Suite;
use tests::wait::{self, Deadline};

use crate::programs::joined;

/// After how long an open request is shown, s: a minute if nobody says otherwise, which the paced form waits for.
const SHOWN_AFTER: u64 = 5;
const DEFAULT: u64 = 60;

const SERVER: &str = "streams";
const SOCKET: &str = "ws-client";
const OURSELVES: &str = "e2e";

pub(crate) fn add(suite: &mut Suite) {
    suite.slow("open_requests::are_shown_and_end_as_spans", 120, open_requests);
}

/// All at once, because each must be open for so long.
fn open_requests() -> TestResult {
    let paced = crate::is_paced();
    let shown_after = if paced { DEFAULT } else { SHOWN_AFTER };
    let mut setup = Setup::default();
    if !paced {
        setup = setup.environment("SPANWIRE_OPEN_AFTER", SHOWN_AFTER.to_string());
    }
    let agent = setup.start()?;
    let server = pypi::streams_server(SERVER)?;
    let port = server.port().to_string();
    let mut client = pypi::websocket_client()?;
    client.args(["127.0.0.1", &port]).env("OTEL_SERVICE_NAME", SOCKET);
    let mut socket = Program::start(SOCKET, &mut client)?;
    socket.wait_line("echo 9", Deadline::seconds(20))?;
    let mut poll = Connection::open(&server.target)?;
    poll.send("GET /poll HTTP/1.1\r\nHost: streams\r\n\r\n")?;
    let mut events = Connection::open(&server.target)?;
    events.send("GET /events HTTP/1.1\r\nHost: streams\r\n\r\n")?;
    events.until(b"data: 3\n\n")?;
    ensure!(shown()?.lines().all(|line| !line.ends_with(" /events")), "shown at once");

    let ends: [(&str, &str, &str); 6] = [
        (SOCKET, "client", "/ws"),
        (SERVER, "server", "/ws"),
        (OURSELVES, "client", "/poll"),
        (SERVER, "server", "/poll"),
        (OURSELVES, "client", "/events"),
        (SERVER, "server", "/events"),
    ];
    wait::until("all to be shown", Deadline::seconds(shown_after + 15), || {
        wait::pace(std::time::Duration::from_millis(500));
        shown().map(|text| is_shown(&text, &ends).then_some(())).transpose()
    })??;
    let so_far = agent.receiver().spans()?;
    let early = so_far.only(|span| ["/ws", "/poll", "/events"].contains(&span.path()));
    ensure!(early.is_empty(), "spans of what is still open:\n{early}");

    Connection::open(&server.target)?.ask("POST", "/release", &[("Content-Length", "0")])?;
    ensure!(poll.answer("GET")?.body == b"news");
    socket.wait_line("CLOSE", Deadline::seconds(10))?;
    // What is closed with unread bytes is a reset.
    events.unread()?;
    drop(events);
    agent.wait("the spans at the end", |spans| {
        ["/ws", "/poll", "/events"].iter().all(|path| spans.at(path).len() == 2)
    })?;
    // What is shown is a second old at most.
    wait::until("nothing to be shown", Deadline::seconds(5), || {
        shown()
            .map(|text| (!text.contains("/ws") && !text.contains("/poll")).then_some(()))
            .transpose()
    })??;
    let stopped = agent.stop()?;
    for (path, status, client) in
        [("/ws", 101, SOCKET), ("/poll", 200, OURSELVES), ("/events", 200, OURSELVES)]
    {
        let spans = stopped.spans.at(path);
        let (asked, served) = (spans.of(client, Kind::Client), spans.of(SERVER, Kind::Server));
        let (asked, served) = (asked.single()?, served.single()?);
        joined(asked, served)?;
        for span in [asked, served] {
            ensure!(span.int("http.response.status_code") == Some(status), "{span}");
            ensure!(span.end - span.start >= shown_after * 1_000_000_000, "too short: {span}");
            ensure!(span.status == Status::Unset, "an end by somebody's wish is no error: {span}");
        }
    }
    for span in &stopped.spans.at("/ws").0 {
        ensure!(span.text("network.protocol.name") == "websocket", "{span}");
        // Ten frames of two octets of header, the key's four from the client, and the text; and the heads.
        at_least(span, "spanwire.request.size", 10 * (2 + 4 + 1))?;
        at_least(span, "spanwire.response.size", 10 * (2 + 6))?;
    }
    for span in &stopped.spans.at("/events").0 {
        // An event each 200 ms, of which a busy host may miss some.
        at_least(span, "spanwire.response.size", i64::try_from(shown_after)? * 4 * 9)?;
    }
    stopped.counters.nothing_lost()
}

/// What `doctor --live` says of the running agent.
fn shown() -> anyhow::Result<String> {
    let told = process::output(Command::new(agent::binary()?).args(["doctor", "--live"]))?;
    Ok(String::from_utf8(told)?)
}

/// Whether there is a line for each of these ends.
fn is_shown(text: &str, ends: &[(&str, &str, &str)]) -> bool {
    ends.iter().all(|(service, kind, path)| {
        let fits = |line: &str| {
            line.contains(&format!(" {service} ({kind}, pid "))
                && line.ends_with(&format!("GET {path}"))
        };
        text.lines().any(fits)
    })
}

fn at_least(span: &Span, key: &str, bytes: i64) -> TestResult {
    let found = span.int(key).with_context(|| format!("no {key}: {span}"))?;
    ensure!(found >= bytes, "{key} is less than {bytes}: {span}");
    Ok(())
}
