//! Bodies that the probes leave out because a `Content-Length` covers them: nothing that comes after one may be missed, and
//! nothing in one may be taken for a message.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use anyhow::ensure;
use tests::agent::{Hooks, Setup};
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::peer::{Connection, Script, Scripted, Target};
use tests::runner::Suite;
use tests::wait;

use crate::connections::{Scenario, in_pairs};
use crate::programs::finish_counted;

/// Name of this process: both ends of all connections are in it.
const OURSELVES: &str = "e2e";

/// Calls that send one body, and bytes of each.
const CALLS: usize = 200;
const PART: usize = 2000;

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        let scenarios: [(&str, Scenario); 4] = [
            ("hide_no_pipelined_request", pipelined),
            ("are_left_out", left_out),
            ("are_not_expected_in_vain", in_vain),
            ("are_not_told_by_chunks", in_chunks),
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

/// Three requests in one call, two of them with bodies that are never copied.
fn pipelined(setup: Setup) -> TestResult {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let agent = setup.start()?;
    let server = Scripted::start(vec![Script::Heads(3), Script::say(&ANSWER.repeat(3))])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    let mut call = String::new();
    for (method, path, len) in [("POST", "first", 100_000), ("PUT", "second", 70_000)] {
        call += &format!("{method} /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        call += &"x".repeat(len);
    }
    connection.send(call + "GET /third HTTP/1.1\r\nHost: a\r\n\r\n")?;
    ensure!(connection.rest()? == ANSWER.repeat(3).as_bytes());
    let spans =
        finish_counted(agent, &[(OURSELVES, Kind::Client, 3), (OURSELVES, Kind::Server, 3)])?;
    for kind in [Kind::Client, Kind::Server] {
        for (path, len) in [("/first", 100_000), ("/second", 70_000), ("/third", 0)] {
            let found = spans.of(OURSELVES, kind).at(path);
            let span = found.single()?;
            let size = span.int("http.request.body.size").unwrap_or(0);
            ensure!(size == len, "{path}: body size {size}: {span}");
            ensure!(span.int("http.response.status_code") == Some(200), "{span}");
        }
    }
    in_pairs(&spans)
}

/// Next to nothing of a body whose length is known crosses the rings; its size and its end are right all the same.
fn left_out(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (go, wait_for_it) = channel();
    let server = std::thread::spawn(move || serve_in_parts(&listener.accept()?.0, &wait_for_it));
    let mut connection = Connection::open(&Target::port(port))?;
    let mut ends = Vec::new();
    for path in ["/one", "/two"] {
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: parts\r\n\r\n"))?;
        let before_the_last = wait::wall_clock();
        go.send(())?;
        ensure!(connection.answer("GET")?.body.len() == CALLS * PART);
        ends.push((path, before_the_last..=wait::wall_clock()));
    }
    server.join().expect("the server does not panic")?;
    agent.wait("both answers", |spans| {
        [Kind::Client, Kind::Server].iter().all(|kind| spans.of(OURSELVES, *kind).len() >= 2)
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    for kind in [Kind::Client, Kind::Server] {
        let spans = stopped.spans.of(OURSELVES, kind);
        ensure!(spans.len() == ends.len(), "{spans}");
        for (path, end) in &ends {
            let found = spans.at(path);
            let span = found.single()?;
            let size = span.int("http.response.body.size");
            ensure!(size == i64::try_from(CALLS * PART).ok(), "body size {size:?}: {span}");
            ensure!(end.contains(&span.end), "it did not end in {end:?}: {span}");
        }
    }
    let events = stopped.counters.value("kernel.data_events")?;
    ensure!(events < CALLS as u64, "{events} events, although most calls moved only bodies");
    in_pairs(&stopped.spans)
}

/// Answers two requests, each in many calls of which the last waits.
fn serve_in_parts(mut stream: &TcpStream, wait_for_it: &Receiver<()>) -> TestResult {
    stream.set_nodelay(true)?;
    // What looks like a message in a body is none.
    let mut part = b"HTTP/1.1 500 Ghost\r\n\r\nGET /ghost HTTP/1.1\r\nHost: ghost\r\n\r\n".to_vec();
    part.resize(PART, b'x');
    for _ in 0..2 {
        ensure!(stream.read(&mut [0; 4096])? > 0);
        let len = CALLS * PART;
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").as_bytes())?;
        for _ in 1..CALLS {
            stream.write_all(&part)?;
        }
        wait_for_it.recv()?;
        stream.write_all(&part)?;
    }
    Ok(())
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
