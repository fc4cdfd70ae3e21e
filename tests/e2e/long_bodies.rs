//! Long heads, long bodies and what looks like a message in them: nothing that comes after one may be missed, and nothing in one may be
//! taken for a message.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context as _, ensure};
use tests::agent::{Hooks, Setup};
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::peer::{Connection, Script, Scripted, Target};
use tests::runner::Suite;

use crate::connections::{Scenario, in_pairs};
use crate::programs::finish_counted;

/// Name of this process: both ends of all connections are in it.
const OURSELVES: &str = "e2e";

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        let scenarios: [(&str, Scenario); 4] = [
            ("are_not_expected_in_vain", in_vain),
            ("are_not_told_by_chunks", in_chunks),
            ("come_behind_long_heads", behind_long_heads),
            ("go_on_like_requests", like_requests),
        ];
        for (name, scenario) in scenarios {
            suite.at(
                hooks.place(),
                format!("long_bodies::{name}[{}]", hooks.word()),
                60,
                move || scenario(Setup::default().hooks(hooks)),
            );
        }
    }
}

/// A length in the head, and no such body behind it: answers to HEAD, 304, and a request that waits to be told to go on.
fn in_vain(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let say = |text: &str| vec![Script::Heads(1), Script::say(text)];
    let steps = [
        say("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"),
        say("HTTP/1.1 304 Not Modified\r\nContent-Length: 70000\r\n\r\n"),
        say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"),
        say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"),
    ];
    let server = Scripted::start(steps.concat())?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    let asked = [
        ("HEAD", "/head", "", 200),
        ("GET", "/cached", "", 304),
        ("POST", "/refused", "Expect: 100-continue\r\nContent-Length: 70000\r\n", 417),
        ("GET", "/last", "", 200),
    ];
    for (method, path, header, status) in asked {
        connection.send(format!("{method} {path} HTTP/1.1\r\nHost: none\r\n{header}\r\n"))?;
        ensure!(connection.answer(method)?.status == status);
    }
    let spans =
        finish_counted(agent, &[(OURSELVES, Kind::Client, 4), (OURSELVES, Kind::Server, 4)])?;
    for kind in [Kind::Client, Kind::Server] {
        for (method, path, _, status) in asked {
            let found = spans.of(OURSELVES, kind).at(path);
            let span = found.single()?;
            ensure!(span.text("http.request.method") == method, "{span}");
            ensure!(span.int("http.response.status_code") == Some(i64::from(status)), "{span}");
        }
    }
    in_pairs(&spans)
}

/// Heads longer than is searched at once, each in one call: with nothing behind them, with a chunked body of which a few
/// bytes could be thought not worth a copy, and with one whose last bytes lie in several segments.
fn behind_long_heads(setup: Setup) -> TestResult {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let agent = setup.start()?;
    let mut requests = Vec::new();
    for (path, head_len, body_len) in
        [("/head", 5000, 0), ("/few", 2800, 540), ("/many", 6000, 30_000), ("/last", 9000, 0)]
    {
        let (method, framing) =
            if body_len > 0 { ("POST", "Transfer-Encoding: chunked\r\n") } else { ("GET", "") };
        let start = format!("{method} {path} HTTP/1.1\r\nHost: long\r\n{framing}X-Fill: ");
        let mut request = start.clone() + &"f".repeat(head_len - start.len() - 4) + "\r\n\r\n";
        if body_len > 0 {
            request += &format!("{body_len:x}\r\n{}\r\n0\r\n\r\n", "b".repeat(body_len));
        }
        requests.push((method, path, body_len, request));
    }
    // Every body's blank lines are heads' ends to the server, which knows no more of HTTP than that.
    let script = [1, 2, 2, 1].map(|heads| vec![Script::Heads(heads), Script::say(ANSWER)]);
    let server = Scripted::start(script.concat())?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    for (method, _, _, request) in &requests {
        connection.send_in_two(request, request.len() - 9)?;
        ensure!(connection.answer(method)?.status == 200);
    }
    let spans =
        finish_counted(agent, &[(OURSELVES, Kind::Client, 4), (OURSELVES, Kind::Server, 4)])?;
    for kind in [Kind::Client, Kind::Server] {
        for (method, path, body_len, _) in &requests {
            let found = spans.of(OURSELVES, kind).at(path);
            let span = found.single()?;
            ensure!(span.text("http.request.method") == *method, "{span}");
            ensure!(span.int("http.response.status_code") == Some(200), "{span}");
            let size = span.int("http.request.body.size");
            ensure!(
                size.is_none_or(|size| size == i64::try_from(*body_len).unwrap_or(-1)),
                "{span}"
            );
        }
    }
    in_pairs(&spans)
}

