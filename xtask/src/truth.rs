//! `cargo xtask truth`: how many parents are right, wrong or absent, scored by the harness in `tests/src/truth`.
//!
//! Only the door: it builds the agent and starts the harness as root. What is run, and what is promised of it, is the
//! harness's own business.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, cargo, places, system_packages, test};

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// Only the cases whose names contain one of these (a runtime, such as node)
    cases: Vec<String>,
    /// Only this number of clients at once, instead of 1, 8, 32 and 128
    #[arg(long)]
    concurrency: Option<usize>,
    /// Requests with each number of clients, instead of 400
    #[arg(long)]
    requests: Option<usize>,
    /// Without pings: nothing but the requests
    #[arg(long)]
    quiet: bool,
    /// Services on two hosts (network namespaces) in turn, with an agent each
    #[arg(long)]
    across: bool,
    /// Start the agent in the middle of each load
    #[arg(long)]
    late: bool,
    /// Have the agent use these hooks: auto, locked, length, syscall
    #[arg(long, default_value = "auto")]
    hooks: String,
    /// Write the README's table anew: the rows of these cases
    #[arg(long, conflicts_with_all = ["concurrency", "requests", "quiet", "late", "across"])]
    renew: bool,
}

/// The task.
pub(crate) fn task(asked: &Asked) -> Result<ExitCode> {
    let agent = build::agent(true)?;
    system_packages::prepare()?;
    let mut truth = cargo::command();
    truth.args(["run", "--quiet", "--package", "tests", "--bin", "truth", "--"]);
    truth.args(&asked.cases).arg("--folder").arg(places::target()?.join("truth"));
    if let Some(clients) = asked.concurrency {
        truth.args(["--concurrency", &clients.to_string()]);
    }
    if let Some(requests) = asked.requests {
        truth.args(["--requests", &requests.to_string()]);
    }
    if asked.quiet {
        truth.arg("--quiet");
    }
    if asked.across {
        truth.arg("--across");
    }
    if asked.late {
        truth.arg("--late");
    }
    truth.args(["--hooks", &asked.hooks]);
    if asked.renew {
        truth.arg("--renew").arg(places::workspace().join("README.md"));
    }
    truth.env("SPANWIRE_BIN", agent).env("OTEL_SERVICE_NAME", "truth");
    test::as_root(&mut truth);
    cargo::run(&mut truth, "see its lines")?;
    Ok(ExitCode::SUCCESS)
}
