//! Services written in other languages, large bodies, and many services at once.

use std::process::Command;
use std::time::Duration;

use tests::listening::free_port;
use tests::programs::{Server, go, python};

use super::web::at_rate;
use super::{Compares, Load, Measure, Mode, Order, Sample, Sort, Speaks};
use crate::bench::Bench;
use crate::cpu;
use crate::roles::Role;
use crate::wrk::Wrk;

pub(super) const PYTHON: Mode = Mode {
    name: "python",
    about: "Python's http.server, a thread for each of 8 connections; wrk as fast as it can",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| {
        let server =
            cpu::on(bench.places.servers, || python::tour_server("python", [127, 0, 0, 1].into()))?;
        Ok(Box::new(Service::new(bench, server, "/hello", 8)?))
    },
};

pub(super) const GO: Mode = Mode {
    name: "go",
    about: "Go's net/http, 1 KiB, 8 connections; wrk as fast as it can",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Service::new(bench, go_server(bench)?, "/1k", 8)?)),
};

pub(super) const DOWNLOAD: Mode = Mode {
    name: "download",
    about: "1 MiB answers of Go's net/http out of its memory, 4 connections",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Service::new(bench, go_server(bench)?, "/1m", 4)?)),
};

pub(super) const UPLOAD: Mode = Mode {
    name: "upload",
    about: "1 MiB requests, read to their end by Go's net/http, 4 connections",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Service::upload(bench)?)),
};

pub(super) const HUNDRED: Mode = Mode {
    name: "hundred-services",
    about: "100 services, each a process of its own, asked 5,000 times a second in turn",
    unit: "request",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| Ok(Box::new(Hundred::start(bench)?)),
};

/// A Go server that has one CPU, and knows it.
fn go_server(bench: &Bench) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(go::binary("benchserver")?);
    command.arg(format!("127.0.0.1:{port}"));
    cpu::on(bench.places.servers, || Server::on_port("go", port, &mut command))
}

struct Service {
    server: Server,
    wrk: Wrk,
    /// Keeps the file of wrk's script.
    script: Option<tempfile::TempDir>,
}

impl Service {
    fn new(bench: &Bench, server: Server, path: &str, connections: usize) -> anyhow::Result<Self> {
        let url = format!("http://127.0.0.1:{}{path}", server.port());
        let wrk = Wrk::new(url, connections, bench.places.clients)?;
        Ok(Self { server, wrk, script: None })
    }

    fn upload(bench: &Bench) -> anyhow::Result<Self> {
        let mut service = Self::new(bench, go_server(bench)?, "/upload", 4)?;
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("upload.lua");
        let text = "wrk.method = \"POST\"\nwrk.body = string.rep(\"0123456789abcdef\", 65536)\n";
        std::fs::write(&script, text)?;
        service.wrk = service.wrk.script(script);
        service.script = Some(folder);
        Ok(service)
    }
}

impl Load for Service {
    fn measures(&self) -> &[Measure] {
        Wrk::MEASURES
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        self.wrk.run(order.time, self.server.program.pid())
    }
}

/// How many services there are.
const SERVICES: usize = 100;

/// Requests a second to all of them together.
const RATE: f64 = 5000.0;

struct Hundred {
    services: Vec<Role>,
    client: Role,
}

impl Hundred {
    fn start(bench: &Bench) -> anyhow::Result<Self> {
        let (mut services, mut arguments) =
            (Vec::new(), vec!["/service".to_owned(), "1".to_owned()]);
        for number in 0..SERVICES {
            let mut service = cpu::on(bench.places.servers, || {
                Role::start_as(&format!("service-{number}"), "serve", &[])
            })?;
            let port = service.answer()?;
            arguments.push(port.iter().map(f64::to_string).collect());
            services.push(service);
        }
        let client = cpu::on(bench.places.clients, || Role::start("rate", &arguments))?;
        Ok(Self { services, client })
    }

    fn used(&self) -> anyhow::Result<f64> {
        let used = self.services.iter().map(|service| cpu::of_process(service.pid()));
        Ok(used.sum::<anyhow::Result<Duration>>()?.as_nanos() as f64)
    }
}

impl Load for Hundred {
    fn measures(&self) -> &[Measure] {
        const OF: [Measure; 3] = [
            Measure { name: "latency p50", sort: Sort::Wait },
            Measure { name: "latency p99", sort: Sort::Wait },
            Measure { name: "server CPU a request", sort: Sort::Cpu },
        ];
        &OF
    }

    /// What is remembered of requests, for calls that may still be made for them, is full after 13 s.
    fn lasts(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        let before = self.used()?;
        // There is no one server whose CPU time could be told: the sum over all is put in its place.
        let client = self.client.pid();
        let mut sample = at_rate(&mut self.client, order.time, RATE, client)?;
        let used = self.used()? - before;
        sample.values = vec![sample.values[0], sample.values[1], used / sample.units];
        Ok(sample)
    }
}
