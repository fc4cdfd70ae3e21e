//! Single calls: what the agent adds to each, on connections it traces, on those it ignores, and elsewhere.

use super::web::Background;
use super::{Compares, Load, Measure, Mode, Order, Sample, Sort, Speaks};
use crate::bench::Bench;
use crate::cpu;
use crate::roles::Role;
use crate::roles::calls::{EVERYTHING, FIRSTS};

pub(super) const CALLS: Mode = Mode {
    name: "calls",
    about: "calls of 256 B, 15 in a row: TCP on loopback, traced (HTTP) and ignored (not HTTP), and a descriptor that is no socket; and the first of a kind, 3 ms behind the ones before",
    unit: "call",
    speaks: Speaks::Some,
    compares: Compares::Agent,
    start: |bench| {
        let kinds = ["traced", "ignored", "null"];
        Ok(Box::new(Calls::start(bench, &kinds, Some(FIRSTS), &OF_CALLS, None)?))
    },
};

pub(super) const UNRELATED: Mode = Mode {
    name: "unrelated",
    about: "a process that speaks with nobody, while the agent traces nginx at 1,000 requests/s on the other CPU",
    unit: "call",
    speaks: Speaks::Some,
    compares: Compares::Agent,
    start: |bench| {
        let others = Background::start(bench)?;
        let kinds = ["getppid", "file", "pipe", "udp"];
        Ok(Box::new(Calls::start(bench, &kinds, None, &OF_UNRELATED, Some(others))?))
    },
};

const fn call(name: &'static str) -> Measure {
    Measure { name, sort: Sort::Call }
}

/// A call behind a pause. Too few of them to find what is planted in them.
const fn first(name: &'static str) -> Measure {
    Measure { name, sort: Sort::Wait }
}

const OF_CALLS: [Measure; 10] = [
    call("TCP write, traced"),
    call("TCP read, traced"),
    call("TCP write, ignored"),
    call("TCP read, ignored"),
    call("write, no socket"),
    first("first TCP write, traced"),
    first("first TCP read, traced"),
    first("first TCP write, ignored"),
    first("first TCP read, ignored"),
    first("first write, no socket"),
];

const OF_UNRELATED: [Measure; 7] = [
    call("getppid"),
    call("file write"),
    call("file read"),
    call("pipe write"),
    call("pipe read"),
    call("UDP send"),
    call("UDP receive"),
];

struct Calls {
    caller: Role,
    kinds: Vec<&'static str>,
    measures: &'static [Measure],
    others: Option<Background>,
}

impl Calls {
    fn start(
        bench: &Bench,
        kinds: &[&'static str],
        also: Option<&str>,
        measures: &'static [Measure],
        others: Option<Background>,
    ) -> anyhow::Result<Self> {
        let all = bench.is_shared.then_some(EVERYTHING);
        let words = kinds.iter().copied().chain(also).chain(all);
        let arguments: Vec<String> = words.map(str::to_owned).collect();
        let caller = cpu::on(bench.places.servers, || Role::start("calls", &arguments))?;
        Ok(Self { caller, kinds: kinds.to_vec(), measures, others })
    }
}

impl Load for Calls {
    fn measures(&self) -> &[Measure] {
        self.measures
    }

    fn parts(&self) -> &[&'static str] {
        &self.kinds
    }

    fn run(&mut self, order: &Order) -> anyhow::Result<Sample> {
        let part = order.part.unwrap_or("all");
        let words = format!("go {} {} {part}", order.time.as_millis(), order.planted);
        let caller = &mut self.caller;
        let mut measured = match &mut self.others {
            // Alone, the programs' runs are to be this part's alone.
            Some(others) if order.part.is_none() => {
                others.during(order.time, || caller.order(&words))?
            }
            _ => caller.order(&words)?,
        };
        let units = measured.remove(0);
        let alone = Some(measured.remove(0));
        Ok(Sample { units, values: measured, alone })
    }
}
