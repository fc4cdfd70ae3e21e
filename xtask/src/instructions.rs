//! How many instructions a replay of the benches' load takes: the one figure of speed that is the same on a busy
//! machine, and so the one that CI holds on to.
//!
//! callgrind runs the agent that users get over a made-up recording. The number is checked in; more than 5 % above it
//! fails, with the command that shows where they went. Less is welcome, and to be written down with `--renew`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, places, say};

/// The number that is checked in.
const BASELINE: &str = "agent/benches/instructions.txt";

/// Requests of the load. Both ends of each are seen.
const REQUESTS: u32 = 4000;

/// What is still no regression, percent: compilers and C libraries differ by less.
const ALLOWED: f64 = 5.0;

/// Counts, and compares with the number that is checked in; or writes it down.
pub(crate) fn check(agent: &Path, renew: bool) -> Result<()> {
    if !possible() {
        bail!("valgrind is missing: see tests/system-packages.txt");
    }
    let (counted, profile) =
        say::step("counting instructions of a replay (callgrind)", || count(agent))?;
    let each = counted / (2 * u64::from(REQUESTS));
    let file = places::workspace().join(BASELINE);
    if renew {
        let text = format!(
            "# Instructions of `spanwire replay --protobuf` over {REQUESTS} made-up requests, both ends of each seen.\n\
             # Written by `cargo xtask bench --instructions --renew`.\n{counted}\n"
        );
        fs::write(&file, text).with_context(|| format!("cannot write {BASELINE}: free it"))?;
        say::note(format!(
            "{counted} instructions, {each} for an exchange: written down in {BASELINE}"
        ));
        return Ok(());
    }
    let known = baseline(&file)?;
    let change = 100.0 * (counted as f64 / known as f64 - 1.0);
    say::note(format!(
        "{counted} instructions, {each} for an exchange: {change:+.2} % of the {known} in {BASELINE}"
    ));
    if change > ALLOWED {
        bail!(
            "a replay takes {change:.1} % more instructions than {BASELINE} says; `callgrind_annotate {}` shows where; if they are worth it, `cargo xtask bench --instructions --renew`",
            profile.display()
        );
    }
    Ok(())
}

/// Whether they can be counted here.
pub(crate) fn possible() -> bool {
    cargo::find("valgrind").is_some()
}

/// Instructions, and the file that says where.
fn count(agent: &Path) -> Result<(u64, PathBuf)> {
    let folder = places::target()?.join("bench");
    fs::create_dir_all(&folder)?;
    let recording = folder.join("load.recording");
    let mut load = cargo::command();
    load.args(["run", "--quiet", "--package", "spanwire", "--example", "load", "--"]);
    cargo::run(load.arg(&recording).arg(REQUESTS.to_string()), "see its message")?;

    let profile = folder.join("callgrind.out");
    let mut callgrind = Command::new("valgrind");
    // The environment lies in the process's memory: the same each time.
    callgrind.env_clear().env("PATH", "/usr/bin:/bin");
    callgrind.args(["--tool=callgrind", "--quiet"]);
    callgrind.arg(format!("--callgrind-out-file={}", profile.display()));
    callgrind.arg(agent).arg("replay").arg(&recording).arg("--protobuf");
    cargo::run(callgrind.stdout(Stdio::null()).stderr(Stdio::null()), "type the same by hand")?;

    let text = fs::read_to_string(&profile).context("callgrind left no file: report this")?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let total = total.and_then(|total| total.split_whitespace().next()?.parse().ok());
    Ok((total.context("callgrind's file has no totals: report this")?, profile))
}

/// The number in the file: the first line that is no remark.
fn baseline(file: &Path) -> Result<u64> {
    let hint = "write it with `cargo xtask bench --instructions --renew`";
    let text = fs::read_to_string(file).with_context(|| format!("no {BASELINE}: {hint}"))?;
    let number = text.lines().find(|line| !line.starts_with('#'));
    number
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("{BASELINE} holds no number: {hint}"))
}
