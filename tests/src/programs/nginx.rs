//! nginx with a configuration of ours: static files, and the rest from an upstream, over HTTP/1, HTTP/2 or FastCGI.

use std::path::Path;
use std::process::Command;

use super::{Server, installed};
use crate::listening::free_port;

/// A running nginx and the folder it lives in.
pub struct Nginx {
    /// The server. Its service is `nginx`: its workers' environment is overwritten by their titles.
    pub server: Server,
    /// Where its configuration and its files are: it must stay as long as nginx runs.
    pub folder: tempfile::TempDir,
}

/// nginx with the tour's static stops, and everything else from `upstream` (as in `proxy_pass`), if there is one.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start(upstream: Option<&str>) -> anyhow::Result<Nginx> {
    let port = free_port()?;
    let site = Site { listen: format!("127.0.0.1:{port}"), ..Site::proxy(upstream) };
    begin(&site, |command| Server::on_port("nginx", port, command))
}

/// nginx that passes everything on to a port of 127.0.0.1, over connections that it keeps.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start_pooled(upstream: u16) -> anyhow::Result<Nginx> {
    let port = free_port()?;
    let site = Site { listen: format!("127.0.0.1:{port}"), ..Site::pooled(upstream) };
    begin(&site, |command| Server::on_port("nginx", port, command))
}

/// nginx on a unix socket, with the tour's static stops.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start_on_unix(path: &Path) -> anyhow::Result<Nginx> {
    let site = Site { listen: format!("unix:{}", path.display()), ..Site::proxy(None) };
    begin(&site, |command| Server::on_unix("nginx", path, command))
}

/// nginx speaking HTTP/2 in clear text from the first byte (it knows no Upgrade), with the tour's static stops, and
/// everything else by gRPC from `upstream` (`HOST:PORT`), if there is one.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start_http2(upstream: Option<&str>) -> anyhow::Result<Nginx> {
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port} http2");
    let site = upstream.map_or_else(|| Site::proxy(None), Site::grpc);
    begin(&Site { listen, ..site }, |command| Server::on_port("nginx", port, command))
}

/// nginx with everything by FastCGI from `upstream` (as in `fastcgi_pass`), answered by that script.
///
/// # Errors
/// When it is missing, or does not come up.
pub fn start_fastcgi(upstream: &str, script: &Path) -> anyhow::Result<Nginx> {
    let port = free_port()?;
    let site = Site { listen: format!("127.0.0.1:{port}"), ..Site::fastcgi(upstream, script) };
    begin(&site, |command| Server::on_port("nginx", port, command))
}

/// The command that starts nginx with the tour's static stops, on that port and in that folder.
///
/// # Errors
/// When it is missing, or the folder is not to be written to.
pub fn command(port: u16, root: &Path) -> anyhow::Result<Command> {
    prepared(&Site { listen: format!("127.0.0.1:{port}"), ..Site::proxy(None) }, root)
}

/// The same, with everything else from `upstream`.
///
/// # Errors
/// As [`command`].
pub fn command_to(port: u16, root: &Path, upstream: &str) -> anyhow::Result<Command> {
    prepared(&Site { listen: format!("127.0.0.1:{port}"), ..Site::proxy(Some(upstream)) }, root)
}

/// What differs from one configuration to the other.
struct Site {
    /// Argument of `listen`.
    listen: String,
    /// Directives beside the server.
    beside: String,
    /// Files that nginx sends itself.
    files: &'static [&'static str],
    /// Directives for whatever is not static.
    rest: String,
}

/// The tour's static stops.
const STATIC: &[&str] = &["hello", "big"];

impl Site {
    /// The rest by HTTP/1.1 from an upstream, as in `proxy_pass`.
    fn proxy(upstream: Option<&str>) -> Self {
        let rest = match upstream {
            Some(upstream) => format!(
                "proxy_pass {upstream}; proxy_http_version 1.1; proxy_set_header Connection \"\";"
            ),
            None => "return 404 \"missing\\n\";".to_owned(),
        };
        Self { listen: String::new(), beside: String::new(), files: STATIC, rest }
    }

    /// The rest by HTTP/1.1 from a port, over kept connections.
    fn pooled(upstream: u16) -> Self {
        // The servers behind close none that is idle, and nginx is to keep them as long.
        let kept = "keepalive 256; keepalive_timeout 600s; keepalive_requests 1000000;";
        let beside = format!("upstream behind {{ server 127.0.0.1:{upstream}; {kept} }}");
        Self { beside, ..Self::proxy(Some("http://behind")) }
    }

    /// The rest by gRPC from an upstream. Kept connections, so that many calls share one.
    fn grpc(upstream: &str) -> Self {
        Self {
            listen: String::new(),
            beside: format!("upstream behind {{ server {upstream}; keepalive 4; }}"),
            files: STATIC,
            rest: "grpc_pass grpc://behind;".to_owned(),
        }
    }

    /// All by FastCGI, with the variables that PHP asks for.
    fn fastcgi(upstream: &str, script: &Path) -> Self {
        let script = script.display();
        Self {
            listen: String::new(),
            beside: String::new(),
            files: &[],
            rest: format!(
                "fastcgi_param SCRIPT_FILENAME {script}; fastcgi_param REQUEST_METHOD $request_method;
                 fastcgi_param REQUEST_URI $request_uri; fastcgi_param QUERY_STRING $query_string;
                 fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
                 fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_pass {upstream};"
            ),
        }
    }
}

fn begin(
    site: &Site,
    start: impl FnOnce(&mut Command) -> anyhow::Result<Server>,
) -> anyhow::Result<Nginx> {
    let folder = tempfile::tempdir()?;
    let mut server = start(&mut prepared(site, folder.path())?)?;
    "nginx".clone_into(&mut server.service);
    Ok(Nginx { server, folder })
}

/// Its configuration and files in a folder, and the command.
fn prepared(site: &Site, root: &Path) -> anyhow::Result<Command> {
    let nginx = installed("nginx")?;
    // The workers run as another user, and must come in.
    std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::write(root.join("hello"), "hello\n")?;
    std::fs::write(root.join("big"), "0123456789abcdef".repeat(65536))?;
    let file = root.join("nginx.conf");
    std::fs::write(&file, configuration(root, site))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(root).arg("-c").arg(&file).args(["-e", "stderr"]);
    Ok(command)
}

fn configuration(root: &Path, site: &Site) -> String {
    let root = root.display();
    let Site { listen, beside, files, rest } = site;
    let files: String = files
        .iter()
        .map(|file| format!("location = /{file} {{ root {root}; }}\n                "))
        .collect();
    format!(
        "daemon off; worker_processes 2; pid {root}/pid; error_log stderr warn;
        events {{ worker_connections 512; }}
        http {{
            access_log off; sendfile on; keepalive_requests 1000000; default_type text/plain;
            client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
            {beside}
            server {{
                listen {listen};
                {files}
                location / {{ {rest} }}
            }}
        }}\n"
    )
}
