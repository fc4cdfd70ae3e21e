//! Connections of every sort and fate: address families, older and younger than the agent, kept, pipelined, cut,
//! reset, never answered; and bodies that end in each way HTTP/1 knows.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use anyhow::ensure;
use tests::agent::{Agent, Hooks, Setup};
use tests::otlp::{Kind, Span, Spans, Status};
use tests::outcome::TestResult;
use tests::peer::{Connection, Script, Scripted, Target};
use tests::programs::{nginx, python};
use tests::runner::{Place, Suite};

use crate::programs::{finish_counted, take_tour};

/// Name of this process: both ends of scripted connections are in it.
const OURSELVES: &str = "e2e";

/// A test of connections, with the agent it starts.
pub(crate) type Scenario = fn(Setup) -> TestResult;

pub(crate) fn add(suite: &mut Suite) {
    // Those that every set of hooks must pass on every kernel; those that the best one must, where the kernel still has a
    // say; and those of HTTP alone.
    let of_hooks: [(&str, Scenario); 2] =
        [("unix_socket", unix_socket), ("opened_before_the_agent", opened_before)];
    // The random calls of `socket_calls` pipeline and send files with every set of hooks.
    let of_sockets: [(&str, Scenario); 8] = [
        ("pipelined", pipelined),
        ("sendfile", sendfile),
        ("ipv6", ipv6),
        ("head_in_single_bytes", single_bytes),
        ("bodies_end_in_every_way", bodies),
        ("server_resets", server_resets),
        ("server_resets_during_the_first_call", resets_during_call),
        ("client_leaves_the_answer_unread", unread),
    ];
    let of_http: [(&str, Scenario); 4] = [
        ("kept_for_many_requests", kept),
        ("client_gives_up_waiting", given_up),
        ("server_closes_without_answer", server_closes),
        ("answer_is_cut_short", cut_short),
    ];
    for &hooks in Hooks::each() {
        let placed = (of_hooks.map(|test| (test, Place::Everywhere)).into_iter())
            .chain(of_sockets.map(|test| (test, hooks.place())))
            .chain(of_http.map(|test| (test, Place::Here)));
        for ((name, scenario), place) in placed {
            suite.at(place, format!("connections::{name}[{}]", hooks.word()), 60, move || {
                scenario(Setup::default().hooks(hooks))
            });
        }
    }
}

fn ipv6(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = python::tour_server("six", IpAddr::V6(Ipv6Addr::LOCALHOST))?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    let count = tests::tour::TOUR.len();
    let spans = finish_counted(
        agent,
        &[("tour-client", Kind::Client, count), ("six", Kind::Server, count)],
    )?;
    let Target::Tcp(address) = server.target else { unreachable!("it listens on TCP") };
    for span in spans.of("six", Kind::Server).0 {
        ensure!(
            span.text("network.peer.address") == "::1" && span.text("client.address") == "::1",
            "{span}"
        );
        ensure!(span.text("server.address").trim_matches(['[', ']']) == "::1", "{span}");
        ensure!(span.int("server.port") == Some(i64::from(address.port())), "{span}");
        let client = spans.by_id(&span.parent);
        ensure!(client.is_some_and(|client| client.path() == span.path()), "not joined: {span}");
    }
    for span in spans.of("tour-client", Kind::Client).0 {
        ensure!(span.text("url.full").starts_with(&format!("http://{address}/")), "{span}");
        ensure!(span.text("network.peer.address") == "::1", "{span}");
    }
    Ok(())
}

fn unix_socket(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let server = nginx::start_on_unix(&path)?;
    Connection::open(&server.server.target)?.get("/hello?by=unix")?;
    let spans = finish_counted(agent, &[(OURSELVES, Kind::Client, 1), ("nginx", Kind::Server, 1)])?;
    let (client, served) = (spans.of(OURSELVES, Kind::Client), spans.of("nginx", Kind::Server));
    let (client, served) = (client.single()?, served.single()?);
    ensure!(
        served.parent == client.span_id && served.trace_id == client.trace_id,
        "not joined:\n{spans}"
    );
    ensure!(client.text("network.peer.address") == path.display().to_string(), "{client}");
    ensure!(
        client.text("network.transport") == "unix" && served.text("network.transport") == "unix",
        "{spans}"
    );
    ensure!(served.path() == "/hello" && served.text("url.query") == "by=unix", "{served}");
    Ok(())
}

