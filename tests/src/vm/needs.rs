//! What the tests of a virtual machine start: told to `cargo xtask vm-test`, which packs it.

use std::path::Path;
use std::process::ExitCode;

use crate::outcome::missing;
use crate::process;
use crate::programs::goroutines::Build;
use crate::programs::{installed, socket_calls, verifier, workload};

/// Debian's own Python and its standard library: one that comes from elsewhere is not self-contained.
const PYTHON: &str = "/usr/bin/python3";

/// A kind (`program`, `file`, `tree`, `programs`, `python`) and a path.
type Need = (&'static str, String);

/// Prints what every machine needs, one need a line.
#[must_use]
pub fn say_needs() -> ExitCode {
    say(needs())
}

/// Prints what a machine needs besides that has systemd as its first process.
#[must_use]
pub fn say_needs_under_systemd() -> ExitCode {
    say(needs_under_systemd())
}

fn say(needs: anyhow::Result<Vec<Need>>) -> ExitCode {
    match needs {
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

/// systemd as Debian installs it, with all its units, and what the agent's unit starts besides the agent.
fn needs_under_systemd() -> anyhow::Result<Vec<Need>> {
    let mut needs = Vec::new();
    for program in ["systemctl", "systemd-tmpfiles"] {
        needs.push(("program", installed(program)?.display().to_string()));
    }
    // Units name them so.
    for program in ["/bin/kill", "/bin/mount"] {
        needs.push(("program", program.to_owned()));
    }
    needs.push(("programs", "/lib/systemd".to_owned()));
    for library in ["/usr/lib/tmpfiles.d", "/usr/lib/sysctl.d"] {
        needs.push(("tree", library.to_owned()));
    }
    Ok(needs)
}

fn needs() -> anyhow::Result<Vec<Need>> {
    let mut needs = Vec::new();
    for program in ["nginx", "ip"] {
        needs.push(("program", installed(program)?.display().to_string()));
    }
    let goroutines = Build::PLAIN.command()?;
    for program in [socket_calls::binary()?, verifier::preload()?, goroutines.get_program().into()]
    {
        needs.push(("program", program.display().to_string()));
    }
    needs.push(("program", PYTHON.to_owned()));
    needs.push(("python", python_library()?));
    needs.push(("tree", workload("python").display().to_string()));
    // The sources of what is compiled: their fingerprints are its name.
    for sources in ["socket_calls", "verifier", "goroutines"] {
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
