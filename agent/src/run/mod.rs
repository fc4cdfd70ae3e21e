//! `spanwire run` and `spanwire record`: the outer edge, where clocks are read, files are looked at and time passes.
//!
//! Everything that is found out here enters the pipeline as an [`Input`], so that a recording holds it too.
#![forbid(unsafe_code)]

mod clock;
mod facts;
mod host;
mod left_out;
mod output;
mod privileges;
mod reload;
mod signals;
mod silence;
mod status;
mod unix_sweep;
mod watched;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use self::{
    clock::Clock,
    facts::Facts,
    left_out::{LeftOut, News},
    output::Output,
    reload::Reload,
    signals::Signals,
    silence::Silence,
    status::Status,
    unix_sweep::UnixSweep,
    watched::Watch,
};
use crate::{
    config::{Reach, Settings, Sources},
    courtesy::{self, Stops},
    input::{Input, Nanos},
    insertion::{Insertion, older, trial},
    kernel::{
        capture::Capture,
        features::Kernel,
        insert::{self, Enrolment, Insert},
        load::{self, Options, Probes},
        netns,
        wire::{Sampling, Wire},
    },
    memory,
    pipeline::Pipeline,
    record::{Header, Metadata, Writer},
    runtime::{Attacher, Ends},
    status::Counters,
    trace::{self, EncodedSpan, Sampler},
    viewer::Host,
};

/// How to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is configured.
    pub settings: Settings,
    /// Where that comes from, to be read again.
    pub sources: Sources,
    /// Where all counters are written at the end, as JSON.
    pub counters: Option<PathBuf>,
    /// Where the raw input is recorded instead of being traced.
    pub record: Option<Record>,
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

/// Time goes on by a step for so many inputs: what becomes due by it is about as much work as they were.
const INPUTS_OF_A_STEP: u64 = 16;

