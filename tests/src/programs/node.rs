//! Node programs without packages.

use std::process::Command;

use super::{Server, installed, workload};
use crate::listening::free_port;

/// The tour's server.
///
/// # Errors
/// When Node is missing, or it does not come up.
pub fn tour_server(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script("tour_server.mjs")?;
    Server::on_port(service, port, command.args(["127.0.0.1", &port.to_string()]))
}

/// The tour's client, by `http` or `fetch`, without its further arguments.
///
/// # Errors
/// When Node is missing.
pub fn tour_client(way: &str) -> anyhow::Result<Command> {
    let mut command = script("tour_client.mjs")?;
    command.arg(way);
    Ok(command)
}

/// A link of a chain on Node's event loop, asking the next link by `http` or `fetch`.
///
/// # Errors
/// When Node is missing, or it does not come up.
pub fn chain(name: &str, next: u16, way: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script("chain.mjs")?;
    Server::on_port(name, port, command.args([name, &port.to_string(), &next.to_string(), way]))
}

fn script(file: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("node")?);
    command.arg(workload("node").join(file));
    Ok(command)
}
