//! Two network namespaces are two hosts on one kernel: one agent joins what passes between them and mixes up nothing of
//! what only looks the same in both; two agents see each their own host, and nothing of each other.

use anyhow::ensure;
use tests::agent::{Agent, Hooks, Setup};
use tests::namespace::{ADDRESSES, Hosts};
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::process;
use tests::programs::{Server, python};
use tests::runner::Suite;
use tests::tour::{self, TOUR};

use crate::programs::{find, finish, joined};

/// Where the servers listen; the namespaces are fresh, so nobody else does.
const PORT: u16 = 8080;

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        let word = hooks.word();
        suite.at(
            hooks.place(),
            format!("namespaces::two_hosts_one_agent[{word}]"),
            60,
            move || one_agent(Setup::default().hooks(hooks)),
        );
        suite.at(
            hooks.place(),
            format!("namespaces::two_hosts_two_agents[{word}]"),
            60,
            move || two_agents(hooks),
        );
    }
}

/// The one host asks the other, and each asks itself on the same address and port.
fn one_agent(setup: Setup) -> TestResult {
    let hosts = Hosts::start()?;
    let agent = setup.start()?;
    let _far = serve(&hosts, 1, "far", ADDRESSES[1])?;
    let _own = [serve(&hosts, 0, "own-a", "127.0.0.1")?, serve(&hosts, 1, "own-b", "127.0.0.1")?];
    ask(&hosts, 0, "asks-far", ADDRESSES[1])?;
    ask(&hosts, 0, "asks-own-a", "127.0.0.1")?;
    ask(&hosts, 1, "asks-own-b", "127.0.0.1")?;
    let pairs = [("asks-far", "far"), ("asks-own-a", "own-a"), ("asks-own-b", "own-b")];
    let wanted = pairs.map(|(client, server)| [(client, Kind::Client), (server, Kind::Server)]);
    let spans = finish(agent, wanted.as_flattened())?;
    for (client, server) in pairs {
        for stop in &TOUR {
            joined(
                find(&spans, client, Kind::Client, stop)?,
                find(&spans, server, Kind::Server, stop)?,
            )?;
        }
    }
    for span in spans.of("far", Kind::Server).0 {
        ensure!(span.text("network.peer.address") == ADDRESSES[0], "{span}");
    }
    Ok(())
}

/// Both agents run here and look each at one host only.
fn two_agents(hooks: Hooks) -> TestResult {
    let hosts = Hosts::start()?;
    let agents = [0, 1].map(|host| {
        let file = hosts.file(host).display().to_string();
        Setup::default().hooks(hooks).argument("--netns").argument(file).start()
    });
    let [near, far] = agents;
    let (near, far) = (near?, far?);
    let _server = serve(&hosts, 1, "far", ADDRESSES[1])?;
    ask(&hosts, 0, "asks-far", ADDRESSES[1])?;
    let asked = end(near, "asks-far", Kind::Client)?;
    let served = end(far, "far", Kind::Server)?;
    for stop in &TOUR {
        let (asked, served) = (
            find(&asked, "asks-far", Kind::Client, stop)?,
            find(&served, "far", Kind::Server, stop)?,
        );
        ensure!(
            asked.trace_id != served.trace_id,
            "nothing passes between them that could join:\n{asked}\n{served}"
        );
        ensure!(served.parent.is_empty(), "a parent that nobody can know: {served}");
    }
    Ok(())
}

/// The spans of an agent, which are those of one side of the tour and nothing else.
fn end(agent: Agent, service: &str, kind: Kind) -> anyhow::Result<Spans> {
    let spans = finish(agent, &[(service, kind)])?;
    ensure!(spans.len() == TOUR.len(), "spans of another host:\n{spans}");
    Ok(spans)
}

fn serve(hosts: &Hosts, host: usize, service: &str, address: &str) -> anyhow::Result<Server> {
    let mut server = python::script("tour_server.py")?;
    server.args([address, &PORT.to_string()]);
    Server::on_port(service, PORT, &mut hosts.on(host, &server)?)
}

fn ask(hosts: &Hosts, host: usize, service: &str, address: &str) -> TestResult {
    let mut client = python::tour_client()?;
    client.args([address, &PORT.to_string()]).args(tour::arguments());
    let mut client = hosts.on(host, &client)?;
    let told = process::output(client.env("OTEL_SERVICE_NAME", service))?;
    ensure!(String::from_utf8(told)? == tour::lines(), "{service} was not told the truth");
    Ok(())
}
