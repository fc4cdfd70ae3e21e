//! A case from beginning to end: its services, an agent, the load, the scores.
//!
//! The services stay while agents come and go, so that each number of clients is scored with an agent of its own.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use super::cases::Case;
use super::graph::{CALL, Graph, PING};
use super::load::Load;
use super::score::{Scores, Stored, Truth, path, score};
use super::services::{Place, Started};
use crate::agent::{Agent, Counters, Setup};
use crate::namespace::Hosts;
use crate::otlp::{Kind, Spans};
use crate::peer::Target;
use crate::wait::{self, Deadline};

/// How long no span of a call may arrive until waiting is over. What has not arrived by the agent's end is missing.
const QUIET: Duration = Duration::from_secs(4);

/// The running services of a case.
pub struct Stage {
    services: Vec<Started>,
    graph: Graph,
    /// The hosts on which they stand in turn, the first one's on the first; `None`: all are here.
    hosts: Option<Hosts>,
    /// Services are pinged while requests are under way.
    pings: bool,
    /// The number of the next request: no two have one.
    next: AtomicUsize,
}

/// What a run gave.
pub struct Outcome {
    /// The scores.
    pub scores: Scores,
    /// What each agent counted.
    pub counters: Vec<Counters>,
}

impl Stage {
    /// Starts a case's services, the last level first.
    ///
    /// # Errors
    /// When a program is missing (a skip), or does not come up.
    pub fn set(case: &Case, fan_out: usize) -> anyhow::Result<Self> {
        Self::set_on(None, case, fan_out)
    }

    fn set_on(hosts: Option<Hosts>, case: &Case, fan_out: usize) -> anyhow::Result<Self> {
        let mut services: Vec<Started> = Vec::new();
        for (level, runtime) in case.levels.iter().enumerate().rev() {
            let calls = if runtime.proxies { 1 } else { fan_out };
            let next = services.last().map_or(Vec::new(), |it| vec![it.server.port(); calls]);
            let host = hosts.as_ref().map(|hosts| (hosts, level % 2));
            let place = Place { service: &case.service(level), next: &next, host };
            let service = runtime.start(&place);
            services.push(service.with_context(|| format!("{} at level {level}", runtime.name))?);
        }
        services.reverse();
        let names: Vec<String> = services.iter().map(|it| it.server.service.clone()).collect();
        let graph = case.graph(&client(), &names, fan_out);
        Ok(Self { services, graph, hosts, pings: true, next: AtomicUsize::new(0) })
    }

    /// Without pings: a loop that serves one request at a time is then never seen to serve two.
    #[must_use]
    pub fn quiet(self) -> Self {
        Self { pings: false, ..self }
    }

    /// Scores an agent over so many requests from so many clients.
    ///
    /// # Errors
    /// When the agent does not start or stop well, or an answer is not the right one.
    pub fn run(&self, setup: Setup, requests: usize, clients: usize) -> anyhow::Result<Outcome> {
        self.score(vec![self.watched(setup)?], requests, clients)
    }

