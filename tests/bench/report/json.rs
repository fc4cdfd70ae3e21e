//! The same figures for programs.

use serde_json::{Map, Value, json};

use crate::bench::{Outcome, Plan};
use crate::machine::Machine;
use crate::statistics::Spread;
use crate::targets::judge;
use crate::watched::Use;

/// Everything that was measured; times in ns, memory in MB.
pub(crate) fn json(machine: &Machine, plan: Plan, outcomes: &[Outcome]) -> Value {
    let modes: Map<String, Value> =
        outcomes.iter().map(|outcome| (outcome.mode.name.to_owned(), mode(outcome))).collect();
    let targets: Vec<Value> = judge(outcomes)
        .into_iter()
        .map(|verdict| json!({ "target": verdict.target, "found": verdict.found, "end": verdict.end.word() }))
        .collect();
    json!({
        "machine": machine.lines(),
        "rounds": plan.rounds,
        "seconds": plan.time.as_secs_f64(),
        "modes": modes,
        "targets": targets,
    })
}

fn mode(outcome: &Outcome) -> Value {
    let measures: Map<String, Value> = outcome
        .compared
        .iter()
        .map(|(measure, compared)| {
            let value = json!({
                "without": spread(&compared.without),
                "with": spread(&compared.with),
                "ratio": spread(&compared.ratio),
                "same_ratio": spread(&compared.same_ratio),
                "added": spread(&compared.added),
                "same_added": spread(&compared.same_added),
                "planted_found": compared.planted.as_ref().map(spread),
                "found_from": compared.least,
            });
            (measure.name.to_owned(), value)
        })
        .collect();
    let programs: Vec<Value> = outcome
        .programs
        .iter()
        .map(|programs| {
            let runs: Map<String, Value> = programs
                .runs
                .iter()
                .map(|(name, runs)| {
                    let of =
                        json!({ "count": runs.count, "nanos": runs.nanos, "missed": runs.missed });
                    (name.clone(), of)
                })
                .collect();
            json!({
                "without_rules": programs.without_rules,
                "part": programs.part,
                "units": programs.units,
                "runs": runs,
            })
        })
        .collect();
    json!({
        "about": outcome.mode.about,
        "unit": outcome.mode.unit,
        "measures": measures,
        "alone": outcome.alone,
        "exchanges_there": outcome.expected,
        "agents": outcome.agents.iter().map(agent).collect::<Vec<_>>(),
        "lasting": outcome.lasting.as_ref().map(|(time, used)| json!({
            "seconds": time.as_secs_f64(),
            "agent": agent(used),
        })),
        "programs": programs,
    })
}

fn agent(used: &Use) -> Value {
    json!({
        "attach_seconds": used.attach,
        "cpu": used.cpu,
        "cores": used.cores,
        "child_cores": used.child_cores,
        "memory": { "start": used.memory[0], "steady": used.memory[1], "peak": used.memory[2] },
        "counters": used.counters,
    })
}

fn spread(of: &Spread) -> Value {
    json!({ "low": of.low, "median": of.median, "high": of.high })
}
