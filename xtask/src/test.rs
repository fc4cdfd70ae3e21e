//! `cargo xtask test`: everything that has to be green, with one sum at the end.
//!
//! A step that fails does not hide the next one, except where nothing could follow: without probes there is no agent.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{
    arm64, build, cargo, checks, fuzz, instructions, probes, say, soak, static_build,
    system_packages,
    tally::{self, Tally},
    vm,
};

/// How long each fuzz target runs here: enough to see that the seeds still pass and the target still finds its way.
const FUZZ_SECONDS: u32 = 10;

/// The task. With a filter only tests run, those whose names contain it.
pub(crate) fn task(filter: Option<&str>) -> ExitCode {
    let began = say::now();
    let mut sum = Sum::default();
    if let Err(error) = steps(&mut sum, filter) {
        sum.add("what stopped it", failed(&error));
    }
    say::note(format!("everything took {}", say::seconds(began.elapsed())));
    sum.report(filter)
}

/// Everything in its order. An error is one after which nothing could follow.
fn steps(sum: &mut Sum, filter: Option<&str>) -> Result<()> {
    if filter.is_none() {
        sum.check("the format", checks::format);
    }
    probes::build()?;
    if filter.is_none() {
        sum.check("clippy", checks::clippy);
        sum.check("clippy on the probes", checks::clippy_probes);
    }
    if let Err(error) = system_packages::prepare() {
        say::error(&error); // the tests that need them say what is missing
    }
    sum.tests("unit tests", || unit_tests(filter));

    let agent = build::agent_only(true)?;
    if filter.is_none() && !instructions::possible() && std::env::var_os("CI").is_none() {
        say::note("instructions are not counted: valgrind is missing");
        sum.add("instructions", Tally::SKIPPED);
    } else if filter.is_none() {
        sum.check("the instructions of a replay", || instructions::check(&agent, false));
    }
    let image = if filter.is_none() { static_agent(sum) } else { None };
    sum.tests("end-to-end tests", || end_to_end_tests(&agent, image.as_deref(), filter));
    if filter.is_none() {
        sum.tests("the kernels in virtual machines", || vm::run(&agent, None, false));
        let soak = soak::start();
        sum.check("the build for arm64", arm64::build);
        sum.tests("fuzzing", || fuzz::run(None, FUZZ_SECONDS));
        sum.tests("the viewer's soak", || {
            soak.join().unwrap_or_else(|_| Ok(Tally::failed("its thread ended")))
        });
    }
    Ok(())
}

/// What goes into the image, where it can be built.
fn static_agent(sum: &mut Sum) -> Option<PathBuf> {
    let mut made = None;
    if static_build::possible() {
        sum.check("the static build", || static_build::check().map(|file| made = Some(file)));
    } else {
        say::note(
            "the static build is not tried: musl-gcc is missing (apt-get install musl-tools)",
        );
        sum.add("the static build", Tally::SKIPPED);
    }
    made
}

/// The tests inside the host's crates.
fn unit_tests(filter: Option<&str>) -> Result<Tally> {
    let mut tests = cargo::command();
    tests.args(["test", "--quiet", "--workspace", "--exclude", "tests", "--no-fail-fast", "--"]);
    Ok(tally::run(tests.args(filter))?)
}

/// The tests that trace real programs with the agent; they prepare their programs and backends themselves.
fn end_to_end_tests(agent: &Path, image: Option<&Path>, filter: Option<&str>) -> Result<Tally> {
    let mut tests = cargo::command();
    tests.args(["test", "--quiet", "--package", "tests", "--no-fail-fast", "--"]).args(filter);
    tests.env("SPANWIRE_BIN", agent);
    if let Some(image) = image {
        tests.env("SPANWIRE_STATIC_BIN", image);
    }
    as_root(&mut tests);
    Ok(tally::run(&mut tests)?)
}

/// Lets cargo build the tests as the user and start them as root, where sudo does so without asking. Else tests that
/// need root skip themselves and say so.
pub(crate) fn as_root(tests: &mut Command) {
    let asks = || {
        Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|sudo| sudo.status.success())
    };
    if !cargo::is_root() && cargo::find("sudo").is_some() && asks() {
        let host = format!(
            "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER",
            std::env::consts::ARCH.to_uppercase()
        );
        tests.env(host, "sudo -E");
    }
}

/// A step that ended with an error.
fn failed(error: &anyhow::Error) -> Tally {
    say::error(error);
    Tally::failed(format_args!("error: {error:#}"))
}

/// What ran so far.
#[derive(Default)]
struct Sum {
    tally: Tally,
    /// The steps with a failure, for the end of the output.
    failed: Vec<&'static str>,
}

impl Sum {
    /// A step that passes or fails as one.
    fn check(&mut self, what: &'static str, run: impl FnOnce() -> Result<()>) {
        let ended = say::step(format!("checking {what}"), run);
        self.add(what, ended.map_or_else(|error| failed(&error), |()| Tally::PASSED));
    }

    /// A step that counts.
    fn tests(&mut self, what: &'static str, run: impl FnOnce() -> Result<Tally>) {
        let tally = say::step(what, run).unwrap_or_else(|error| failed(&error));
        say::note(&tally);
        self.add(what, tally);
    }

    fn add(&mut self, what: &'static str, tally: Tally) {
        if tally.failed > 0 {
            self.failed.push(what);
        }
        self.tally += tally;
    }

    /// The last line, and the exit code. A filter that no test answers to is a mistake, not a success.
    fn report(&self, filter: Option<&str>) -> ExitCode {
        if self.tally.is_empty() {
            eprintln!(
                "error: no test's name contains {:?}: see `cargo xtask test` for all of them",
                filter.unwrap_or("")
            );
        }
        if !self.failed.is_empty() {
            eprintln!("\nwhat failed, once more:\n{}", self.tally.said);
            eprintln!("  failed: {}", self.failed.join(", "));
        }
        println!("{}", self.tally);
        if self.failed.is_empty() && !self.tally.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
