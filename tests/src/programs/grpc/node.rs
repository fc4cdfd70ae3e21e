//! `@grpc/grpc-js`, installed into the cache exactly as its lock file says.

use std::path::PathBuf;
use std::process::Command;

use super::Side;
use crate::process;
use crate::programs::{cache, fingerprint, installed, workload};

/// One of its programs, without its arguments.
pub(super) fn command(side: Side) -> anyhow::Result<Command> {
    let file = match side {
        Side::Server => "server.js",
        Side::Client => "client.js",
    };
    let mut command = Command::new(installed("node")?);
    command.env("NODE_PATH", packages()?).arg(workload("grpc/node").join(file));
    Ok(command)
}

/// The folder of the packages, filled if it is not yet.
fn packages() -> anyhow::Result<PathBuf> {
    let npm = installed("npm")?;
    let files = ["package.json", "package-lock.json"].map(|file| workload("grpc/node").join(file));
    let folder = cache(&format!("grpc-node-{}", fingerprint(&files)?))?;
    // npm empties the folder itself before it begins; a mark tells that it came to the end.
    let mark = folder.join("complete");
    if !mark.exists() {
        for file in &files {
            std::fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let mut install = Command::new(npm);
        install.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        process::output(&mut install)?;
        std::fs::write(mark, "")?;
    }
    Ok(folder.join("node_modules"))
}
