//! The privileged side: starts the child, feeds it, and takes the file away at the end.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::agent_file::AgentFile;
use super::feed::Feed;
use super::frame::{Message, Start};
use super::{Counters, Listening, SUBCOMMAND};
use crate::trace::FinishedSpan;
use crate::viewer::Host;

/// Bytes of the token: 256 bits cannot be guessed.
const TOKEN_BYTES: usize = 32;

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
}

impl StatusChild {
    /// Starts the child from `program` (the agent itself: `/proc/self/exe`) and says in `directory` how to reach it
    /// (normally [`super::RUN_DIRECTORY`]). With `otlp_in` the child takes spans of SDKs on that port of loopback, too.
    ///
    /// # Errors
    /// Another agent runs; the child cannot be started, or a port is taken; the file cannot be written.
    pub fn start(
        program: &Path,
        directory: &Path,
        otlp_in: Option<u16>,
    ) -> Result<Self, StartError> {
        if let Some(other) = AgentFile::read(directory).ok().filter(AgentFile::is_alive) {
            return Err(StartError::AlreadyRunning(other.pid));
        }
        let token = token()?;
        let mut process = Process(
            Command::new(program)
                .arg(SUBCOMMAND)
                .env_clear()
                .current_dir("/")
                // Ctrl-C at a terminal is for the agent, which ends the child in order.
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let (pipe, port) = process.introduce(Start { token: token.clone(), otlp_in })?;
        let file = AgentFile { pid: std::process::id(), port, token };
        file.write(directory)
            .map_err(|error| StartError::File { path: AgentFile::path(directory), error })?;
        let feed = Feed::start(pipe)?;
        Ok(Self { file, directory: directory.to_owned(), process, feed })
    }

    /// Hands the newest numbers on, once a second or so. Never waits: a snapshot that the child is too slow for is
    /// left out, the next one holds all of it.
    pub fn publish(&self, counters: Counters) {
        self.feed.counters(counters);
    }

    /// Says who the agent is: once, before the first spans.
    pub fn introduce(&self, host: Host) {
        self.feed.host(host);
    }

    /// Hands finished spans to the viewer. Never waits: what the child is too slow for is dropped and counted.
    pub fn view(&self, spans: Vec<FinishedSpan>) {
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
        // A thread that hangs in the pipe is freed by the kill.
        self.feed.close();
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
