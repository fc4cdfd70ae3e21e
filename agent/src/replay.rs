//! `spanwire replay`: a recording through the same pipeline, without root. The same file gives the same bytes.
#![forbid(unsafe_code)]

use std::io::{BufWriter, IsTerminal, Write};

use anyhow::{Context, Result};

use crate::{
    cli::ReplayArgs,
    export::{Outgoing, json, terminal::Terminal},
    input::Input,
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
    let mut terminal = Terminal::new(std::io::stdout().is_terminal());
    let mut spans = Vec::new();
    for input in reader {
        let input = input.with_context(|| args.file.display().to_string())?;
        let now = match input {
            Input::Tick { now, .. } => Some(now),
            _ => None,
        };
        pipeline.feed(input, &mut spans);
        let outgoing: Vec<Outgoing> = spans.drain(..).map(Outgoing::from).collect();
        if args.json {
            json::write_lines(&mut out, outgoing)?;
        } else if let Some(now) = now {
            terminal.take(now, outgoing.iter());
            out.write_all(terminal.tick(now).as_bytes())?;
        }
    }
    pipeline.finish(&mut spans);
    let outgoing: Vec<Outgoing> = spans.drain(..).map(Outgoing::from).collect();
    if args.json {
        json::write_lines(&mut out, outgoing)?;
    } else {
        terminal.take(crate::input::Nanos(u64::MAX), outgoing.iter());
        out.write_all(terminal.flush().as_bytes())?;
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
