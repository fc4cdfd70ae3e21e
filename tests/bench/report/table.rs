//! The table on standard output.

use std::fmt::Write as _;

use super::agent;
use super::number::{cells, signed};
use crate::bench::{Outcome, PLANTED};
use crate::machine::Machine;
use crate::targets::{Verdict, judge};

const HEAD: [&str; 7] = [
    "",
    "without",
    "with",
    "ratio (quartiles)",
    "A/A (quartiles)",
    "added (quartiles)",
    "found from",
];

/// Everything, mode by mode, and what became of the targets.
pub(crate) fn table(machine: &Machine, outcomes: &[Outcome]) -> String {
    let mut text = format!("{}\n", machine.lines().join("\n"));
    for outcome in outcomes {
        let _ = write!(text, "\n{}: {}\n", outcome.mode.name, outcome.mode.about);
        let mut rows: Vec<Vec<String>> = Vec::new();
        if !outcome.compared.is_empty() {
            rows.push(HEAD.map(str::to_owned).to_vec());
        }
        for (measure, compared) in &outcome.compared {
            let mut row = vec![measure.name.to_owned()];
            row.extend(cells(*measure, compared));
            rows.push(row);
        }
        aligned(&mut text, &rows);
        for (measure, compared) in &outcome.compared {
            if let Some(planted) = compared.planted {
                let found = signed(planted.median);
                let _ = writeln!(text, "  {PLANTED} ns planted in {}: found {found}", measure.name);
            }
        }
        for line in agent::lines(outcome).iter().chain(&agent::programs(outcome)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text.push_str("\ntargets\n");
    for Verdict { target, found, end } in judge(outcomes) {
        let _ = writeln!(text, "  {:<6} {target}: {found}", end.word());
    }
    text
}

/// Columns as wide as their widest cell; all but the first to the right.
fn aligned(text: &mut String, rows: &[Vec<String>]) {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    for row in rows {
        let _ = write!(text, "  {:<1$}", row[0], width(0));
        for (at, cell) in row.iter().enumerate().skip(1) {
            let _ = write!(text, "  {cell:>0$}", width(at));
        }
        text.push('\n');
    }
}
