//! `cargo xtask build`: the probes, then the agent with the probes inside.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::{cargo, places, probes, say};

/// The task.
pub(crate) fn task(release: bool, probes_only: bool) -> Result<ExitCode> {
    let made = if probes_only { probes::build()? } else { agent(release)? };
    say::note(format!("{} is ready", made.display()));
    Ok(ExitCode::SUCCESS)
}

/// Builds everything and gives the path of the one file.
pub(crate) fn agent(release: bool) -> Result<PathBuf> {
    probes::build()?;
    agent_only(release)
}

/// Builds the agent with the probes that are there.
pub(crate) fn agent_only(release: bool) -> Result<PathBuf> {
    let profile = if release { "release" } else { "debug" };
    let file = places::target()?.join(profile).join("spanwire");
    let hint = if file.exists() { "" } else { ", about 2 minutes the first time" };
    say::step(format!("building the agent ({profile}{hint})"), || {
        let mut cargo = cargo::command();
        cargo.args(["build", "--package", "spanwire"]);
        if release {
            cargo.arg("--release");
        }
        cargo.env_remove("SPANWIRE_NO_PROBES").env_remove("CARGO_BUILD_TARGET");
        cargo::run(&mut cargo, "see the compiler's message")
    })?;
    Ok(file)
}

/// Builds the end-to-end tests and gives their program.
pub(crate) fn end_to_end_tests() -> Result<PathBuf> {
    say::step("building the end-to-end tests", || {
        let mut cargo = cargo::command();
        cargo.args([
            "test",
            "--package",
            "tests",
            "--test",
            "e2e",
            "--no-run",
            "--message-format",
            "json",
            "--quiet",
        ]);
        let messages = cargo::output(&mut cargo, "see the compiler's message")?;
        let mut programs = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            // The programs that tests start are built, and named, too.
            let program = message["executable"].as_str()?;
            (message["target"]["name"] == "e2e").then(|| PathBuf::from(program))
        });
        programs.next_back().context("cargo named no test program: report this")
    })
}
