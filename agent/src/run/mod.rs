//! `spanwire run` and `spanwire record`: the outer edge, where clocks are read, files are looked at and time passes.
//!
//! Everything that is found out here enters the pipeline as an [`Input`], so that a recording holds it too.
#![forbid(unsafe_code)]

mod clock;
mod facts;
mod host;
mod listening;
mod output;
mod silence;
mod status;
mod stop;
mod unix_sweep;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use self::{
    clock::Clock, facts::Facts, output::Output, silence::Silence, status::Status, stop::Stop,
    unix_sweep::UnixSweep,
};
use crate::{
    input::Input,
    kernel::{
        capture::Capture,
        features::Kernel,
        hooks::HookSet,
        load::{self, Options},
    },
    pipeline::Pipeline,
    record::{Header, Metadata, Writer},
    status::Serving,
    trace::{FinishedSpan, Settings},
    viewer::Host,
};

/// How to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Only this set of hooks.
    pub hooks: Option<HookSet>,
    /// Bytes of the data ring.
    pub data_ring: u32,
    /// A file of the one network namespace that is traced.
    pub network_namespace: Option<PathBuf>,
    /// Where all counters are written at the end, as JSON.
    pub counters: Option<PathBuf>,
    /// Where the raw input is recorded instead of being traced.
    pub record: Option<Record>,
    /// Whether spans are shown on the page: as asked, else when they go nowhere else.
    pub viewer: Option<bool>,
    /// What else the viewer does.
    pub serving: Serving,
    /// What to say to a user on whose host nothing talks.
    pub silence_hint: Option<String>,
}

/// A recording to make.
#[derive(Clone, Debug)]
pub struct Record {
    /// The file.
    pub path: PathBuf,
    /// It ends at this many bytes.
    pub limit: u64,
}

