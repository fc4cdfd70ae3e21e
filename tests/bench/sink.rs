//! Where the agent under measurement exports to: an OTLP/HTTP receiver that takes everything and keeps nothing.
//!
//! It lives in the bench's own process, so that its CPU time is not the agent's, and does as little as can be done:
//! it never decodes. What was sent is counted by the agent (`export.spans_accepted`).

use std::io::{BufRead as _, BufReader, Read, Write as _, copy, sink};
use std::net::{TcpListener, TcpStream};

use anyhow::Context as _;

const ACCEPTED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";

/// Listens until the process ends.
pub(crate) struct Sink {
    port: u16,
}

impl Sink {
    /// Begins, on the CPU that this thread is bound to.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    if let Err(error) = serve(stream) {
                        println!("sink: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn serve(stream: TcpStream) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    while let Some(length) = head(&mut reader)? {
        match length {
            Some(length) => drain(&mut reader, length)?,
            None => while chunk(&mut reader)? {},
        }
        reader.get_mut().write_all(ACCEPTED)?;
    }
    Ok(())
}

/// The length of the next request's body: `Some(None)` when it is chunked; `None` at the end of the connection.
#[allow(
    clippy::option_option,
    reason = "two different ends: of the connection, and of what is known"
)]
fn head(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Option<u64>>> {
    let (mut line, mut length, mut any) = (String::new(), None, false);
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() && any {
            return Ok(Some(length));
        }
        any = true;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse().context("content-length")?);
        }
    }
}

/// One chunk; whether another follows.
fn chunk(reader: &mut BufReader<TcpStream>) -> anyhow::Result<bool> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let length = u64::from_str_radix(line.trim(), 16).context("chunk size")?;
    drain(reader, length + 2)?;
    Ok(length > 0)
}

fn drain(reader: &mut impl Read, length: u64) -> anyhow::Result<()> {
    let taken = copy(&mut reader.take(length), &mut sink())?;
    anyhow::ensure!(taken == length, "the connection ended inside a body");
    Ok(())
}
