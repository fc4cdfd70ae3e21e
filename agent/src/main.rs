//! The `spanwire` command: arguments to the thing that does it, and errors to one sentence.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use spanwire::{
    cli::{CaptureArgs, Cli, Command},
    doctor, logging, replay,
    run::{self, Record, Run},
    status::{self, Serving},
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
            let viewer = args.wants_viewer();
            let serving =
                Serving { otlp_in: args.otlp_in, store: args.store, memory: args.viewer_memory };
            let silence_hint = args.silence_hint;
            run::run(&Run { viewer, serving, silence_hint, ..capture(args.capture) })?;
        }
        Command::Record(args) => {
            let record = Record { path: args.file, limit: args.limit };
            run::run(&Run { record: Some(record), ..capture(args.capture) })?;
        }
        Command::Replay(args) => replay::replay(&args)?,
        Command::Doctor(args) => return doctor::doctor(&args),
        Command::Top(args) => terminal::top(&args)?,
        Command::Trace(args) => terminal::trace(&args)?,
        Command::StatusServer(args) => status::serve(args.store.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn capture(args: CaptureArgs) -> Run {
    Run {
        hooks: args.hooks.set(),
        data_ring: args.data_ring,
        network_namespace: args.netns,
        counters: args.counters,
        record: None,
        viewer: None,
        serving: Serving::default(),
        silence_hint: None,
    }
}
