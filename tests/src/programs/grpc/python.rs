//! grpcio from a virtual environment in the cache.

use std::process::Command;

use super::Side;
use crate::programs::{python, workload};

/// One of its programs, without its arguments.
pub(super) fn command(side: Side, asyncio: bool) -> anyhow::Result<Command> {
    let file = match (side, asyncio) {
        (Side::Server, false) => "server.py",
        (Side::Server, true) => "server_asyncio.py",
        (Side::Client, false) => "client.py",
        (Side::Client, true) => "client_asyncio.py",
    };
    let environment = python::environment(&workload("grpc/python/requirements.txt"))?;
    let mut command = Command::new(environment.join("bin/python"));
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(workload("grpc/python").join(file));
    Ok(command)
}
