//! The runtimes that a service of the graph can be of. All of them do the same, told by the same command line.
//!
//! `PROGRAM SERVICE PORT [NEXT…]` listens on 127.0.0.1:PORT, or where `TRUTH_HERE` says; those that it asks are at 127.0.0.1, or
//! where `TRUTH_NEXT` says. `GET /call/ID` asks each NEXT (a port) in order for `/call/ID.0`,
//! `/call/ID.1`, … and answers `ok` if all of them did; any other path is answered at once. Connections to a NEXT are kept in a
//! pool of the whole process. Let h be the sum of the bytes of ID, modulo 8: at 1 it rests for 2 ms before its calls, at 3 for
//! 1 ms after each, at 0 another thread or task asks the first NEXT for `/later/ID` and nobody waits for that, at 4 whoever
//! served asks it for `/after/ID` once the answer is out. Every 20 ms a timer asks the first NEXT for `/timer/SERVICE.N`. The last
//! three are left out where a server does not let them be: nothing of them has to be there.

mod go;

pub use self::go::*;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::listening::free_port;
use crate::namespace::{ADDRESSES, Hosts};
use crate::peer::Target;
use crate::programs::databases::Databases;
use crate::programs::{Server, apache, c, gunicorn, installed, java, nginx, python, workload};

/// What a runtime is told to be.
pub struct Place<'a> {
    /// The service's name.
    pub service: &'a str,
    /// Ports of the services it asks, one for each call.
    pub next: &'a [u16],
    /// The hosts, and on which of them it stands; whom it asks stands on the other. `None`: all are here.
    pub host: Option<(&'a Hosts, usize)>,
}

impl Place<'_> {
    /// The address where it listens.
    fn address(&self) -> &'static str {
        self.host.map_or("127.0.0.1", |(_, host)| ADDRESSES[host])
    }
}

/// A runtime.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// What it is called on the command line and in names of services.
    pub name: &'static str,
    /// It passes requests on and makes none: see [`super::graph::Service::proxies`].
    pub proxies: bool,
    /// Starts a service.
    start: fn(&Place<'_>) -> anyhow::Result<Started>,
}

/// Whose streams of HTTP/2 are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Those of `net/http` or `golang.org/x/net`: what tells of them comes with the first.
    Http2,
    /// Those of grpc-go.
    Grpc,
}

impl Streams {
    /// The probes that tell who opens one, and who serves one.
    #[must_use]
    pub const fn probes(self) -> [&'static str; 2] {
        match self {
            Self::Http2 => ["http2_write_headers", "http2_run_handler"],
            Self::Grpc => ["grpc_new_stream", "grpc_handle_stream"],
        }
    }
}

/// A running service.
pub struct Started {
    /// The server.
    pub server: Server,
    /// Its runtime tells, which is this one, once the agent has looked into its program.
    pub tells: Option<&'static str>,
    /// Whether the agent is asked to follow its channels.
    pub channels: bool,
    /// It speaks HTTP/2 in the clear with the others, and they with it.
    pub streams: Option<Streams>,
    /// What must stay as long as it runs.
    _folder: Option<tempfile::TempDir>,
    /// See [`Self::_folder`].
    _databases: Option<Databases>,
}

impl Started {
    fn of(server: Server) -> Self {
        Self {
            server,
            tells: None,
            channels: false,
            streams: None,
            _folder: None,
            _databases: None,
        }
    }
}

impl Runtime {
    /// Starts a service of this runtime and waits until it listens.
    ///
    /// # Errors
    /// When a program is missing (a skip), or does not come up.
    pub fn start(&self, place: &Place<'_>) -> anyhow::Result<Started> {
        (self.start)(place)
    }
}

/// Python's `ThreadingHTTPServer`: a thread for each connection.
pub const PYTHON_THREADS: Runtime = Runtime {
    name: "python-threads",
    proxies: false,
    start: |place| told(place, python("threads.py")?),
};

/// The same, but each call is made by a `ThreadPoolExecutor`, whose result the serving thread waits for.
pub const PYTHON_POOL: Runtime =
    Runtime { name: "python-pool", proxies: false, start: |place| pool(place, "pool.py") };

/// The same, with all calls of a request at once.
pub const PYTHON_POOL_FANOUT: Runtime = Runtime {
    name: "python-pool-fanout",
    proxies: false,
    start: |place| pool(place, "pool_fanout.py"),
};

fn pool(place: &Place<'_>, file: &str) -> anyhow::Result<Started> {
    Ok(Started { tells: Some("Python"), ..told(place, python(file)?)? })
}

/// Streams of asyncio: all requests in one thread.
pub const PYTHON_ASYNCIO: Runtime = Runtime {
    name: "python-asyncio",
    proxies: false,
    start: |place| told(place, python("loop.py")?),
};

/// An event loop of its own making, whose sockets look like those of threads: `select`, and sockets in blocking mode.
pub const PYTHON_POLLING: Runtime = Runtime {
    name: "python-polling",
    proxies: false,
    start: |place| told(place, python("polling.py")?),
};

/// gunicorn's sync workers: processes that serve one request at a time and close its connection.
pub const GUNICORN_SYNC: Runtime = Runtime {
    name: "gunicorn-sync",
    proxies: false,
    start: |place| by_gunicorn(place, &["--worker-class", "sync", "--workers", "8"]),
};

/// gunicorn's gthread workers: pools of threads, fed by an epoll loop.
pub const GUNICORN_GTHREAD: Runtime = Runtime {
    name: "gunicorn-gthread",
    proxies: false,
    start: |place| {
        let workers = ["--worker-class", "gthread", "--workers", "2", "--threads", "16"];
        by_gunicorn(place, &workers)
    },
};

