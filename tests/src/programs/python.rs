//! Python programs of the standard library, and virtual environments for those that need more.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Server, cache, fingerprint, installed, workload};
use crate::listening::{free_port, free_port_at};
use crate::peer::Target;
use crate::process;

/// The tour's server.
///
/// # Errors
/// When Python is missing, or it does not come up.
pub fn tour_server(service: &str, host: IpAddr) -> anyhow::Result<Server> {
    let port = free_port_at(host)?;
    let mut command = script("tour_server.py")?;
    let mut server =
        Server::on_port(service, port, command.args([&host.to_string(), &port.to_string()]))?;
    server.target = Target::Tcp(SocketAddr::new(host, port));
    Ok(server)
}

/// The tour's server in a process that has posted spans to that port on this host.
///
/// # Errors
/// When Python is missing, or it does not come up.
pub fn exporting_server(service: &str, export: u16) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script("exporting_server.py")?;
    command.args(["127.0.0.1", &port.to_string(), &export.to_string()]);
    Server::on_port(service, port, &mut command)
}

/// The tour's client, without its arguments.
///
/// # Errors
/// When Python is missing.
pub fn tour_client() -> anyhow::Result<Command> {
    script("tour_client.py")
}

/// A link of a chain that serves each request in a thread. `next` is the port of the link behind it.
///
/// # Errors
/// When Python is missing, or it does not come up.
pub fn chain(name: &str, next: Option<u16>) -> anyhow::Result<Server> {
    link("chain.py", name, next)
}

/// A link of a chain that serves all requests on one asyncio loop.
///
/// # Errors
/// When Python is missing, or it does not come up.
pub fn chain_asyncio(name: &str, next: u16) -> anyhow::Result<Server> {
    link("chain_asyncio.py", name, Some(next))
}

/// A link of a chain that serves all requests in one thread, by `select` or by `epoll`, and waits for the next link in it.
///
/// # Errors
/// When Python is missing, or it does not come up.
pub fn chain_selectors(name: &str, next: u16, how: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script("chain_selectors.py")?;
    command.args([name, &port.to_string(), &next.to_string(), how]);
    Server::on_port(name, port, &mut command)
}

/// A server that works as long as it is asked to, and says how long its thread was on a CPU.
///
/// # Errors
/// When Python is missing, or it does not come up.
pub fn works(name: &str) -> anyhow::Result<Server> {
    link("works.py", name, None)
}

/// A server that makes its calls in threads of pools, run by that interpreter; what it calls is a port of this host.
///
/// # Errors
/// When that interpreter is missing, or it does not come up.
pub fn pools(interpreter: &str, name: &str, downstream: u16) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(installed(interpreter)?);
    command.arg(workload("python").join("pools.py"));
    command.args([name, &port.to_string(), &downstream.to_string()]);
    Server::on_port(name, port, &mut command)
}

fn link(file: &str, name: &str, next: Option<u16>) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = script(file)?;
    command.args([name, &port.to_string()]).args(next.map(|port| port.to_string()));
    Server::on_port(name, port, &mut command)
}

/// A program below `workloads/python`, without its arguments.
///
/// # Errors
/// When Python is missing.
pub fn script(file: &str) -> anyhow::Result<Command> {
    let mut command = command()?;
    command.arg(workload("python").join(file));
    Ok(command)
}

/// Python, without arguments. It leaves nothing beside its sources.
///
/// # Errors
/// When Python is missing.
pub fn command() -> anyhow::Result<Command> {
    let mut command = Command::new(installed("python3")?);
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// A virtual environment in the cache, made if it is not there yet: exactly the pinned packages, by their hashes.
///
/// # Errors
/// When Python or a package is not to be had.
pub fn environment(requirements: &Path) -> anyhow::Result<PathBuf> {
    let python = installed("python3")?;
    let name = format!("venv-{}", fingerprint(&[requirements.to_owned()])?);
    let folder = cache(&name)?;
    // A virtual environment cannot be renamed when it is done, so a mark tells that it is.
    let mark = folder.join("complete");
    if !mark.exists() {
        process::output(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))
            .context("making a virtual environment")?;
        process::output(
            Command::new(folder.join("bin/pip"))
                .args([
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--require-hashes",
                    "-r",
                ])
                .arg(requirements),
        )?;
        std::fs::write(mark, "")?;
    }
    Ok(folder)
}