/// Everything must be out and accepted within this time after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Runs until told to stop.
///
/// # Errors
///
/// When the host cannot be traced; each error is one sentence for the user.
pub fn run(run: &Run) -> Result<()> {
    courtesy::let_others_go_first();
    let signals = Signals::catch().context("signals cannot be caught")?;
    let kernel = Kernel::examine()?;
    let seed = host::seed()?;
    let settings = &run.settings;
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let mut probes = load::load(
        &kernel,
        &Options {
            hooks: settings.hooks,
            data_ring: settings.data_ring,
            seed,
            network_namespace: network_namespace(settings)?,
            wire: wire(settings),
            insert: insert(settings),
            channels: settings.rules.has(abi::runtime::Rule::GoChannel),
            sampling: sampling(&settings.sampler),
        },
    )?;
    let (enrolment, tried_by) = try_headers(&mut probes, settings)?;
    drop(kernel);
    memory::give_back();
    let maps = probes.runtimes.take();
    // Where no rule asks for it, nobody's runtime is looked at.
    let maps = maps.filter(|_| settings.rules.bits() != 0);
    let start = || maps.map(|maps| Attacher::start(maps, settings.rules));
    let (attacher, kept) = privileges::keep_needed(start);
    if let Err(error) = kept {
        log::warn!("capabilities that are not needed any more are kept: {error}");
    }
    let mut output =
        if run.record.is_some() { Output::none() } else { Output::choose(&settings.export)? };
    for (set, why) in &probes.refused {
        log::warn!("the hooks at {set} are not used: {why}");
    }
    for (feature, why) in &probes.off {
        if *why == insert::NOT_ASKED {
            continue; // nobody misses it
        }
        log::warn!("{feature}: off, {why}");
    }
    let hooks = probes.hooks.to_string();
    let mut recording = match &run.record {
        Some(record) => Some(start_recording(record, seed, &hooks)?),
        None => None,
    };
    let mut capture = Capture::new(probes, &signals).context("the rings cannot be watched")?;
    let wants_viewer = settings.viewer.unwrap_or(output.leaves_room()) && run.record.is_none();
    let mut status = Status::start(wants_viewer.then_some(&settings.serving))?;
    let own_pids: Vec<u32> =
        std::iter::once(std::process::id()).chain(status.pid()).chain(tried_by).collect();
    let mut live = Live {
        facts: Facts::default(),
        sweep: UnixSweep::default(),
        left_out: LeftOut::new(&settings.selection),
        insertion: enrolment.map(|enrolment| Insertion::new(enrolment, settings.headers.clone())),
        attacher,
        ends: Ends::default(),
        pipeline: Pipeline::new(seed, trace_settings(settings, own_pids)),
        spans: Vec::new(),
    };
    let mut reload = Reload::new(run.sources.clone(), settings.clone());
    let mut silence = Silence::new(run.silence_hint.clone());
    let mut clock = Clock::start();
    let since = clock.wall();
    let mut watch = None;
    let page = if wants_viewer {
        let (started, first) = Watch::start(settings.selection.clone())
            .context("no thread can be started that looks at processes")?;
        watch = Some(started);
        status.start_viewing(Host::new(host::name(), since, first))
    } else {
        None
    };
    eprintln!("spanwire: tracing at {hooks}, {}", output.describe(page.is_some()));
    if let Some(page) = page {
        eprintln!("spanwire: look at them at {page}");
    }

    let turns = courtesy::Turns::new();
    while !signals.stop() && !signals.detach() {
        let late = capture.wait();
        turns.look(late);
        // What is seen now is younger than all that is still to be drained, so it comes behind that.
        let tick = clock.tick();
        let gone = tick.as_ref().and_then(|tick| live.sweep.look(tick.now));
        let mut failed = None;
        let mut inputs = 0;
        loop {
            let reading = capture.read(|| turns.step());
            turns.read(reading.half_full_in, reading.more);
            capture.hand_on(|input| {
                inputs += 1;
                live.take(input, |input| write(&mut recording, input, &mut failed));
                turns.step();
            });
            if !reading.more || signals.stop() || signals.detach() {
                break;
            }
        }
        if let Some(lost) = capture.lost() {
            live.give(lost, &mut |input| write(&mut recording, input, &mut failed));
        }
        if let Some(gone) = gone {
            live.give(gone, &mut |input| write(&mut recording, input, &mut failed));
        }
        let now = tick.as_ref().map(|tick| tick.now);
        if let Some(now) = now
            && let Some(ended) = live.ended(now)
        {
            live.give(ended, &mut |input| write(&mut recording, input, &mut failed));
        }
        if let Some(tick) = tick {
            let now = tick.now;
            for step in tick.steps(inputs / INPUTS_OF_A_STEP) {
                live.give(step, &mut |input| write(&mut recording, input, &mut failed));
                turns.pause();
            }
            if let Some(insertion) = &mut live.insertion {
                insertion.look(now);
                insertion.begin(live.pipeline.boundaries());
            }
            silence.look(now, live.pipeline.requests());
            output.tick(now);
            if let Some(watched) = watch.as_ref().and_then(Watch::news) {
                status.introduce(Host::new(host::name(), since, watched));
            }
            status.publish(now, |status| {
                let of_kernel = of_kernel(&capture, turns.stops(), &live);
                status::snapshot(of_kernel, &live.pipeline, &output, status)
            });
        }
        if let Some(changes) = live.left_out.changes(now) {
            capture.leave_out(&changes);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        hand_out(&mut live.spans, &status, &mut output);
        for (pid, quiet) in live.pipeline.quiet() {
            capture.quiet(pid, quiet);
        }
        for (pid, need) in live.pipeline.needs() {
            live.attacher.iter().for_each(|attacher| attacher.needs(pid, need));
        }
        if signals.reload()
            && let Some(settings) = reload.read()
        {
            log::set_max_level(settings.log_level);
            if let Some(watch) = &watch {
                watch.select(settings.selection.clone());
            }
            capture.sample(sampling(&settings.sampler));
            live.pipeline.select(settings.selection.clone(), settings.sampler);
            let counted = |rule| capture.left_out(rule);
            live.left_out.select(&settings.selection, &mut live.pipeline, counted);
            if let Some(changes) = live.left_out.changes(None) {
                capture.leave_out(&changes);
            }
            match &mut live.insertion {
                Some(insertion) => insertion.select(settings.headers.clone()),
                None if !settings.headers.is_empty() => {
                    log::warn!("propagation.headers will hold from the next start on");
                }
                None => {}
            }
            // Said when it holds: whoever waits for this line relies on it.
            let rules = settings.selection.rules().len();
            log::info!("the configuration was read again; rules of selection: {rules}");
        }
    }

    let stops = turns.stops();
    drop(turns);
    // What the rings still hold belongs to what was traced; what happens from here on does not, our last export above all.
    let mut failed = None;
    capture.finish(|input| live.take(input, |input| write(&mut recording, input, &mut failed)));
    if let Some(lost) = capture.lost() {
        live.give(lost, &mut |input| write(&mut recording, input, &mut failed));
    }
    live.give(clock.now(), &mut |input| write(&mut recording, input, &mut failed));
    live.pipeline.finish(&mut live.spans);
    hand_out(&mut live.spans, &status, &mut output);
    // The host is rid of us whatever hangs: nothing is pinned, so this takes every program away. It may take seconds, in which what was
    // traced is already on its way.
    let of_kernel = of_kernel(&capture, stops, &live);
    let insertion = live.insertion.take();
    let mut letting_go = Some(std::thread::spawn(move || {
        drop(capture);
        drop(insertion);
    }));
    if signals.detach() {
        letting_go.take().map(std::thread::JoinHandle::join);
        log::warn!("every probe is off; nothing is traced until the agent is started again");
        stay_detached(&signals, &mut status, &mut output, |output, status| {
            status::with_stages(of_kernel.clone(), &live.pipeline, output, status)
        });
    }
    output.shutdown(SHUTDOWN);
    let counters = status::with_stages(of_kernel, &live.pipeline, &output, &status);
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
    letting_go.map(std::thread::JoinHandle::join);
    Ok(())
}

/// Whether contexts go into headers on this kernel; then what is connected already is taken in. And who has tried it.
fn try_headers(
    probes: &mut Probes,
    settings: &Settings,
) -> Result<(Option<Enrolment>, Option<u32>)> {
    let Some(mut enrolment) = probes.enrolment.take() else { return Ok((None, None)) };
    let tried = trial::run(&mut enrolment);
    let enrolment = match tried.result {
        Ok(notes) => {
            log::info!("{}: on; {notes}", insert::FEATURE);
            let which = older::Which {
                programs: &settings.headers,
                anywhere: settings.headers_anywhere,
                namespace: network_namespace(settings)?,
            };
            let adopted = older::adopt(&mut enrolment, which);
            log::info!("{}: older connections taken in: {adopted}", insert::FEATURE);
            Some(enrolment)
        }
        Err(why) => {
            probes.off.push((insert::FEATURE, why));
            None
        }
    };
    Ok((enrolment, Some(tried.pid)))
}

/// What the kernel half has counted.
fn of_kernel(capture: &Capture, stops: Stops, live: &Live) -> Counters {
    let mut counters = status::of_kernel(capture, stops);
    live.left_out.count(&mut counters, |rule| capture.left_out(rule));
    if let Some(attacher) = &live.attacher {
        attacher.count(&mut counters, |pid| live.pipeline.service(pid));
    }
    counters
}

/// To the viewer and to the chosen outputs; cloned only where both want them.
fn hand_out(spans: &mut Vec<EncodedSpan>, status: &Status, output: &mut Output) {
    output.note(spans.len());
    if status.views() {
        status.view(if output.takes() { spans.clone() } else { std::mem::take(spans) });
    }
    output.take(spans);
}

/// Goes on to export what was traced and to tell the counters, and traces nothing: what restarts agents that end
/// (systemd, Kubernetes) would have the probes back at once.
fn stay_detached(
    signals: &Signals,
    status: &mut Status,
    output: &mut Output,
    counters: impl Fn(&Output, &Status) -> Counters,
) {
    let mut clock = Clock::start();
    while !signals.stop() {
        signals.wait(Duration::from_secs(1));
        if signals.reload() {
            log::warn!("the configuration is not read while every probe is off");
        }
        if let Input::Tick { now, .. } = clock.now() {
            output.tick(now);
            status.publish(now, |status| counters(output, status).into());
        }
    }
}

/// The number of the one network namespace to trace. The kernel numbers them by the inodes of their files.
fn network_namespace(settings: &Settings) -> Result<Option<u32>> {
    let Some(file) = &settings.network_namespace else { return Ok(None) };
    let found = rustix::fs::statfs(file)
        .and_then(|system| Ok((system.f_type, rustix::fs::stat(file)?.st_ino)))
        .with_context(|| format!("{} cannot be looked at", file.display()))?;
    /// `NSFS_MAGIC` (include/uapi/linux/magic.h)
    const NAMESPACES: rustix::fs::FsWord = 0x6e73_6673;
    anyhow::ensure!(found.0 == NAMESPACES, "{} is no namespace", file.display());
    Ok(Some(u32::try_from(found.1).context("the namespace's number is none of the kernel's")?))
}

/// What the probes are told of contexts on the wire.
fn wire(settings: &Settings) -> Option<Wire> {
    let anywhere = match settings.tcp_option {
        Reach::Off => return None,
        Reach::Private => false,
        Reach::All => true,
    };
    Some(Wire { anywhere, namespace: namespace(settings) })
}

/// The name that the one network namespace has for the probes that see nothing else of it.
fn namespace(settings: &Settings) -> Result<u64, &'static str> {
    settings.network_namespace.as_ref().map_or(Ok(0), |file| {
        netns::cookie(file).map_err(
            |_| "this kernel has no names of namespaces for it, which came with Linux 5.15",
        )
    })
}

