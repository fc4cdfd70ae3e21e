//! Loads that hardly speak: short-lived processes, idle connections, and nothing at all.

use std::time::Duration;

use super::{Compares, Load, Measure, Mode, Order, Sample, Sort, Speaks};
use crate::cpu;
use crate::roles::Role;

pub(super) const PROCESSES: Mode = Mode {
    name: "processes",
    about: "1,000 short-lived processes a minute",
    unit: "process",
    speaks: Speaks::Never,
    compares: Compares::Agent,
    start: |bench| {
        let spawner = cpu::on(bench.places.servers, || Role::start("spawn", &[]))?;
        Ok(Box::new(Processes { spawner }))
    },
};

pub(super) const IDLE_CONNECTIONS: Mode = Mode {
    name: "idle-connections",
    about: "5,000 connections with one exchange each, then idle; the time is that of opening one",
    unit: "connection",
    speaks: Speaks::Each(2.0),
    compares: Compares::Agent,
    start: |bench| {
        let holder = cpu::on(bench.places.servers, || Role::start("idle", &[]))?;
        Ok(Box::new(IdleConnections { holder }))
    },
};

pub(super) const IDLE: Mode = Mode {
    name: "idle",
    about: "nothing: what the agent uses when nobody speaks",
    unit: "second",
    speaks: Speaks::Never,
    compares: Compares::Agent,
    start: |_| Ok(Box::new(Nothing)),
};

/// Milliseconds between two processes: 1,000 a minute.
const BETWEEN: u64 = 60;

/// How many idle connections.
const CONNECTIONS: usize = 5000;

struct Processes {
    spawner: Role,
}

impl Load for Processes {
    fn measures(&self) -> &[Measure] {
        const OF: [Measure; 1] = [Measure { name: "start to end", sort: Sort::Wait }];
        &OF
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        let told = self.spawner.order(&format!("go {} {BETWEEN}", order.time.as_millis()))?;
        let [count, took] = told[..] else { anyhow::bail!("the spawner said {told:?}") };
        Ok(Sample { units: count, values: vec![took], alone: None })
    }
}

struct IdleConnections {
    holder: Role,
}

impl Load for IdleConnections {
    fn measures(&self) -> &[Measure] {
        const OF: [Measure; 1] = [Measure { name: "open, ask, answer", sort: Sort::Wait }];
        &OF
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        let took = self.holder.order(&format!("open {CONNECTIONS}"))?;
        pass(order.time);
        self.holder.order("close")?;
        Ok(Sample { units: CONNECTIONS as f64, values: took, alone: None })
    }
}

struct Nothing;

impl Load for Nothing {
    fn measures(&self) -> &[Measure] {
        &[]
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        pass(order.time);
        Ok(Sample { units: order.time.as_secs_f64(), values: Vec::new(), alone: None })
    }
}

/// Lets time pass: here it is what is measured.
fn pass(time: Duration) {
    std::thread::sleep(time);
}
