//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum as _};

use crate::config::{Hooks, Sources, ring_size};

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
    /// Trace until stopped.
    ///
    /// Spans go where the configuration says (OTEL_EXPORTER_OTLP_ENDPOINT, or export.endpoint in the file); without any,
    /// to this terminal and to a page on this host. SIGHUP reads rules of selection and sampler again, SIGUSR1 takes every probe off the host.
    Run(RunArgs),
    /// List the processes that talk to others: what each is called, and whether it is traced.
    Ps(ConfigArgs),
    /// Show rate, errors and durations of every service, as the running agent sees them.
    Top(TopArgs),
    /// Print one trace of the running agent as a tree, and why it failed or was slow.
    Trace(TraceArgs),
    /// Say what this kernel allows; the exit code says whether it can be traced.
    Doctor(DoctorArgs),
    /// Check the configuration, and show what is set and where.
    Config(ConfigArgs),
    /// Take every probe off the host and end the running agent.
    ///
    /// The probes go first and at once; then what was traced is sent, for at most five seconds.
    Stop,
    /// Take every probe off the host at once, and leave the agent running.
    ///
    /// For agents that are started again when they end (a DaemonSet): this one traces nothing until it is restarted.
    Detach,
    /// Write the kernel's raw events to a file instead of tracing them, for `replay`. Credentials are overwritten.
    Record(RecordArgs),
    /// Read a recording, or a packet capture, through the same pipeline; needs no root.
    Replay(ReplayArgs),
    /// Write the manual pages to a folder.
    #[command(hide = true)]
    Man(ManArgs),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Whether this kernel puts headers into requests without harm; started by the agent itself.
    #[command(name = crate::insertion::trial::COMMAND, hide = true)]
    InsertionTrial,
    /// The unprivileged child that tells the counters; started by the agent itself.
    #[command(name = crate::status::SUBCOMMAND, hide = true)]
    StatusServer(StatusServerArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file [default: $SPANWIRE_CONFIG, or /etc/spanwire/spanwire.yaml if that is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder.
    pub folder: PathBuf,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell.
    pub shell: clap_complete::Shell,
}

/// How to capture.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// The configuration file [default: $SPANWIRE_CONFIG, or /etc/spanwire/spanwire.yaml if that is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which hooks to use [default: auto]
    #[arg(long, value_enum)]
    pub hooks: Option<Hooks>,
    /// Size of the kernel's data ring in bytes: a power of two, at least one page [default: 8388608]
    #[arg(long, value_name = "BYTES", value_parser = ring_size)]
    pub data_ring: Option<u32>,
    /// Trace only connections of the network namespace of this file, such as /run/netns/NAME or /proc/PID/ns/net.
    #[arg(long, value_name = "FILE")]
    pub netns: Option<PathBuf>,
    /// At the end write all counters to this file, as one JSON object.
    #[arg(long, value_name = "FILE")]
    pub counters: Option<PathBuf>,
}

impl CaptureArgs {
    /// The configuration with these options over it.
    #[must_use]
    pub fn sources(self) -> Sources {
        let mut sources = Sources::new(self.config);
        let hooks = self.hooks.and_then(|hooks| hooks.to_possible_value());
        sources.give([
            ("--hooks", "SPANWIRE_HOOKS", hooks.map(|hooks| hooks.get_name().to_owned())),
            ("--data-ring", "SPANWIRE_DATA_RING", self.data_ring.map(|bytes| bytes.to_string())),
            (
                "--netns",
                "SPANWIRE_NETWORK_NAMESPACE",
                self.netns.map(|file| file.display().to_string()),
            ),
        ]);
        sources
    }
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
    /// How much memory traces may take for the page, MiB: the oldest go first [default: 128]
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
    /// The configuration with these options over it. Whoever says what the page is to hold wants the page.
    #[must_use]
    pub fn sources(self) -> Sources {
        let asked = self.viewer || self.otlp_in.is_some() || self.store.is_some();
        let viewer = match (asked, self.no_viewer) {
            (true, _) => Some("true"),
            (_, true) => Some("false"),
            _ => None,
        };
        let mut sources = self.capture.sources();
        sources.give([
            (
                if self.no_viewer { "--no-viewer" } else { "--viewer" },
                "SPANWIRE_VIEWER",
                viewer.map(str::to_owned),
            ),
            (
                "--viewer-memory",
                "SPANWIRE_VIEWER_MEMORY",
                self.viewer_memory.map(|of| of.to_string()),
            ),
            ("--store", "SPANWIRE_VIEWER_STORE", self.store.map(|file| file.display().to_string())),
            ("--otlp-in", "SPANWIRE_VIEWER_OTLP_IN", self.otlp_in.map(|port| port.to_string())),
        ]);
        sources
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
    /// A file that `record` wrote, or a packet capture (pcap, pcapng).
    pub file: PathBuf,
    /// Print OTLP/JSON, one export request a line, instead of trees.
    #[arg(long, conflicts_with = "protobuf")]
    pub json: bool,
    /// Write OTLP/protobuf, each export request behind its length (four bytes, the highest first), instead of trees.
    #[arg(long)]
    pub protobuf: bool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::hooks::HookSet;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words)
    }

    #[test]
    fn what_deploy_starts_is_a_command_line() {
        let unit = include_str!("../../deploy/spanwire.service");
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        parse(&start.split(' ').collect::<Vec<_>>()).unwrap();
        let manifest = include_str!("../../deploy/daemonset.yaml");
        let list = |before: &str| {
            let line = manifest.lines().find_map(|line| line.trim().strip_prefix(before)).unwrap();
            let words: Vec<&str> = line.trim_end_matches(']').split(", ").collect();
            words
        };
        parse(&[vec!["spanwire"], list("args: [")].concat()).unwrap();
        parse(&list("command: [")).unwrap();
    }

    #[test]
    fn options_become_settings() {
        let line =
            ["spanwire", "run", "--hooks", "syscall", "--data-ring", "8192", "--netns", "/x"];
        let Command::Run(args) = parse(&line).unwrap().command else { panic!() };
        let settings = args.capture.sources().read("", "hooks: auto\ndata_ring: 4096\n").unwrap();
        assert_eq!(settings.hooks, Some(HookSet::Syscall));
        assert_eq!((settings.data_ring, settings.network_namespace), (8192, Some("/x".into())));
        assert!(parse(&["spanwire", "run", "--data-ring", "5000"]).is_err());
        let line = ["spanwire", "run", "--store", "/s", "--otlp-in", "4318", "--hooks", "syscall"];
        let Command::Run(args) = parse(&line).unwrap().command else { panic!() };
        let settings = args.sources().read("", "viewer: {enabled: false, memory: 64}\n").unwrap();
        assert_eq!((settings.viewer, settings.hooks), (Some(true), Some(HookSet::Syscall)));
        let serving = &settings.serving;
        assert_eq!((serving.otlp_in, serving.memory), (Some(4318), Some(64)));
        assert_eq!(serving.store.as_deref(), Some(std::path::Path::new("/s")));
        assert!(parse(&["spanwire", "run", "--store", "/s", "--no-viewer"]).is_err());
    }
}
