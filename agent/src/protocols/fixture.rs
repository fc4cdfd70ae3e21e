//! Conversations written down with what a reader must report of them beside: how protocols are tested.
//!
//! A `.talk` file has one line for each thing that happens, 1 ms apart; `.expected` has a line for each report.
//!
//! | line | meaning |
//! |---|---|
//! | `client` / `server` | whose end this is; `client middle`: we came into the middle of the connection |
//! | `> bytes`, `< bytes` | a call of the requests' / answers' direction; `\r \n \xNN \\` |
//! | `> x*500` with the word `fill` before: `> fill 500` | so many bytes `x` |
//! | `> told bytes` | a call of the requests' direction that the kernel told of as the begin of a request |
//! | `> h2 frames` | HTTP/2, see `http2/notation.rs` |
//! | `> skip 500`, `> gap 500` | bytes left out, bytes lost |
//! | `> end` | the direction ended |
//! | `gone reset` | the connection is gone: reset, closed, timeout, cancelled |
//! | `# …` | remark |
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use abi::Direction;

use super::http2::notation;
use super::{Before, Body, Detection, Ending, Outlet, Piece, Protocol, detect};
use crate::conn::{Address, Connection, Loss, Losses};
use crate::exchange::{Call, Failure, Http, Report, Role, Rpc};
use crate::input::{ConnId, Nanos, Runtime, Task, Waits};

/// Plays every talk of a folder and compares. `UPDATE_EXPECTED=1` writes instead; read the difference then.
pub(super) fn check(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "talk") {
            continue;
        }
        let told = play(&std::fs::read_to_string(&path).unwrap());
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(told == expected, "{}\n--- told\n{told}--- expected\n{expected}", path.display());
        played += 1;
    }
    assert!(played > 0, "no talks in {}", folder.display());
}

/// What is reported of a talk, as text.
fn play(talk: &str) -> String {
    let mut lines = talk.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let requests_go =
        if first.starts_with("client") { Direction::Sent } else { Direction::Received };
    let mut stage = Stage {
        reader: None,
        before: Before { from_birth: !first.ends_with("middle"), lost: [false; 2] },
        positions: [1000, 5000],
        conn: connection(),
        reports: Vec::new(),
        losses: Losses::default(),
    };
    for (number, line) in lines.enumerate() {
        let at = Nanos((number as u64 + 1) * 1_000_000);
        let (who, what) = line.split_once(' ').unwrap_or((line, ""));
        let direction = match who {
            ">" => requests_go,
            "<" => requests_go.opposite(),
            _ => {
                assert_eq!(who, "gone", "line {line}");
                stage.end(Ending::Gone(failure(what)), at);
                continue;
            }
        };
        match what.split_once(' ') {
            _ if what == "end" => stage.end(Ending::Finished(direction), at),
            Some(("skip", n)) => stage.piece(direction, Body::Skip(n.parse().unwrap()), at),
            Some(("gap", n)) => stage.piece(direction, Body::Gap(n.parse().unwrap()), at),
            Some(("h2", frames)) => {
                stage.piece(direction, Body::Bytes(&notation::frames(frames)), at);
            }
            Some(("told", bytes)) => stage.told(direction, &unescape(bytes), at),
            Some(("fill", n)) => {
                stage.piece(direction, Body::Bytes(&vec![b'x'; n.parse().unwrap()]), at);
            }
            _ => stage.piece(direction, Body::Bytes(&unescape(what)), at),
        }
    }
    stage.reported()
}

struct Stage {
    reader: Option<Box<dyn Protocol>>,
    before: Before,
    positions: [u64; 2],
    conn: Arc<Connection>,
    reports: Vec<Report>,
    losses: Losses,
}

impl Stage {
    fn piece(&mut self, direction: Direction, body: Body<'_>, at: Nanos) {
        self.call(direction, body, at, false);
    }

    fn told(&mut self, direction: Direction, bytes: &[u8], at: Nanos) {
        self.call(direction, Body::Bytes(bytes), at, true);
    }

    fn call(&mut self, direction: Direction, body: Body<'_>, at: Nanos, request: bool) {
        let position = &mut self.positions[direction as usize];
        let piece = Piece {
            direction,
            position: *position,
            body,
            began: at,
            ended: at.plus(1000),
            request,
            task: Task { pid: 7, tid: 8 },
            serving: (direction == Direction::Sent).then_some(99),
            on_cpu: None,
            runtime: Runtime::NotAsked,
            thread_waits: match direction {
                Direction::Received => Waits::Alone,
                Direction::Sent => Waits::Otherwise,
            },
        };
        *position = piece.stop();
        if self.reader.is_none()
            && let Body::Bytes(bytes) = body
            && let Detection::Found(reader) = detect(bytes, direction, self.before)
        {
            self.reader = Some(reader);
        }
        if let Some(reader) = &mut self.reader {
            let (reports, losses) = (&mut self.reports, &mut self.losses);
            reader.piece(piece, &mut Outlet { conn: &self.conn, reports, losses });
        }
    }

