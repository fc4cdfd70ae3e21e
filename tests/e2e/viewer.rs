//! The built-in viewer: what it says of real requests is what was exported, it answers Jaeger's clients as Jaeger does,
//! and it tells nothing to other users of the host.

#[path = "../../agent/examples/viewer/shop.rs"]
mod shop;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value as Json, json};
use spanwire::status::SampleServer;
use tests::agent::{self, Setup};
use tests::otlp::spans_from_json;
use tests::outcome::TestResult;
use tests::peer::{Connection, Script, Scripted, Target};
use tests::process;
use tests::programs::jaeger::Jaeger;
use tests::programs::python;
use tests::runner::Suite;
use tests::tour::TOUR;
use tests::wait::{self, Deadline};

use crate::programs::take_tour;

pub(crate) fn add(suite: &mut Suite) {
    suite.test("viewer::shows_what_is_exported", shows_what_is_exported);
    suite.test("viewer::what_hangs_is_shown", what_hangs_is_shown);
    suite.test("viewer::answers_as_jaeger_does", answers_as_jaeger_does);
}

/// Traces in the comparison with Jaeger: each kind of the shop's is among them.
const TRACES: u64 = 60;
/// The token of the server that has no agent.
const TOKEN: &str = "0123456789abcdef";

/// A server that is asked for JSON.
struct Asked {
    target: Target,
    bearer: Option<String>,
}

impl Asked {
    fn get(&self, path: &str) -> anyhow::Result<(u16, Json)> {
        let headers: Vec<(&str, &str)> =
            self.bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let answer = Connection::open(&self.target)?.ask("GET", path, &headers)?;
        let json = serde_json::from_slice(&answer.body);
        Ok((answer.status, json.with_context(|| format!("{path}: {answer:?}"))?))
    }
}

