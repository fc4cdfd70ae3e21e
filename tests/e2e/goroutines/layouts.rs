//! Where members lie in a program's structs: by its debugging information, by the tables, and that both say the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tests::agent::{self, Setup};
use tests::listening::free_port;
use tests::outcome::TestResult;
use tests::process;
use tests::programs::go::How;
use tests::programs::goroutines::{Build, Load, downstream};
use tests::programs::{Server, grpc_goroutines};
use tests::runner::Suite;
use tests::wait::Deadline;

use super::truth::{self, REQUESTS, SERVICE};
use super::{KNOWN, watching};

const BOTH: &str = "its debugging information and the table say";

pub(super) fn add(suite: &mut Suite) {
    for release in [Some("1.18.10"), Some("1.21.13"), None] {
        let build = Build(How { release, ..How::default() });
        suite.test(format!("goroutines::layouts::agree[{}]", build.name()), move || agree(build));
    }
    for (go, old) in [(Some("1.18.10"), true), (None, false)] {
        let build = grpc_goroutines::Build { go, old, stripped: false };
        let name = format!("goroutines::layouts::of_modules_agree[{}]", build.name());
        suite.test(name, move || modules_agree(build));
    }
    suite.test("goroutines::layouts::stripped_by_the_table", stripped);
    suite.test("goroutines::layouts::of_an_unknown_go", unknown);
    suite.test("goroutines::layouts::of_an_unknown_go_that_is_stripped", unknown_stripped);
}

fn agree(build: Build) -> TestResult {
    let called = downstream("called")?;
    let server = build.server(SERVICE, called.port())?;
    let mut agent = watching(Setup::default(), &server)?;
    says(&mut agent, &server, "Go", BOTH)
}

fn modules_agree(build: grpc_goroutines::Build) -> TestResult {
    let called = grpc_goroutines::Build::PLAIN.called("called")?;
    let server = build.server(SERVICE, &called)?.server;
    let mut agent = watching(Setup::default(), &server)?;
    ["Go", "grpc-go"].iter().try_for_each(|of| says(&mut agent, &server, of, BOTH))
}

fn stripped() -> TestResult {
    let called = downstream("called")?;
    let build = Build(How { stripped: true, ..How::default() });
    let server = build.server(SERVICE, called.port())?;
    let mut agent = watching(Setup::default(), &server)?;
    says(&mut agent, &server, "Go", "the table says")
}

/// Of a version that no table knows, the debugging information is enough.
fn unknown() -> TestResult {
    let called = downstream("called")?;
    let program = Unknown::of(Build::PLAIN)?;
    let server = program.server(called.port())?;
    let mut agent = watching(Setup::default(), &server)?;
    says(&mut agent, &server, "Go", "its debugging information says")?;
    truth::score(agent, &KNOWN[..2], |way, first| {
        Load { way, concurrency: 8, count: REQUESTS, first }.send(&server)
    })
}

/// Without that there is nothing to go by.
fn unknown_stripped() -> TestResult {
    let called = downstream("called")?;
    let program = Unknown::of(Build(How { stripped: true, ..How::default() }))?;
    let server = program.server(called.port())?;
    let told = process::output(Command::new(agent::binary()?).arg("ps"))?;
    let told = String::from_utf8(told)?;
    let of_it = format!("{}  goroutines are not followed", server.program.pid());
    let line = told.lines().find(|line| line.trim_start().starts_with(&of_it));
    let line = line.with_context(|| told.clone())?;
    ensure!(line.contains("the layouts of Go 1.97 are not known"), "{line}");
    Ok(())
}

fn says(agent: &mut agent::Agent, server: &Server, of: &str, words: &str) -> TestResult {
    let line = format!("process {}: {of} is laid out as {words}", server.program.pid());
    agent.wait_line(&line, Deadline::seconds(10)).map(drop)
}

/// A program whose build information names a version that there is not.
struct Unknown {
    program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Unknown {
    fn of(build: Build) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("requests");
        let mut bytes = fs::read(build.command()?.get_program())?;
        // The build information (debug/buildinfo): 32 bytes, then the version behind its length.
        let begin = b"\xff Go buildinf:";
        let at = bytes.windows(begin.len()).position(|bytes| bytes == begin);
        let version = at.context("no build information")? + 33;
        let name = bytes.get_mut(version..version + 6).context("no version")?;
        ensure!(name.starts_with(b"go1."), "{name:?} is no version");
        name.copy_from_slice(b"go1.97");
        fs::write(&program, bytes)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { program, _folder: folder })
    }

    fn server(&self, downstream: u16) -> anyhow::Result<Server> {
        let port = free_port()?;
        let addresses = [port, downstream].map(|port| format!("127.0.0.1:{port}"));
        Server::on_port(SERVICE, port, Command::new(&self.program).arg("serve").args(addresses))
    }
}
