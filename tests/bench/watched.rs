//! The agent while it is measured: started as a user would, then only looked at from outside.
//!
//! Its CPU time counts from the moment it traces until it has ended, the last export included; the child that tells its
//! counters counts with it. It exports over OTLP/HTTP with its own defaults; the receiving end is not the agent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tests::agent::{Agent, Counters, Hooks, Setup};
use tests::wait;

use crate::cpu;
use crate::statistics::quantile;

/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Counters of what the agent should have seen and did not, in events.
const EVENTS_LOST: [&str; 5] = [
    "kernel.data_ring_full",
    "kernel.control_ring_full",
    "kernel.scratch_busy",
    "kernel.raced_writers",
    "kernel.connections_untracked",
];

/// Counters of spans that were made and did not arrive.
const SPANS_LOST: [&str; 5] = [
    "export.spans_dropped_queue_full",
    "export.spans_dropped_at_shutdown",
    "export.spans_rejected_by_server",
    "export.spans_in_refused_requests",
    "trace.spans_evicted_unfinished",
];

/// A running agent that is watched.
pub(crate) struct Watched {
    agent: Agent,
    /// How long it took until it traced.
    attach: Duration,
    cpu_at_start: Duration,
    memory_at_start: f64,
    loaded: Option<Loaded>,
    memory: Memory,
}

/// How it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dress {
    /// As it comes.
    Plain,
    /// Its spans go to the viewer, too.
    Viewer,
    /// Without the rules of runtimes.
    NoRules,
    /// A rule leaves the load's client out: of this host only the server is left to be traced.
    Serving,
    /// Requests of the load's client, which is this binary, get a header. None does where an agent answers, so it does not.
    Headers,
}

/// The rule: the client is wrk.
const CLIENT_LEFT_OUT: &str = "select:\n  - exclude: {executable: wrk}\n    name: clients\n";

impl Dress {
    /// As `file` says, if it needs one.
    fn setup(self, file: &Path) -> anyhow::Result<Setup> {
        let setup = Setup::default();
        Ok(match self {
            Self::Plain => setup,
            Self::Serving => {
                std::fs::write(file, CLIENT_LEFT_OUT)?;
                setup.argument("--config").argument(file.display().to_string())
            }
            Self::Headers => setup
                .environment("SPANWIRE_HEADERS", std::env::current_exe()?.display().to_string())
                .environment("SPANWIRE_TCP_OPTION", "off"),
            Self::Viewer => setup.argument("--viewer"),
            Self::NoRules => setup.environment(
                "SPANWIRE_RULES_OFF",
                "go-handler,go-child,go-context,go-transport,go-grpc,go-http2,go-newproc,python-pool",
            ),
        })
    }
}

/// What it used while the load ran.
struct Loaded {
    began: Instant,
    /// Of the agent and its child.
    cpu: Duration,
    /// Of the agent alone.
    own: Duration,
    wall: Duration,
}

/// What an agent used, saw and lost.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// Seconds until it traced.
    pub(crate) attach: f64,
    /// ns of CPU from then to its end.
    pub(crate) cpu: f64,
    /// CPUs it kept busy while the load ran, its child's included.
    pub(crate) cores: f64,
    /// CPUs that its child kept busy while the load ran.
    pub(crate) child_cores: f64,
    /// ns of CPU of its own process while the load ran.
    pub(crate) own: f64,
    /// Resident memory in MB: when it had started, in the middle half of the load, and at most.
    pub(crate) memory: [f64; 3],
    /// All its counters.
    pub(crate) counters: BTreeMap<String, u64>,
}

impl Use {
    pub(crate) fn count(&self, name: &str) -> f64 {
        self.counters.get(name).copied().unwrap_or(0) as f64
    }

    /// Requests whose answers were seen, at each end that was traced; without the agent's own exports.
    pub(crate) fn exchanges(&self) -> f64 {
        self.count("protocols.exchanges") - self.count("trace.spans_own_traffic")
    }

    pub(crate) fn events(&self) -> f64 {
        self.count("kernel.data_events")
    }