    /// The same with an agent that is held still from the first third of the requests to the second: what does not fit into its rings is
    /// lost.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_held_still(
        &self,
        setup: Setup,
        requests: usize,
        clients: usize,
    ) -> anyhow::Result<Outcome> {
        let agent = self.watched(setup)?;
        let load = self.load(clients);
        let before = load.begun();
        load.end_after(requests);
        let come_to = |third: usize| {
            let enough = || (load.begun().0 >= load.start + third * requests / 3).then_some(());
            wait::until("the load to go on", Deadline::seconds(60), enough)
        };
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| load.send());
            come_to(1)?;
            agent.signal(Signal::STOP)?;
            let held = come_to(2);
            agent.signal(Signal::CONT)?;
            held?;
            sent.join().expect("the load does not panic")
        })?;
        let truth = self.truth(&load, &before);
        Outcome::of(vec![agent], &truth)
    }

    /// An agent that knows of the services what it wants to know.
    fn watched(&self, setup: Setup) -> anyhow::Result<Agent> {
        // So many requests would have the probes of pools taken out again, and what is asked here is whether they tell the truth.
        let setup = setup.environment("SPANWIRE_RULES_UNLIMITED", "python-pool");
        let channels = self.services.iter().any(|service| service.channels);
        let on = if channels { "go-channel" } else { "" };
        let setup = setup.environment("SPANWIRE_RULES_ON", on);
        let mut agent = setup.environment("OTEL_LOG_LEVEL", "debug").start()?;
        // Whose runtime tells what, it finds out within its first moments, one program after the other.
        for service in &self.services {
            let Some(runtime) = service.tells else { continue };
            let line = format!("process {} runs {runtime}", service.server.program.pid());
            agent.wait_line(&line, Deadline::seconds(20))?;
        }
        for service in self.services.iter().filter(|service| service.channels) {
            let line = format!("process {}: go_received is in", service.server.program.pid());
            agent.wait_line(&line, Deadline::seconds(20))?;
        }
        self.wait_for_streams(&mut agent)?;
        // Pools that call are watched from the first call of a timer's thread on.
        let calls = self.services.len().saturating_sub(1);
        for service in self.services[..calls].iter().filter(|it| it.tells == Some("Python")) {
            let line = format!("process {}: python_got is in", service.server.program.pid());
            agent.wait_line(&line, Deadline::seconds(20))?;
        }
        Ok(agent)
    }

    /// Waits until who opens a stream of HTTP/2 and who serves one is told, of the services that speak it, if the agent wants to know.
    /// What it waits for is that they do: their timers ask each other.
    fn wait_for_streams(&self, agent: &mut Agent) -> anyhow::Result<()> {
        for (level, service) in self.services.iter().enumerate() {
            let Some(streams) = service.streams else { continue };
            let [opens, serves] = streams.probes();
            let pid = service.server.program.pid();
            let is_told_of = |line: &String| line.contains(&format!("process {pid}: {opens}"));
            if !agent.lines().iter().any(is_told_of) {
                continue;
            }
            let calls = (level + 1 < self.services.len()).then_some(opens);
            let serves = (level > 0).then_some(serves);
            for probe in calls.into_iter().chain(serves) {
                agent.wait_line(&format!("process {pid}: {probe} is in"), Deadline::seconds(20))?;
            }
        }
        Ok(())
    }

    /// Scores an agent that is there before a case's services.
    ///
    /// # Errors
    /// As [`Self::set`] and [`Self::run`].
    pub fn run_from_the_beginning(
        case: &Case,
        fan_out: usize,
        setup: Setup,
        requests: usize,
        clients: usize,
    ) -> anyhow::Result<Outcome> {
        let mut agent = setup.environment("OTEL_LOG_LEVEL", "debug").start()?;
        let stage = Self::set(case, fan_out)?;
        stage.wait_for_streams(&mut agent)?;
        stage.score(vec![agent], requests, clients)
    }

    /// Scores two agents, which see nothing of each other, over a case on two hosts. They are there before its services: a
    /// connection that is older than they are has no parents across.
    ///
    /// # Errors
    /// As [`Self::set`] and [`Self::run`].
    pub fn run_across(
        case: &Case,
        fan_out: usize,
        setup: &Setup,
        requests: usize,
        clients: usize,
    ) -> anyhow::Result<Outcome> {
        let hosts = Hosts::start()?;
        let on = |host| {
            let file = hosts.file(host).display().to_string();
            let setup = setup.clone().argument("--netns").argument(file);
            setup.environment("SPANWIRE_TCP_OPTION", "all").start()
        };
        let agents = (0..2).map(on).collect::<anyhow::Result<_>>()?;
        Self::set_on(Some(hosts), case, fan_out)?.score(agents, requests, clients)
    }

    fn score(
        &self,
        agents: Vec<Agent>,
        requests: usize,
        clients: usize,
    ) -> anyhow::Result<Outcome> {
        let load = self.load(clients);
        let before = load.begun();
        load.end_after(requests);
        load.send()?;
        let truth = self.truth(&load, &before);
        Outcome::of(agents, &truth)
    }

    /// The same with an agent that is started in the middle of the load: so many requests follow.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_late(
        &self,
        setup: Setup,
        requests: usize,
        clients: usize,
    ) -> anyhow::Result<Outcome> {
        let load = self.load(clients);
        let (agent, before) = std::thread::scope(|scope| {
            let sent = scope.spawn(|| load.send());
            let agent = setup.start();
            let before = load.begun();
            load.end_after(requests);
            sent.join().expect("the load does not panic")?;
            anyhow::Ok((agent?, before))
        })?;
        let truth = self.truth(&load, &before);
        Outcome::of(vec![agent], &truth)
    }

    /// A load without an end.
    fn load(&self, clients: usize) -> Load<'_> {
        let pinged: Vec<(&str, &Target)> =
            self.services.iter().map(|it| (&*it.server.service, &it.server.target)).collect();
        let first = self.next.load(Ordering::Relaxed);
        Load::new(first, clients, pinged, self.pings).on(self.hosts.as_ref())
    }

    /// What is true of a load that was sent. What was begun `before` is early.
    fn truth(&self, load: &Load<'_>, before: &(usize, Vec<usize>)) -> Truth {
        let (end, pinged) = load.begun();
        self.next.store(end, Ordering::Relaxed);
        let pings = |numbers: Vec<Range<usize>>| {
            let all = numbers.into_iter().enumerate();
            let all = all.flat_map(|(at, numbers)| numbers.map(move |number| (at, number)));
            all.map(|(at, number)| self.graph.ping(at, number)).collect::<Vec<_>>()
        };
        let requests = |numbers: Range<usize>| numbers.map(|number| self.graph.tree(number));
        let mut early = pings(before.1.iter().map(|&first| 0..first).collect());
        early.extend(requests(load.start..before.0));
        Truth {
            requests: requests(before.0..end).collect(),
            pings: pings(before.1.iter().zip(pinged).map(|(&first, end)| first..end).collect()),
            early,
        }
    }
}

