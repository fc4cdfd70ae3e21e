//! What the machines write down for the repository: `doctor`'s table on each kernel, and what each probe costs its
//! verifier. A difference fails, so that a change shows in review; `--renew` writes the new ones.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::Result;

use super::machine::Report;
use crate::{places, say, tally::Tally};

/// Where the records lie.
const FOLDER: &str = "tests/vm";

/// A line that begins a record in what a machine wrote; the record's name follows.
const BEGIN: &str = "== ";

/// Compares all records with the repository, or writes them there.
pub(crate) fn settle(order: &[&str], reports: &[(String, Report)], renew: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for (name, text) in files(order, reports) {
        let file = places::workspace().join(FOLDER).join(&name);
        let old = fs::read_to_string(&file).unwrap_or_default();
        if old == text {
            tally += Tally::PASSED;
        } else if renew {
            write(&file, &text)?;
            say::note(format!("{FOLDER}/{name} is written anew"));
            tally += Tally::PASSED;
        } else {
            let told = format!(
                "{FOLDER}/{name} is not what the machines say (`cargo xtask vm-test --renew` writes it anew):\n{}",
                difference(&old, &text)
            );
            say::note(&told);
            tally += Tally::failed(told);
        }
    }
    Ok(tally)
}

/// Whether every machine has told all that is recorded of it: `kernels::hooks` alone is enough for that.
pub(crate) fn are_whole(order: &[&str], reports: &[(String, Report)]) -> bool {
    order.iter().all(|series| {
        let report = reports.iter().find(|(name, _)| name == series);
        report.is_some_and(|(_, report)| {
            let records = records_in(&report.records);
            ["doctor", "programs"].iter().all(|record| records.contains_key(record))
        })
    })
}

fn write(file: &PathBuf, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(file, text)?)
}

/// The repository's files, by name, as the machines say they must be.
fn files(order: &[&str], reports: &[(String, Report)]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut programs = Programs::default();
    for series in order {
        let records = reports
            .iter()
            .find(|(name, _)| name == series)
            .map_or("", |(_, report)| &report.records);
        let records = records_in(records);
        // Missing records give an empty file, which differs.
        files.insert(
            format!("doctor/{series}.txt"),
            records.get("doctor").cloned().unwrap_or_default(),
        );
        programs.add(records.get("programs").map_or("", String::as_str));
    }
    files.insert("programs.md".to_owned(), programs.table(order));
    files
}

fn records_in(text: &str) -> BTreeMap<&str, String> {
    let mut records = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(begun) = line.strip_prefix(BEGIN) {
            name = begun;
        } else {
            let record: &mut String = records.entry(name).or_default();
            record.push_str(line);
            record.push('\n');
        }
    }
    records
}

/// What the verifier says of each program on each kernel.
#[derive(Default)]
struct Programs {
    /// By program, then in the order kernels were added.
    rows: BTreeMap<String, BTreeMap<usize, String>>,
    kernels: usize,
}

impl Programs {
    /// Lines of program, instructions, and bytes of stack.
    fn add(&mut self, record: &str) {
        for line in record.lines() {
            let mut words = line.split_whitespace();
            let (Some(program), Some(instructions), Some(stack)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            self.rows
                .entry(program.to_owned())
                .or_default()
                .insert(self.kernels, format!("{instructions} / {stack}"));
        }
        self.kernels += 1;
    }

    fn table(&self, order: &[&str]) -> String {
        let mut text = "# What each probe costs the verifier\n\nInstructions it followed (limit 1,000,000) / bytes of stack (limit 512), by kernel; `-` where the kernel does not\nhave the hook. Above 70% of a limit the tests fail. Written by `cargo xtask vm-test --renew`.\n\n".to_owned();
        let _ = writeln!(text, "| program | {} |", order.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(order.len()));
        for (program, kernels) in &self.rows {
            let cells: Vec<&str> = (0..order.len())
                .map(|kernel| kernels.get(&kernel).map_or("-", String::as_str))
                .collect();
            let _ = writeln!(text, "| `{program}` | {} |", cells.join(" | "));
        }
        text
    }
}

/// Lines that are only in one of the two.
fn difference(old: &str, new: &str) -> String {
    let only = |sign: char, of: &str, other: &str| -> String {
        of.lines()
            .filter(|line| !other.lines().any(|other| other == *line))
            .fold(String::new(), |text, line| format!("{text}{sign} {line}\n"))
    };
    only('-', old, new) + &only('+', new, old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_files() {
        let report = |records: &str| Report {
            tally: Tally::default(),
            records: records.to_owned(),
            died: false,
        };
        let reports = [
            ("6.1".to_owned(), report("== doctor\nkernel 6.1\n== programs\nexit_send 12 64\n")),
            ("6.12".to_owned(), report("== programs\nexit_send 14 64\nsend_length 9 0\n")),
        ];
        let files = files(&["6.1", "6.12"], &reports);
        assert_eq!(files["doctor/6.1.txt"], "kernel 6.1\n");
        assert_eq!(
            files["doctor/6.12.txt"], "",
            "a record that is missing differs from every file"
        );
        let rows: Vec<&str> = files["programs.md"].lines().skip(6).collect();
        assert_eq!(
            rows,
            [
                "|---|---|---|",
                "| `exit_send` | 12 / 64 | 14 / 64 |",
                "| `send_length` | - | 9 / 0 |"
            ]
        );
        assert_eq!(difference("a\nb\n", "b\nc\n"), "- a\n+ c\n");
    }
}