    pub(crate) fn events_lost(&self) -> f64 {
        EVENTS_LOST.iter().map(|name| self.count(name)).sum()
    }

    pub(crate) fn spans(&self) -> f64 {
        self.count("export.spans")
    }

    pub(crate) fn spans_lost(&self) -> f64 {
        SPANS_LOST.iter().map(|name| self.count(name)).sum()
    }
}

impl Watched {
    /// Starts an agent that exports there, and waits until it traces.
    pub(crate) fn start(endpoint: &str, hooks: Hooks, dress: Dress) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let setup = dress.setup(&folder.path().join("spanwire.yaml"))?;
        let began = wait::now();
        let agent = setup
            .hooks(hooks)
            .endpoint(endpoint.to_owned(), "http/protobuf")
            // What tests set to be quick is set back to the standard's default.
            .environment("OTEL_BSP_SCHEDULE_DELAY", "5000")
            .start()?;
        let pid = agent.pid();
        Ok(Self {
            attach: began.elapsed(),
            cpu_at_start: cpu::of_family(pid)?,
            memory_at_start: resident(pid, "VmRSS:")?,
            loaded: None,
            memory: Memory::watch(pid),
            agent,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.agent.pid()
    }

    /// The load begins.
    pub(crate) fn load_begins(&mut self) -> anyhow::Result<()> {
        let (cpu, own) = (cpu::of_family(self.pid())?, cpu::of_process(self.pid())?);
        self.loaded = Some(Loaded { began: wait::now(), cpu, own, wall: Duration::ZERO });
        Ok(())
    }

    /// The load has ended.
    pub(crate) fn load_ends(&mut self) -> anyhow::Result<()> {
        let (cpu, own) = (cpu::of_family(self.pid())?, cpu::of_process(self.pid())?);
        if let Some(loaded) = &mut self.loaded {
            loaded.wall = loaded.began.elapsed();
            loaded.cpu = cpu.saturating_sub(loaded.cpu);
            loaded.own = own.saturating_sub(loaded.own);
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn stop(self) -> anyhow::Result<Use> {
        let steady = self.memory.end();
        let peak = resident(self.agent.pid(), "VmHWM:")?;
        let before = cpu::of_ended_children()?;
        let Counters(counters) = self.agent.stop()?.counters;
        let cpu = cpu::of_ended_children()?.saturating_sub(before + self.cpu_at_start);
        let loaded = self.loaded.as_ref();
        let cores = |of: fn(&Loaded) -> Duration| {
            loaded.map_or(0.0, |loaded| {
                of(loaded).as_secs_f64() / loaded.wall.as_secs_f64().max(f64::EPSILON)
            })
        };
        Ok(Use {
            attach: self.attach.as_secs_f64(),
            cpu: cpu.as_nanos() as f64,
            cores: cores(|loaded| loaded.cpu),
            child_cores: cores(|loaded| loaded.cpu.saturating_sub(loaded.own)),
            own: loaded.map_or(0.0, |loaded| loaded.own.as_nanos() as f64),
            memory: [self.memory_at_start, steady.unwrap_or(self.memory_at_start), peak],
            counters,
        })
    }
}

/// Looks at a process's memory until told to end.
struct Memory {
    end: Sender<()>,
    watcher: JoinHandle<Vec<f64>>,
}

impl Memory {
    fn watch(pid: u32) -> Self {
        let (end, ended): (Sender<()>, Receiver<()>) = channel();
        let watcher = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                seen.extend(resident(pid, "VmRSS:"));
            }
            seen
        });
        Self { end, watcher }
    }

    /// The median of the second half of all looks.
    fn end(self) -> Option<f64> {
        let _ = self.end.send(());
        let seen = self.watcher.join().ok()?;
        (!seen.is_empty()).then(|| quantile(&seen[seen.len() / 2..], 0.5))
    }
}

/// A line of `/proc/PID/status`, in MB.
fn resident(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("process {pid} has no {name}"))?;
    Ok(kib * 1024.0 / 1e6)
}
