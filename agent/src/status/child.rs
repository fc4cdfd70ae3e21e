//! The privileged side: starts the child, feeds it, and takes the file away at the end.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::agent_file::AgentFile;
use super::feed::Feed;
use super::frame::{Message, Start};
use super::{Counters, Listening, SUBCOMMAND, Snapshot};
use crate::trace::EncodedSpan;
use crate::viewer::Host;

/// How long the child may take to write what it has not yet, once it has been told all.
const LAST_SAVE: Duration = Duration::from_secs(3);
/// Time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of the token: 256 bits cannot be guessed.
const TOKEN_BYTES: usize = 32;

/// What the child does beyond showing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// A port of loopback on which it takes spans of SDKs.
    pub otlp_in: Option<u16>,
    /// A file in which it keeps traces.
    pub store: Option<PathBuf>,
    /// MiB of traces that it keeps in memory, where that is not the default.
    pub memory: Option<u32>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another agent runs and has the file.
    #[error("another spanwire runs already (pid {0})")]
    AlreadyRunning(u32),
    /// The child could not be started, or ended before it listened. Its own words are on standard error.
    #[error("the status server cannot be started: {0}")]
    Child(#[from] io::Error),
    /// The run directory.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
}

/// The running child. Dropping it ends the child and removes the file.
#[derive(Debug)]
pub struct StatusChild {
    file: AgentFile,
    directory: PathBuf,
    process: Process,
    feed: Feed,
    /// It has a file to write to before it ends.
    keeps: bool,
}

impl StatusChild {
    /// Starts the child from `program` (the agent itself: `/proc/self/exe`) and says in `directory` how to reach it
    /// (normally [`super::RUN_DIRECTORY`]).
    ///
    /// # Errors
    /// Another agent runs; the child cannot be started, or a port is taken; the file cannot be written.
    pub fn start(program: &Path, directory: &Path, serving: &Serving) -> Result<Self, StartError> {
        if let Some(other) = AgentFile::read(directory).ok().filter(AgentFile::is_alive) {
            return Err(StartError::AlreadyRunning(other.pid));
        }
        let token = token()?;
        let mut command = Command::new(program);
        command.arg(SUBCOMMAND);
        if let Some(store) = &serving.store {
            // It does not begin where we did.
            command.arg("--store").arg(std::path::absolute(store)?);
        }
        let mut process = Process(
            command
                .env_clear()
                .current_dir("/")
                // Ctrl-C at a terminal is for the agent, which ends the child in order.
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let (pipe, port) = process.introduce(Start {
            token: token.clone(),
            otlp_in: serving.otlp_in,
            memory: serving.memory,
        })?;
        let file = AgentFile { pid: std::process::id(), port, token };
        file.write(directory)
            .map_err(|error| StartError::File { path: AgentFile::path(directory), error })?;
        let feed = Feed::start(pipe)?;
        let keeps = serving.store.is_some();
        Ok(Self { file, directory: directory.to_owned(), process, feed, keeps })
    }

    /// Hands the newest numbers on, once a second or so. Never waits: a snapshot that the child is too slow for is
    /// left out, the next one holds all of it.
    pub fn publish(&self, snapshot: impl Into<Snapshot>) {
        self.feed.snapshot(snapshot.into());
    }

    /// Says who the agent is and who talks on its host: before the first spans, and when that has changed.
    pub fn introduce(&self, host: Host) {
        self.feed.host(host);
    }

    /// Hands finished spans to the viewer. Never waits: what the child is too slow for is dropped and counted.
    pub fn view(&self, spans: Vec<EncodedSpan>) {
        self.feed.spans(spans);
    }

    /// Adds what was handed on and what was dropped.
    pub fn count(&self, counters: &mut Counters) {
        self.feed.count(counters);
    }

    /// The child's port on 127.0.0.1: whoever talks to it is not to be traced.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.file.port
    }

    /// The child's pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// What a client has to show. A secret: for the terminal of the one who started the agent, never for a log.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.file.token
    }
}

impl Drop for StatusChild {
    fn drop(&mut self) {
        self.file.remove(&self.directory);
        self.feed.close();
        if self.keeps {
            self.process.wait(LAST_SAVE);
        }
        // A thread that hangs in the pipe is freed by the kill.
        self.process.end();
        self.feed.join();
    }
}

/// A child process that does not outlive us.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Tells the child what it must know, and hears its port.
    fn introduce(&mut self, start: Start) -> io::Result<(ChildStdin, u16)> {
        let missing = || io::Error::other("the child has no pipes");
        let mut pipe = self.0.stdin.take().ok_or_else(missing)?;
        Message::Start(start).write(&mut pipe)?;
        let mut line = String::new();
        let out = self.0.stdout.take().ok_or_else(missing)?;
        BufReader::new(out.take(1_024)).read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::Error::other("it ended before it listened"));
        }
        let Listening { port } = serde_json::from_str(&line)?;
        Ok((pipe, port))
    }

    /// Waits until it has ended by itself, but not longer.
    fn wait(&mut self, within: Duration) {
        for _ in 0..within.as_millis() / LOOK.as_millis() {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// It holds nothing worth a graceful end.
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn token() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
