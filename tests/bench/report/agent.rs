//! What the agents of a mode used, saw and lost, as medians over the rounds; losses as their sum.

use std::fmt::Write as _;

use super::number::{grouped, nanos};
use crate::bench::{Outcome, Programs};
use crate::modes::{Compares, Speaks};
use crate::statistics::quantile;
use crate::watched::Use;

impl Outcome {
    /// The median over the rounds of something of the agent.
    pub(crate) fn of_agents(&self, value: impl Fn(&Use) -> f64) -> f64 {
        quantile(&self.agents.iter().map(value).collect::<Vec<_>>(), 0.5)
    }

    /// The sum over the rounds.
    pub(crate) fn sum(&self, value: impl Fn(&Use) -> f64) -> f64 {
        self.agents.iter().map(value).sum()
    }

    /// Requests that were given a header.
    pub(crate) fn headers(&self) -> f64 {
        self.sum(|used| used.count("kernel.insert_done"))
    }

    /// Part of the exchanges there were that were seen; `None` where there were none.
    pub(crate) fn captured(&self) -> Option<f64> {
        let there = self.expected.iter().sum::<f64>();
        (there > 0.0).then(|| self.sum(Use::exchanges) / there)
    }
}

/// A line about how much of it counts where not all does, one about cost, one about what was seen and lost, and one about headers or the
/// viewer where that is what is compared.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let memory = |at: usize| outcome.of_agents(|used| used.memory[at]);
    let mut cost = format!(
        "agent: {:.1} % of a CPU; MB resident {:.0} at start, {:.0} steady, {:.0} peak",
        outcome.of_agents(|used| used.cores) * 100.0,
        memory(0),
        memory(1),
        memory(2)
    );
    if outcome.mode.speaks != Speaks::Never {
        let each = outcome.of_agents(|used| used.cpu / used.exchanges().max(1.0));
        let _ = write!(cost, "; {:.1} ms of CPU per 1,000 exchanges", each * 1000.0 / 1e6);
    }
    let mut seen = format!(
        "saw {} events, {} exchanges, {} spans; lost {} events, {} spans",
        grouped(outcome.sum(Use::events)),
        grouped(outcome.sum(Use::exchanges)),
        grouped(outcome.sum(Use::spans)),
        grouped(outcome.sum(Use::events_lost)),
        grouped(outcome.sum(Use::spans_lost)),
    );
    if let Some(part) = outcome.captured() {
        let _ = write!(seen, "; {:.2} % of all exchanges seen", part * 100.0);
    }
    let mut lines = Vec::new();
    if !outcome.alone.is_empty() {
        let [least, usual] = [0.0, 0.5].map(|part| 100.0 * quantile(&outcome.alone, part));
        lines.push(format!(
            "{usual:.0} % of a run's blocks count (at least {least:.0} %): the CPU was somebody else's, too, when the others were made"
        ));
    }
    lines.extend([cost, seen]);
    if let Some((time, used)) = &outcome.lasting {
        let [_, steady, peak] = used.memory;
        lines.push(format!(
            "an agent that ran beside it for {} s: MB resident {steady:.0} in the second half, {peak:.0} peak; lost {} events, {} spans",
            time.as_secs(),
            grouped(used.events_lost()),
            grouped(used.spans_lost()),
        ));
    }
    if outcome.mode.compares == Compares::Headers {
        lines.push(format!(
            "headers: put into {} requests, those of the agent's own trial included",
            grouped(outcome.headers())
        ));
    }
    if outcome.mode.compares == Compares::Viewer {
        lines.push(format!(
            "viewer: was offered {} spans, lost {}; its process {:.1} % of a CPU",
            grouped(outcome.sum(|used| used.count("viewer.spans_offered"))),
            grouped(outcome.sum(|used| used.count("viewer.spans_dropped"))),
            outcome.of_agents(|used| used.child_cores) * 100.0,
        ));
    }
    lines
}

/// A line for each part: what the agent's programs did for a unit, as the kernel measured.
pub(super) fn programs(outcome: &Outcome) -> Vec<String> {
    outcome.programs.iter().map(|programs| program_line(outcome, programs)).collect()
}

fn program_line(outcome: &Outcome, programs: &Programs) -> String {
    let units = programs.units.max(1.0);
    let all: u64 = programs.runs.values().map(|runs| runs.nanos).sum();
    let unit = outcome.mode.unit;
    let mut what = programs.part.map_or_else(|| unit.to_owned(), |part| format!("{unit} ({part})"));
    if programs.without_rules {
        what += " without rules of runtimes";
    }
    let mut line = format!("programs: {} a {what}", nanos(all as f64 / units));
    for (name, runs) in &programs.runs {
        let each = runs.nanos as f64 / (runs.count.max(1)) as f64;
        let _ = write!(line, "; {name} {:.2} × {}", runs.count as f64 / units, nanos(each));
        if runs.missed > 0 {
            let _ = write!(line, " ({} skipped)", runs.missed);
        }
    }
    line
}
