//! The agent under test: started as a user would, watched from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::otlp::{Receiver, Spans};
use crate::outcome::{missing, skip};
use crate::process::Program;
use crate::runner::Place;
use crate::vm;
use crate::wait::{self, Deadline};

/// How long it may take until all probes are attached. Generous: CI machines are small and busy.
const ATTACH_SECONDS: u64 = 30;

/// How long it may take to flush and end after SIGTERM,
const STOP: Duration = Duration::from_secs(5);
/// and where as many Python processes as can be have probes of their own: the kernel takes those out one by one.
pub const STOP_CROWDED: Duration = Duration::from_secs(20);

/// How long a span may take from the end of its exchange to the receiver, where the CPU is none that is emulated.
const ARRIVAL: Duration = Duration::from_secs(15);

/// A set of kernel hooks the agent can be told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// What the agent chooses.
    Auto,
    /// `tcp_sendmsg_locked` and the `sock_*_length` tracepoints.
    Locked,
    /// The `sock_*_length` tracepoints.
    Length,
    /// Tracepoints of each system call.
    Syscall,
}

impl Hooks {
    /// Those that can be forced, newest first.
    pub const FORCED: [Self; 3] = [Self::Locked, Self::Length, Self::Syscall];

    /// Those to be tested one after the other: all, so that what a machine lacks is told as skipped; of a kernel that is
    /// booted for its tests those that it must have.
    #[must_use]
    pub fn each() -> &'static [Self] {
        vm::hooks().unwrap_or(&Self::FORCED)
    }

    /// Where a test runs with these hooks that shows nothing of the hooks but of what is above them: a booted kernel, where
    /// time is dear, has it with its best hooks only.
    #[must_use]
    pub fn place(self) -> Place {
        let is_best = vm::hooks().is_none_or(|hooks| hooks.first() == Some(&self));
        if is_best { Place::Everywhere } else { Place::Here }
    }

    /// What `doctor` and the agent call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "",
            Self::Locked => "tcp_sendmsg_locked",
            Self::Length => "sock_*_length",
            Self::Syscall => "system calls",
        }
    }

    /// The word for it on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Locked => "locked",
            Self::Length => "length",
            Self::Syscall => "syscall",
        }
    }

    /// Skips the test when this kernel does not have the hooks.
    ///
    /// # Errors
    /// A skip, or no kernel types to be read.
    pub fn need(self) -> anyhow::Result<()> {
        let wanted: &[u8] = match self {
            // What a booted kernel must have is no reason to skip.
            _ if vm::is_here() => return Ok(()),
            Self::Auto | Self::Syscall => return Ok(()),
            Self::Locked => b"\0btf_trace_tcp_sendmsg_locked\0",
            Self::Length => b"\0btf_trace_sock_send_length\0",
        };
        let btf = std::fs::read("/sys/kernel/btf/vmlinux")
            .map_err(|error| skip(format!("no BTF: {error}")))?;
        if btf.windows(wanted.len()).any(|window| window == wanted) {
            return Ok(());
        }
        Err(skip(format!("this kernel has no hooks for --hooks {}", self.word())))
    }
}

/// How the agent is to be started.
#[derive(Clone)]
pub struct Setup {
    hooks: Hooks,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    endpoint: Option<(String, &'static str)>,
    ends_within: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            hooks: Hooks::Auto,
            arguments: Vec::new(),
            environment: Vec::new(),
            endpoint: None,
            ends_within: STOP,
        }
    }
}

impl Setup {
    /// With these hooks.
    #[must_use]
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// With this argument of `spanwire run`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With so much time for its end.
    #[must_use]
    pub fn ends_within(mut self, time: Duration) -> Self {
        self.ends_within = time;
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn environment(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// Exporting to a backend instead of the test's own receiver. `protocol` is `grpc` or `http/protobuf`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: String, protocol: &'static str) -> Self {
        self.endpoint = Some((endpoint, protocol));
        self
    }

    /// Starts `spanwire run` and waits until it traces.
    ///
    /// # Errors
    /// When it cannot be started here (a skip), or does not come to trace.
    pub fn start(self) -> anyhow::Result<Agent> {
        self.hooks.need()?;
        need_root()?;
        let receiver = Receiver::start()?;
        let folder = tempfile::tempdir()?;
        let counters = folder.path().join("counters.json");
        let (endpoint, protocol) =
            self.endpoint.clone().unwrap_or_else(|| (receiver.endpoint(), "http/protobuf"));
        let mut command = Command::new(binary()?);
        command.arg("run").args(["--hooks", self.hooks.word()]).arg("--counters").arg(&counters);
        command.args(&self.arguments);
        command
            .env_remove("OTEL_SERVICE_NAME")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .envs(self.environment);
        let mut program = Program::start("spanwire", &mut command)?;
        program.wait_line("spanwire: tracing", Deadline::seconds(ATTACH_SECONDS))?;
        let ends_within = self.ends_within;
        Ok(Agent { program, receiver, counters, ends_within, _folder: folder })
    }
}

/// A running agent with the receiver it exports to.
pub struct Agent {
    program: Program,
    receiver: Receiver,
    counters: PathBuf,
    ends_within: Duration,
    _folder: tempfile::TempDir,
}

impl Agent {
    /// The agent as it comes.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub fn start() -> anyhow::Result<Self> {
        Setup::default().start()
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        self.program.signal(signal)
    }

