//! The demo: a small shop of plain Python services under light load (`deploy/demo`), started beside the agent.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, places, say};

/// Starts the shop and comes back when its first request has been answered.
///
/// It ends with this process, however that ends and whatever program it has become by then: `demo.py` asks the kernel
/// for a signal at its parent's death.
pub(crate) fn start() -> Result<()> {
    let Some(python) = cargo::find("python3") else {
        bail!("the demo is written in Python 3: install it (on Debian: apt-get install python3)");
    };
    let mut demo = Command::new(python)
        .arg(places::workspace().join("deploy/demo/demo.py"))
        .env("DEMO_PARENT", std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start python3: is it installed well?")?;
    let mut first_line = String::new();
    if let Some(output) = demo.stdout.take() {
        BufReader::new(output).read_line(&mut first_line)?;
    }
    if first_line.is_empty() {
        let status = demo.wait()?;
        bail!("the demo did not start ({status}): see its message");
    }
    say::note(first_line.trim_end());
    Ok(())
}