impl Outcome {
    fn of(agents: Vec<Agent>, truth: &Truth) -> anyhow::Result<Self> {
        let (spans, counters) = collect(agents, truth)?;
        let stored: Vec<Stored> = spans.0.iter().map(Stored::from).collect();
        Ok(Self { scores: score(truth, &stored), counters })
    }
}

/// `service.name` of this process.
fn client() -> String {
    std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "truth".to_owned())
}

/// Waits for the spans of all ends that were sent, or until waiting is of no use any more, and ends the agents.
fn collect(agents: Vec<Agent>, truth: &Truth) -> anyhow::Result<(Spans, Vec<Counters>)> {
    let of = |kind: Kind| {
        let trees = truth.requests.iter().chain(&truth.pings).flatten();
        trees.filter(|node| node.end.kind == kind).count()
    };
    let wanted = of(Kind::Client) + of(Kind::Server);
    let ours = |spans: &Spans| {
        let is_ours = |path: &str| path.starts_with(CALL) || path.starts_with(PING);
        spans.0.iter().filter(|span| is_ours(&path(span))).count()
    };
    let all = || agents.iter().map(|agent| Ok(ours(&agent.receiver().spans()?))).sum();
    let requests = || agents.iter().map(|agent| agent.receiver().requests()).sum::<usize>();
    let (mut arrived, mut quiet) = (0, Deadline::after(QUIET));
    loop {
        let before = requests();
        let now: anyhow::Result<usize> = all();
        let now = now?;
        if now >= wanted {
            break;
        }
        if now > arrived {
            (arrived, quiet) = (now, Deadline::after(QUIET));
        }
        // What services do by their own clocks goes on: it is no reason to wait.
        let more = || (requests() > before).then_some(());
        if quiet.is_past() || wait::until("more spans", quiet, more).is_err() {
            println!("only {arrived} of {wanted} spans arrived");
            break;
        }
    }
    let (mut spans, mut counters) = (Spans(Vec::new()), Vec::new());
    for agent in agents {
        let stopped = agent.stop()?;
        spans.0.extend(stopped.spans.0);
        counters.push(stopped.counters);
    }
    Ok((spans, counters))
}