/// A chunk that looks like a request with a long body, and is a call of its own, even the first after the other side has
/// spoken: its length covers nothing.
fn in_chunks(setup: Setup) -> TestResult {
    const GHOST: &str = "POST /ghost HTTP/1.1\r\nHost: ghost\r\nContent-Length: 70000\r\n\r\n";
    const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    // The ghost's blank line, the line end behind it that makes another, and the last chunk's.
    let rest = 3;
    let script = vec![
        Script::Heads(1 + rest),
        Script::say(DONE),
        Script::Heads(1),
        Script::say("HTTP/1.1 100 Continue\r\n\r\n"),
        Script::Heads(rest),
        Script::say(DONE),
        Script::Heads(1),
        Script::say(DONE),
    ];
    let agent = setup.start()?;
    let server = Scripted::start(script)?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    for (path, header) in [("/chunks", ""), ("/expected", "Expect: 100-continue\r\n")] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: chunks\r\n{header}Transfer-Encoding: chunked\r\n\r\n"
        );
        connection.send(head)?;
        connection.send(format!("{:x}\r\n", GHOST.len()))?;
        if !header.is_empty() {
            // Now the ghost is the first to come after the other side has spoken.
            ensure!(connection.answer("POST")?.status == 100);
        }
        connection.send(GHOST)?;
        connection.send("\r\n0\r\n\r\n")?;
        ensure!(connection.answer("POST")?.status == 200);
    }
    ensure!(connection.get("/last")?.status == 200);
    let spans =
        finish_counted(agent, &[(OURSELVES, Kind::Client, 3), (OURSELVES, Kind::Server, 3)])?;
    for kind in [Kind::Client, Kind::Server] {
        for path in ["/chunks", "/expected", "/last"] {
            let found = spans.of(OURSELVES, kind).at(path);
            let span = found.single()?;
            ensure!(span.int("http.response.status_code") == Some(200), "{span}");
            let size = span.int("http.request.body.size").unwrap_or(0);
            let right = if path == "/last" { 0 } else { i64::try_from(GHOST.len())? };
            ensure!(size == right, "{path}: body size {size}: {span}");
        }
    }
    in_pairs(&spans)
}

/// Bytes of half a body: the other half comes in a call of its own.
const HALF: usize = 1000;

/// Bodies that go on with what begins like a request: none is told of, and a thread still serves the request that it read, and the next
/// one. Only where a body quotes a whole first line is it not certain what is served, and then nothing is said of it; the next
/// request begins where it does all the same.
fn like_requests(setup: Setup) -> TestResult {
    let goes_on =
        ["GET /span", "POST /", "GET /quoted HTTP/1.1\r\nHost: q\r\n", "DELETE /", "PUT /a"];
    let quotes = |goes_on: &str| goes_on.contains("HTTP/1.1");
    let agent = setup.start()?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let script = goes_on.map(|_| [Script::Heads(1), Script::say(answer)]);
    let asked = Scripted::start(script.concat())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut connection = Connection::open(&Target::port(listener.local_addr()?.port()))?;
    let (half_read, halves) = sync_channel(0);
    let server = std::thread::spawn(move || serve_halves(&listener, asked.port(), &half_read));
    for (number, goes_on) in goes_on.iter().enumerate() {
        let head = format!("POST /asked/{number} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", 2 * HALF);
        connection.send(head + &"x".repeat(HALF))?;
        halves.recv().context("the server has ended")?;
        let half = format!("{goes_on:.<HALF$}");
        connection.send(&half)?;
        let answer = connection.answer("POST")?;
        ensure!(answer.status == 200 && answer.body == half.as_bytes(), "another half came");
    }
    drop(connection);
    server.join().expect("the server does not panic")?;
    let count = 2 * goes_on.len();
    agent.wait("all spans", |spans| {
        [Kind::Client, Kind::Server].iter().all(|kind| spans.of(OURSELVES, *kind).len() >= count)
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    let told = goes_on.iter().filter(|goes_on| quotes(goes_on)).count() as u64;
    for way in ["sent", "received"] {
        let in_bodies = stopped.counters.value(&format!("conn.requests_{way}_in_bodies"))?;
        ensure!(in_bodies == told, "{in_bodies} of {told} were told of and lay in bodies");
        ensure!(stopped.counters.value(&format!("protocols.requests_{way}_unread"))? == 0);
    }
    let spans = stopped.spans;
    for kind in [Kind::Client, Kind::Server] {
        ensure!(spans.of(OURSELVES, kind).len() == count, "{spans}");
    }
    for (number, goes_on) in goes_on.iter().enumerate() {
        let served = spans.of(OURSELVES, Kind::Server).at(&format!("/asked/{number}"));
        let called = spans.of(OURSELVES, Kind::Client).at(&format!("/calls/{number}"));
        let (served, called) = (served.single()?, called.single()?);
        let unsaid = quotes(goes_on) && called.parent.is_empty();
        ensure!(unsaid || called.parent == served.span_id, "{called} is not of {served}");
        ensure!(served.int("http.request.body.size") == Some(2 * i64::try_from(HALF)?), "{served}");
    }
    in_pairs(&spans)
}

/// Answers what comes on one connection until its end: reads half of each request's body, says so, reads the other half, and asks
/// somebody else before it answers with what it read.
fn serve_halves(listener: &TcpListener, asked: u16, half_read: &SyncSender<()>) -> TestResult {
    let (mut stream, _) = listener.accept()?;
    let mut asked = Connection::open(&Target::port(asked))?;
    let mut call = vec![0; 2 * HALF];
    for number in 0.. {
        let mut read = 0;
        loop {
            let came = stream.read(&mut call[read..])?;
            if came == 0 && read == 0 {
                return Ok(());
            }
            ensure!(came > 0, "the client ended in the middle");
            read += came;
            let head = call[..read].windows(4).position(|end| end == b"\r\n\r\n");
            if head.is_some_and(|head| read == head + 4 + HALF) {
                break;
            }
        }
        half_read.send(())?;
        stream.read_exact(&mut call[..HALF])?;
        ensure!(asked.get(&format!("/calls/{number}"))?.status == 200);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {HALF}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &call[..HALF]].concat())?;
    }
    Ok(())
}
