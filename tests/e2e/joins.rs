//! The two ends of a request, both on this host (D6.2): joined each and every one, whatever lies between them, and never with
//! another's.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use tests::agent::{Agent, Hooks, Setup};
use tests::namespace::{ADDRESSES, ADDRESSES_V6, Hosts};
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::process::Program;
use tests::programs::{Server, python};
use tests::runner::{Place, Suite};
use tests::wait::Deadline;

use crate::programs::joined;

/// Where the servers listen; the namespaces are fresh, so nobody else does.
const PORT: u16 = 8080;
/// An address that no host has: of the range for documentation (RFC 5737). Who sends to it is led to the other host.
const NOWHERE: &str = "198.51.100.7";
/// The port there.
const FRONT: u16 = 80;

/// A client, and how often it asks.
#[derive(Clone, Copy)]
struct Asks {
    how: &'static str,
    connections: usize,
    requests: usize,
}

const MANY: Asks = Asks { how: "many", connections: 64, requests: 10 };
const PIPELINED: Asks = Asks { how: "pipelined", connections: 8, requests: 12 };
const REUSED: Asks = Asks { how: "reused", connections: 32, requests: 2 };
const OLDER: Asks = Asks { how: "older", connections: 16, requests: 10 };

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        let mut at = |place, what: &str, body: fn(Setup) -> TestResult| {
            suite.at(place, format!("joins::{what}[{}]", hooks.word()), 60, move || {
                body(Setup::default().hooks(hooks))
            });
        };
        // An emulated CPU is interrupted in the middle of a probe often enough for one of thousands of calls to be passed over,
        // and the kernels that are booted come without their modules for address translation.
        at(Place::Here, "between_namespaces", |setup| between(setup, ADDRESSES));
        at(Place::Here, "between_namespaces_ipv6", |setup| between(setup, ADDRESSES_V6));
        at(Place::Here, "through_nat", through_nat);
        at(Place::Here, "through_nat_older_than_the_agent", older);
    }
}

/// Both hosts ask each other at once, in every way.
fn between(setup: Setup, addresses: [&str; 2]) -> TestResult {
    let hosts = Hosts::start()?;
    let agent = setup.start()?;
    let servers = [serve(&hosts, 0, addresses[0])?, serve(&hosts, 1, addresses[1])?];
    for asks in [MANY, PIPELINED, REUSED] {
        let mut both = Vec::new();
        for host in [0, 1] {
            both.push(ask(&hosts, host, asks, addresses[1 - host], PORT)?);
        }
        for mut client in both {
            answered(&mut client, asks)?;
        }
    }
    let spans = finish(agent, &[MANY, PIPELINED, REUSED], &[0, 1])?;
    drop(servers);
    for host in [0, 1] {
        for asks in [MANY, PIPELINED, REUSED] {
            all_joined(&spans, host, asks)?;
        }
    }
    Ok(())
}

/// The client knows other addresses than the server: both are changed on the way.
fn through_nat(setup: Setup) -> TestResult {
    let hosts = Hosts::start()?;
    translate(&hosts)?;
    let agent = setup.start()?;
    let _server = serve(&hosts, 1, ADDRESSES[1])?;
    for asks in [MANY, PIPELINED, REUSED] {
        answered(&mut ask(&hosts, 0, asks, NOWHERE, FRONT)?, asks)?;
    }
    let spans = finish(agent, &[MANY, PIPELINED, REUSED], &[0])?;
    let (asked, served) = (spans.of("asks-0", Kind::Client), spans.of("serves-1", Kind::Server));
    for span in &asked.0 {
        ensure!(span.text("server.address") != ADDRESSES[1], "nothing was changed: {span}");
    }
    for span in &served.0 {
        ensure!(
            span.int("network.peer.port").is_some_and(|port| port >= 61_000),
            "nothing was changed: {span}"
        );
    }
    for asks in [MANY, PIPELINED, REUSED] {
        all_joined(&spans, 0, asks)?;
    }
    Ok(())
}