/// What the probes are told of contexts in headers.
pub(crate) fn insert(settings: &Settings) -> Option<Insert> {
    if settings.headers.is_empty() {
        return None;
    }
    Some(Insert { anywhere: settings.headers_anywhere, namespace: namespace(settings) })
}

/// What the probes are told of sampling.
const fn sampling(sampler: &Sampler) -> Sampling {
    Sampling { threshold: sampler.threshold(), caller_decides: sampler.asks_the_caller() }
}

/// What lives between inputs.
struct Live {
    facts: Facts,
    sweep: UnixSweep,
    left_out: LeftOut,
    insertion: Option<Insertion>,
    attacher: Option<Attacher>,
    ends: Ends,
    pipeline: Pipeline,
    spans: Vec<EncodedSpan>,
}

impl Live {
    /// Takes an input from the kernel, after whatever must be known before it.
    fn take(&mut self, input: Input, mut tell: impl FnMut(&Input)) {
        match (&mut self.attacher, &input) {
            (Some(attacher), Input::Exec(event)) => attacher.began(event.tgid),
            (Some(attacher), Input::Opened(event)) => attacher.talks(event.tgid),
            (Some(attacher), Input::Exit(event)) => attacher.gone(event.tgid),
            _ => {}
        }
        self.ends.note(&input);
        for facts in self.facts.before(&input) {
            self.give(Input::Process(Box::new(facts)), &mut tell);
        }
        self.sweep.note(&input);
        self.give(input, &mut tell);
    }

    /// The tasks that were found to have ended.
    fn ended(&mut self, now: Nanos) -> Option<Input> {
        self.ends.look(now, self.attacher.as_ref()?)
    }

    fn give(&mut self, input: Input, tell: &mut impl FnMut(&Input)) {
        tell(&input);
        if let Some(insertion) = &mut self.insertion {
            insertion.note(&input);
        }
        let news = News::of(&input);
        self.pipeline.feed(input, &mut self.spans);
        if let Some(news) = news {
            self.left_out.note(news, &mut self.pipeline);
        }
    }
}

fn trace_settings(settings: &Settings, own_pids: Vec<u32>) -> trace::Settings {
    trace::Settings { own_pids, host_name: host::name(), ..settings.trace() }
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
