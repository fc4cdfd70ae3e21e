//! `BENCH.md`: the full run's figures, as the repository keeps them.

use std::fmt::Write as _;

use super::agent;
use super::number::{cells, signed};
use crate::bench::{Outcome, PLANTED, Plan};
use crate::machine::Machine;
use crate::targets::{Verdict, judge};

/// The whole file.
pub(crate) fn markdown(machine: &Machine, plan: Plan, outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "# What the agent costs\n\n\
         Written by `cargo xtask bench`; do not edit. {} rounds, each {} s without the agent, with it, and without it again.\n\n",
        plan.rounds,
        plan.time.as_secs()
    );
    for line in machine.lines() {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str(HOW);
    text.push_str("## Targets\n\n| | target | found |\n|---|---|---|\n");
    for Verdict { target, found, end } in judge(outcomes) {
        let _ = writeln!(text, "| {} | {target} | {found} |", end.word());
    }
    for outcome in outcomes {
        let _ = write!(text, "\n## {}\n\n{}.\n\n", outcome.mode.name, outcome.mode.about);
        if !outcome.compared.is_empty() {
            text.push_str("| | without | with | ratio | A/A | added | found from |\n");
            text.push_str("|---|--:|--:|--:|--:|--:|--:|\n");
        }
        for (measure, compared) in &outcome.compared {
            let _ =
                writeln!(text, "| {} | {} |", measure.name, cells(*measure, compared).join(" | "));
        }
        if !outcome.compared.is_empty() {
            text.push('\n');
        }
        let planted: Vec<String> = outcome
            .compared
            .iter()
            .filter_map(|(measure, compared)| {
                Some(format!("{} {}", measure.name, signed(compared.planted?.median)))
            })
            .collect();
        if !planted.is_empty() {
            let _ = writeln!(text, "- {PLANTED} ns planted, found: {}", planted.join("; "));
        }
        for line in agent::lines(outcome).iter().chain(&agent::programs(outcome)) {
            let _ = writeln!(text, "- {line}");
        }
    }
    text
}

const HOW: &str = "
How to read it: figures are medians over the rounds; ratios and differences are taken inside a round, where the machine was
the same, with their quartiles. **A/A** is the same thing compared with itself in the same rounds: the noise. **Found from** is
the smallest difference these rounds could have told from nothing (95 %): what is below it is noise. Servers and measured calls
have one CPU, clients and background another; the agent is left to the scheduler. A virtual CPU may share its core with somebody else's: single calls
count when it was ours alone right before and behind them, by the time of some work that nothing of the agent's can touch. Both ends of every request are on this host
and both are traced, but where a mode says otherwise: a host that only serves has half the events. The agent
exports OTLP over HTTP to a receiver that drops everything; its CPU is that of all its processes from tracing to the end of the last export.
*programs* is what the kernel itself measured (`bpf_stats`) in a pass of its own; reading the clock is part of each run.

";
