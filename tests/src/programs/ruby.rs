//! Puma with the tour's Rack application.

use std::path::Path;
use std::process::Command;

use super::{Server, installed, workload};
use crate::listening::free_port;

/// Puma on a free port: two worker processes of up to four threads.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn puma(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    Server::on_port(service, port, &mut puma_command(&workload("ruby"), port)?)
}

/// Puma on that port, with the application in that folder.
///
/// # Errors
/// When it is missing.
pub fn puma_command(folder: &Path, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("puma")?);
    command.current_dir(folder).args(["--workers", "2", "--threads", "1:4", "--bind"]);
    command.args([&format!("tcp://127.0.0.1:{port}"), "config.ru"]);
    Ok(command)
}
