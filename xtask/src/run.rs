//! `cargo xtask run`: build, then become the agent.
//!
//! xtask replaces itself by the agent, so that signals, the terminal and the exit code are the agent's own.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{build, cargo, demo, say};

/// The task. Gives back only when the agent could not be started.
pub(crate) fn task(demo: bool, arguments: &[String]) -> Result<ExitCode> {
    let sudo = sudo()?;
    // Parsing every request of the host without optimisation would be measured as the agent's cost.
    let file = build::agent(true)?;
    let mut agent = match sudo {
        None => Command::new(&file),
        Some(sudo) => {
            say::note(format!("tracing a host needs root: sudo -E {}", file.display()));
            let mut sudo = Command::new(sudo);
            sudo.arg("-E").arg(&file);
            sudo
        }
    };
    let traces = arguments.first().is_none_or(|first| first.starts_with('-'));
    if traces {
        agent.arg("run");
    }
    if traces && !demo {
        agent.args(["--silence-hint", "`cargo xtask run --demo` starts a small shop to look at"]);
    }
    agent.args(arguments);
    if demo {
        // Traces are what it is for: also where its output goes to a file, or through another program.
        let is_told = |name| std::env::var_os(name).is_some();
        if ![
            "OTEL_TRACES_EXPORTER",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ]
        .into_iter()
        .any(is_told)
        {
            agent.env("OTEL_TRACES_EXPORTER", "console");
        }
        demo::start()?;
    } else if traces {
        say::note(
            "nothing to see on this host? `cargo xtask run --demo` starts a small shop to look at",
        );
    }
    Err(agent.exec()).with_context(|| format!("cannot start {}: report this", file.display()))
}

/// The sudo to become root with, unless we are; asked before the long steps.
fn sudo() -> Result<Option<PathBuf>> {
    if cargo::is_root() {
        return Ok(None);
    }
    let Some(sudo) = cargo::find("sudo") else {
        bail!("tracing a host needs root, and there is no sudo: type `cargo xtask run` as root");
    };
    Ok(Some(sudo))
}