    /// Waits until it has said a line that contains `text`.
    ///
    /// # Errors
    /// When it ends or the deadline comes first.
    pub fn wait_line(&mut self, text: &str, deadline: Deadline) -> anyhow::Result<String> {
        self.program.wait_line(text, deadline)
    }

    /// What it has said so far, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.program.lines()
    }

    /// Where its spans arrive.
    #[must_use]
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Waits until the spans that have arrived satisfy `enough`.
    ///
    /// # Errors
    /// When they do not within 15 s, or as many times that as an emulated CPU is slower.
    pub fn wait(&self, what: &str, enough: impl Fn(&Spans) -> bool) -> anyhow::Result<Spans> {
        let within = ARRIVAL * if vm::is_here() { vm::SLOWER } else { 1 };
        let spans = self.receiver.wait(what, within, enough);
        if spans.is_err() {
            self.tell_counters();
        }
        spans
    }

    /// Has it end and tell what it has lost: for the output of a test that fails.
    fn tell_counters(&self) {
        let told = || self.program.lines().iter().any(|line| line == "seen").then_some(());
        if self.program.signal(rustix::process::Signal::TERM).is_ok() {
            let _ = wait::until("its counters", Deadline::after(self.ends_within), told);
        }
    }

    /// Stops it with SIGTERM and gives what had arrived by its end.
    ///
    /// # Errors
    /// When it does not end well within 5 s, or what [`Setup::ends_within`] says, or tells no counters.
    pub fn stop(mut self) -> anyhow::Result<Stopped> {
        let status = self.program.stop(self.ends_within)?;
        anyhow::ensure!(status.success(), "the agent ended with {status}");
        Ok(Stopped { spans: self.receiver.spans()?, counters: Counters::read(&self.counters)? })
    }

    /// Kills it without warning.
    pub fn kill(mut self) {
        self.program.kill();
    }
}

/// What an agent leaves.
pub struct Stopped {
    /// Every span it ever exported.
    pub spans: Spans,
    /// Its counters.
    pub counters: Counters,
}

/// The agent's counters by name.
#[derive(Clone, Debug)]
pub struct Counters(pub BTreeMap<String, u64>);

impl Counters {
    /// Reads the file that `--counters` names.
    ///
    /// # Errors
    /// When it is not an object of numbers.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        let counters = Self(serde_json::from_str(&text).context("counters")?);
        println!("counters: {:?}", counters.0.iter().filter(|(_, n)| **n > 0).collect::<Vec<_>>());
        Ok(counters)
    }

    /// One counter.
    ///
    /// # Errors
    /// When there is no such counter: a test must not pass because a name changed.
    pub fn value(&self, name: &str) -> anyhow::Result<u64> {
        self.0.get(name).copied().with_context(|| {
            format!("no counter {name}; there are {:?}", self.0.keys().collect::<Vec<_>>())
        })
    }

    /// Those that say why a parent or a span is not there, where they are not zero: in one line.
    #[must_use]
    pub fn why(&self) -> String {
        let says = [
            "without_parent",
            "lost",
            "full",
            "misses",
            "unread",
            "evicted",
            "rejected",
            "rule",
            "early",
        ];
        let says = |name: &str| says.iter().any(|part| name.contains(part));
        let told = self.0.iter().filter(|(name, value)| **value > 0 && says(name));
        told.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// Fails when anything was lost in the kernel's rings or on the way to the backend.
    ///
    /// # Errors
    /// The counters that are not zero.
    pub fn nothing_lost(&self) -> anyhow::Result<()> {
        let mut names =
            vec!["kernel.data_ring_full", "kernel.control_ring_full", "kernel.scratch_busy"];
        // Where it passes over probes, what was missed was most often no call of the test: the spans tell.
        if !vm::passes_over_probes() {
            names.push("kernel.recursion_misses");
        }
        for name in names {
            let value = self.value(name)?;
            anyhow::ensure!(value == 0, "{name} is {value}: {:?}", self.0);
        }
        Ok(())
    }
}

/// The agent's binary: `SPANWIRE_BIN`, else the release or debug build beside this test.
///
/// # Errors
/// A skip when there is none.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("SPANWIRE_BIN") {
        let file = PathBuf::from(given);
        anyhow::ensure!(file.is_file(), "SPANWIRE_BIN={} is no file", file.display());
        return Ok(file);
    }
    // …/target/PROFILE/deps/e2e-HASH
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test is not in a target folder")?;
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("spanwire"))
        .find(|file| file.is_file())
        .ok_or_else(|| missing("spanwire", "build it with `cargo xtask build --release`"))
}

/// Skips the test when it does not run as root.
///
/// # Errors
/// A skip.
pub fn need_root() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(skip("the agent needs root")) }
}
