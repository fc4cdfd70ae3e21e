//! What the tests of a virtual machine start: told to `cargo xtask vm-test`, which packs it.

use std::path::Path;
use std::process::ExitCode;

use crate::outcome::missing;
use crate::process;
use crate::programs::{installed, socket_calls, verifier, workload};

/// Debian's own Python and its standard library: one that comes from elsewhere is not self-contained.
const PYTHON: &str = "/usr/bin/python3";

/// Prints one need a line: what it is (`program`, `file`, `tree`, `python`), and its path.
#[must_use]
pub fn say_needs() -> ExitCode {
    match needs() {
        Ok(needs) => {
            for (kind, path) in needs {
                println!("{kind} {path}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn needs() -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut needs = Vec::new();
    for program in ["nginx", "ip"] {
        needs.push(("program", installed(program)?.display().to_string()));
    }
    for program in [socket_calls::binary()?, verifier::preload()?] {
        needs.push(("program", program.display().to_string()));
    }
    needs.push(("program", PYTHON.to_owned()));
    needs.push(("python", python_library()?));
    needs.push(("tree", workload("python").display().to_string()));
    // The sources of what is compiled: their fingerprints are its name.
    for sources in ["socket_calls", "verifier"] {
        needs.push(("tree", workload(sources).display().to_string()));
    }
    for file in ["/etc/passwd", "/etc/group"] {
        needs.push(("file", file.to_owned()));
    }
    Ok(needs)
}

fn python_library() -> anyhow::Result<String> {
    if !Path::new(PYTHON).exists() {
        return Err(missing(PYTHON, "apt-get install python3"));
    }
    let mut ask = std::process::Command::new(PYTHON);
    let told =
        process::output(ask.args(["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]))?;
    Ok(String::from_utf8(told)?.trim().to_owned())
}
