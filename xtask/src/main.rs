//! `cargo xtask`: the one door for developers and CI.
//!
//! It prepares what a plain `cargo build` cannot (a `core` and a linker for eBPF), and runs everything that has to be
//! green. It must never install anything into the Rust toolchain, and nothing system-wide for building.

#![forbid(unsafe_code)]

mod arm64;
mod bench;
mod beside;
mod build;
mod cargo;
mod checks;
mod debian;
mod demo;
mod download;
mod fuzz;
mod go_offsets;
mod instructions;
mod linker;
mod places;
mod probes;
mod run;
mod rust_src;
mod say;
mod soak;
mod static_build;
mod sum;
mod sysroot;
mod system_packages;
mod tally;
mod test;
mod toolchain;
mod truth;
mod vm;

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
        /// Build for arm64, in its own folder: nothing of it is run here
        #[arg(long, conflicts_with_all = ["release", "probes_only"])]
        arm64: bool,
        /// Link it statically, against musl: one file that runs on any host, and in an empty container
        #[arg(long = "static", conflicts_with_all = ["arm64", "probes_only"])]
        statically: bool,
    },
    /// Build, then trace this host as root
    Run {
        /// Start a small shop of plain Python services to look at
        #[arg(long)]
        demo: bool,
        /// Arguments of `spanwire run`, or a whole other command of it
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check, build and test everything; what tests need is installed when root with apt
    Test {
        /// Run only the tests whose names contain this
        filter: Option<String>,
    },
    /// Check the format and clippy's warnings, the probes included: the first steps of `test`
    Check,
    /// Boot the kernels users run and test the agent on each of them
    VmTest {
        /// Only the kernel of this series (such as 6.1), or the tests whose names contain this
        filter: Option<String>,
        /// Pin the newest Debian package of each kernel series
        #[arg(long)]
        renew_kernels: bool,
        /// Write what the machines say (tests/vm) into the repository instead of comparing it
        #[arg(long)]
        renew: bool,
    },
    /// Measure what the agent costs, as root; writes BENCH.md
    Bench(bench::Asked),
    /// Ask every version of Go where the agent finds what it reads of Go processes (downloads 4 GB once)
    GoOffsets,
    /// Score the agent against requests whose true tree is known, as root
    Truth(truth::Asked),
    /// Give the viewer spans for half an hour, and watch its memory
    Soak(soak::Asked),
    /// What `test` does beside its other steps
    #[command(hide = true)]
    Beside(beside::Asked),
    /// Fuzz the parsers
    Fuzz {
        /// Run only the targets whose names contain this
        filter: Option<String>,
        /// How long each of them runs
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Build { arm64: true, .. } => arm64::task(),
        Task::Build { statically: true, release, .. } => static_build::task(release),
        Task::Build { release, probes_only, .. } => build::task(release, probes_only),
        Task::Run { demo, arguments } => run::task(demo, &arguments),
        Task::Test { filter } => Ok(test::task(filter.as_deref())),
        Task::Check => checks::task(),
        Task::VmTest { filter, renew_kernels, renew } => {
            vm::task(filter.as_deref(), vm::Renew { kernels: renew_kernels, records: renew })
        }
        Task::Bench(asked) => bench::task(&asked),
        Task::GoOffsets => go_offsets::task(),
        Task::Truth(asked) => truth::task(&asked),
        Task::Soak(asked) => soak::task(&asked),
        Task::Beside(asked) => beside::task(&asked),
        Task::Fuzz { filter, seconds } => fuzz::task(filter.as_deref(), seconds),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
