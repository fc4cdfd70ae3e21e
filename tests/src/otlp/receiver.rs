//! A small OTLP/HTTP receiver inside the test, so that most tests need no backend.
//!
//! It answers what a Collector answers, keeps every span, and wakes whoever waits for them. It is strict: a request
//! it cannot read fails the test that asks for its spans.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::span::{Spans, flatten};
use crate::wait::Deadline;

/// Most bytes of one request that are taken: OTLP's recommended limit.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

/// Listens on a port of its own until the process ends, and keeps what arrives as long as it lives itself.
pub struct Receiver {
    port: u16,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    arrived: Mutex<Arrived>,
    more: Condvar,
}

#[derive(Default)]
struct Arrived {
    spans: Spans,
    requests: usize,
    errors: Vec<String>,
}

impl Receiver {
    /// Begins to listen on 127.0.0.1.
    ///
    /// # Errors
    /// When no port is to be had.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at(0)
    }

    /// Begins to listen on that port of 127.0.0.1; 0 is any.
    ///
    /// # Errors
    /// When it is not to be had.
    pub fn start_at(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let port = listener.local_addr()?.port();
        let inbox = Arc::new(Inbox::default());
        // What has arrived goes with whoever asks for it: a table of many cases would hold the spans of all.
        let shared = Arc::downgrade(&inbox);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(inbox) = shared.upgrade() else { return };
                std::thread::spawn(move || {
                    // Whoever sees the connection end finds the reason written down.
                    let kept_open = stream.try_clone();
                    if let Err(error) = serve(stream, &inbox) {
                        inbox.arrived.lock().expect("no panics").errors.push(format!("{error:#}"));
                        inbox.more.notify_all();
                    }
                    drop(kept_open);
                });
            }
        });
        Ok(Self { port, inbox })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All spans that have arrived.
    ///
    /// # Errors
    /// When a request could not be read.
    pub fn spans(&self) -> anyhow::Result<Spans> {
        let arrived = self.inbox.arrived.lock().expect("no panics");
        ensure!(arrived.errors.is_empty(), "requests that are not OTLP/HTTP: {:?}", arrived.errors);
        Ok(arrived.spans.clone())
    }

    /// How many export requests have arrived.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.inbox.arrived.lock().expect("no panics").requests
    }

    /// Waits until the spans that have arrived satisfy `enough`, and gives all.
    ///
    /// # Errors
    /// At the deadline; what has arrived is in the error.
    pub fn wait(
        &self,
        what: &str,
        within: Duration,
        enough: impl Fn(&Spans) -> bool,
    ) -> anyhow::Result<Spans> {
        let deadline = Deadline::after(within);
        let mut arrived = self.inbox.arrived.lock().expect("no panics");
        loop {
            ensure!(
                arrived.errors.is_empty(),
                "requests that are not OTLP/HTTP: {:?}",
                arrived.errors
            );
            if enough(&arrived.spans) {
                return Ok(arrived.spans.clone());
            }
            if deadline.is_past() {
                bail!(
                    "waited in vain for {what}; {} spans:\n{}",
                    arrived.spans.len(),
                    arrived.spans
                );
            }
            arrived = self.inbox.more.wait_timeout(arrived, deadline.left()).expect("no panics").0;
        }
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, inbox: &Inbox) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        ensure!(request.path == "/v1/traces", "posted to {}", request.path);
        ensure!(
            request.header("content-type") == Some("application/x-protobuf"),
            "content-type {:?}",
            request.header("content-type")
        );
        let body = match request.header("content-encoding") {
            None | Some("identity") => request.body,
            Some("gzip") => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut plain)?;
                plain
            }
            Some(other) => bail!("content-encoding {other}"),
        };
        let message = ExportTraceServiceRequest::decode(body.as_slice()).context("decoding")?;
        let spans = flatten(message);
        ensure!(!spans.is_empty(), "an export request without spans");
        {
            let mut arrived = inbox.arrived.lock().expect("no panics");
            arrived.requests += 1;
            arrived.spans.0.extend(spans);
        }
        inbox.more.notify_all();
        // An empty ExportTraceServiceResponse: everything was accepted.
        reader.get_mut().write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
        )?;
    }
    Ok(())
}

struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The next request, or `None` when the client has closed the connection.
fn read_request(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
            ensure!(head.is_empty(), "the connection ended inside a head");
            return Ok(None);
        }
    }
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut slots);
    parsed.parse(&head)?;
    ensure!(parsed.method == Some("POST"), "method {:?}", parsed.method);
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let mut request =
        Request { path: parsed.path.unwrap_or_default().to_owned(), headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        request.body = read_chunks(reader)?;
    } else {
        let length: usize =
            request.header("content-length").context("no content-length")?.parse()?;
        ensure!(length <= MAX_REQUEST, "{length} bytes");
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim().split(';').next().unwrap_or(""), 16)?;
        ensure!(body.len() + length <= MAX_REQUEST, "too many bytes");
        let from = body.len();
        body.resize(from + length, 0);
        reader.read_exact(&mut body[from..])?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}
