//! Apache httpd with a configuration of ours: static files, and the rest from an upstream over HTTP/1.

use std::process::Command;

use super::{Server, installed};
use crate::listening::free_port;

/// A running Apache and the folder it lives in.
pub struct Apache {
    /// The server.
    pub server: Server,
    /// Its files.
    pub folder: tempfile::TempDir,
}

/// Modules that the configuration uses, and those that Apache cannot do without.
const MODULES: [&str; 7] = [
    "mpm_event:mod_mpm_event",
    "authz_core:mod_authz_core",
    "reqtimeout:mod_reqtimeout",
    "proxy:mod_proxy",
    "proxy_http:mod_proxy_http",
    "dir:mod_dir",
    "mime:mod_mime",
];

/// Apache with the tour's static stops, and everything else from `upstream` (`http://HOST:PORT`).
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start(service: &str, upstream: &str) -> anyhow::Result<Apache> {
    let port = free_port()?;
    let folder = tempfile::tempdir()?;
    let mut command = command(folder.path(), port, upstream)?;
    Ok(Apache { server: Server::on_port(service, port, &mut command)?, folder })
}

/// Apache in the foreground, its configuration and files in that folder.
///
/// # Errors
/// When it is missing.
pub fn command(root: &std::path::Path, port: u16, upstream: &str) -> anyhow::Result<Command> {
    let apache = installed("apache2")?;
    // Its workers run as another user, and must come in.
    std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let files = root.join("files");
    std::fs::create_dir(&files)?;
    std::fs::write(files.join("hello"), "hello\n")?;
    std::fs::write(files.join("big"), "0123456789abcdef".repeat(65536))?;
    let modules: String = MODULES
        .iter()
        .filter_map(|module| module.split_once(':'))
        .map(|(name, file)| {
            format!("LoadModule {name}_module /usr/lib/apache2/modules/{file}.so\n")
        })
        .collect();
    let root = root.display();
    // One process: where one of several has more connections than threads, it closes those that are kept.
    let configuration = format!(
        "{modules}ServerName 127.0.0.1\nListen 127.0.0.1:{port}\nPidFile {root}/pid\nDefaultRuntimeDir {root}\n\
         FileETag None\nErrorLog /dev/stderr\nUser www-data\nGroup www-data\nTypesConfig /dev/null\n\
         StartServers 1\nServerLimit 1\nThreadLimit 256\nThreadsPerChild 256\nMaxRequestWorkers 256\nMinSpareThreads 1\nMaxSpareThreads 256\nKeepAlive On\nKeepAliveTimeout 600\nMaxKeepAliveRequests 0\n\
         DocumentRoot {root}/files\nProxyPass /hello !\nProxyPass /big !\nProxyPass / {upstream}/\n"
    );
    let file = root.to_string() + "/apache.conf";
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(apache);
    command.args(["-D", "FOREGROUND", "-f", &file]);
    Ok(command)
}
