//! Scores an agent against the truth: what `cargo xtask truth` starts, as root.
//!
//! Standard output is the table's; what programs say goes to a file. [`tests::truth`] says how it is done.

#![forbid(unsafe_code)]

mod arguments;
mod machine;

use std::fs::{File, read_to_string, write};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tests::outcome::Skip;
use tests::truth::cases::{Case, FAN_OUT};
use tests::truth::run::Stage;
use tests::truth::table::{self, Published, Row};

use self::arguments::Arguments;

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).and_then(|asked| measure(&asked)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is asked for. The exit code tells whether every promise was kept.
fn measure(asked: &Arguments) -> anyhow::Result<ExitCode> {
    tests::agent::need_root()?;
    std::fs::create_dir_all(&asked.folder)?;
    let mut out = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let said = asked.folder.join("programs.log");
    rustix::stdio::dup2_stdout(File::create(&said)?)?;

    let cases: Vec<&'static Case> = asked.cases().collect();
    ensure!(!cases.is_empty(), "no case's name contains {:?}", asked.filters);
    let mut broken = 0;
    for case in cases {
        let stage = match asked.across {
            true => None,
            false => Some(Stage::set(case, FAN_OUT)),
        };
        let stage = match stage.transpose() {
            Ok(stage) if asked.quiet => stage.map(Stage::quiet),
            Ok(stage) => stage,
            Err(error) if error.downcast_ref::<Skip>().is_some() => {
                writeln!(out, "{:<16} skipped: {error:#}", case.name)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut row = Row { case, scores: Vec::new() };
        for &clients in &asked.clients {
            let setup = asked.setup();
            let outcome = match &stage {
                None => Stage::run_across(case, FAN_OUT, &setup, asked.requests, clients),
                Some(stage) if asked.late => stage.run_late(setup, asked.requests, clients),
                Some(stage) => stage.run(setup, asked.requests, clients),
            };
            let outcome = outcome.with_context(|| {
                format!("{}: what the programs said is in {}", case.name, said.display())
            })?;
            let scores = outcome.scores;
            writeln!(out, "{}", table::line(case, clients, &scores))?;
            for told in &scores.told {
                writeln!(out, "  wrong: {told}")?;
            }
            if scores.inside.percent_exact() < 100.0
                || scores.between.percent_exact() < 100.0
                || scores.missing() > 0
            {
                for counters in &outcome.counters {
                    writeln!(out, "  counted: {}", counters.why())?;
                }
            }
            if scores.wrong() > 0 || scores.inside.percent_exact() < case.floor {
                writeln!(out, "  less than the promised {} %, or wrong", case.floor)?;
                broken += 1;
            }
            row.scores.push((clients, scores));
        }
        // At once: what comes next may fail, or take longer than somebody has.
        if let Some(readme) = &asked.renew {
            let machine = machine::line(asked.requests)?;
            renew(readme, &asked.folder.join("table.md"), &machine, row, &mut out)?;
        }
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts a row into the README's table, or keeps it in `measured` until all rows of that table can give way to others of this machine.
fn renew(
    readme: &Path,
    measured: &Path,
    machine: &str,
    row: Row,
    out: &mut File,
) -> anyhow::Result<()> {
    let text = read_to_string(readme).with_context(|| readme.display().to_string())?;
    if text.lines().any(|line| line == machine) {
        return Ok(write(readme, table::renew(&text, machine, &[row])?)?);
    }
    let so_far = read_to_string(measured).unwrap_or_else(|_| table::empty());
    let so_far = table::renew(&so_far, machine, &[row])?;
    write(measured, &so_far)?;
    match table::publish(&text, &so_far)? {
        Published::Readme(text) => write(readme, text)?,
        Published::Lacking(cases) => writeln!(
            out,
            "  kept in {}: the README's rows are of another machine until these are measured here: {}",
            measured.display(),
            cases.join(", ")
        )?,
    }
    Ok(())
}
