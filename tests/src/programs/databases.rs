//! Debian's PostgreSQL and Redis: what services talk to that is not HTTP.
//!
//! Each is one process with nothing in it, on a port of its own, and forgets all when it ends.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, installed};
use crate::listening::free_port;
use crate::outcome::missing;
use crate::process;

/// One of each, running.
pub struct Databases {
    postgres: Server,
    redis: Server,
    _folder: tempfile::TempDir,
}

/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

impl Databases {
    /// Starts both.
    ///
    /// # Errors
    /// When one is missing (a skip), or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let postgres = postgres(folder.path())?;
        let port = free_port()?;
        let mut command = Command::new(installed("redis-server")?);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no"]);
        let redis = Server::on_port("redis", port, &mut command)?;
        Ok(Self { postgres, redis, _folder: folder })
    }

    /// Where PostgreSQL is, as its clients take it.
    #[must_use]
    pub fn postgres(&self) -> String {
        format!("postgres://truth@127.0.0.1:{}/postgres?sslmode=disable", self.postgres.port())
    }

    /// Where Redis is: `HOST:PORT`.
    #[must_use]
    pub fn redis(&self) -> String {
        format!("127.0.0.1:{}", self.redis.port())
    }
}

fn postgres(folder: &Path) -> anyhow::Result<Server> {
    let programs = postgres_programs()?;
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(folder, Some(NOBODY), Some(NOBODY))?;
    }
    let command = |name: &str| {
        let mut command = Command::new(programs.join(name));
        command.current_dir(folder).args(["-D", "data"]);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let mut initdb = command("initdb");
    process::output(initdb.args(["--username=truth", "--auth=trust", "--no-sync", "--no-locale"]))?;
    let port = free_port()?;
    let mut server = command("postgres");
    // No unix socket: its usual folder may belong to another one.
    server.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", "", "-F"]);
    Server::on_port("postgres", port, &mut server)
}

/// Where the programs of the newest version are: Debian keeps them out of `PATH`.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders
        .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .max()
        .ok_or_else(|| missing("postgres", "see tests/system-packages.txt"))
}
