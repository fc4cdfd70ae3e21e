//! PHP by its built-in server, and by PHP-FPM, which speaks FastCGI and needs a web server before it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, installed, workload};
use crate::listening::free_port;
use crate::process;

/// Versions of Debian's `php-fpm`, whose program has it in its name.
const VERSIONS: [&str; 4] = ["8.2", "8.4", "8.3", "8.1"];

/// The tour's script, served by PHP itself.
///
/// # Errors
/// When PHP is missing, or it does not come up.
pub fn built_in(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    Server::on_port(service, port, &mut built_in_command(port)?)
}

/// PHP's own server on that port.
///
/// # Errors
/// When PHP is missing.
pub fn built_in_command(port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("php")?);
    command.args(["-S", &format!("127.0.0.1:{port}")]).arg(script());
    Ok(command)
}

/// What both serve.
#[must_use]
pub fn script() -> PathBuf {
    workload("php/tour.php")
}

/// A running pool and the folder it lives in.
pub struct Pool {
    /// The server: it speaks FastCGI.
    pub server: Server,
    /// Its files.
    pub folder: tempfile::TempDir,
}

/// A pool of that name with two workers, on a unix socket or on a free port.
///
/// # Errors
/// When PHP-FPM is missing, or does not come up.
pub fn pool(name: &str, socket: Option<&Path>) -> anyhow::Result<Pool> {
    let fpm = VERSIONS.iter().find_map(|version| process::find(&format!("php-fpm{version}")));
    let fpm = fpm.map_or_else(|| installed("php-fpm"), Ok)?;
    let port = free_port()?;
    let listen = socket.map_or(format!("127.0.0.1:{port}"), |path| path.display().to_string());
    let folder = tempfile::tempdir()?;
    let root = folder.path().display();
    let configuration = format!(
        "[global]\nerror_log = /dev/stderr\npid = {root}/pid\n[{name}]\nlisten = {listen}\nlisten.mode = 0666\n\
         user = www-data\ngroup = www-data\npm = static\npm.max_children = 2\n"
    );
    let file = folder.path().join("fpm.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(fpm);
    command.args(["--nodaemonize", "--no-php-ini", "--fpm-config"]).arg(file);
    let server = match socket {
        Some(path) => Server::on_unix(name, path, &mut command)?,
        None => Server::on_port(name, port, &mut command)?,
    };
    Ok(Pool { server, folder })
}