/// Connections that the agent has not seen made, through the same.
fn older(setup: Setup) -> TestResult {
    let hosts = Hosts::start()?;
    translate(&hosts)?;
    let _server = serve(&hosts, 1, ADDRESSES[1])?;
    let mut client = ask(&hosts, 0, OLDER, NOWHERE, FRONT)?;
    client.wait_line("connected", Deadline::seconds(20))?;
    let agent = setup.start()?;
    client.signal(Signal::USR1)?;
    let told = client.wait_line("answers", Deadline::seconds(20))?;
    let wanted = OLDER.connections * (1 + OLDER.requests);
    ensure!(told == format!("answers {wanted}"), "{told}");
    let spans = finish(agent, &[OLDER], &[0])?;
    all_joined(&spans, 0, OLDER)
}

/// Changes the addresses of what one host asks, the client's and the server's.
fn translate(hosts: &Hosts) -> TestResult {
    let to = format!("{}:{PORT}", ADDRESSES[1]);
    let from = format!("{}:61000-65000", ADDRESSES[0]);
    let front = FRONT.to_string();
    hosts.run(0, "ip", &["route", "add", NOWHERE, "via", ADDRESSES[1]])?;
    #[rustfmt::skip]
    let rules: [&[&str]; 2] = [
        &["OUTPUT", "-d", NOWHERE, "-p", "tcp", "--dport", &front, "-j", "DNAT", "--to-destination", &to],
        &["POSTROUTING", "-d", ADDRESSES[1], "-p", "tcp", "-j", "SNAT", "--to-source", &from],
    ];
    for rule in rules {
        hosts.run(0, "iptables", &[&["-w", "-t", "nat", "-A"], rule].concat())?;
    }
    Ok(())
}

fn serve(hosts: &Hosts, host: usize, address: &str) -> anyhow::Result<Server> {
    let mut server = python::script("tour_server.py")?;
    server.args([address, &PORT.to_string()]);
    Server::on_port(&format!("serves-{host}"), PORT, &mut hosts.on(host, &server)?)
}

fn ask(hosts: &Hosts, host: usize, asks: Asks, at: &str, port: u16) -> anyhow::Result<Program> {
    let mut client = python::script("asks.py")?;
    client.args([asks.how, at, &port.to_string(), &name(host, asks)]);
    let service = format!("asks-{host}");
    let mut client = hosts.on(host, &client)?;
    Program::start(&service, client.env("OTEL_SERVICE_NAME", &service))
}

fn answered(client: &mut Program, asks: Asks) -> TestResult {
    let told = client.wait_line("answers", Deadline::seconds(20))?;
    ensure!(told == format!("answers {}", asks.connections * asks.requests), "{told}");
    client.wait_end(Deadline::after(Duration::from_secs(5)))?;
    Ok(())
}

fn name(host: usize, asks: Asks) -> String {
    format!("{}-{host}", asks.how)
}

/// Every span of what was asked, and no loss.
fn finish(agent: Agent, asks: &[Asks], hosts: &[usize]) -> anyhow::Result<Spans> {
    let each: usize = asks.iter().map(|asks| asks.connections * asks.requests).sum();
    agent.wait("the spans of all requests", |spans| {
        hosts.iter().all(|host| {
            spans.of(&format!("asks-{host}"), Kind::Client).len() >= each
                && spans.of(&format!("serves-{}", 1 - host), Kind::Server).len() >= each
        })
    })?;
    let stopped = agent.stop()?;
    stopped.counters.nothing_lost()?;
    Ok(stopped.spans)
}

/// Of each request that host asked both ends, the one the other's child.
fn all_joined(spans: &Spans, host: usize, asks: Asks) -> TestResult {
    let (client, server) = (format!("asks-{host}"), format!("serves-{}", 1 - host));
    for connection in 0..asks.connections {
        for request in 0..asks.requests {
            let path = format!("/{}/{connection}/{request}", name(host, asks));
            let of_this = spans.at(&path);
            joined(
                of_this.of(&client, Kind::Client).single()?,
                of_this.of(&server, Kind::Server).single()?,
            )?;
        }
    }
    Ok(())
}
