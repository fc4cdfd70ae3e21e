//! `cargo xtask run`: build, then become the agent.
//!
//! xtask replaces itself by the agent, so that signals, the terminal and the exit code are the agent's own.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{build, cargo, demo, say};

/// The task. Gives back only when the agent could not be started.
pub(crate) fn task(demo: bool, arguments: &[String]) -> Result<ExitCode> {
    // Parsing every request of the host without optimisation would be measured as the agent's cost.
    let file = build::agent(true)?;
    let mut agent = as_root(&file)?;
    if arguments.first().is_none_or(|first| first.starts_with('-')) {
        agent.arg("run");
    }
    agent.args(arguments);
    if demo {
        demo::start()?;
    } else {
        say::note(
            "nothing to see on this host? `cargo xtask run --demo` starts a small shop to look at",
        );
    }
    Err(agent.exec()).with_context(|| format!("cannot start {}: report this", file.display()))
}

/// The agent's command line up to its arguments, through sudo if need be.
fn as_root(file: &Path) -> Result<Command> {
    if cargo::is_root() {
        return Ok(Command::new(file));
    }
    let Some(sudo) = cargo::find("sudo") else {
        bail!(
            "tracing a host needs root, and there is no sudo: become root and type {} run",
            file.display()
        );
    };
    say::note(format!("tracing a host needs root: sudo -E {}", file.display()));
    let mut command = Command::new(sudo);
    command.arg("-E").arg(file);
    Ok(command)
}