/// The viewer of the agent that runs.
fn of_agent() -> anyhow::Result<Asked> {
    let file = std::fs::read("/run/spanwire/agent.json").context("the agent's file")?;
    let file: Json = serde_json::from_slice(&file)?;
    let port = file["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let token = file["token"].as_str().context("no token")?;
    Ok(Asked {
        target: Target::port(port.context("no port")?),
        bearer: Some(format!("Bearer {token}")),
    })
}

/// The tour, as the viewer has it and as it was exported; the same in the terminal.
fn shows_what_is_exported() -> TestResult {
    let agent = Setup::default().argument("--viewer").start()?;
    let server = python::tour_server("viewed", [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    let viewer = of_agent()?;
    let rows = wait::until("the tour in the viewer", Deadline::seconds(15), || {
        let (_, found) = viewer.get("/view/traces?t=1h&limit=200&q=service%3Dviewed").ok()?;
        let rows = found["rows"].as_array()?.clone();
        (rows.len() >= TOUR.len()).then_some(rows)
    })?;
    ensure!(rows.len() == TOUR.len(), "{} requests, not {}", rows.len(), TOUR.len());
    agent.wait("the tour", |spans| spans.only(|s| s.service == "viewed").len() >= TOUR.len())?;
    for row in &rows {
        let id = row["id"].as_str().context("no id")?;
        let (status, shown) = viewer.get(&format!("/view/trace/{id}"))?;
        ensure!(status == 200, "{status}: {shown}");
        // Its path tiles the request.
        let shares = shown["shares"].as_array().context("no shares")?;
        let path: f64 = shares.iter().filter_map(|share| share["time"].as_f64()).sum();
        let whole = shown["whole"].as_f64().context("no duration")?;
        ensure!((path - whole).abs() < 0.002, "the path is {path} of {whole} µs: {shown}");
        let (_, otlp) = viewer.get(&format!("/view/trace/{id}/otlp"))?;
        let exported = agent.receiver().spans()?.only(|span| span.trace_id == id);
        let kept = spans_from_json(&otlp)?;
        ensure!(exported.len() == kept.len(), "exported:\n{exported}kept:\n{kept}");
        for span in &exported.0 {
            let twin = kept.by_id(&span.span_id).with_context(|| format!("not kept: {span}"))?;
            let of = |s: &tests::otlp::Span| (s.start, s.end, s.parent.clone(), s.name.clone());
            ensure!(of(span) == of(twin), "exported:\n{span}\nkept:\n{twin}");
            ensure!(span.attributes == twin.attributes, "exported:\n{span}\nkept:\n{twin}");
        }
    }
    in_the_terminal(rows[0]["id"].as_str().context("no id")?)?;
    strangers(&viewer)?;
    drop(server);
    agent.stop()?.counters.nothing_lost()
}

/// A request without an answer is shown while it lasts, as the span that it becomes.
fn what_hangs_is_shown() -> TestResult {
    let agent = Setup::default().argument("--viewer").start()?;
    let server = Scripted::start(vec![Script::Heads(1), Script::Drain])?;
    let viewer = of_agent()?;
    let mut client = Connection::open(&Target::port(server.port()))?;
    client.send("GET /hangs HTTP/1.1\r\nhost: hangs\r\n\r\n")?;
    let ends = || -> Option<Vec<Json>> {
        let (_, host) = viewer.get("/view/host").ok()?;
        let open = host["open"].as_array()?.iter().filter(|open| open["path"] == "/hangs");
        Some(open.cloned().collect())
    };
    let open = wait::until("both ends under way", Deadline::seconds(15), || {
        ends().filter(|open| open.len() == 2)
    })?;
    drop(client);
    wait::until("its end", Deadline::seconds(15), || ends().filter(Vec::is_empty))?;
    agent.wait("both spans", |spans| spans.at("/hangs").len() == 2)?;
    let spans = agent.receiver().spans()?;
    for end in open {
        let id = end["span"].as_str().context("no id")?;
        let span = spans.by_id(id).with_context(|| format!("{end} became no span:\n{spans}"))?;
        ensure!(
            end["start"].as_u64() == Some(span.start),
            "{end} became {span}, at {}",
            span.start
        );
    }
    agent.stop()?.counters.nothing_lost()
}

fn in_the_terminal(id: &str) -> TestResult {
    let said = |arguments: &[&str]| -> anyhow::Result<String> {
        let out = process::output(Command::new(agent::binary()?).args(arguments))?;
        Ok(String::from_utf8(out)?)
    };
    let tree = said(&["trace", id])?;
    ensure!(tree.contains(id) && tree.contains("viewed"), "{tree}");
    let table = said(&["top", "--once", "--range", "5m"])?;
    ensure!(table.lines().any(|line| line.starts_with("viewed ")), "{table}");
    Ok(())
}

/// Another user cannot read the token, and without it is told nothing; a page of another origin neither.
fn strangers(viewer: &Asked) -> TestResult {
    let read = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg("/run/spanwire/agent.json")
        .output()?;
    ensure!(!read.status.success() && read.stdout.is_empty(), "another user reads the token");
    let bearer = viewer.bearer.as_deref().unwrap_or_default();
    let cases: [(u16, &[(&str, &str)]); 3] = [
        (401, &[]),
        (401, &[("authorization", "Bearer 0")]),
        (403, &[("authorization", bearer), ("origin", "http://evil.example")]),
    ];
    for (status, headers) in cases {
        let answer = Connection::open(&viewer.target)?.ask("GET", "/view/traces", headers)?;
        ensure!(answer.status == status, "{headers:?}: {answer:?}");
        ensure!(!String::from_utf8_lossy(&answer.body).contains("rows"), "{answer:?}");
    }
    let port = viewer.target.host().rsplit(':').next().map(str::to_owned).unwrap_or_default();
    let mut foreign = Connection::open(&viewer.target)?;
    foreign.send(format!(
        "GET /view/traces HTTP/1.1\r\nhost: evil.example:{port}\r\nauthorization: {bearer}\r\n\r\n"
    ))?;
    ensure!(foreign.answer("GET")?.status == 403, "a foreign Host is answered");
    Ok(())
}

/// The same spans in Jaeger and in the viewer, and the same questions to both.
fn answers_as_jaeger_does() -> TestResult {
    let jaeger = Jaeger::start()?;
    let sample = SampleServer::bind(0, TOKEN)?;
    let ours =
        Asked { target: Target::port(sample.port()), bearer: Some(format!("Bearer {TOKEN}")) };
    let theirs = Asked { target: jaeger.backend.api(), bearer: None };
    let take = sample.taker();
    for request in shop::quarter(TRACES) {
        send(&Target::port(jaeger.http), &request)?;
        take(request);
    }
    std::thread::spawn(move || sample.serve());
    let end = shop::now() / 1_000;
    let start = end - 1_000_000_000;
    let all = format!("start={start}&end={end}&limit=1000");
    wait::until("the traces in Jaeger", Deadline::seconds(15), || {
        let (_, found) = theirs.get(&format!("/api/traces?service=edge&{all}")).ok()?;
        (found["data"].as_array()?.len() >= TRACES as usize).then_some(())
    })?;
    let mut paths = vec![
        "/api/services".to_owned(),
        "/api/services/orders/operations".to_owned(),
        "/api/services/nobody/operations".to_owned(),
        "/api/operations?service=orders".to_owned(),
        "/api/operations?service=orders&spanKind=server".to_owned(),
        "/api/operations".to_owned(),
        format!("/api/traces?{all}"),
        "/api/traces/0123456789abcdef0123456789abcdef".to_owned(),
        "/api/traces/xyz".to_owned(),
        format!("/api/dependencies?endTs={}&lookback=1000000", end / 1_000),
    ];
    for query in [
        "service=edge",
        "service=nobody",
        "service=orders&operation=POST%20/orders",
        "service=orders&operation=GET%20/nothing",
        "service=storefront&tags=%7B%22http.response.status_code%22%3A%22200%22%7D",
        "service=edge&tags=%7B%22user.tier%22%3A%22none%22%7D",
        "service=orders&minDuration=100ms",
        "service=orders&maxDuration=20ms",
        "service=orders&minDuration=10ms&maxDuration=1m30s",
        "service=orders&minDuration=30ms&maxDuration=10ms",
        "service=orders&minDuration=soon",
        "service=orders&tags=none",
    ] {
        paths.push(format!("/api/traces?{query}&{all}"));
    }
    paths.push("/api/traces?service=orders&limit=many".to_owned());
    let (_, edge) = theirs.get(&format!("/api/traces?service=edge&{all}"))?;
    let ids = edge["data"].as_array().into_iter().flatten().take(3);
    for id in ids.filter_map(|trace| trace["traceID"].as_str()) {
        paths.push(format!("/api/traces/{id}"));
        // As Grafana asks where it was told to send the range along.
        paths.push(format!("/api/traces/{id}?start={start}&end={end}"));
        paths.push(format!("/api/v3/traces/{id}"));
    }
    paths.extend(as_clients_ask(start, end));
    for path in paths {
        let (theirs, ours) = (theirs.get(&path)?, ours.get(&path)?);
        let (a, b) = ((theirs.0, compared(&theirs.1)), (ours.0, compared(&ours.1)));
        ensure!(a == b, "{path}: Jaeger {}, we {}:{}", a.0, b.0, differences(&a.1, &b.1));
    }
    Ok(())
}

/// What only one of two answers has.
fn differences(theirs: &BTreeMap<String, Json>, ours: &BTreeMap<String, Json>) -> String {
    let mut text = String::new();
    for (key, a) in theirs {
        let b = ours.get(key).unwrap_or(&Json::Null);
        let (Some(these), Some(those)) = (a.as_array(), b.as_array()) else {
            if a != b {
                text.push_str(&format!("\n{key}: Jaeger {a}\nwe {b}"));
            }
            continue;
        };
        for (whose, all, others) in [("Jaeger", these, those), ("we", those, these)] {
            for one in all.iter().filter(|one| !others.contains(one)).take(2) {
                let one: String = one.to_string().chars().take(400).collect();
                text.push_str(&format!("\n{key}: only {whose}: {one}"));
            }
        }
    }
    text
}

/// The questions of Grafana's data source and of Jaeger's UI to the letter, with every parameter that they fill in.
fn as_clients_ask(start: u64, end: u64) -> Vec<String> {
    let tags = "%7B%22http.response.status_code%22%3A%22200%22%7D";
    vec![
        // Grafana from 12 on sends no range; its parameters are sorted by name.
        format!(
            "/api/traces?limit=1000&maxDuration=10s&minDuration=1us&service=storefront&tags={tags}"
        ),
        "/api/traces?limit=1000&operation=POST+%2Forders&service=orders".to_owned(),
        // Grafana before that.
        format!(
            "/api/traces?service=orders&operation=POST%20%2Forders&tags=&minDuration=&maxDuration=&limit=1000&start={start}&end={end}&lookback=custom"
        ),
        // Jaeger's UI.
        format!(
            "/api/traces?end={end}&limit=1000&lookback=1h&maxDuration&minDuration&service=orders&start={start}"
        ),
        format!(
            "/api/traces?end={end}&limit=1000&lookback=1h&maxDuration&minDuration=1ms&operation=POST%20%2Forders&service=orders&start={start}&tags=%7B%22http.response.status_code%22%3A%22201%22%7D"
        ),
        "/api/operations?service=orders&spanKind=server".to_owned(),
        // And since 2.19, as far as this Jaeger has it.
        "/api/v3/services".to_owned(),
        "/api/v3/operations?service=orders".to_owned(),
        "/api/v3/operations?service=orders&span_kind=server".to_owned(),
        "/api/v3/traces/xyz".to_owned(),
        "/api/v3/traces/0123456789abcdef0123456789abcdef".to_owned(),
    ]
}

/// By OTLP over HTTP.
fn send(target: &Target, request: &ExportTraceServiceRequest) -> TestResult {
    let body = request.encode_to_vec();
    let mut connection = Connection::open(target)?;
    connection.send(
        format!(
            "POST /v1/traces HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            target.host(),
            body.len()
        )
        .into_bytes(),
    )?;
    connection.send(body)?;
    let status = connection.answer("POST")?.status;
    ensure!(status == 200, "Jaeger answers {status} to OTLP");
    Ok(())
}

/// An answer with all that has no order in order; of errors their code, their words are each one's own.
fn compared(answer: &Json) -> BTreeMap<String, Json> {
    let mut said = BTreeMap::new();
    said.insert("code".to_owned(), answer["error"]["httpCode"].clone());
    for key in ["services", "operations"] {
        let all = answer[key].as_array();
        said.insert(key.to_owned(), all.map_or(Json::Null, |all| sorted(all.iter().cloned())));
    }
    let spans = spans_from_json(&answer["result"]).unwrap_or_default();
    let of = |span: &tests::otlp::Span| {
        json!([span.span_id, span.parent, span.name, span.start, span.end])
    };
    said.insert("spans".to_owned(), sorted(spans.0.iter().map(of)));
    for key in ["total", "limit", "offset"] {
        said.insert(key.to_owned(), answer[key].clone());
    }
    let codes = answer["errors"].as_array().into_iter().flatten();
    said.insert("errors".to_owned(), codes.map(|error| error["code"].clone()).collect());
    let data = &answer["data"];
    if data.as_array().is_some_and(|all| all.iter().any(|one| one["parent"].is_string())) {
        // Services that call themselves are no dependency to us, so the number differs.
        said.remove("total");
    }
    let all = data.as_array().map(|all| all.iter().filter(|one| !calls_itself(one)).map(of_trace));
    said.insert("data".to_owned(), all.map_or(Json::Null, sorted));
    said
}

fn calls_itself(dependency: &Json) -> bool {
    dependency["parent"].is_string() && dependency["parent"] == dependency["child"]
}

/// Of a trace, each span's process in it: the processes' numbers are each one's own. Anything else as it is.
fn of_trace(trace: &Json) -> Json {
    let mut trace = trace.clone();
    if !trace["spans"].is_array() {
        return trace;
    }
    let processes = trace["processes"].take();
    let spans = trace["spans"].as_array().into_iter().flatten().map(|span| {
        let mut span = span.clone();
        let id = span["processID"].take();
        let mut process = processes[id.as_str().unwrap_or_default()].clone();
        for of in [&mut span["tags"], &mut process["tags"]] {
            *of = sorted(of.as_array().into_iter().flatten().cloned());
        }
        span["process"] = process;
        span
    });
    trace["spans"] = sorted(spans);
    trace
}

fn sorted(all: impl Iterator<Item = Json>) -> Json {
    let mut all: Vec<Json> = all.collect();
    all.sort_by_key(ToString::to_string);
    all.into()
}
