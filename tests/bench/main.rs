//! The bench: what the agent costs the host it runs on, and what it loses, in figures with their noise.
//!
//! `cargo xtask bench` starts it with `--measure`; without, it is a test like others and runs only the gates
//! ([`gates`]). [`bench`] says how a round goes, [`modes`] what is measured, [`roles`] which parts it plays itself.
//! It sees the agent as its users do: its command line, the wire, `/proc`, and what traced programs notice.

mod arguments;
mod bench;
mod bpf;
mod cpu;
mod gates;
mod machine;
mod modes;
mod report;
mod roles;
mod sink;
mod statistics;
mod targets;
mod watched;
mod wrk;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::Context as _;

use self::arguments::Arguments;
use self::bench::{Bench, Outcome, Plan};
use self::cpu::Places;
use self::machine::Machine;
use self::sink::Sink;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("--role") => roles::play(&words[1..]).map(|()| ExitCode::SUCCESS),
        Some("--measure") => measure(&words[1..]),
        _ => return gates::suite().main(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Measures what is asked for and says it. The exit code tells whether the bench could find what was planted: without
/// that no figure of it counts.
fn measure(words: &[String]) -> anyhow::Result<ExitCode> {
    let asked = Arguments::parse(words)?;
    tests::agent::need_root()?;
    std::fs::create_dir_all(&asked.folder)?;
    // Standard output is the table's; what the agent and the servers say goes to a file.
    let mut out = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let said = asked.folder.join("programs.log");
    rustix::stdio::dup2_stdout(File::create(&said)?)?;

    let places = Places::choose()?;
    let sink = cpu::on(places.clients, Sink::start)?;
    let plan = if asked.quick { Plan::QUICK } else { Plan::FULL };
    let is_shared = roles::yardstick::is_shared(places)?;
    let bench = Bench { plan, places, is_shared, hooks: asked.hooks, sink };
    let mut machine = Machine::look(&bench)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    let chosen: Vec<_> = modes::ALL.iter().filter(|mode| asked.wants(mode.name)).collect();
    anyhow::ensure!(!chosen.is_empty(), "no mode's name contains {:?}", asked.filters);
    for mode in chosen {
        let began = tests::wait::now();
        eprintln!("  {} …", mode.name);
        let outcome = bench.measure(mode).with_context(|| {
            format!("{}: what the programs said is in {}", mode.name, said.display())
        })?;
        eprintln!("    {:.0} s", began.elapsed().as_secs_f64());
        outcomes.push(outcome);
    }
    machine.look_again()?;

    out.write_all(report::table(&machine, &outcomes).as_bytes())?;
    let file = asked.folder.join("bench.json");
    let json = report::json(&machine, plan, &outcomes);
    std::fs::write(&file, serde_json::to_string_pretty(&json)? + "\n")?;
    eprintln!("  {} has all figures", file.display());
    if !targets::planted_found(&outcomes) {
        eprintln!(
            "error: a delay that was planted was not found: the machine is too noisy now for these figures"
        );
        return Ok(ExitCode::FAILURE);
    }
    if let Some(file) = &asked.markdown {
        std::fs::write(file, report::markdown(&machine, plan, &outcomes))
            .with_context(|| file.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
