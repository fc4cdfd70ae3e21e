//! nginx as fast as it can, half busy, and with a connection for each request.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tests::listening::free_port;
use tests::programs::{Server, installed};

use super::{Compares, Load, Measure, Mode, Order, Sample, Sort, Speaks};
use crate::bench::Bench;
use crate::cpu;
use crate::roles::Role;
use crate::roles::rate::ANEW;
use crate::wrk::Wrk;

pub(super) const SATURATED: Mode = Mode {
    name: "nginx-saturated",
    about: "nginx, one worker, 1 KiB file, keep-alive; wrk with 16 connections as fast as it can; both ends traced",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Saturated::start(bench, false)?)),
};

pub(super) const SERVING: Mode = Mode {
    name: "nginx-serving",
    about: "the same, and a rule leaves wrk out, as if it were on another host",
    unit: "request",
    speaks: Speaks::Each(1.0),
    compares: Compares::Server,
    start: |bench| Ok(Box::new(Saturated::start(bench, false)?)),
};

pub(super) const CONNECTIONS: Mode = Mode {
    name: "connections",
    about: "the same with a connection for each request",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Saturated::start(bench, true)?)),
};

pub(super) const HALF: Mode = Mode {
    name: "nginx-half",
    about: "the same nginx at the constant rate that keeps its CPU half busy; latency from the moment a request was due",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Paced::start(bench, None)?)),
};

pub(super) const FIXED: Mode = Mode {
    name: "nginx-10000",
    about: "the same nginx at 10,000 requests/s: 20,000 exchanges/s, since both ends are traced",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Paced::start(bench, Some(10_000.0))?)),
};

pub(super) const HEADERS: Mode = Mode {
    name: "nginx-headers",
    about: "the same over connections that are new in each run, and a header with its trace is put into each of the client's requests",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Headers,
    start: |bench| Ok(Box::new(Paced::start(bench, Some(10_000.0))?.anew())),
};

pub(super) const VIEWER: Mode = Mode {
    name: "viewer",
    about: "the same nginx at 5,000 requests/s: 10,000 spans/s into the viewer's store; without is the agent without it",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Viewer,
    start: |bench| Ok(Box::new(Paced::start(bench, Some(5_000.0))?)),
};

/// Connections of a load.
const CONNECTIONS_OF_LOAD: usize = 16;

/// Connections of the constant-rate client: so many that none is missing while the server is a few ms behind.
const CONNECTIONS_AT_RATE: usize = 64;

/// Requests a second of what runs in the background.
const BACKGROUND: f64 = 1000.0;

/// For so long again where that takes longer.
const SOME_MORE: Duration = Duration::from_millis(100);

/// A running nginx with its folder.
pub(crate) struct Nginx {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// One worker on the servers' CPU, or another.
    pub(crate) fn start(at: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        // The worker runs as another user, and must come in.
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        std::fs::write(root.join("1k"), "0123456789abcdef".repeat(64))?;
        let (port, shown) = (free_port()?, root.display());
        let file = root.join("nginx.conf");
        let mut text = String::from("daemon off; worker_processes 1; error_log stderr warn;\n");
        write!(
            text,
            "pid {shown}/pid;
            events {{ worker_connections 512; }}
            http {{
                access_log off; sendfile on; keepalive_requests 100000000; default_type text/plain;
                open_file_cache max=10;
                client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy;
                fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi;
                server {{ listen 127.0.0.1:{port}; root {shown}; }}
            }}\n"
        )?;
        std::fs::write(&file, text)?;
        let mut command = Command::new(installed("nginx")?);
        command.arg("-p").arg(root).arg("-c").arg(&file).args(["-e", "stderr"]);
        let server = cpu::on(at, || Server::on_port("nginx", port, &mut command))?;
        Ok(Self { server, _folder: folder })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/1k", self.server.port())
    }

    /// A client that asks at a constant rate, over so many connections, where this thread is bound to.
    pub(crate) fn client(&self, connections: usize) -> anyhow::Result<Role> {
        let port = self.server.port().to_string();
        Role::start("rate", &["/1k".to_owned(), connections.to_string(), port])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.program.pid()
    }
}

struct Saturated {
    nginx: Nginx,
    wrk: Wrk,
}

impl Saturated {
    fn start(bench: &Bench, closing: bool) -> anyhow::Result<Self> {
        let nginx = Nginx::start(bench.places.servers)?;
        let mut wrk = Wrk::new(nginx.url(), CONNECTIONS_OF_LOAD, bench.places.clients)?;
        if closing {
            wrk = wrk.header("Connection: close");
        }
        Ok(Self { nginx, wrk })
    }
}

