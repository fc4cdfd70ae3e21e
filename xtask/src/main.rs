//! `cargo xtask`: the one door for developers and CI.
//!
//! It prepares what a plain `cargo build` cannot (a `core` and a linker for eBPF), and runs everything that has to be
//! green. It must never install anything into the Rust toolchain, and nothing system-wide for building.

#![forbid(unsafe_code)]

mod build;
mod cargo;
mod download;
mod linker;
mod places;
mod probes;
mod rust_src;
mod say;
mod sysroot;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer door of spanwire.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the kernel probes and the agent that embeds them: the one file target/<profile>/spanwire
    Build {
        /// Optimised: what users get
        #[arg(long)]
        release: bool,
        /// Stop after the kernel probes (target/probes.o)
        #[arg(long)]
        probes_only: bool,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Build { release, probes_only } => build::task(release, probes_only),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