/// C: a thread for each connection.
pub const C_THREADS: Runtime = Runtime {
    name: "c-threads",
    proxies: false,
    start: |place| told(place, Command::new(c_service()?)),
};

/// Ruby's WEBrick: a thread for each connection.
pub const RUBY_WEBRICK: Runtime = Runtime {
    name: "ruby-webrick",
    proxies: false,
    start: |place| told(place, script("ruby", "truth/ruby/webrick.rb")?),
};

/// Ruby's Puma: a pool of threads, and a reactor for what is not there yet.
pub const RUBY_PUMA: Runtime = Runtime {
    name: "ruby-puma",
    proxies: false,
    start: |place| {
        let port = free_port()?;
        let mut command = Command::new(installed("puma")?);
        command.arg("--config").arg(workload("truth/ruby/puma.rb"));
        command.args(["--bind", &format!("tcp://127.0.0.1:{port}")]);
        command.arg(workload("truth/ruby/puma.ru"));
        command.env("TRUTH", in_one(place, port));
        on_port(place, port, &mut command)
    },
};

/// PHP's built-in server: processes that serve one request at a time and close its connection.
pub const PHP: Runtime = Runtime {
    name: "php",
    proxies: false,
    start: |place| {
        let port = free_port()?;
        let mut command = Command::new(installed("php")?);
        command.args(["-q", "-S", &format!("127.0.0.1:{port}")]);
        command.arg(workload("truth/php/service.php"));
        command.env("PHP_CLI_SERVER_WORKERS", "16").env("TRUTH", in_one(place, port));
        on_port(place, port, &mut command)
    },
};

/// The JDK's `HttpServer` with a pool that grows: a thread for each request at once.
pub const JAVA: Runtime = Runtime {
    name: "java",
    proxies: false,
    start: |place| told(place, java::run(java_service()?, "Service")?),
};

/// Node's `http`.
pub const NODE: Runtime = Runtime {
    name: "node",
    proxies: false,
    start: |place| told(place, script("node", "truth/node/service.mjs")?),
};

/// nginx, in front of one service.
pub const NGINX: Runtime = Runtime {
    name: "nginx",
    proxies: true,
    start: |place| {
        ensure!(place.host.is_none(), "nginx stands on one host only");
        let upstream = place.next.first().context("nginx with nothing behind it")?;
        let nginx::Nginx { server, folder } = nginx::start_pooled(*upstream)?;
        Ok(Started { _folder: Some(folder), ..Started::of(server) })
    },
};

/// Apache httpd, in front of one service.
pub const APACHE: Runtime = Runtime {
    name: "apache",
    proxies: true,
    start: |place| {
        ensure!(place.host.is_none(), "Apache stands on one host only");
        let upstream = place.next.first().context("Apache with nothing behind it")?;
        let it = apache::start(place.service, &format!("http://127.0.0.1:{upstream}"))?;
        Ok(Started { _folder: Some(it.folder), ..Started::of(it.server) })
    },
};

/// Builds what has to be built, so that no test's time limit pays for it.
///
/// # Errors
/// What cannot be built.
pub fn prepare() -> anyhow::Result<()> {
    let built = [c_service(), java_service()];
    built.into_iter().chain(go_programs()).try_for_each(|built| built.map(drop))
}

fn c_service() -> anyhow::Result<PathBuf> {
    c::compiled("truth/c", &["service.c"])
}

fn java_service() -> anyhow::Result<PathBuf> {
    java::compile("truth/java", &["Service.java"], "")
}

fn python(file: &str) -> anyhow::Result<Command> {
    let mut command = python::command()?;
    command.arg(workload("truth/python").join(file));
    Ok(command)
}

/// A program that an interpreter runs.
fn script(interpreter: &str, file: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(installed(interpreter)?);
    command.arg(workload(file));
    Ok(command)
}

fn by_gunicorn(place: &Place<'_>, workers: &[&str]) -> anyhow::Result<Started> {
    let port = free_port()?;
    let mut command = Command::new(gunicorn::environment()?.join("bin/gunicorn"));
    command.args(workers).args(["--keep-alive", "600", "--timeout", "120", "--backlog", "256"]);
    command.args(["--bind", &format!("{}:{port}", place.address()), "wsgi:app"]);
    command.current_dir(workload("truth/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    on_port(place, port, command.env("TRUTH", in_one(place, port)))
}

/// A program that only needs to be told.
fn told(place: &Place<'_>, mut command: Command) -> anyhow::Result<Started> {
    let port = free_port()?;
    command.args(in_one(place, port).split(' '));
    on_port(place, port, &mut command)
}

/// `SERVICE PORT [NEXT…]`.
fn in_one(place: &Place<'_>, port: u16) -> String {
    let ports = std::iter::once(&port).chain(place.next).map(|port| format!(" {port}"));
    place.service.to_owned() + &ports.collect::<String>()
}

fn on_port(place: &Place<'_>, port: u16, command: &mut Command) -> anyhow::Result<Started> {
    let mut server = if let Some((hosts, host)) = place.host {
        command.env("TRUTH_HERE", ADDRESSES[host]).env("TRUTH_NEXT", ADDRESSES[1 - host]);
        Server::on_port(place.service, port, &mut hosts.on(host, command)?)?
    } else {
        Server::on_port(place.service, port, command)?
    };
    server.target = Target::at(place.address(), port)?;
    Ok(Started::of(server))
}