impl Load for Saturated {
    fn measures(&self) -> &[Measure] {
        Wrk::MEASURES
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        self.wrk.run(order.time, self.nginx.pid())
    }
}

struct Paced {
    nginx: Nginx,
    client: Role,
    rate: f64,
    /// Whether connections are new in each run.
    anew: bool,
}

impl Paced {
    /// At that rate; at the one that keeps nginx's CPU half busy, if there is none.
    fn start(bench: &Bench, rate: Option<f64>) -> anyhow::Result<Self> {
        let nginx = Nginx::start(bench.places.servers)?;
        let mut client = cpu::on(bench.places.clients, || nginx.client(CONNECTIONS_AT_RATE))?;
        let rate = match rate {
            Some(rate) => rate,
            None => half_busy(&mut client, bench.plan.time, nginx.pid())?,
        };
        eprintln!("    {rate:.0} requests/s");
        Ok(Self { nginx, client, rate, anew: false })
    }

    /// With new connections in each run. Nothing is put into what older ones send until they rest.
    const fn anew(mut self) -> Self {
        self.anew = true;
        self
    }
}

impl Load for Paced {
    fn measures(&self) -> &[Measure] {
        const OF: [Measure; 4] = [
            Measure { name: "latency p50", sort: Sort::Wait },
            Measure { name: "latency p99", sort: Sort::Wait },
            Measure { name: "server CPU a request", sort: Sort::Cpu },
            Measure { name: "client CPU a request", sort: Sort::Cpu },
        ];
        &OF
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        at_rate_over(&mut self.client, order.time, self.rate, self.nginx.pid(), self.anew)
    }
}

/// The rate at which a server uses half of a CPU. Half of its highest rate would not be it: a server that is never idle has a
/// cheaper request than one that sleeps between two, and the client too, so that nothing here would be half busy.
fn half_busy(client: &mut Role, time: Duration, server: u32) -> anyhow::Result<f64> {
    let mut rate = BACKGROUND * 10.0;
    for _ in 0..GUESSES {
        let sample = at_rate(client, time, rate, server)?;
        let nanos = sample.values.get(2).context("no CPU was measured")?;
        rate = 0.5e9 / nanos.max(1.0);
    }
    Ok(rate)
}

/// A request's cost depends on the rate only weakly: the third guess is within some percent.
const GUESSES: u32 = 3;

/// Has the constant-rate client ask; the server's CPU is that of `server` and its children.
pub(crate) fn at_rate(
    client: &mut Role,
    time: Duration,
    rate: f64,
    server: u32,
) -> anyhow::Result<Sample> {
    at_rate_over(client, time, rate, server, false)
}

/// The same, over new connections or those that are there.
fn at_rate_over(
    client: &mut Role,
    time: Duration,
    rate: f64,
    server: u32,
    anew: bool,
) -> anyhow::Result<Sample> {
    let before = cpu::of_family(server)?;
    let which = if anew { ANEW } else { "" };
    let told = client.order(&format!("go {} {rate} {which}", time.as_millis()))?;
    let used = cpu::of_family(server)?.saturating_sub(before).as_nanos() as f64;
    let [answered, p50, p99, _longest, own, _took] = told[..] else {
        anyhow::bail!("the client said {told:?}");
    };
    let units = answered.max(1.0);
    Ok(Sample { units, values: vec![p50, p99, used / units, own / units], alone: None })
}

/// Something for the agent to trace on the clients' CPU while something else is measured.
pub(super) struct Background {
    client: Option<Role>,
    _nginx: Nginx,
}

impl Background {
    pub(super) fn start(bench: &Bench) -> anyhow::Result<Self> {
        let nginx = Nginx::start(bench.places.clients)?;
        let client = cpu::on(bench.places.clients, || nginx.client(4))?;
        Ok(Self { client: Some(client), _nginx: nginx })
    }

    /// Runs for that time and until something is done.
    pub(super) fn during<T>(
        &mut self,
        time: Duration,
        act: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut client = self.client.take().context("it failed before")?;
        let order = |time: Duration| format!("go {} {BACKGROUND}", time.as_millis());
        let is_done = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_done);
        let runs = std::thread::spawn(move || -> anyhow::Result<Role> {
            client.order(&order(time))?;
            while !ends.load(Ordering::Relaxed) {
                client.order(&order(SOME_MORE))?;
            }
            Ok(client)
        });
        let done = act();
        is_done.store(true, Ordering::Relaxed);
        let client = runs.join().map_err(|_| anyhow::anyhow!("the background panicked"))?;
        self.client = Some(client?);
        done
    }
}
