//! gunicorn with the tour's Flask application, from a virtual environment in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, python, workload};
use crate::listening::free_port;

/// gunicorn on a free port.
///
/// # Errors
/// When it cannot be installed, or does not come up.
pub fn on_port(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    Server::on_port(service, port, &mut command(&format!("127.0.0.1:{port}"))?)
}

/// gunicorn on a unix socket.
///
/// # Errors
/// When it cannot be installed, or does not come up.
pub fn on_unix(service: &str, path: &Path) -> anyhow::Result<Server> {
    Server::on_unix(service, path, &mut command(&format!("unix:{}", path.display()))?)
}

/// The environment's folder, made if it is not there yet.
///
/// # Errors
/// When Python or a package is not to be had.
pub fn environment() -> anyhow::Result<PathBuf> {
    python::environment(&workload("gunicorn/requirements.txt"))
}

/// Two worker processes of one thread each, so that a fork server is what is tested.
fn command(bind: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(environment()?.join("bin/gunicorn"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(workload("gunicorn"));
    command.args(["--workers", "2", "--keep-alive", "5", "--bind", bind, "app:app"]);
    Ok(command)
}
