//! HAProxy in front of one server, over HTTP/1 with kept connections on both sides.

use std::process::Command;

use super::{Server, installed};
use crate::listening::free_port;

/// A running HAProxy and the folder it lives in.
pub struct Haproxy {
    /// The server.
    pub server: Server,
    /// Its files.
    pub folder: tempfile::TempDir,
}

/// HAProxy on a free port, everything from the server at that port.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start(service: &str, upstream: u16) -> anyhow::Result<Haproxy> {
    let haproxy = installed("haproxy")?;
    let port = free_port()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("haproxy.cfg");
    let configuration = format!(
        "global\n  nbthread 2\ndefaults\n  mode http\n  http-reuse always\n  timeout connect 5s\n  timeout client 20s\n\
         \x20 timeout server 20s\nfrontend front\n  bind 127.0.0.1:{port}\n  default_backend behind\nbackend behind\n\
         \x20 server one 127.0.0.1:{upstream}\n"
    );
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(haproxy);
    command.arg("-f").arg(file);
    Ok(Haproxy { server: Server::on_port(service, port, &mut command)?, folder })
}
