//! HTTP/2 as no library sends it: hundreds of frames in one call, cut into pieces where they are hardest to read.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::agent::{Hooks, Setup};
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::runner::Suite;

/// Name of this process: both ends are in it.
const OURSELVES: &str = "e2e";
/// Requests in the one call. Each is a HEADERS frame and CONTINUATION frames of one byte each: some 500 frames in all.
const REQUESTS: usize = 20;
/// How long an end waits for bytes before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types and flags (RFC 9113 §6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        let name = format!("frames::hundreds_in_one_writev[{}]", hooks.word());
        suite.at(hooks.place(), name, 60, move || hundreds(Setup::default().hooks(hooks)));
    }
}

/// Every request of the one call is seen at both ends as what it is.
fn hundreds(setup: Setup) -> TestResult {
    let agent = setup.start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (pieces, total) = the_call();
    let server = thread::spawn(move || serve(&listener, total));
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let sent = client.write_vectored(&slices)?;
    ensure!(sent == total, "{sent} of {total} bytes went in one call");
    let mut answers = Vec::new();
    client.read_to_end(&mut answers)?;
    let read = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
    ensure!(read == pieces.concat() && answers == the_answers(), "other bytes than were sent");

    agent.wait("a span for each request at both ends", |spans| {
        [Kind::Client, Kind::Server].iter().all(|kind| spans.of(OURSELVES, *kind).len() >= REQUESTS)
    })?;
    let stopped = agent.stop()?;
    for number in 0..REQUESTS {
        let spans = stopped.spans.at(&path(number));
        let asked = spans.of(OURSELVES, Kind::Client);
        let (asked, served) = (asked.single()?, spans.of(OURSELVES, Kind::Server));
        let served = served.single()?;
        ensure!(
            served.parent == asked.span_id && served.trace_id == asked.trace_id,
            "not joined: {spans}"
        );
        for span in [asked, served] {
            ensure!(
                span.text("http.request.method") == "GET"
                    && span.text("network.protocol.version") == "2"
                    && span.int("http.response.status_code") == Some(200),
                "{span}"
            );
        }
    }
    stopped.counters.nothing_lost()
}

/// Reads so many bytes, then answers all requests at once.
fn serve(listener: &TcpListener, total: usize) -> anyhow::Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut read = vec![0; total];
    stream.read_exact(&mut read).context("reading the requests")?;
    stream.write_all(&the_answers())?;
    Ok(read)
}

fn path(number: usize) -> String {
    format!("/frames/{number:02}")
}

/// Stream of the request with this number.
fn stream(number: usize) -> u32 {
    u32::try_from(number * 2 + 1).expect("there are few")
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface, SETTINGS and all requests, cut in the middle of each frame header; and how many bytes that is.
fn the_call() -> (Vec<Vec<u8>>, usize) {
    let mut frames = vec![frame(SETTINGS, 0, 0, &[])];
    for number in 0..REQUESTS {
        // RFC 7541: `:method: GET` and `:scheme: http` by their index, `:path` and `:authority` as literals.
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path(number).len()).expect("short")];
        block.extend(path(number).as_bytes());
        block.extend([0x01, 6]);
        block.extend(b"frames");
        let last = block.len() - 1;
        frames.push(frame(HEADERS, END_STREAM, stream(number), &block[..1]));
        for (at, byte) in block.iter().enumerate().skip(1) {
            let flags = if at == last { END_HEADERS } else { 0 };
            frames.push(frame(CONTINUATION, flags, stream(number), &[*byte]));
        }
    }
    let mut pieces = vec![PREFACE.to_vec()];
    for frame in &frames {
        let cut = 5;
        if let Some(before) = pieces.last_mut() {
            before.extend(&frame[..cut]);
        }
        pieces.push(frame[cut..].to_vec());
    }
    let total = pieces.iter().map(Vec::len).sum();
    (pieces, total)
}

/// SETTINGS and an answer for each request: `:status: 200` by its index, nothing else.
fn the_answers() -> Vec<u8> {
    let mut answers = frame(SETTINGS, 0, 0, &[]);
    for number in 0..REQUESTS {
        answers.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &[0x88]));
    }
    answers
}
