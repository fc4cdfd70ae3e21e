//! Perl: Starman with the tour's PSGI application, and a client on what every Perl comes with.

use std::process::Command;

use super::{Server, installed, workload};
use crate::listening::free_port;

/// Starman on a free port, with two worker processes. Its service is its folder's: its environment is overwritten by its
/// title.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn starman() -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut server = Server::on_port("starman", port, &mut starman_command(port)?)?;
    "perl".clone_into(&mut server.service);
    Ok(server)
}

/// Starman on that port.
///
/// # Errors
/// When it is missing.
pub fn starman_command(port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("starman")?);
    command.current_dir(workload("perl"));
    command.args(["--workers", "2", "--listen", &format!("127.0.0.1:{port}")]);
    command.arg(workload("perl/tour.psgi"));
    Ok(command)
}

/// The tour's client, without its arguments.
///
/// # Errors
/// When Perl is missing.
pub fn tour_client() -> anyhow::Result<Command> {
    let mut command = Command::new(installed("perl")?);
    command.arg(workload("perl/tour_client.pl"));
    Ok(command)
}
