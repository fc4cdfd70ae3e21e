//! `cargo xtask soak`: the viewer under steady traffic. `cargo xtask test` runs it for three minutes beside the
//! fuzzing, where it costs no time.

use std::process::{Command, ExitCode};
use std::thread::{self, JoinHandle};

use anyhow::Result;

use crate::{
    cargo,
    tally::{self, Tally},
};

/// How long, beside the other tests.
const BESIDE_SECONDS: u32 = 180;
/// Spans a second there.
const BESIDE_RATE: u32 = 2_000;

/// Options of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// How long it runs
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// Spans a second
    #[arg(long, default_value_t = BESIDE_RATE)]
    rate: u32,
}

/// The task, with an optimised build.
pub(crate) fn task(asked: &Asked) -> Result<ExitCode> {
    let mut soak = command(asked.minutes.saturating_mul(60), asked.rate);
    let tally = tally::run(soak.args(["--release", "--", "soak"]))?;
    println!("{tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts it beside what else is tested, as the unit tests have built it.
pub(crate) fn start() -> JoinHandle<Result<Tally>> {
    thread::spawn(|| Ok(tally::run(&mut command(BESIDE_SECONDS, BESIDE_RATE))?))
}

fn command(seconds: u32, rate: u32) -> Command {
    let mut soak = cargo::command();
    // The same packages as the unit tests, so that nothing is built anew with other features.
    soak.args(["test", "--quiet", "--workspace", "--exclude", "tests", "--test", "soak"]);
    soak.env("SPANWIRE_SOAK_SECONDS", seconds.to_string());
    soak.env("SPANWIRE_SOAK_RATE", rate.to_string());
    soak
}
