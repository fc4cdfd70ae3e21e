//! Services on Go that make one call for each request: what it costs them that it is known whose call it is.
//!
//! The calling service has the servers' CPU for itself; whom it calls, and the client, are on the other. What a call costs is
//! the difference to requests without one, in the same run. How many traps there were is in what the agent's programs did.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::listening::free_port;
use tests::peer::{Connection, Target};
use tests::programs::Server;
use tests::programs::go::{self, How};

use super::web::at_rate;
use super::{Compares, Load, Measure, Mode, Order, Sample, Sort, Speaks};
use crate::bench::Bench;
use crate::cpu;
use crate::roles::Role;
use crate::wrk::Wrk;

/// Requests a second: far from what it can.
const RATE: f64 = 1000.0;

/// Connections of the constant-rate clients, and of those that are as fast as they can.
const CONNECTIONS: [usize; 2] = [16, 8];

/// The name of the measure of [`CALLS`] that has a target.
pub(crate) const WRITE: &str = "write of a call";

pub(super) const CALLS: Mode = Mode {
    name: "go-calls",
    about: "Go's net/http, 1,000 requests/s, a call over a kept connection for each",
    unit: "request",
    speaks: Speaks::Some,
    compares: Compares::Rules,
    start: |bench| Ok(Box::new(Paced::start(bench, Callers::net_http(bench)?, true)?)),
};

pub(super) const CALLS_SATURATED: Mode = Mode {
    name: "go-calls-saturated",
    about: "the same service, 8 connections; wrk as fast as it can",
    unit: "request",
    speaks: Speaks::Each(4.0),
    compares: Compares::Rules,
    start: |bench| Ok(Box::new(Saturated::start(bench, Callers::net_http(bench)?)?)),
};

pub(super) const GRPC: Mode = Mode {
    name: "go-grpc",
    about: "Go's net/http, 1,000 requests/s, a unary call by grpc-go for each, all on one connection",
    unit: "request",
    speaks: Speaks::Some,
    compares: Compares::Rules,
    start: |bench| Ok(Box::new(Paced::start(bench, Callers::grpc(bench)?, false)?)),
};

pub(super) const GRPC_SATURATED: Mode = Mode {
    name: "go-grpc-saturated",
    about: "the same service, 8 connections; wrk as fast as it can",
    unit: "request",
    speaks: Speaks::Each(4.0),
    compares: Compares::Rules,
    start: |bench| Ok(Box::new(Saturated::start(bench, Callers::grpc(bench)?)?)),
};

/// A service and whom it calls.
struct Callers {
    service: Server,
    _called: Server,
}

impl Callers {
    fn net_http(bench: &Bench) -> anyhow::Result<Self> {
        let program = go::binary("benchcaller")?;
        let start = |cpu, name, next: Option<u16>| {
            let port = free_port()?;
            let mut command = Command::new(&program);
            command.args([Some(port), next].into_iter().flatten().map(address));
            cpu::on(cpu, || Server::on_port(name, port, &mut command))
        };
        let called = start(bench.places.clients, "called", None)?;
        let service = start(bench.places.servers, "caller", Some(called.port()))?;
        Ok(Self { service, _called: called })
    }

    fn grpc(bench: &Bench) -> anyhow::Result<Self> {
        let shared = ["go.sum", "tour/tour.go"];
        let program = go::build_with(How::default(), "grpc/go", "benchcaller", &shared)?;
        let start = |cpu, name, next: Option<u16>| {
            let (http, grpc) = (free_port()?, free_port()?);
            let mut command = Command::new(&program);
            command.args([Some(http), Some(grpc), next].into_iter().flatten().map(address));
            let server = cpu::on(cpu, || Server::on_port(name, http, &mut command))?;
            anyhow::Ok((server, grpc))
        };
        let (called, grpc) = start(bench.places.clients, "called", None)?;
        let (service, _) = start(bench.places.servers, "caller", Some(grpc))?;
        Ok(Self { service, _called: called })
    }

    fn pid(&self) -> u32 {
        self.service.program.pid()
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Asked at a constant rate: for nothing, for a call, and for one that is timed, one after the other.
struct Paced {
    callers: Callers,
    /// Each with what its requests ask for.
    clients: Vec<(&'static str, Role)>,
}

impl Paced {
    fn start(bench: &Bench, callers: Callers, is_timed: bool) -> anyhow::Result<Self> {
        let parts = ["none", "call", "write"].into_iter().take(if is_timed { 3 } else { 2 });
        let port = callers.service.port().to_string();
        let client = |part| {
            let arguments = [format!("/{part}"), CONNECTIONS[0].to_string(), port.clone()];
            let client = cpu::on(bench.places.clients, || Role::start("rate", &arguments))?;
            anyhow::Ok((part, client))
        };
        Ok(Self { clients: parts.map(client).collect::<anyhow::Result<_>>()?, callers })
    }

    /// How long a write took since this was last asked, ns on average.
    fn written(&self) -> anyhow::Result<f64> {
        let target = Target::port(self.callers.service.port());
        let answer = Connection::open(&target)?.get("/written")?;
        let told = String::from_utf8(answer.body)?;
        let (nanos, count) = told.split_once(' ').with_context(|| format!("it said {told:?}"))?;
        let (nanos, count): (f64, f64) = (nanos.parse()?, count.parse()?);
        ensure!(count > 0.0, "nothing was written");
        Ok(nanos / count)
    }
}

impl Load for Paced {
    fn measures(&self) -> &[Measure] {
        const OF: [Measure; 5] = [
            Measure { name: "latency p50", sort: Sort::Wait },
            Measure { name: "latency p99", sort: Sort::Wait },
            Measure { name: "server CPU a request", sort: Sort::Cpu },
            Measure { name: "server CPU a call", sort: Sort::Cpu },
            Measure { name: WRITE, sort: Sort::Wait },
        ];
        &OF[..2 + self.clients.len()]
    }

    fn parts(&self) -> &[&'static str] {
        &["none", "call"]
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        let (pid, parts) = (self.callers.pid(), self.clients.len() as u32);
        let ask = |client: &mut Role, time: Duration| at_rate(client, time, RATE, pid);
        if let Some(part) = order.part {
            let client = self.clients.iter_mut().find(|(name, _)| *name == part);
            return ask(&mut client.context("no such part")?.1, order.time);
        }
        let mut samples = Vec::new();
        for (_, client) in &mut self.clients {
            samples.push(ask(client, order.time / parts)?);
        }
        let (none, call) = (&samples[0].values, &samples[1].values);
        let mut values = vec![call[0], call[1], none[2], call[2] - none[2]];
        if samples.len() > 2 {
            values.push(self.written()?);
        }
        Ok(Sample { units: samples.iter().map(|sample| sample.units).sum(), values, alone: None })
    }
}

/// Asked as fast as it answers, each time for a call.
struct Saturated {
    callers: Callers,
    wrk: Wrk,
}

impl Saturated {
    fn start(bench: &Bench, callers: Callers) -> anyhow::Result<Self> {
        let url = format!("http://127.0.0.1:{}/call", callers.service.port());
        let wrk = Wrk::new(url, CONNECTIONS[1], bench.places.clients)?;
        Ok(Self { callers, wrk })
    }
}

impl Load for Saturated {
    fn measures(&self) -> &[Measure] {
        Wrk::MEASURES
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        self.wrk.run(order.time, self.callers.pid())
    }
}