    fn end(&mut self, how: Ending, at: Nanos) {
        if let Some(reader) = &mut self.reader {
            let (reports, losses) = (&mut self.reports, &mut self.losses);
            reader.end(how, at, &mut Outlet { conn: &self.conn, reports, losses });
        }
    }

    fn reported(&self) -> String {
        let mut text = String::new();
        for report in &self.reports {
            tell(report, &mut text).unwrap();
        }
        for (loss, count) in self.losses.iter().filter(|(_, count)| *count > 0) {
            assert_ne!(loss, Loss::Malformed);
            writeln!(text, "lost {} {count}", loss.name()).unwrap();
        }
        text
    }
}

fn tell(report: &Report, text: &mut String) -> std::fmt::Result {
    let ms = |at: Nanos| at.0 as f64 / 1e6;
    match report {
        Report::Started(started) => {
            let role = if started.role == Role::Client { "client" } else { "server" };
            write!(text, "{} started {role} at {}", started.id.position, ms(started.at))?;
            if let Some(serving) = started.serving {
                write!(text, " serving {serving}")?;
            }
            if started.thread_waits == Waits::Alone {
                write!(text, " thread-waits")?;
            }
            if started.told {
                write!(text, " told")?;
            }
            for value in &started.propagation.traceparent {
                write!(text, " traceparent={}", value.escape_ascii())?;
            }
            for value in &started.propagation.tracestate {
                write!(text, " tracestate={}", value.escape_ascii())?;
            }
            writeln!(text)
        }
        Report::Finished(done) => {
            write!(text, "{} ", done.id.position)?;
            match &done.call {
                Call::Http(http) => tell_http(http, text)?,
                Call::Rpc(rpc) => tell_rpc(rpc, text)?,
            }
            write!(text, " end {}", ms(done.end))?;
            if let Some(first) = done.first_answer {
                write!(text, " first {}", ms(first))?;
            }
            if let Some(task) = done.answered_by {
                write!(text, " by {}/{}", task.pid, task.tid)?;
            }
            let http = match &done.call {
                Call::Http(http) => http,
                Call::Rpc(_) => &Http::default(),
            };
            write!(text, " request {} ({})", done.bytes.request, known(http.request_body))?;
            write!(text, " response {} ({})", done.bytes.response, known(http.response_body))?;
            if let Some(failure) = done.failure {
                write!(text, " {failure:?}")?;
            }
            for (name, value) in http.request_headers.iter().chain(&http.response_headers) {
                write!(text, " {name}={}", value.escape_ascii())?;
            }
            writeln!(text)
        }
    }
}

fn tell_http(http: &Http, text: &mut String) -> std::fmt::Result {
    let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    write!(text, "{} {}", part(&http.method), part(&http.target))?;
    if let Some(authority) = &http.authority {
        write!(text, " at {}://{authority}", part(&http.scheme))?;
    }
    write!(text, " {} -> ", http.version.name())?;
    match (http.status, http.response_version) {
        (Some(status), Some(version)) => write!(text, "{status} {}", version.name()),
        _ => write!(text, "nothing"),
    }
}

fn tell_rpc(rpc: &Rpc, text: &mut String) -> std::fmt::Result {
    write!(text, "rpc {}", rpc.method.as_deref().unwrap_or("?"))?;
    if let Some(authority) = &rpc.authority {
        write!(text, " at {authority}")?;
    }
    if let Some(timeout) = rpc.timeout {
        write!(text, " within {timeout}")?;
    }
    write!(
        text,
        " -> {}",
        rpc.status.map_or_else(|| "nothing".to_owned(), |code| code.to_string())
    )?;
    if let Some(message) = &rpc.message {
        write!(text, " {message:?}")?;
    }
    write!(text, " messages {}/{}", known(rpc.request_messages), known(rpc.response_messages))
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn failure(word: &str) -> Failure {
    match word {
        "reset" => Failure::ConnectionReset,
        "closed" => Failure::ConnectionClosed,
        "timeout" => Failure::Timeout,
        "cancelled" => Failure::Cancelled,
        other => panic!("no such failure: {other}"),
    }
}

pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                let mut digit = || (*rest.next().unwrap() as char).to_digit(16).unwrap() as u8;
                let high = digit();
                bytes.push(high << 4 | digit());
            }
            other => panic!("escape {other:?} in {text}"),
        }
    }
    bytes
}

fn connection() -> Arc<Connection> {
    Arc::new(Connection {
        id: ConnId(1),
        local: Address::Unknown,
        remote: Address::Unknown,
        socket: 0,
        peer_socket: 0,
        inode: 0,
        netns: 0,
        origins: [0; 2],
        pid: 7,
    })
}
