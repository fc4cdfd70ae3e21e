//! `cargo xtask bench`: what the agent costs, measured by the bench in `tests/bench`.
//!
//! Only the door: it builds what is measured, gets the programs that load it, and starts the bench as root. Figures,
//! noise and targets are the bench's own business.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, cargo, instructions, places, probes, system_packages, test};

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// Only the modes whose names contain one of these
    modes: Vec<String>,
    /// Fewer and shorter rounds: under five minutes, and BENCH.md stays as it is
    #[arg(long)]
    quick: bool,
    /// Have the agent use these hooks: auto, locked, length, syscall
    #[arg(long, default_value = "auto")]
    hooks: String,
    /// Only count the instructions of a replay, as `cargo xtask test` does
    #[arg(long)]
    instructions: bool,
    /// With --instructions: write the new number down
    #[arg(long, requires = "instructions")]
    renew: bool,
    /// Only the stages of the pipeline, one by one (criterion)
    #[arg(long)]
    stages: bool,
}

/// The task.
pub(crate) fn task(asked: &Asked) -> Result<ExitCode> {
    if asked.stages {
        probes::build()?; // the agent's library holds them, though nothing here runs them
        let mut bench = cargo::command();
        bench.args(["bench", "--package", "spanwire", "--bench", "replay"]);
        cargo::run(&mut bench, "see its message")?;
        return Ok(ExitCode::SUCCESS);
    }
    let agent = build::agent(true)?;
    system_packages::prepare()?;
    if asked.instructions {
        instructions::check(&agent, asked.renew)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut bench = cargo::command();
    bench.args(["test", "--release", "--quiet", "--package", "tests", "--test", "bench", "--"]);
    bench.args(["--measure", "--hooks", &asked.hooks]);
    bench.arg("--folder").arg(places::target()?.join("bench"));
    if asked.quick {
        bench.arg("--quick");
    } else if asked.modes.is_empty() {
        // A part of the modes, or one quick look at them, is not what the repository keeps.
        bench.arg("--markdown").arg(places::workspace().join("BENCH.md"));
    }
    bench.args(&asked.modes).env("SPANWIRE_BIN", agent);
    test::as_root(&mut bench);
    cargo::run(&mut bench, "see its message")?;
    Ok(ExitCode::SUCCESS)
}
