//! nginx with a configuration of ours: static files, and the tour's other stops from an upstream.

use std::path::Path;
use std::process::Command;

use super::{Server, installed};
use crate::listening::free_port;

/// A running nginx and the folder it lives in.
pub struct Nginx {
    /// The server. Its service is `nginx`: its workers' environment is overwritten by their titles.
    pub server: Server,
    _folder: tempfile::TempDir,
}

/// nginx with the tour's static stops, and everything else from `upstream` (as in `proxy_pass`), if there is one.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start(upstream: Option<&str>) -> anyhow::Result<Nginx> {
    let port = free_port()?;
    begin(&format!("127.0.0.1:{port}"), upstream, |command| Server::on_port("nginx", port, command))
}

/// nginx on a unix socket, with the tour's static stops.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start_on_unix(path: &Path) -> anyhow::Result<Nginx> {
    begin(&format!("unix:{}", path.display()), None, |command| {
        Server::on_unix("nginx", path, command)
    })
}

fn begin(
    listen: &str,
    upstream: Option<&str>,
    start: impl FnOnce(&mut Command) -> anyhow::Result<Server>,
) -> anyhow::Result<Nginx> {
    let nginx = installed("nginx")?;
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    // The workers run as another user, and must come in.
    std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::write(root.join("hello"), "hello\n")?;
    std::fs::write(root.join("big"), "0123456789abcdef".repeat(65536))?;
    let file = root.join("nginx.conf");
    std::fs::write(&file, configuration(root, listen, upstream))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(root).arg("-c").arg(&file).args(["-e", "stderr"]);
    let mut server = start(&mut command)?;
    "nginx".clone_into(&mut server.service);
    Ok(Nginx { server, _folder: folder })
}

fn configuration(root: &Path, listen: &str, upstream: Option<&str>) -> String {
    let root = root.display();
    let rest = upstream.map_or_else(
        || "location / { return 404 \"missing\\n\"; }".to_owned(),
        |upstream| {
            format!(
                "location / {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}"
            )
        },
    );
    format!(
        "daemon off; worker_processes 2; pid {root}/pid; error_log stderr warn;
        events {{ worker_connections 512; }}
        http {{
            access_log off; sendfile on; keepalive_requests 1000000; default_type text/plain;
            client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
            server {{
                listen {listen};
                location = /hello {{ root {root}; }}
                location = /big {{ root {root}; }}
                {rest}
            }}
        }}\n"
    )
}
