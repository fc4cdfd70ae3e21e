//! `@grpc/grpc-js`, installed into the cache exactly as its lock file says.

use std::process::Command;

use super::Side;
use crate::programs::{installed, npm, workload};

/// One of its programs, without its arguments.
pub(super) fn command(side: Side) -> anyhow::Result<Command> {
    let file = match side {
        Side::Server => "server.js",
        Side::Client => "client.js",
    };
    let mut command = Command::new(installed("node")?);
    command.env("NODE_PATH", npm::packages("grpc/node")?).arg(workload("grpc/node").join(file));
    Ok(command)
}
