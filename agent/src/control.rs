//! `spanwire stop` and `spanwire detach`: what an operator types when the host must be rid of us now.
//!
//! Signals to the running agent, nothing else: the privileged process listens on nothing. Nothing is pinned, so the end
//! of the process, however it comes, takes every program off the host.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;
use serde::Deserialize;

use crate::status::RUN_DIRECTORY;

/// How long the agent may need to end: what it sends last has five seconds, and its spool as many.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// How long the probes may need to go: they do when the loop that drains them comes round.
const DETACHES_WITHIN: Duration = Duration::from_secs(3);

/// Takes every probe off the host and ends the running agent.
///
/// # Errors
///
/// None runs, it is somebody else's, or it does not end: then it says what to type.
pub fn stop() -> Result<()> {
    let agent = Agent::running(Path::new(RUN_DIRECTORY))?;
    agent.send(Signal::TERM)?;
    if !agent.ended(ENDS_WITHIN)? {
        bail!(
            "{} has not ended; `kill -9 {}` takes every probe off at once",
            agent.name,
            agent.pid
        );
    }
    println!("spanwire (pid {}) has ended; no probe is left", agent.pid);
    Ok(())
}

/// Takes every probe off the host and leaves the running agent as it is.
///
/// # Errors
///
/// As [`stop`].
pub fn detach() -> Result<()> {
    let agent = Agent::running(Path::new(RUN_DIRECTORY))?;
    agent.send(Signal::USR1)?;
    let steps = DETACHES_WITHIN.as_millis() / STEP.as_millis();
    for _ in 0..steps {
        if agent.ended(STEP)? || agent.programs()? == 0 {
            println!(
                "every probe is off; spanwire (pid {}) traces nothing until it is restarted",
                agent.pid
            );
            return Ok(());
        }
    }
    bail!("the probes are still there; `kill -9 {}` takes every one off at once", agent.pid)
}

/// Time between two looks.
const STEP: Duration = Duration::from_millis(50);

/// A running agent.
struct Agent {
    pid: u32,
    name: String,
    process: rustix::fd::OwnedFd,
}

/// The part of `agent.json` that is read here.
#[derive(Deserialize)]
struct AgentFile {
    pid: u32,
}

impl Agent {
    fn running(directory: &Path) -> Result<Self> {
        let file = directory.join("agent.json");
        let none = || "no agent runs here, as far as is known".to_owned();
        let text = fs::read(&file).with_context(none)?;
        let AgentFile { pid } = serde_json::from_slice(&text)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(none)?;
        // Held from here on: whatever comes after it by the same pid is not meant.
        let process = pidfd_open(id, PidfdFlags::empty()).with_context(none)?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).with_context(none)?;
        let name = name.trim().to_owned();
        if name != "spanwire" {
            bail!("no agent runs here: its pid {pid} is {name:?} by now");
        }
        Ok(Self { pid, name, process })
    }

    fn send(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.process, signal)
            .with_context(|| format!("spanwire (pid {}) cannot be told", self.pid))
    }

    /// Waits for the end of the process (`pidfd_open(2)`: it becomes readable); whether it came in time.
    fn ended(&self, within: Duration) -> Result<bool> {
        let timeout = Timespec {
            tv_sec: i64::try_from(within.as_secs())?,
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        Ok(poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&timeout))? > 0)
    }

    /// Programs and links of eBPF that it holds.
    fn programs(&self) -> Result<usize> {
        let folder = PathBuf::from(format!("/proc/{}/fd", self.pid));
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", folder.display()));
            }
        };
        let held = entries.filter_map(Result::ok).filter_map(|fd| fs::read_link(fd.path()).ok());
        let is_program = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.contains("bpf-prog") || name.contains("bpf_link") || name.contains("bpf-link")
        };
        Ok(held.filter(is_program).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_who_is_not_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let said = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(folder.path().join("agent.json"), text).unwrap();
            }
            Agent::running(folder.path()).err().unwrap().to_string()
        };
        assert!(said(None).contains("no agent runs"));
        assert!(said(Some("{")).contains("cannot be read"));
        assert!(said(Some(r#"{"pid": 0}"#)).contains("no agent runs"));
        assert!(said(Some(r#"{"pid": 4294967295}"#)).contains("no agent runs"));
        // Somebody else has the pid.
        let own = format!(r#"{{"pid": {}, "port": 1, "token": "x"}}"#, std::process::id());
        assert!(said(Some(&own)).contains("by now"));
    }

    #[test]
    fn a_process_without_programs_has_none() {
        let process = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        let agent = Agent { pid: std::process::id(), name: "spanwire".into(), process };
        assert_eq!(agent.programs().unwrap(), 0);
        assert!(!agent.ended(Duration::from_millis(1)).unwrap());
    }
}
