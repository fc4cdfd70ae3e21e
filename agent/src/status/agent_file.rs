//! `/run/spanwire/agent.json`: how to reach a running agent's child. Readable by its owner only.
#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// The file's name in the run directory.
const NAME: &str = "agent.json";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentFile {
    /// The agent.
    pub(super) pid: u32,
    /// Its child's port on 127.0.0.1.
    pub(super) port: u16,
    /// What the child wants to be shown.
    pub(super) token: String,
}

impl AgentFile {
    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(NAME)
    }

    /// What a running agent wrote.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(Self::path(directory))?)?)
    }

    /// The agent that wrote it still runs.
    pub(super) fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // EPERM means there is one, and it is not ours.
        pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // A directory somebody else made could have our file replaced in it.
        let found = fs::symlink_metadata(directory)?;
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if !ours || found.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} is not a directory that only we can write to", directory.display()),
            ));
        }
        let fresh = directory.join(format!("{NAME}.{}", self.pid));
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&fresh, Self::path(directory))
    }

    /// Removes the file if it is still the one this agent wrote.
    pub(super) fn remove(&self, directory: &Path) {
        if Self::read(directory).is_ok_and(|found| found == *self) {
            let _ = fs::remove_file(Self::path(directory));
        }
    }
}