/// Both ends and their connections are older than the agent; a request was made on each before.
fn opened_before(setup: Setup) -> TestResult {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let path = folder.path().join("socket");
    let threaded = python::tour_server("older-threaded", [127, 0, 0, 1].into())?;
    let front = nginx::start(Some(&format!("http://127.0.0.1:{}", threaded.port())))?;
    let on_unix = nginx::start_on_unix(&path)?;
    let mut connections =
        [Connection::open(&front.server.target)?, Connection::open(&threaded.target)?];
    for connection in &mut connections {
        connection.get("/hello?before")?;
    }
    let agent = setup.start()?;
    for connection in &mut connections {
        for number in 0..3 {
            ensure!(connection.get(&format!("/hello?after={number}"))?.body == b"hello\n");
        }
    }
    Connection::open(&on_unix.server.target)?.get("/hello?after")?;
    let spans = finish_counted(
        agent,
        &[
            (OURSELVES, Kind::Client, 7),
            ("nginx", Kind::Server, 4),
            ("older-threaded", Kind::Server, 3),
        ],
    )?;
    for span in spans.only(|span| span.kind == Kind::Server).0 {
        ensure!(span.text("url.query").starts_with("after"), "{span}");
        let client = spans.by_id(&span.parent);
        ensure!(
            client.is_some_and(|client| client.text("url.full").ends_with(span.text("url.query"))),
            "{span}"
        );
    }
    Ok(())
}

fn kept(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = python::tour_server("kept", [127, 0, 0, 1].into())?;
    let mut connection = Connection::open(&server.target)?;
    for number in 0..50 {
        connection
            .get(&format!("/{}?{number}", ["hello", "chunked", "cached", "empty"][number % 4]))?;
    }
    let spans =
        finish_counted(agent, &[(OURSELVES, Kind::Client, 50), ("kept", Kind::Server, 50)])?;
    let ports: std::collections::BTreeSet<_> =
        spans.of("kept", Kind::Server).0.iter().map(|span| span.int("network.peer.port")).collect();
    ensure!(ports.len() == 1, "one connection has several ports: {ports:?}");
    in_pairs(&spans)
}

/// Five requests in one call before the first answer.
fn pipelined(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let front = nginx::start(None)?;
    let mut connection = Connection::open(&front.server.target)?;
    let requests: String = (0..5)
        .map(|number| format!("GET /hello?{number} HTTP/1.1\r\nHost: pipe\r\n\r\n"))
        .collect();
    connection.send(&requests)?;
    for _ in 0..5 {
        ensure!(connection.answer("GET")?.body == b"hello\n");
    }
    let spans = finish_counted(agent, &[(OURSELVES, Kind::Client, 5), ("nginx", Kind::Server, 5)])?;
    in_pairs(&spans)
}

