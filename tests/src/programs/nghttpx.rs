//! nghttpx: a proxy that speaks HTTP/2 in clear text to its clients, also by Upgrade, and HTTP/1.1 to the server behind it.

use std::process::Command;

use super::{Server, installed};
use crate::listening::free_port;

/// nghttpx on a free port, before the server on port `behind`.
///
/// # Errors
/// A skip when it is missing; when it does not come up.
pub fn start(behind: u16) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(installed("nghttpx")?);
    command.args(["--conf=/dev/null", "--workers=1", "--log-level=ERROR"]);
    command.arg(format!("--frontend=127.0.0.1,{port};no-tls"));
    command.arg(format!("--backend=127.0.0.1,{behind}"));
    Server::on_port("nghttpx", port, &mut command)
}
