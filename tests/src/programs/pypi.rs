//! Programs on packages from PyPI: the tour's server and clients on aiohttp and requests.

use std::path::PathBuf;
use std::process::Command;

use super::{Server, python, workload};
use crate::listening::free_port;

/// The tour's server on aiohttp.
///
/// # Errors
/// When Python or a package is not to be had, or it does not come up.
pub fn aiohttp_server(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script("aiohttp_server.py")?;
    Server::on_port(service, port, command.args(["127.0.0.1", &port.to_string()]))
}

/// A server whose answers stay open, on aiohttp.
///
/// # Errors
/// When Python or a package is not to be had, or it does not come up.
pub fn streams_server(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script("streams_server.py")?;
    Server::on_port(service, port, command.args(["127.0.0.1", &port.to_string()]))
}

/// A client that stays on a WebSocket of that server, without `HOST PORT`.
///
/// # Errors
/// When Python or a package is not to be had.
pub fn websocket_client() -> anyhow::Result<Command> {
    script("websocket_client.py")
}

/// The tour's client on `aiohttp` or `requests`, without its arguments.
///
/// # Errors
/// When Python or a package is not to be had.
pub fn tour_client(library: &str) -> anyhow::Result<Command> {
    script(&format!("{library}_client.py"))
}

/// The environment's folder, made if it is not there yet.
///
/// # Errors
/// When Python or a package is not to be had.
pub fn environment() -> anyhow::Result<PathBuf> {
    python::environment(&workload("pypi/requirements.txt"))
}

fn script(file: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(environment()?.join("bin/python"));
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(workload("pypi").join(file));
    Ok(command)
}