/// A head byte by byte, and one longer than most. The probes see where each ends: they tell of every request that follows.
fn single_bytes(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = python::tour_server("patient", [127, 0, 0, 1].into())?;
    let mut connection = Connection::open(&server.target)?;
    for byte in b"POST /echo HTTP/1.1\r\nHost: slow:1\r\nContent-Length: 5\r\n\r\nhello" {
        connection.send([*byte])?;
    }
    ensure!(connection.answer("POST")?.body == b"hello");
    ensure!(connection.ask("GET", "/hello", &[("X-Long", &"x".repeat(2000))])?.status == 200);
    ensure!(connection.get("/hello?last")?.status == 200);
    agent.wait("all spans", |spans| {
        spans.of(OURSELVES, Kind::Client).len() >= 3 && spans.of("patient", Kind::Server).len() >= 3
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    for name in ["kernel.requests_sent", "kernel.requests_received"] {
        let told = stopped.counters.value(name)?;
        ensure!(told >= 3, "{name} is {told}, not 3");
    }
    let spans = stopped.spans;
    ensure!(spans.of(OURSELVES, Kind::Client).len() == 3, "{spans}");
    ensure!(spans.of("patient", Kind::Server).len() == 3, "{spans}");
    in_pairs(&spans)?;
    let posted = spans.of("patient", Kind::Server).at("/echo");
    let posted = posted.single()?;
    ensure!(
        posted.text("server.address") == "slow" && posted.int("server.port") == Some(1),
        "{posted}"
    );
    ensure!(posted.int("http.request.body.size").is_none_or(|size| size == 5), "{posted}");
    Ok(())
}

fn bodies(setup: Setup) -> TestResult {
    let answers: [(&str, &str, i64, Option<i64>); 8] = [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", 200, Some(4)),
        (
            "chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            200,
            Some(4),
        ),
        (
            "trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nA: b\r\n\r\n",
            200,
            Some(4),
        ),
        ("close", "HTTP/1.1 200 OK\r\n\r\nGET /ghost HTTP/1.1\r\nHost: x\r\n\r\n", 200, Some(32)),
        ("old", "HTTP/1.0 200 OK\r\n\r\nbody", 200, Some(4)),
        ("empty", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("cached", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", 304, None),
        (
            "early",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            200,
            Some(4),
        ),
    ];
    let agent = setup.start()?;
    for (name, answer, ..) in &answers {
        let server = Scripted::start(vec![Script::Heads(1), Script::say(answer)])?;
        let mut connection = Connection::open(&Target::port(server.port()))?;
        connection.send(format!("GET /{name} HTTP/1.1\r\nHost: {name}\r\n\r\n"))?;
        ensure!(connection.rest()? == answer.as_bytes());
    }
    let count = answers.len();
    let spans = finish_counted(
        agent,
        &[(OURSELVES, Kind::Client, count), (OURSELVES, Kind::Server, count)],
    )?;
    in_pairs(&spans)?;
    for (name, _, status, body) in &answers {
        for kind in [Kind::Client, Kind::Server] {
            let span = spans.of(OURSELVES, kind).at(&format!("/{name}"));
            let span = span.single()?;
            ensure!(span.int("http.response.status_code") == Some(*status), "{span}");
            ensure!(
                span.status == Status::Unset && !span.attributes.contains_key("error.type"),
                "{span}"
            );
            let size = span.int("http.response.body.size");
            ensure!(
                size.is_none_or(|size| size == body.unwrap_or(0)),
                "{name}: body size {size:?}: {span}"
            );
        }
    }
    let old = spans.of(OURSELVES, Kind::Client).at("/old");
    ensure!(old.single()?.text("network.protocol.version") == "1.0", "{old}");
    Ok(())
}

/// Large static files: the body never is in nginx's memory, and must not be missed.
fn sendfile(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let front = nginx::start(None)?;
    let mut connection = Connection::open(&front.server.target)?;
    for number in 0..4 {
        let answer = connection.get(&format!("/big?{number}"))?;
        ensure!(answer.body.len() == 1 << 20, "{} bytes", answer.body.len());
        ensure!(connection.get(&format!("/hello?{number}"))?.status == 200);
    }
    let spans = finish_counted(agent, &[(OURSELVES, Kind::Client, 8), ("nginx", Kind::Server, 8)])?;
    for span in spans.at("/big").0 {
        let size = span.int("http.response.body.size");
        ensure!(size.is_none_or(|size| size == 1 << 20), "{span}");
    }
    in_pairs(&spans)
}

/// The client closes while the server still thinks.
fn given_up(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = Scripted::start(vec![Script::Heads(1), Script::Drain])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    connection.send("GET /given-up HTTP/1.1\r\nHost: x\r\n\r\n")?;
    drop(connection);
    let spans = failed_pair(agent, "/given-up")?;
    // Who cancels on purpose has not failed (semconv); if it looks like a failure it must be named.
    let client = spans.of(OURSELVES, Kind::Client);
    let client = client.single()?;
    ensure!(
        (client.status == Status::Error) == client.attributes.contains_key("error.type"),
        "{client}"
    );
    is_failure(spans.of(OURSELVES, Kind::Server).single()?)
}

fn server_resets(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = Scripted::start(vec![Script::Heads(1), Script::Reset])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    connection.send("GET /reset HTTP/1.1\r\nHost: x\r\n\r\n")?;
    ensure!(connection.rest().is_err(), "the client was not reset");
    both_are_reset(agent)
}

/// The connection is gone before the client's first call on it has returned, and the client keeps the socket.
fn resets_during_call(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = Scripted::start(vec![Script::Heads(1), Script::Reset])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    // More than both sockets have room for: the call waits for the server, which reads no more than the beginning.
    let body = 64 << 20;
    let mut request =
        format!("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n\r\n").into_bytes();
    request.resize(request.len() + body, b'x');
    ensure!(connection.send(request).is_err(), "the client was not reset");
    both_are_reset(agent)?;
    drop(connection);
    Ok(())
}

/// Both spans of a request that the server has answered with a reset.
fn both_are_reset(agent: Agent) -> TestResult {
    let spans = failed_pair(agent, "/reset")?;
    is_failure(spans.of(OURSELVES, Kind::Server).single()?)?;
    let client = spans.of(OURSELVES, Kind::Client);
    let client = client.single()?;
    is_failure(client)?;
    ensure!(client.text("error.type") == "connection_reset", "{client}");
    Ok(())
}

/// The client closes while the whole answer lies unread in its socket, which resets the connection.
fn unread(setup: Setup) -> TestResult {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let agent = setup.start()?;
    let server = Scripted::start(vec![Script::Heads(1), Script::say(answer), Script::Drain])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    connection.send("GET /unread HTTP/1.1\r\nHost: x\r\n\r\n")?;
    connection.wait_unread(answer.len())?;
    drop(connection);
    let spans = failed_pair(agent, "/unread")?;
    let served = spans.of(OURSELVES, Kind::Server);
    let served = served.single()?;
    ensure!(served.int("http.response.status_code") == Some(200), "it was answered: {served}");
    ensure!(served.status == Status::Unset, "the server did all it had to: {served}");
    let client = spans.of(OURSELVES, Kind::Client);
    let client = client.single()?;
    ensure!(client.int("http.response.status_code").is_none(), "it never read an answer: {client}");
    Ok(())
}

fn server_closes(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let server = Scripted::start(vec![Script::Heads(1)])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    connection.send("GET /closed HTTP/1.1\r\nHost: x\r\n\r\n")?;
    ensure!(connection.rest()?.is_empty());
    let spans = failed_pair(agent, "/closed")?;
    is_failure(spans.of(OURSELVES, Kind::Server).single()?)?;
    is_failure(spans.of(OURSELVES, Kind::Client).single()?)
}

/// The head promises more than comes.
fn cut_short(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let server = Scripted::start(vec![Script::Heads(1), Script::say(half)])?;
    let mut connection = Connection::open(&Target::port(server.port()))?;
    connection.send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n")?;
    ensure!(connection.rest()? == half.as_bytes());
    let spans = failed_pair(agent, "/half")?;
    for span in &spans.0 {
        ensure!(span.int("http.response.status_code") == Some(200), "the status was seen: {span}");
        ensure!(span.status == Status::Error && !span.text("error.type").is_empty(), "{span}");
    }
    Ok(())
}

/// Both spans of an exchange that was not completed.
fn failed_pair(agent: Agent, path: &str) -> anyhow::Result<Spans> {
    let both = |spans: &Spans| {
        let spans = spans.at(path);
        !spans.of(OURSELVES, Kind::Client).is_empty()
            && !spans.of(OURSELVES, Kind::Server).is_empty()
    };
    agent.receiver().wait(
        "both spans of an exchange that failed",
        Duration::from_secs(15),
        both,
    )?;
    let spans = agent.stop()?.spans.at(path);
    ensure!(spans.len() == 2, "{spans}");
    in_pairs(&spans)?;
    Ok(spans)
}

/// No answer came: an error with a reason, and no status code.
fn is_failure(span: &Span) -> TestResult {
    ensure!(span.status == Status::Error, "not an error: {span}");
    ensure!(span.int("http.response.status_code").is_none(), "there was no answer: {span}");
    let reason = span.text("error.type");
    ensure!(
        !reason.is_empty() && !reason.contains(char::is_whitespace),
        "error.type {reason:?}: {span}"
    );
    Ok(())
}

/// Every server span is the child of the client span of the same path and query, and no two of the same.
pub(crate) fn in_pairs(spans: &Spans) -> TestResult {
    let mut parents = std::collections::BTreeSet::new();
    for span in spans.only(|span| span.kind == Kind::Server).0 {
        let client = spans.by_id(&span.parent);
        let query = span.text("url.query");
        let fits = client.is_some_and(|client| {
            client.kind == Kind::Client
                && client.path() == span.path()
                && client.trace_id == span.trace_id
                && client.text("url.full").ends_with(query)
        });
        ensure!(
            fits,
            "not the child of its client: {span}\nbut of {:?}",
            client.map(ToString::to_string)
        );
        ensure!(parents.insert(span.parent.clone()), "two servers of one client: {span}");
    }
    Ok(())
}
