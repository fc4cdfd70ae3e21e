//! record and replay: what the kernel told once gives the same spans every time, and those that were seen live.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use tests::agent::{Agent, binary, need_root};
use tests::otlp::{Kind, Spans, spans_from_json_lines, spans_from_protobuf};
use tests::outcome::TestResult;
use tests::process::{self, Program};
use tests::programs::python;
use tests::runner::Suite;
use tests::tour::TOUR;
use tests::wait::Deadline;

use crate::programs::{find, joined, take_tour};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("replay::recording_gives_the_live_spans_twice", recording);
    suite.test("replay::what_is_no_recording_is_refused", no_recording);
    suite.test("replay::a_capture_gives_its_requests", capture);
}

/// A recorder and a live agent watch the same tour.
fn recording() -> TestResult {
    need_root()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("recording");
    let live = Agent::start()?;
    let mut recorder =
        Program::start("recorder", Command::new(binary()?).arg("record").arg(&file))?;
    recorder.wait_line("spanwire: ", Deadline::seconds(30))?;
    let server = python::tour_server("recorded", [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    live.wait("the tour", |spans| {
        spans.of("recorded", Kind::Server).len() >= TOUR.len()
            && spans.of("tour-client", Kind::Client).len() >= TOUR.len()
    })?;
    let status = recorder.stop(std::time::Duration::from_secs(5))?;
    ensure!(status.success(), "the recorder ended with {status}");
    let live = live.stop()?.spans;

    let replay = || process::output(Command::new(binary()?).arg("replay").arg(&file).arg("--json"));
    let (first, second) = (replay()?, replay()?);
    ensure!(first == second, "two replays differ");
    let mut protobuf = Command::new(binary()?);
    let protobuf = process::output(protobuf.arg("replay").arg(&file).arg("--protobuf"))?;
    let replayed = spans_from_json_lines(&String::from_utf8(first)?)?;
    let of_protobuf = spans_from_protobuf(&protobuf)?;
    ensure!(without_ids(&of_protobuf) == without_ids(&replayed), "protobuf and JSON differ");
    for stop in &TOUR {
        let asked = find(&replayed, "tour-client", Kind::Client, stop)?;
        let served = find(&replayed, "recorded", Kind::Server, stop)?;
        stop.client_span(server.port()).check(asked)?;
        stop.server_span(server.port()).check(served)?;
        joined(asked, served)?;
    }
    let (live, replayed) = (without_ids(&live), without_ids(&replayed));
    ensure!(live == replayed, "live:\n{}\nreplayed:\n{}", live.join("\n"), replayed.join("\n"));
    Ok(())
}

/// The tour's spans in a form in which two agents that saw the same agree: ids and times are each agent's own.
fn without_ids(spans: &Spans) -> Vec<String> {
    let mut told: Vec<String> = spans
        .only(|span| span.service == "recorded" || span.service == "tour-client")
        .0
        .into_iter()
        .map(|mut span| {
            let parent = spans.by_id(&span.parent).map(|parent| parent.path().to_owned());
            span.attributes.retain(|key, _| {
                !key.starts_with("spanwire.time") && key != "spanwire.thread.cpu_time_ns"
            });
            let resource = span.resource;
            format!(
                "{} {:?} {:?} {:?} {:?} {parent:?}",
                span.name, span.kind, span.status, span.attributes, resource
            )
        })
        .collect();
    told.sort();
    told
}

/// Packet captures in both formats, as the fuzzer has them.
fn capture() -> TestResult {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/pcap");
    for name in ["one_exchange", "next_generation"] {
        let file = folder.join(name);
        let replay =
            || process::output(Command::new(binary()?).arg("replay").arg(&file).arg("--json"));
        let (first, second) = (replay()?, replay()?);
        ensure!(first == second, "{name}: two replays differ");
        let spans = spans_from_json_lines(&String::from_utf8(first)?)?;
        let served = spans.of("10.0.0.2:8080", Kind::Server);
        ensure!(spans.0.len() == 1 && served.0.len() == 1, "{name}: {spans:?}");
        ensure!(served.0[0].path() == "/a", "{name}: {spans:?}");
    }
    Ok(())
}

fn no_recording() -> TestResult {
    let folder = tempfile::tempdir()?;
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"this is no recording"),
        ("zeros", &[0; 4096]),
        ("the head of a capture", b"\xd4\xc3\xb2\xa1\x02\0\x04\0"),
        ("a capture of garbage", &[0x0a, 0x0d, 0x0d, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 9, 9, 9, 9]),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes)?;
        let ended = Command::new(binary()?).arg("replay").arg(&file).arg("--json").output()?;
        let told = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.code() == Some(1), "{name}: {:?}, {told}", ended.status);
        ensure!(!told.trim().is_empty() && !told.contains("panicked"), "{name}: {told}");
        ensure!(ended.stdout.is_empty(), "{name}: it printed spans");
    }
    Ok(())
}
