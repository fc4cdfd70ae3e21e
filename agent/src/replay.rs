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
        json,
        terminal::{Style, Trees},
    },
    input::{Input, Nanos},
    pcap::{Capture, is_capture},
    pipeline::Pipeline,
    record::{ReadError, Reader},
    status::Counters,
    trace::Settings,
};

/// Replays a recording to standard output.
///
/// # Errors
///
/// When the file cannot be read, or is neither.
pub fn replay(args: &ReplayArgs) -> Result<()> {
    let mut source = Source::open(&args.file).with_context(|| args.file.display().to_string())?;
    let mut pipeline = source.pipeline();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut terminal = Trees::new(Style { width: 160, color: std::io::stdout().is_terminal() });
    let mut last = Nanos(0);
    let mut spans = Vec::new();
    while let Some(input) = source.next() {
        let input = input.with_context(|| args.file.display().to_string())?;
        let now = match input {
            Input::Tick { now, .. } => Some(now),
            _ => None,
        };
        pipeline.feed(input, &mut spans);
        let finished = std::mem::take(&mut spans);
        if args.json {
            json::write_lines(&mut out, finished)?;
        } else if let Some(now) = now {
            last = now;
            out.write_all(terminal.add(finished, now).as_bytes())?;
            out.write_all(terminal.tick(now).as_bytes())?;
        }
    }
    pipeline.finish(&mut spans);
    if args.json {
        json::write_lines(&mut out, spans)?;
    } else {
        out.write_all(terminal.add(spans, last).as_bytes())?;
        out.write_all(terminal.finish(last).as_bytes())?;
    }
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
