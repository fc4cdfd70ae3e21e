//! Contexts on the wire (D6.3): two hosts with an agent each, and one trace across both. What is between them may lose, reorder,
//! strip and mirror; a parent may be missing then, but is never wrong, and no application notices.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tests::agent::{Agent, Counters, Hooks, Setup};
use tests::namespace::{ADDRESSES, ADDRESSES_V6, Hosts};
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::process::Program;
use tests::programs::{Server, python};
use tests::runner::{Place, Suite};
use tests::vm;
use tests::wait::Deadline;

/// Where the services listen; the namespaces are fresh, so nobody else does.
const FRONT: u16 = 8080;
const BACK: u16 = 8081;
/// Where the hosts reach each other through a middlebox.
const BETWEEN: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

/// How somebody is asked: the client's word for it, connections, requests on each.
#[derive(Clone, Copy)]
struct Asks(&'static str, usize, usize);
const ONE: Asks = Asks("one", 1, 100);
const FEW: Asks = Asks("few", 16, 10);
const MANY: Asks = Asks("many", 64, 10);
const LARGE: Asks = Asks("large", 4, 10);
const PIPELINED: Asks = Asks("pipelined", 8, 12);
const OLDER: Asks = Asks("older", 16, 10);

pub(crate) fn add(suite: &mut Suite) {
    for &hooks in Hooks::each() {
        // An emulated CPU is interrupted in the middle of a probe often enough for one of thousands of calls to be passed over,
        // most often with these hooks: there it is a matter of chance.
        let place = if hooks == Hooks::Locked { Place::Here } else { hooks.place() };
        suite.at(
            place,
            format!("wire::one_trace_across_two_hosts[{}]", hooks.word()),
            60,
            move || across(hooks, ADDRESSES),
        );
    }
    let mut here = |what: &str, body: fn() -> TestResult| {
        suite.at(Place::Here, format!("wire::{what}"), 60, body);
    };
    here("one_trace_across_two_hosts_ipv6", || across(Hooks::Auto, ADDRESSES_V6));
    here("large_bodies_are_cut_and_their_context_is_not", large);
    here("pipelined_requests_have_their_own_or_none", pipelined);
    here("segments_are_lost", lossy);
    here("segments_overtake_each_other", reordered);
    here("options_are_stripped", stripped);
    here("options_are_swallowed", swallowed);
    here("options_are_mirrored", mirrored);
    here("nobody_answers", nobody_answers);
    here("listeners_older_than_the_agents", older_listener);
    here("connections_older_than_the_agents", older_connections);
    here("beside_tls_nothing_goes_and_nothing_breaks", beside_tls);
    here("a_sampler_that_changes_decides_for_both_hosts", sampler_changes);
}

/// A client and a front on the one host, its back on the other.
fn across(hooks: Hooks, addresses: [&str; 2]) -> TestResult {
    let hosts = Hosts::start()?;
    let agents = Agents::start(&hosts, hooks, "all")?;
    let cannot = agents.cannot_tell_namespaces();
    let _services = services(&hosts, addresses)?;
    let asked = if vm::hooks().is_some() { &[ONE][..] } else { &[ONE, FEW, MANY][..] };
    for asks in asked {
        ask(&hosts, *asks, addresses[0], FRONT)?;
    }
    let told = agents.finish(asked)?;
    let score = told.score(asked, true)?;
    if cannot {
        ensure!(score.absent == total(asked), "{score:?}");
        return Ok(());
    }
    // The very first request comes before it is known that anybody wants its context. Where contexts are made as segments
    // are, that of a request to a front on the same host races with its reader, who may win on a busy machine.
    let late = if hooks == Hooks::Length { total(asked) / 2 } else { 0 };
    ensure!(score.wrong == 0 && score.absent <= 1 + late, "{score:?}");
    let [near, far] = &told.counters[..] else { anyhow::bail!("two agents") };
    ensure!(near.value("trace.wire_contexts_contradicted")? == 0);
    ensure!(far.value("kernel.wire_read")? as usize >= score.exact);
    Ok(())
}

/// Requests longer than a segment, and than what the network card is given at once.
fn large() -> TestResult {
    let score = directly(ADDRESSES, "all", &[LARGE], |_| Ok(()))?.score(&[LARGE], false)?;
    ensure!(score.wrong == 0 && score.absent == 0, "{score:?}");
    Ok(())
}

/// A segment has room for one context.
fn pipelined() -> TestResult {
    let score = directly(ADDRESSES, "all", &[PIPELINED], |_| Ok(()))?.score(&[PIPELINED], false)?;
    ensure!(score.wrong == 0 && score.exact >= PIPELINED.1, "{score:?}");
    Ok(())
}

/// One of twenty, both ways. A SYN that is sent again asks no more: its connection has no parents, so that first they are
/// spared, and then only what is wrong counts.
fn lossy() -> TestResult {
    let asked = [ONE, FEW, LARGE];
    let with = |spared: &[&str]| {
        directly(ADDRESSES, "all", &asked, |hosts| {
            for host in [0, 1] {
                #[rustfmt::skip]
                let rule = ["INPUT", "-i", "cable", "-m", "statistic", "--mode", "random", "--probability", "0.05", "-j", "DROP"];
                hosts.run(
                    host,
                    "iptables",
                    &[&["-w", "-A"], &rule[..3], spared, &rule[3..]].concat(),
                )?;
            }
            Ok(())
        })
    };
    let score = with(&["-p", "tcp", "--tcp-flags", "SYN", "NONE"])?.score(&asked, false)?;
    // Where SACK blocks had taken the room.
    ensure!(score.wrong == 0 && score.exact * 100 >= total(&asked) * 90, "{score:?}");
    let score = with(&[])?.score(&asked, false)?;
    ensure!(score.wrong == 0 && score.exact > 0, "{score:?}");
    Ok(())
}

/// Through a middlebox that lets packets be passed by later ones.
fn reordered() -> TestResult {
    let asked = [ONE, FEW, LARGE];
    let told = through("reorder", &asked, 2)?;
    let score = told.score(&asked, false)?;
    ensure!(score.wrong == 0 && score.exact * 100 >= total(&asked) * 90, "{score:?}");
    Ok(())
}

/// A firewall that takes out what it does not know: nobody is found, and nothing is sent.
fn stripped() -> TestResult {
    let told = directly(ADDRESSES, "all", &[FEW], |hosts| {
        #[rustfmt::skip]
        let rule = ["PREROUTING", "-p", "tcp", "-j", "TCPOPTSTRIP", "--strip-options", "253"];
        hosts.run(1, "iptables", &[&["-w", "-t", "mangle", "-A"], rule.as_slice()].concat())
    })?;
    let score = told.score(&[FEW], false)?;
    ensure!(score.absent == total(&[FEW]), "{score:?}");
    let near = &told.counters[0];
    ensure!(near.value("kernel.wire_offered")? > 0 && near.value("kernel.wire_sent")? == 0);
    Ok(())
}

/// One that drops such packets: connections are made at the second try, and soon at the first again.
fn swallowed() -> TestResult {
    const QUICK: Duration = Duration::from_millis(900);
    let hosts = Hosts::start()?;
    hosts.run(
        1,
        "iptables",
        &["-w", "-A", "INPUT", "-p", "tcp", "--tcp-option", "253", "-j", "DROP"],
    )?;
    let agents = Agents::start(&hosts, Hooks::Auto, "all")?;
    let _back = serve(&hosts, 1, ADDRESSES[1], BACK, None)?;
    ask(&hosts, FEW, ADDRESSES[1], BACK)?;
    let before = tests::wait::now();
    ask(&hosts, ONE, ADDRESSES[1], BACK)?;
    // Of a repeated SYN alone there is a second.
    ensure!(before.elapsed() < QUICK, "it still asks, {:?}", before.elapsed());
    let told = agents.finish(&[FEW, ONE])?;
    let score = told.score(&[FEW, ONE], false)?;
    ensure!(score.absent == total(&[FEW, ONE]), "{score:?}");
    let near = &told.counters[0];
    ensure!(near.value("kernel.wire_retried")? >= 2 && near.value("kernel.wire_silenced")? >= 1);
    Ok(())
}

/// One that sends back what it does not know is no agent.
fn mirrored() -> TestResult {
    let told = through("mirror", &[FEW], 1)?;
    let near = &told.counters[0];
    ensure!(near.value("kernel.wire_mirrored")? == FEW.1 as u64, "nothing was mirrored");
    ensure!(near.value("kernel.wire_answered")? == 0 && near.value("kernel.wire_sent")? == 0);
    Ok(())
}

/// Where there is no agent nothing is sent but the question; and to public addresses not even that, unless told so.
fn nobody_answers() -> TestResult {
    for (reach, offered) in [("all", FEW.1 as u64), ("private", 0), ("off", 0)] {
        let hosts = Hosts::start()?;
        let agents = Agents::some(&hosts, Hooks::Auto, reach, 1)?;
        let _back = serve(&hosts, 1, ADDRESSES[1], BACK, None)?;
        ask(&hosts, FEW, ADDRESSES[1], BACK)?;
        let told = agents.finish(&[FEW])?;
        let near = &told.counters[0];
        ensure!(near.value("kernel.wire_offered")? == offered, "{reach}");
        ensure!(near.value("kernel.wire_answered")? == 0 && near.value("kernel.wire_sent")? == 0);
    }
    Ok(())
}

/// A server that listened before there were agents answers all the same, where the kernel can have it so.
fn older_listener() -> TestResult {
    let hosts = Hosts::start()?;
    let _back = serve(&hosts, 1, ADDRESSES[1], BACK, None)?;
    let agents = Agents::start(&hosts, Hooks::Auto, "all")?;
    ask(&hosts, FEW, ADDRESSES[1], BACK)?;
    let score = agents.finish(&[FEW])?.score(&[FEW], false)?;
    ensure!(score.wrong == 0 && score.absent == 0, "{score:?}");
    Ok(())
}

/// Connections that were made before have no parent across, and nothing is said on them.
fn older_connections() -> TestResult {
    let hosts = Hosts::start()?;
    let _back = serve(&hosts, 1, ADDRESSES[1], BACK, None)?;
    let mut client = start(&hosts, OLDER, ADDRESSES[1], BACK)?;
    client.wait_line("connected", Deadline::seconds(20))?;
    let agents = Agents::start(&hosts, Hooks::Auto, "all")?;
    client.signal(Signal::USR1)?;
    client.wait_line("answers", Deadline::seconds(20))?;
    let told = agents.finish(&[OLDER])?;
    let score = told.score(&[OLDER], false)?;
    ensure!(score.absent == total(&[OLDER]), "{score:?}");
    ensure!(told.counters[0].value("kernel.wire_sent")? == 0);
    Ok(())
}

/// Connections under TLS are agreed on like any other, and what is said on them arrives; where a request begins there nobody can tell who
/// does not read it, so no context goes.
fn beside_tls() -> TestResult {
    const CONNECTIONS: usize = 6;
    const REQUESTS: usize = 20;
    let hosts = Hosts::start()?;
    let script = |what: &str| {
        let mut script = python::script("encrypted.py")?;
        script.args([what, ADDRESSES[1], &BACK.to_string()]);
        anyhow::Ok(script)
    };
    let mut asks = script("ask")?;
    asks.args([CONNECTIONS.to_string(), REQUESTS.to_string()]);
    let ask = || {
        let mut client = Program::start("client", &mut hosts.on(0, &asks)?)?;
        let told = client.wait_line("answers", Deadline::seconds(30))?;
        ensure!(client.wait_end(Deadline::seconds(5))?.success());
        anyhow::Ok(told)
    };
    let wanted = format!("answers {}", CONNECTIONS * REQUESTS);
    let agents = Agents::start(&hosts, Hooks::Auto, "all")?;
    let _server = Server::on_port("server", BACK, &mut hosts.on(1, &script("serve")?)?)?;
    ensure!(ask()? == wanted, "other answers than that");
    let mut answered = 0;
    for agent in agents.0 {
        let stopped = agent.stop()?;
        stopped.counters.nothing_lost()?;
        let count = |name: &str| stopped.counters.value(&format!("kernel.wire_{name}"));
        answered += count("answered")?;
        ensure!(count("sent")? == 0 && count("received")? == 0, "something went by the wire");
        ensure!(stopped.spans.0.is_empty(), "spans of what nobody reads:\n{}", stopped.spans);
    }
    ensure!(answered >= CONNECTIONS as u64, "{answered} connections were agreed on");
    ensure!(ask()? == wanted, "other answers without agents");
    Ok(())
}

/// What the near agent's sampler says goes with the context, and the far one abides by it; from SIGHUP on by the new one.
fn sampler_changes() -> TestResult {
    let hosts = Hosts::start()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("spanwire.yaml");
    let sampler = |name| fs::write(&file, format!("sampling: {{sampler: {name}}}\n"));
    sampler("always_on")?;
    let mut near = agent(&hosts, 0, Hooks::Auto, "all")
        .argument("--config")
        .argument(file.display().to_string())
        .start()?;
    let far = agent(&hosts, 1, Hooks::Auto, "all").start()?;
    let _back = serve(&hosts, 1, ADDRESSES[1], BACK, None)?;
    ask(&hosts, ONE, ADDRESSES[1], BACK)?;
    sampler("always_off")?;
    near.signal(Signal::HUP)?;
    near.wait_line("the configuration was read again", Deadline::seconds(5))?;
    ask(&hosts, FEW, ADDRESSES[1], BACK)?;
    for (agent, service, kind) in [(near, "client", Kind::Client), (far, "back", Kind::Server)] {
        let stopped = agent.stop()?;
        stopped.counters.nothing_lost()?;
        let spans = stopped.spans.of(service, kind);
        let asked = |how| {
            let is_of = |span: &Span| {
                [span.text("url.full"), span.text("url.path")].iter().any(|url| url.contains(how))
            };
            spans.only(is_of).len()
        };
        // The very first went before it was known that anybody wants its context: it is as the sampler is when it is told.
        let (before, after) = (asked("/one/"), asked("/few/"));
        ensure!(before + 1 >= total(&[ONE]), "{service}: {before} before");
        ensure!(after == 0, "{service}: {after} after");
        let left = stopped.counters.value("trace.spans_not_sampled")? as usize;
        ensure!(left + before == total(&[ONE, FEW]), "{service}: {left} were not sampled");
    }
    Ok(())
}

/// A client on the one host asks a server on the other, after something was put between them.
fn directly(
    addresses: [&str; 2],
    reach: &str,
    asked: &[Asks],
    between: impl Fn(&Hosts) -> TestResult,
) -> anyhow::Result<Told> {
    let hosts = Hosts::start()?;
    between(&hosts)?;
    let agents = Agents::start(&hosts, Hooks::Auto, reach)?;
    let _back = serve(&hosts, 1, addresses[1], BACK, None)?;
    for asks in asked {
        ask(&hosts, *asks, addresses[1], BACK)?;
    }
    agents.finish(asked)
}

/// The same through a middlebox of our own, on private addresses, as it comes.
fn through(how: &str, asked: &[Asks], agents: usize) -> anyhow::Result<Told> {
    let hosts = Hosts::start()?;
    let mut middlebox = python::script("between.py")?;
    for (host, address) in BETWEEN.iter().enumerate() {
        middlebox.arg(hosts.file(host)).arg(address);
    }
    let mut middlebox = Program::start("between", middlebox.arg(how))?;
    middlebox.wait_line("between", Deadline::seconds(10))?;
    let agents = Agents::some(&hosts, Hooks::Auto, "private", agents)?;
    let _back = serve(&hosts, 1, BETWEEN[1], BACK, None)?;
    for asks in asked {
        ask(&hosts, *asks, BETWEEN[1], BACK)?;
    }
    agents.finish(asked)
}

/// An agent of one of the hosts.
fn agent(hosts: &Hosts, host: usize, hooks: Hooks, reach: &str) -> Setup {
    Setup::default()
        .hooks(hooks)
        .argument("--netns")
        .argument(hosts.file(host).display().to_string())
        .environment("SPANWIRE_TCP_OPTION", reach)
}

/// An agent on each host, that sees nothing of the other.
struct Agents(Vec<Agent>);

impl Agents {
    fn start(hosts: &Hosts, hooks: Hooks, reach: &str) -> anyhow::Result<Self> {
        Self::some(hosts, hooks, reach, 2)
    }

    /// On so many hosts.
    fn some(hosts: &Hosts, hooks: Hooks, reach: &str, count: usize) -> anyhow::Result<Self> {
        let start = |host| agent(hosts, host, hooks, reach).start();
        Ok(Self((0..count).map(start).collect::<anyhow::Result<_>>()?))
    }

    /// Before 5.15 the programs at sockets do not know in which namespace they are: an agent that looks at one of them only
    /// says so, and has nothing on the wire.
    fn cannot_tell_namespaces(&self) -> bool {
        let says = |line: &String| line.contains("off, this kernel has no names of namespaces");
        self.0.iter().all(|agent| agent.lines().iter().any(says))
    }

    fn finish(self, asked: &[Asks]) -> anyhow::Result<Told> {
        let each = total(asked);
        let mut told = Told { spans: Spans(Vec::new()), counters: Vec::new() };
        for (host, agent) in self.0.into_iter().enumerate() {
            let (service, kind) = [("client", Kind::Client), ("back", Kind::Server)][host];
            agent.wait("the spans of all requests", |spans| {
                let here = spans.of(service, kind).len();
                let front = spans.of("front", Kind::Client).len();
                here >= each && (front == 0 || front >= each)
            })?;
            let stopped = agent.stop()?;
            stopped.counters.nothing_lost()?;
            told.spans.0.extend(stopped.spans.0);
            told.counters.push(stopped.counters);
        }
        Ok(told)
    }
}

/// What the agents told.
struct Told {
    spans: Spans,
    counters: Vec<Counters>,
}

/// How many of the back's spans have their parent.
#[derive(Debug, Default)]
struct Score {
    exact: usize,
    absent: usize,
    wrong: usize,
}

impl Told {
    /// With a front between the client and the back, or without.
    fn score(&self, asked: &[Asks], front: bool) -> anyhow::Result<Score> {
        let mut score = Score::default();
        for Asks(how, connections, requests) in asked {
            for connection in 0..*connections {
                for request in 0..*requests {
                    let path = format!("/{how}/{connection}/{request}");
                    self.add(&self.spans.at(&path), front, &mut score)?;
                }
            }
        }
        println!("{score:?}");
        Ok(score)
    }

    fn add(&self, of_this: &Spans, front: bool, score: &mut Score) -> TestResult {
        let one = |service: &str, kind| -> anyhow::Result<Span> {
            let span = of_this.of(service, kind).single().cloned();
            span.with_context(|| format!("{service}:\n{of_this}"))
        };
        let client = one("client", Kind::Client)?;
        let mut asks = client.clone();
        if front {
            let served = one("front", Kind::Server)?;
            asks = one("front", Kind::Client)?;
            ensure!(served.parent == client.span_id, "on one host:\n{of_this}");
            ensure!(asks.parent == served.span_id, "by its thread:\n{of_this}");
        }
        let back = one("back", Kind::Server)?;
        if back.parent.is_empty() {
            score.absent += 1;
        } else if back.parent == asks.span_id && back.trace_id == client.trace_id {
            ensure!(back.text("spanwire.link.rule") == "tcp-option", "{back}");
            score.exact += 1;
        } else {
            println!("wrong:\n{of_this}");
            score.wrong += 1;
        }
        Ok(())
    }
}

fn total(asked: &[Asks]) -> usize {
    asked.iter().map(|Asks(_, connections, requests)| connections * requests).sum()
}

fn services(hosts: &Hosts, addresses: [&str; 2]) -> anyhow::Result<[Server; 2]> {
    let back = serve(hosts, 1, addresses[1], BACK, None)?;
    Ok([serve(hosts, 0, addresses[0], FRONT, Some(addresses[1]))?, back])
}

/// The back, or a front that asks it there.
fn serve(
    hosts: &Hosts,
    host: usize,
    address: &str,
    port: u16,
    next: Option<&str>,
) -> anyhow::Result<Server> {
    let mut service = python::script("relay.py")?;
    service.args([address, &port.to_string()]);
    if let Some(next) = next {
        service.args([next, &BACK.to_string()]);
    }
    let name = if next.is_some() { "front" } else { "back" };
    Server::on_port(name, port, &mut hosts.on(host, &service)?)
}

fn ask(hosts: &Hosts, asks: Asks, at: &str, port: u16) -> TestResult {
    let mut client = start(hosts, asks, at, port)?;
    let told = client.wait_line("answers", Deadline::seconds(30))?;
    ensure!(told == format!("answers {}", total(&[asks])), "{told}");
    client.wait_end(Deadline::after(Duration::from_secs(5)))?;
    Ok(())
}

fn start(hosts: &Hosts, Asks(how, ..): Asks, at: &str, port: u16) -> anyhow::Result<Program> {
    let mut client = python::script("asks.py")?;
    client.args([how, at, &port.to_string(), how]);
    let mut client = hosts.on(0, &client)?;
    Program::start("client", client.env("OTEL_SERVICE_NAME", "client"))
}
