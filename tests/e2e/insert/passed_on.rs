//! A `traceparent` that a program passes on as it came: the call's own span becomes the parent in it, and all else that it sends is the
//! same to the byte. What it says in any other way stays.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, ensure};
use tests::agent::Hooks;
use tests::listening::free_port;
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::programs::{Server, python};
use tests::wait::Deadline;

use super::{TRIED, named, need, python_path};

/// Ways to say whose a request is, and whether its span is made the parent.
const SAYS: [(&str, bool); 8] = [
    ("as_it_came", true),
    ("spelled", true),
    ("with_token", true),
    ("signed", false),
    ("signature", false),
    ("own_span", false),
    ("other_trace", false),
    ("other_version", false),
];

/// The trace of a request that comes from far away, and its parent there.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Who passes on the header with which its own request came would make its caller the parent of what it calls. What it says in another
/// way, or may have signed, stays as it is.
pub(super) fn names_its_span() -> TestResult {
    let server = |service: &str, script: &str, rest: &[&str]| {
        let port = free_port()?;
        let mut command = python::script(script)?;
        command.args(["127.0.0.1", &port.to_string()]).args(rest);
        Server::on_port(service, port, &mut command)
    };
    let far = server("far", "shows_heads.py", &[])?;
    let near = server("near", "passes_on.py", &["127.0.0.1", &far.port().to_string()])?;
    let ask_all = || {
        SAYS.iter()
            .map(|(how, _)| ask_from_far(near.port(), how))
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let without = ask_all()?;
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let line = format!("into requests of process {} from now on", near.program.pid());
    agent.wait_line(&line, Deadline::seconds(10))?;
    let with = ask_all()?;
    agent.wait("the spans of all requests", |spans| {
        spans.of("far", Kind::Server).len() >= SAYS.len()
    })?;
    let stopped = agent.stop()?;
    let all = &stopped.spans;
    for ((how, is_replaced), (without, with)) in SAYS.iter().zip(without.iter().zip(&with)) {
        let path = format!("/{how}");
        let one = |service: &str, kind| all.of(service, kind).at(&path).single().cloned();
        let (serves, calls) = (one("near", Kind::Server)?, one("near", Kind::Client)?);
        let header = format!("{TRACE}-{CALLER}");
        let expected = if *is_replaced {
            ensure!(without.contains(&header), "{how}: {without}");
            without.replace(&header, &format!("{TRACE}-{}", calls.span_id))
        } else {
            without.clone()
        };
        ensure!(*with == expected, "{how}:\n{with}\nand not\n{expected}");
        if *is_replaced {
            ensure!(serves.trace_id == TRACE && calls.parent == serves.span_id, "{how}: {calls}");
            let asked = one("far", Kind::Server)?;
            ensure!(asked.parent == calls.span_id && asked.trace_id == TRACE, "{how}: {asked}");
        }
    }
    let count = |name: &str| stopped.counters.value(&format!("kernel.insert_{name}"));
    ensure!(count("replaced")? == 3 && count("signed")? == 2 && count("has_one")? == 3);
    ensure!(count("done")? == TRIED && count("failed")? == 0, "{:?}", stopped.counters);
    stopped.counters.nothing_lost()
}

/// What is answered to a request of that trace.
fn ask_from_far(port: u16, how: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let request = format!(
        "GET /{how} HTTP/1.1\r\nHost: near\r\ntraceparent: 00-{TRACE}-{CALLER}-01\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(body.to_owned())
}
