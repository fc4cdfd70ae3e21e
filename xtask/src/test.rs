//! `cargo xtask test`: everything that has to be green, with one sum at the end.
//!
//! A step that fails does not hide the next one, except where nothing could follow: without probes there is no agent. What needs
//! neither this machine's clock nor its network goes on beside the rest ([`beside`]).

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{
    beside::{self, Beside, Work},
    build, cargo, checks, probes, say, soak, static_build,
    sum::Sum,
    system_packages,
    tally::{self, Tally},
};

/// Tests that want the machine for themselves: they load it fully, or look at what the agent does while nothing happens.
const QUIET: [&str; 3] = ["bench::", "crowds::", "load::"];

/// The task. With a filter only tests run, those whose names contain it.
pub(crate) fn task(filter: Option<&str>) -> ExitCode {
    let began = say::now();
    let mut sum = Sum::default();
    let ended = match filter {
        Some(filter) => some(&mut sum, filter),
        None => everything(&mut sum),
    };
    if let Err(error) = ended {
        sum.stopped("what stopped it", &error);
    }
    say::note(format!("everything took {}", say::seconds(began.elapsed())));
    sum.report(filter)
}

/// The tests whose names contain the filter.
fn some(sum: &mut Sum, filter: &str) -> Result<()> {
    probes::build()?;
    prepare();
    sum.tests("unit tests", || unit_tests(Some(filter)));
    let agent = build::agent_only(true)?;
    sum.tests("end-to-end tests", || end_to_end_tests(&agent, None, &[filter]));
    Ok(())
}

/// Everything. An error is one after which nothing could follow.
fn everything(sum: &mut Sum) -> Result<()> {
    beside::keep_program()?;
    sum.check("the format", checks::format);
    probes::build()?;
    prepare();
    let tests = build::end_to_end_tests()?;
    let mut builds = Beside::start(&[Work::Programs, Work::Builds], &tests, None)?;
    let agent = in_turn(sum, &tests, &mut builds);
    let soak = soak::start();
    builds.leave_alone();
    wait(sum, &mut builds, Work::Builds);
    let (agent, image, mut machines) = agent?;
    machines.leave_alone();
    wait(sum, &mut machines, Work::Machines);
    sum.tests("the viewer's soak", || {
        soak.join().unwrap_or_else(|_| Ok(Tally::failed("its thread ended")))
    });
    sum.tests("end-to-end tests that want quiet", || {
        end_to_end_tests(&agent, image.as_deref(), &QUIET)
    });
    Ok(())
}

/// What is done one after the other. Gives the agent, the one for the image, and what goes on beside.
fn in_turn(
    sum: &mut Sum,
    tests: &Path,
    builds: &mut Beside,
) -> Result<(PathBuf, Option<PathBuf>, Beside)> {
    sum.check("clippy", checks::clippy);
    sum.check("clippy on the probes", checks::clippy_probes);
    sum.tests("unit tests", || unit_tests(None));
    let agent = build::agent_only(true)?;
    let image = static_agent(sum);
    wait(sum, builds, Work::Programs);
    let machines = Beside::start(&[Work::Machines], tests, Some(&agent))?;
    let skipped: Vec<&str> = QUIET.iter().flat_map(|name| ["--skip", name]).collect();
    sum.tests("end-to-end tests", || end_to_end_tests(&agent, image.as_deref(), &skipped));
    Ok((agent, image, machines))
}

/// Waits for what was done beside.
fn wait(sum: &mut Sum, process: &mut Beside, work: Work) {
    match process.wait(work) {
        Ok(other) => sum.include(other),
        Err(error) => sum.stopped("what ran beside", &error),
    }
}

/// Installs what tests need, where that is possible.
fn prepare() {
    if let Err(error) = system_packages::prepare() {
        say::error(&error); // the tests that need them say what is missing
    }
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
fn end_to_end_tests(agent: &Path, image: Option<&Path>, asked: &[&str]) -> Result<Tally> {
    let mut tests = cargo::command();
    tests.args(["test", "--quiet", "--package", "tests", "--no-fail-fast", "--"]).args(asked);
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
