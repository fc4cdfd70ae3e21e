//! The status child as a real process: what it may still do, whom it answers, and when it ends.
//!
//! Run without libtest, since this binary is also the program that the child is started from.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde_json::Value;
use spanwire::service::Service;
use spanwire::status::{
    Counters, LiveError, Meaning, OpenRequest, SUBCOMMAND, Serving, Snapshot, StartError,
    StatusChild, ask, live, serve,
};
use spanwire::trace::{EncodedSpan, FinishedSpan};
use spanwire::viewer::Host;

type Test = fn(&Path);

/// Argument by which this program plays an agent.
const AGENT: &str = "agent";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SUBCOMMAND) {
        let store = match (std::env::args_os().nth(2), std::env::args_os().nth(3)) {
            (Some(option), Some(path)) if option == "--store" => Some(PathBuf::from(path)),
            _ => None,
        };
        return match serve(store.as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("status server: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if std::env::args().nth(1).as_deref() == Some(AGENT) {
        agent(Path::new(&std::env::args().nth(2).expect("a directory")));
    }
    let tests: [(&str, Test); 9] = [
        ("no agent is a clear sentence", no_agent_is_a_clear_sentence),
        ("a client with the token is told the newest numbers", the_newest_numbers_are_told),
        ("spans that are handed on are shown", spans_are_shown),
        ("spans of SDKs stand beside them", spans_of_sdks_are_taken),
        ("with a store, traces survive a restart", traces_survive_a_restart),
        ("its memory is bounded, however much comes", memory_is_bounded),
        ("strangers are told nothing", strangers_are_told_nothing),
        ("the child has no privileges and no descriptors", the_child_is_harmless),
        ("the child ends with its agent", the_child_ends_with_its_agent),
    ];
    for (name, test) in tests {
        let directory = tempfile::tempdir().expect("a temporary directory");
        test(&directory.path().join("run"));
        println!("test {name} ... ok");
    }
    // As libtest ends, so that whoever counts tests counts these.
    let passed = tests.len();
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

fn start(directory: &Path) -> StatusChild {
    StatusChild::start(Path::new("/proc/self/exe"), directory, &Serving::default())
        .expect("the child starts")
}

fn counters(value: u64) -> Counters {
    let mut counters = Counters::default();
    counters.add("kernel", "data_events", Meaning::Event, value);
    counters
}

/// The agent's own news: the child adds the counters of its store.
fn told(directory: &Path) -> Snapshot {
    let mut snapshot = live(directory).expect("the child answers");
    let groups = &mut snapshot.counters.groups;
    let all = groups.len();
    groups.retain(|group| group.name != "viewer");
    assert_eq!(groups.len() + 1, all, "the store counts, too");
    snapshot
}

/// Asks until the news are the wanted ones.
fn until(directory: &Path, wanted: &Snapshot) {
    for _ in 0..500 {
        if told(directory) == *wanted {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the numbers never came");
}

fn no_agent_is_a_clear_sentence(directory: &Path) {
    let error = live(directory).expect_err("nobody runs");
    assert!(matches!(error, LiveError::NotRunning(_)), "{error}");
    assert!(error.to_string().starts_with("no spanwire runs on this host"));
    fs::create_dir(directory).expect("a directory");
    // Pids end below this.
    let gone = r#"{"pid": 2147483646, "port": 1, "token": "x"}"#;
    fs::write(directory.join("agent.json"), gone).expect("a file");
    let error = live(directory).expect_err("it is gone");
    assert!(matches!(error, LiveError::Gone(2_147_483_646)), "{error}");
    // What is left of a killed agent is in nobody's way.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("permissions");
    drop(start(directory));
}

fn the_newest_numbers_are_told(directory: &Path) {
    let child = start(directory);
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(directory), 0o700);
    assert_eq!(mode(&directory.join("agent.json")), 0o600);
    assert_eq!(told(directory), Snapshot::default());
    for value in [1, 1 << 60] {
        child.publish(counters(value));
        until(directory, &counters(value).into());
    }
    let open = OpenRequest {
        service: "shop".to_owned(),
        kind: "server".into(),
        method: "GET".to_owned(),
        path: "/events".to_owned(),
        pid: 7,
        open_ns: 61_000_000_000,
        long: true,
        start: 1_700_000_000_000_000_000,
        span: "00f067aa0ba902b7".to_owned(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        parent: None,
    };
    let streaming = Snapshot { counters: counters(3), open: vec![open] };
    child.publish(streaming.clone());
    until(directory, &streaming);
    let second = StatusChild::start(Path::new("/proc/self/exe"), directory, &Serving::default());
    assert!(matches!(second, Err(StartError::AlreadyRunning(pid)) if pid == std::process::id()));
    drop(child);
    assert!(!directory.join("agent.json").exists());
}

fn spans_are_shown(directory: &Path) {
    let child = start(directory);
    child.introduce(Host::new("web1".to_owned(), 5, Vec::new()));
    child.view(encoded(spans(3_000)));
    let get = |path: &str| {
        let (status, body) = ask(directory, path).expect("the child answers");
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    let range = "t=1h";
    let mut found = Value::Null;
    for _ in 0..500 {
        found = get(&format!("/view/traces?{range}&sort=slowest&limit=1")).1;
        if found["totals"]["count"] == 3_000 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(found["totals"]["count"], 3_000);
    let row = &found["rows"][0];
    assert_eq!(row["operation"], "GET /cart/{id}");
    assert_eq!(row["id"], format!("{:032x}", 3_000));
    assert_eq!(get("/view/trace/bb8").1["whole"], 1_003.0);
    assert_eq!(get("/view/trace/bb9").0, 404);
    assert_eq!(get("/view/host").1["host"], "web1");
    let mut counters = Counters::default();
    child.count(&mut counters);
    let number = |name: &str| {
        let counter = counters.groups[0].counters.iter().find(|counter| counter.name == name);
        counter.expect("it is counted").value
    };
    assert_eq!((number("spans_offered"), number("spans_dropped")), (3_000, 0));
}

fn spans_of_sdks_are_taken(directory: &Path) {
    let port = {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        free.local_addr().expect("an address").port()
    };
    let program = Path::new("/proc/self/exe");
    let serving = Serving { otlp_in: Some(port), ..Serving::default() };
    let child = StatusChild::start(program, directory, &serving).expect("the child starts");
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sdk"}}]},
        "scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000002a","spanId":"000000000000000b","name":"work",
        "kind":1,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000005000000"}]}]}]}"#;
    let send = |head: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        write!(
            stream,
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    assert!(send("POST /v1/traces").starts_with("HTTP/1.1 200 "));
    let (status, trace) = ask(directory, "/view/trace/2a").expect("the child answers");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&trace));
    // There is nothing to be read at this port.
    assert!(send("GET /view/traces").starts_with("HTTP/1.1 404 "));
    // The port is ours now: another child must say that it cannot have it.
    drop(child);
    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("it is free again");
    let refused = StatusChild::start(program, directory, &serving);
    assert!(matches!(refused, Err(StartError::Child(_))));
}

fn memory_is_bounded(directory: &Path) {
    /// What the process takes without traces, kB: its tables, and an allocator's reserve.
    const BASE: u64 = 48 * 1_024;
    /// Of what is counted an allocator may take half as much again.
    const BOUND_MIB: u32 = 8;
    let serving = Serving { memory: Some(BOUND_MIB), ..Serving::default() };
    let program = Path::new("/proc/self/exe");
    let child = StatusChild::start(program, directory, &serving).expect("the child starts");
    let number = |name: &str| {
        let counters = live(directory).expect("the child answers").counters;
        let group = counters.groups.into_iter().find(|group| group.name == "viewer");
        let counter = group.expect("it counts").counters.into_iter().find(|c| c.name == name);
        counter.expect("it is counted").value
    };
    let bound = u64::from(BOUND_MIB) << 20;
    let mut sent = 0;
    for round in 0..25_u128 {
        // Ten times the bound, in all.
        let mut more = spans(5_000);
        for span in &mut more {
            let id = u128::from_be_bytes(span.span.trace_id.as_slice().try_into().expect("an id"));
            span.span.trace_id = (id + round * 5_000).to_be_bytes().to_vec();
        }
        sent += 5_000;
        child.view(encoded(more));
        while number("spans") < sent {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(number("bytes") <= bound);
    }
    assert!(number("traces_out") > sent / 2, "{}", number("traces_out"));
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().expect("kB");
    assert!(resident < BASE + bound / 1_024 * 3 / 2, "{resident} kB");
}

/// As they leave the tracer.
fn encoded(spans: Vec<FinishedSpan>) -> Vec<EncodedSpan> {
    spans.into_iter().map(EncodedSpan::from).collect()
}

/// So many traces of one span, 1 ms and their number of ns long.
fn spans(count: u64) -> Vec<FinishedSpan> {
    let service = Arc::new(Service {
        name: "shop".to_owned(),
        version: None,
        environment: None,
        instance_id: "i".to_owned(),
        pid: 1,
        resource: Resource {
            attributes: vec![text("service.name", "shop")],
            ..Resource::default()
        },
    });
    (1..=count)
        .map(|id| FinishedSpan {
            service: service.clone(),
            scope: "spanwire.http",
            span: Span {
                trace_id: u128::from(id).to_be_bytes().to_vec(),
                span_id: id.to_be_bytes().to_vec(),
                name: "GET".to_owned(),
                kind: SpanKind::Server.into(),
                start_time_unix_nano: now(),
                end_time_unix_nano: now() + 1_000_000 + id,
                attributes: vec![
                    text("http.request.method", "GET"),
                    text("url.path", &format!("/cart/{id}")),
                ],
                ..Span::default()
            },
        })
        .collect()
}

/// A moment of this run, ns since 1970: a store forgets what is old.
#[allow(clippy::disallowed_methods, reason = "a test is an edge")]
fn now() -> u64 {
    static NOW: OnceLock<u64> = OnceLock::new();
    *NOW.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        u64::try_from(since.as_nanos()).expect("before 2500")
    })
}

fn traces_survive_a_restart(directory: &Path) {
    let path = directory.with_file_name("traces.redb");
    let serving = Serving { store: Some(path.clone()), ..Serving::default() };
    let program = Path::new("/proc/self/exe");
    let child = StatusChild::start(program, directory, &serving).expect("the child starts");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    child.view(encoded(spans(100)));
    // Another child can only have it when this one has ended.
    let both = StatusChild::start(program, &directory.with_file_name("other"), &serving);
    assert!(matches!(both, Err(StartError::Child(_))));
    let whole = |id: u64| {
        let (status, body) = ask(directory, &format!("/view/trace/{id:x}")).expect("an answer");
        (status == 200).then(|| {
            let trace: Value = serde_json::from_slice(&body).expect("JSON");
            trace["whole"].as_f64().expect("a duration")
        })
    };
    // What has not been written yet is written at the end.
    drop(child);
    let _child = StatusChild::start(program, directory, &serving).expect("the child starts");
    assert_eq!(whole(100), Some(1_000.1));
    assert_eq!(whole(1), Some(1_000.001));
    assert_eq!(whole(101), None);
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn strangers_are_told_nothing(directory: &Path) {
    let child = start(directory);
    child.publish(counters(77));
    until(directory, &counters(77).into());
    let port = child.port();
    let token = child.token();
    let ask = |headers: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        write!(stream, "GET /metrics HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    let host = format!("host: 127.0.0.1:{port}\r\n");
    let bearer = format!("authorization: Bearer {token}\r\n");
    let answer = ask(&format!("{host}{bearer}"));
    assert!(answer.contains("\nspanwire_kernel_data_events_total 77\n"), "{answer}");
    // No page of another origin may frame it, and no text in it becomes a script.
    let head = answer.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none';",
        "cross-origin-resource-policy: same-origin",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header}: {answer}");
    }
    for (status, headers) in [
        (401, host.clone()),
        (401, format!("{host}authorization: Bearer {}\r\n", "0".repeat(token.len()))),
        (403, format!("host: evil.example:{port}\r\n{bearer}")),
        (403, format!("{host}{bearer}origin: http://evil.example\r\n")),
    ] {
        let answer = ask(&headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
        assert!(!answer.contains("spanwire_"), "{answer}");
    }
    // Elsewhere than on loopback nobody listens.
    let listening = fs::read_to_string("/proc/net/tcp").expect("procfs");
    let local = format!("0100007F:{port:04X}");
    let ours: Vec<&str> = listening
        .lines()
        .filter_map(|l| l.split_whitespace().nth(1))
        .filter(|address| address.ends_with(&format!(":{port:04X}")))
        .collect();
    assert!(ours.iter().all(|address| *address == local), "{ours:?}");
}

fn the_child_is_harmless(directory: &Path) {
    // A descriptor that is not closed on exec, as a careless parent leaves one.
    let leaked = fs::File::open("/proc/self/status").expect("procfs");
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("fcntl");
    let child = start(directory);
    let own = format!("/proc/{}", child.pid());
    let status = fs::read_to_string(format!("{own}/status")).expect("it runs");
    let field = |name: &str| -> Vec<String> {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).expect("the field");
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("CapPrm:"), ["0000000000000000"]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(field("Uid:"), ["65534"; 4]);
        assert_eq!(field("Gid:"), ["65534"; 4]);
        assert!(field("Groups:").is_empty());
        assert_eq!(fs::read_link(format!("{own}/cwd")).expect("cwd"), Path::new("/"));
        let kept: Vec<String> = fs::read_dir(format!("{own}/fd"))
            .expect("descriptors")
            .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
            .map(|target| target.display().to_string())
            .collect();
        assert!(!kept.iter().any(|target| target.starts_with("/proc")), "{kept:?}");
        assert!(fs::read(format!("{own}/environ")).expect("environ").is_empty());
    } else {
        println!("not root: the change of ids is not tested");
    }
}

fn the_child_ends_with_its_agent(directory: &Path) {
    let mut agent = Command::new("/proc/self/exe")
        .arg(AGENT)
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("an agent starts");
    let mut out = BufReader::new(agent.stdout.take().expect("its output"));
    let mut port = String::new();
    out.read_line(&mut port).expect("its child's port");
    let port: u16 = port.trim().parse().expect("a port");
    assert_eq!(told(directory), Snapshot::default());
    // Nothing is cleaned up, only the pipe closes.
    agent.kill().expect("it is killed");
    agent.wait().expect("it ends");
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            let error = live(directory).expect_err("it is gone");
            assert!(matches!(error, LiveError::Gone(pid) if pid == agent.id()), "{error}");
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the child outlives its agent");
}

/// An agent that lives until it is killed.
fn agent(directory: &Path) -> ! {
    let child = start(directory);
    println!("{}", child.port());
    loop {
        thread::park();
    }
}
