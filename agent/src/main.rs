//! The `spanwire` command: arguments to the thing that does it, and errors to one sentence.
#![forbid(unsafe_code)]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use spanwire::{
    cli::{Cli, Command},
    config::{Settings, Sources},
    control, doctor, insertion, logging, manual, ps, replay,
    run::{self, Record, Run},
    status,
    viewer::terminal,
};

/// glibc's spends a third of the agent's time on what lives for a few milliseconds, and keeps what loading needed once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start();
    match perform(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("spanwire: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => {
            let silence_hint = args.silence_hint.clone();
            let counters = args.capture.counters.clone();
            run::run(&Run { silence_hint, ..capture(args.sources(), counters)? })?;
        }
        Command::Record(args) => {
            let record = Record { path: args.file, limit: args.limit };
            let counters = args.capture.counters.clone();
            run::run(&Run { record: Some(record), ..capture(args.capture.sources(), counters)? })?;
        }
        Command::Replay(args) => replay::replay(&args)?,
        Command::Doctor(args) => {
            let settings = configured(Sources::new(None))?.1;
            return doctor::doctor(&args, &settings);
        }
        Command::Ps(args) => ps::ps(&configured(Sources::new(args.config))?.1)?,
        Command::Config(args) => print!("{}", configured(Sources::new(args.config))?.1.table()),
        Command::Stop => control::stop()?,
        Command::Detach => control::detach()?,
        Command::Man(args) => manual::man(&args.folder)?,
        Command::Completions(args) => manual::completions(args.shell),
        Command::Top(args) => terminal::top(&args)?,
        Command::Trace(args) => terminal::trace(&args)?,
        Command::InsertionTrial => println!("{}", insertion::trial::perform()),
        Command::StatusServer(args) => status::serve(args.store.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn capture(sources: Sources, counters: Option<PathBuf>) -> anyhow::Result<Run> {
    let (sources, settings) = configured(sources)?;
    Ok(Run { settings, sources, counters, record: None, silence_hint: None })
}

fn configured(sources: Sources) -> anyhow::Result<(Sources, Settings)> {
    let settings = sources.load()?;
    log::set_max_level(settings.log_level);
    Ok((sources, settings))
}
