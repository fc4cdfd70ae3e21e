//! A case from beginning to end: its services, an agent, the load, the scores.
//!
//! The services stay while agents come and go, so that each number of clients is scored with an agent of its own.

use std::time::Duration;

use anyhow::Context as _;

use super::cases::Case;
use super::graph::Graph;
use super::load;
use super::score::{Scores, Stored, Truth, score};
use super::services::Place;
use crate::agent::{Agent, Counters, Setup};
use crate::otlp::{Kind, Spans};
use crate::peer::Target;
use crate::programs::Server;

/// How long spans may take from the last answer on. What has not arrived by then is missing.
const ARRIVAL: Duration = Duration::from_secs(15);

/// The running services of a case.
pub struct Stage {
    servers: Vec<Server>,
    graph: Graph,
    /// The number of the next request: no two have one.
    next: usize,
}

/// What a run gave.
pub struct Outcome {
    /// The scores.
    pub scores: Scores,
    /// What the agent counted.
    pub counters: Counters,
}

impl Stage {
    /// Starts a case's services, the last level first.
    ///
    /// # Errors
    /// When a program is missing (a skip), or does not come up.
    pub fn set(case: &Case, fan_out: usize) -> anyhow::Result<Self> {
        let mut servers: Vec<Server> = Vec::new();
        for (level, runtime) in case.levels.iter().enumerate().rev() {
            let calls = if runtime.proxies { 1 } else { fan_out };
            let next = servers.last().map_or(Vec::new(), |server| vec![server.port(); calls]);
            let place = Place { service: &case.service(level), next: &next };
            let server = runtime.start(&place);
            servers.push(server.with_context(|| format!("{} at level {level}", runtime.name))?);
        }
        servers.reverse();
        let names: Vec<String> = servers.iter().map(|server| server.service.clone()).collect();
        let graph = case.graph(&client(), &names, fan_out);
        Ok(Self { servers, graph, next: 0 })
    }

    /// Scores an agent over so many requests from so many clients.
    ///
    /// # Errors
    /// When the agent does not start or stop well, or an answer is not the right one.
    pub fn run(&mut self, requests: usize, clients: usize) -> anyhow::Result<Outcome> {
        let agent = Setup::default().start()?;
        let truth = self.load(requests, clients)?;
        let (spans, counters) = collect(agent, &truth)?;
        let stored: Vec<Stored> = spans.0.iter().map(Stored::from).collect();
        Ok(Outcome { scores: score(&truth, &stored), counters })
    }

    /// Sends so many requests from so many clients, and gives what is true of them.
    ///
    /// # Errors
    /// When an answer is not the right one.
    pub fn load(&mut self, requests: usize, clients: usize) -> anyhow::Result<Truth> {
        let numbers = self.next..self.next + requests;
        self.next = numbers.end;
        let pinged: Vec<(&str, &Target)> =
            self.servers.iter().map(|server| (&*server.service, &server.target)).collect();
        let pings = load::send(&self.servers[0].target, numbers.clone(), clients, &pinged)?;
        let pings = pings.iter().enumerate();
        Ok(Truth {
            requests: numbers.map(|number| self.graph.tree(number)).collect(),
            pings: pings
                .flat_map(|(at, &sent)| (0..sent).map(move |number| (at, number)))
                .map(|(at, number)| self.graph.ping(at, number))
                .collect(),
        })
    }
}

/// `service.name` of this process.
fn client() -> String {
    std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "truth".to_owned())
}

/// Waits for the spans of all ends that were sent, or until waiting is of no use any more, and ends the agent.
fn collect(agent: Agent, truth: &Truth) -> anyhow::Result<(Spans, Counters)> {
    let of = |kind: Kind| {
        let trees = truth.requests.iter().chain(&truth.pings).flatten();
        trees.filter(|node| node.end.kind == kind).count()
    };
    let wanted = of(Kind::Client) + of(Kind::Server);
    let arrived = agent.receiver().wait("all spans", ARRIVAL, |spans| {
        let ours = |path: &str| {
            path.starts_with(super::graph::CALL) || path.starts_with(super::graph::PING)
        };
        spans.len() >= wanted && spans.0.iter().filter(|span| ours(span.path())).count() >= wanted
    });
    if arrived.is_err() {
        println!("not all spans arrived");
    }
    let stopped = agent.stop()?;
    Ok((stopped.spans, stopped.counters))
}
