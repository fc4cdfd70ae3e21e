//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kernel::{hooks::HookSet, load::DATA_RING};

/// Traces what the processes of this host say to each other, with no change to any of them.
#[derive(Debug, Parser)]
#[command(name = "spanwire", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace until stopped. Spans go where the standard OTEL_* variables say; without any, to this terminal and to a page
    /// on this host.
    Run(RunArgs),
    /// Write the kernel's raw events to a file instead of tracing them, for `replay`. Credentials are overwritten.
    Record(RecordArgs),
    /// Read a recording through the same pipeline; needs no root.
    Replay(ReplayArgs),
    /// Show rate, errors and durations of every service, as the running agent sees them.
    Top(TopArgs),
    /// Print one trace of the running agent as a tree, and why it failed or was slow.
    Trace(TraceArgs),
    /// Say what this kernel allows; the exit code says whether it can be traced.
    Doctor(DoctorArgs),
    /// The unprivileged child that tells the counters; started by the agent itself.
    #[command(name = crate::status::SUBCOMMAND, hide = true)]
    StatusServer(StatusServerArgs),
}

/// How to capture.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// Which hooks to use.
    #[arg(long, value_enum, default_value = "auto")]
    pub hooks: Hooks,
    /// Size of the kernel's data ring in bytes: a power of two, at least one page.
    #[arg(long, value_name = "BYTES", default_value_t = DATA_RING, value_parser = ring_size)]
    pub data_ring: u32,
    /// Trace only connections of the network namespace of this file, such as /run/netns/NAME or /proc/PID/ns/net.
    #[arg(long, value_name = "FILE")]
    pub netns: Option<PathBuf>,
    /// At the end write all counters to this file, as one JSON object.
    #[arg(long, value_name = "FILE")]
    pub counters: Option<PathBuf>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How to capture.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Show traces on a page on this host, also when spans are sent somewhere else.
    #[arg(long, conflicts_with = "no_viewer")]
    pub viewer: bool,
    /// Do not show traces on a page on this host.
    #[arg(long)]
    pub no_viewer: bool,
    /// Take spans that SDKs send (OTLP over HTTP) on this port of 127.0.0.1, and show them beside ours.
    #[arg(long, value_name = "PORT", conflicts_with = "no_viewer")]
    pub otlp_in: Option<u16>,
    /// How much memory traces may take for the page: the oldest go first.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub viewer_memory: Option<u32>,
    /// Keep traces in this file, too, so that they survive a restart: for 7 days, and up to 1 GiB.
    #[arg(long, value_name = "PATH", conflicts_with = "no_viewer")]
    pub store: Option<PathBuf>,
    /// What to add when nothing on this host talks.
    #[arg(long, hide = true, value_name = "TEXT")]
    pub silence_hint: Option<String>,
}

impl RunArgs {
    /// What was asked of the viewer.
    #[must_use]
    pub const fn wants_viewer(&self) -> Option<bool> {
        match (self.viewer || self.otlp_in.is_some() || self.store.is_some(), self.no_viewer) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

/// Options of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The file; it is created, readable only by its owner.
    pub file: PathBuf,
    /// Stop writing at this many bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    pub limit: u64,
    /// How to capture.
    #[command(flatten)]
    pub capture: CaptureArgs,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A file that `record` wrote.
    pub file: PathBuf,
    /// Print OTLP/JSON, one export request a line, instead of trees.
    #[arg(long)]
    pub json: bool,
    /// At the end write all counters to this file, as one JSON object.
    #[arg(long, value_name = "FILE")]
    pub counters: Option<PathBuf>,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Ask the agent that is running what it has seen and lost.
    #[arg(long)]
    pub live: bool,
}

/// Options of the child.
#[derive(Debug, Args)]
pub struct StatusServerArgs {
    /// Keep traces in this file, too.
    #[arg(long)]
    pub store: Option<PathBuf>,
}

/// Options of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Only requests of traces that match, in the page's search language.
    #[arg(default_value = "")]
    pub query: String,
    /// Over which time: 30s, 5m, 1h.
    #[arg(long, value_name = "TIME", default_value = "1m")]
    pub range: String,
    /// Print it once and end.
    #[arg(long)]
    pub once: bool,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The trace's id, in hex.
    pub id: String,
    /// Print OTLP/JSON instead of a tree.
    #[arg(long)]
    pub json: bool,
}

/// A set of hooks, or the best that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that loads, attaches and fires on this kernel.
    Auto,
    /// tcp_sendmsg_locked and sock_*_length (Linux 6.16).
    Locked,
    /// sock_*_length (Linux 6.3).
    Length,
    /// System calls (any kernel).
    Syscall,
}

impl Hooks {
    /// The set, unless it is left to the kernel.
    #[must_use]
    pub const fn set(self) -> Option<HookSet> {
        match self {
            Self::Auto => None,
            Self::Locked => Some(HookSet::Locked),
            Self::Length => Some(HookSet::Length),
            Self::Syscall => Some(HookSet::Syscall),
        }
    }
}

fn ring_size(text: &str) -> Result<u32, String> {
    let bytes: u32 = text.parse().map_err(|_| "not a number of bytes".to_owned())?;
    if bytes.is_power_of_two() && bytes >= 4096 {
        Ok(bytes)
    } else {
        Err("must be a power of two and at least 4096".to_owned())
    }
}
