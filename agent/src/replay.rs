//! `spanwire replay`: a recording or a packet capture through the same pipeline, without root. The same file gives the same
//! bytes.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    cli::ReplayArgs,
    export::{
        EncodedSpan, batch, json,
        terminal::{Style, Trees},
    },
    input::{Input, Nanos},
    pcap::{Capture, is_capture},
    pipeline::Pipeline,
    record::{ReadError, Reader},
    status::Counters,
    trace::Settings,
};

/// Spans in one request of protobuf: as the exporter has them.
const SPANS_A_REQUEST: usize = 2_048;

/// Replays a recording to standard output.
///
/// # Errors
///
/// When the file cannot be read, or is neither.
pub fn replay(args: &ReplayArgs) -> Result<()> {
    let mut source = Source::open(&args.file).with_context(|| args.file.display().to_string())?;
    let mut pipeline = source.pipeline();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut printed = Printed::of(args);
    let mut spans = Vec::new();
    while let Some(input) = source.next() {
        let input = input.with_context(|| args.file.display().to_string())?;
        let now = match input {
            Input::Tick { now, .. } => Some(now),
            _ => None,
        };
        pipeline.feed(input, &mut spans);
        if let Some(now) = now {
            printed.take(std::mem::take(&mut spans), now, &mut out)?;
        }
    }
    pipeline.finish(&mut spans);
    printed.finish(spans, &mut out)?;
    out.flush()?;
    let mut counters = Counters::default();
    source.count(&mut counters);
    pipeline.count(&mut counters);
    eprint!("{}", counters.table());
    if let Some(path) = &args.counters {
        counters.write_json(path)?;
    }
    Ok(())
}

/// How spans are printed.
enum Printed {
    Trees(Box<Trees>, Nanos),
    Json,
    Protobuf,
}

impl Printed {
    fn of(args: &ReplayArgs) -> Self {
        match args {
            ReplayArgs { json: true, .. } => Self::Json,
            ReplayArgs { protobuf: true, .. } => Self::Protobuf,
            _ => {
                let style = Style { width: 160, color: std::io::stdout().is_terminal() };
                Self::Trees(Box::new(Trees::new(style)), Nanos(0))
            }
        }
    }

    /// Prints what has come until `now`.
    fn take(&mut self, spans: Vec<EncodedSpan>, now: Nanos, out: &mut impl Write) -> Result<()> {
        match self {
            Self::Trees(trees, last) => {
                *last = now;
                out.write_all(trees.add(spans, now).as_bytes())?;
                out.write_all(trees.tick(now).as_bytes())?;
            }
            Self::Json => json::write_lines(out, &spans)?,
            Self::Protobuf => {
                for spans in spans.chunks(SPANS_A_REQUEST) {
                    let request = batch::request(spans);
                    out.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
                    out.write_all(&request)?;
                }
            }
        }
        Ok(())
    }

    /// Prints what comes at the end.
    fn finish(mut self, spans: Vec<EncodedSpan>, out: &mut impl Write) -> Result<()> {
        let last = if let Self::Trees(_, last) = self { last } else { Nanos(0) };
        self.take(spans, last, out)?;
        if let Self::Trees(mut trees, last) = self {
            out.write_all(trees.finish(last).as_bytes())?;
        }
        Ok(())
    }
}

/// Where inputs come from.
enum Source {
    Recording(Box<Reader<File>>),
    Capture(Box<Capture>),
}

impl Source {
    /// Tells by its first bytes what a file is.
    fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let mut first = [0; 4];
        let len = file.read(&mut first)?;
        file.rewind()?;
        if len == first.len() && is_capture(first) {
            return Ok(Self::Capture(Box::new(Capture::new(file)?)));
        }
        match Reader::new(file) {
            Err(ReadError::NotARecording) => {
                anyhow::bail!(
                    "this is neither a recording of spanwire nor a packet capture (pcap, pcapng)"
                )
            }
            reader => Ok(Self::Recording(Box::new(reader?))),
        }
    }

    fn pipeline(&self) -> Pipeline {
        match self {
            Self::Recording(reader) => {
                let header = reader.header();
                let host_name = header.metadata.host.clone();
                Pipeline::new(header.seed, Settings { host_name, ..Settings::default() })
            }
            Self::Capture(capture) => Pipeline::new(capture.seed(), Settings::default()),
        }
    }

    fn next(&mut self) -> Option<Result<Input>> {
        match self {
            Self::Recording(reader) => reader.next().map(|input| input.map_err(Into::into)),
            Self::Capture(capture) => capture.next().map(|input| input.map_err(Into::into)),
        }
    }

    fn count(&self, counters: &mut Counters) {
        if let Self::Capture(capture) = self {
            capture.count_into(counters);
            if capture.is_truncated() {
                log::warn!("the capture ends in the middle of a packet");
            }
        }
    }
}
