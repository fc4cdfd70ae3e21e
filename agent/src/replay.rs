//! `spanwire replay`: a recording through the same pipeline, without root. The same file gives the same bytes.
#![forbid(unsafe_code)]

use std::io::{BufWriter, IsTerminal, Write};

use anyhow::{Context, Result};

use crate::{
    cli::ReplayArgs,
    export::{
        json,
        terminal::{Style, Trees},
    },
    input::{Input, Nanos},
    pipeline::Pipeline,
    record::Reader,
    status::Counters,
    trace::Settings,
};

/// Replays a recording to standard output.
///
/// # Errors
///
/// When the file cannot be read or is no recording.
pub fn replay(args: &ReplayArgs) -> Result<()> {
    let reader = Reader::open(&args.file).with_context(|| args.file.display().to_string())?;
    let header = reader.header().clone();
    let settings = Settings { host_name: header.metadata.host.clone(), ..Settings::default() };
    let mut pipeline = Pipeline::new(header.seed, settings);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut terminal = Trees::new(Style { width: 160, color: std::io::stdout().is_terminal() });
    let mut last = Nanos(0);
    let mut spans = Vec::new();
    for input in reader {
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
    pipeline.count(&mut counters);
    eprint!("{}", counters.table());
    if let Some(path) = &args.counters {
        counters.write_json(path)?;
    }
    Ok(())
}