/// Everything must be out and accepted within this time after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Runs until told to stop.
///
/// # Errors
///
/// When the host cannot be traced; each error is one sentence for the user.
pub fn run(run: &Run) -> Result<()> {
    let stop = Stop::on_signals().context("signals cannot be caught")?;
    let kernel = Kernel::examine()?;
    let seed = host::seed()?;
    let mut output = if run.record.is_some() { Output::none() } else { Output::choose()? };
    let probes = load::load(
        &kernel,
        &Options {
            hooks: run.hooks,
            data_ring: run.data_ring,
            seed,
            network_namespace: network_namespace(run)?,
        },
    )?;
    drop(kernel); // the table of its types is as large as all that is kept while tracing
    for (set, why) in &probes.refused {
        log::warn!("the hooks at {set} are not used: {why}");
    }
    for (feature, why) in &probes.off {
        log::warn!("{feature}: off, {why}");
    }
    let hooks = probes.hooks.to_string();
    let mut recording = match &run.record {
        Some(record) => Some(start_recording(record, seed, &hooks)?),
        None => None,
    };
    let mut capture = Capture::new(probes, &stop).context("the rings cannot be watched")?;
    let mut status = Status::start(&run.serving)?;
    let mut live = Live {
        facts: Facts::default(),
        sweep: UnixSweep::default(),
        pipeline: Pipeline::new(seed, settings(status.pid())),
        spans: Vec::new(),
    };
    let mut silence = Silence::new(run.silence_hint.clone());
    let mut clock = Clock::default();
    let wants_viewer = run.viewer.unwrap_or(output.leaves_room()) && run.record.is_none();
    let page = if wants_viewer {
        let own: Vec<u32> = std::iter::once(std::process::id()).chain(status.pid()).collect();
        let listening = listening::listening(&host::name(), &own);
        status.start_viewing(Host::new(host::name(), clock.wall(), listening))
    } else {
        None
    };
    eprintln!("spanwire: tracing at {hooks}, {}", output.describe(page.is_some()));
    if let Some(page) = page {
        eprintln!("spanwire: look at them at {page}");
    }

    while !stop.requested() {
        capture.wait();
        let mut failed = None;
        loop {
            let more = capture.drain(|input| {
                live.take(input, |input| write(&mut recording, input, &mut failed));
            });
            if !more || stop.requested() {
                break;
            }
        }
        if let Some(lost) = capture.lost() {
            live.give(lost, &mut |input| write(&mut recording, input, &mut failed));
        }
        if let Some(tick) = clock.tick() {
            if let Some(gone) = live.sweep.look(tick.0) {
                live.give(gone, &mut |input| write(&mut recording, input, &mut failed));
            }
            live.give(tick.1, &mut |input| write(&mut recording, input, &mut failed));
            silence.look(tick.0, live.pipeline.requests());
            output.tick(tick.0);
            status.publish(tick.0, |status| {
                status::counters(&live.pipeline, &capture, &output, status)
            });
        }
        if let Some(error) = failed {
            return Err(error);
        }
        hand_out(&mut live.spans, &status, &mut output);
    }

    // What the rings still hold belongs to what was traced; what happens from here on does not, our last export above all.
    let mut failed = None;
    capture.finish(|input| live.take(input, |input| write(&mut recording, input, &mut failed)));
    if let Some(lost) = capture.lost() {
        live.give(lost, &mut |input| write(&mut recording, input, &mut failed));
    }
    live.give(clock.now().1, &mut |input| write(&mut recording, input, &mut failed));
    live.pipeline.finish(&mut live.spans);
    hand_out(&mut live.spans, &status, &mut output);
    output.shutdown(SHUTDOWN);
    let counters = status::counters(&live.pipeline, &capture, &output, &status);
    if let Some(recording) = recording {
        let written = recording.finish()?;
        eprintln!(
            "spanwire: recorded {} inputs in {} bytes; left out: {} over the limit, {} malformed",
            written.inputs, written.bytes, written.over_limit, written.malformed
        );
    }
    eprint!("{}", counters.table());
    if let Some(path) = &run.counters {
        counters
            .write_json(path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// To the viewer and to the chosen outputs; cloned only where both want them.
fn hand_out(spans: &mut Vec<FinishedSpan>, status: &Status, output: &mut Output) {
    output.note(spans.len());
    if status.views() {
        status.view(if output.takes() { spans.clone() } else { std::mem::take(spans) });
    }
    output.take(spans);
}

/// The number of the one network namespace to trace. The kernel numbers them by the inodes of their files.
fn network_namespace(run: &Run) -> Result<Option<u32>> {
    let Some(file) = &run.network_namespace else { return Ok(None) };
    let found = rustix::fs::statfs(file)
        .and_then(|system| Ok((system.f_type, rustix::fs::stat(file)?.st_ino)))
        .with_context(|| format!("{} cannot be looked at", file.display()))?;
    /// `NSFS_MAGIC` (include/uapi/linux/magic.h)
    const NAMESPACES: rustix::fs::FsWord = 0x6e73_6673;
    anyhow::ensure!(found.0 == NAMESPACES, "{} is no namespace", file.display());
    Ok(Some(u32::try_from(found.1).context("the namespace's number is none of the kernel's")?))
}

/// What lives between inputs.
struct Live {
    facts: Facts,
    sweep: UnixSweep,
    pipeline: Pipeline,
    spans: Vec<FinishedSpan>,
}

impl Live {
    /// Takes an input from the kernel, after whatever must be known before it.
    fn take(&mut self, input: Input, mut tell: impl FnMut(&Input)) {
        for facts in self.facts.before(&input) {
            self.give(Input::Process(Box::new(facts)), &mut tell);
        }
        self.sweep.note(&input);
        self.give(input, &mut tell);
    }

    fn give(&mut self, input: Input, tell: &mut impl FnMut(&Input)) {
        tell(&input);
        self.pipeline.feed(input, &mut self.spans);
    }
}

fn settings(child: Option<u32>) -> Settings {
    let own_pids = std::iter::once(std::process::id()).chain(child).collect();
    Settings { own_pids, host_name: host::name(), ..Settings::default() }
}

type Recording = Writer<std::fs::File>;

fn start_recording(record: &Record, seed: abi::id::Seed, hooks: &str) -> Result<Recording> {
    let header = Header {
        seed,
        metadata: Metadata {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: host::kernel(),
            machine: host::machine(),
            hooks: hooks.to_owned(),
            host: host::name(),
        },
    };
    Writer::create(&record.path, &header, record.limit)
        .with_context(|| format!("{} cannot be written", record.path.display()))
}

fn write(recording: &mut Option<Recording>, input: &Input, failed: &mut Option<anyhow::Error>) {
    if let Some(writer) = recording
        && let Err(error) = writer.write(input)
    {
        failed.get_or_insert(anyhow::Error::new(error).context("the recording cannot be written"));
    }
}
