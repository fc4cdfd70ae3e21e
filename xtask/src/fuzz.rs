//! Fuzzing: each target below `tests/fuzz` for a few seconds, with a cargo-fuzz of our own.
//!
//! The seeds in the checkout are read, never written: what the fuzzer finds interesting is kept in the cache, so that
//! short runs add up from one to the next.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::{cargo, places, say, tally::Tally};

const CARGO_FUZZ: &str = "0.13.2";

/// How long each target runs among all tests: enough to see that the seeds still pass and the target still finds its way.
pub(crate) const SECONDS: u32 = 10;

/// Targets at once: each keeps one CPU busy.
const AT_ONCE: usize = 2;

/// Lines of a target's log that are shown when it has found something.
const LAST_LINES: usize = 80;

/// Where the targets are: a cargo-fuzz folder of its own workspace, with `seeds/TARGET/*` in it.
fn folder() -> PathBuf {
    places::workspace().join("tests/fuzz")
}

/// `cargo xtask fuzz`.
pub(crate) fn task(filter: Option<&str>, seconds: u32) -> Result<ExitCode> {
    let tally = run(filter, seconds)?;
    if tally.is_empty() {
        bail!(
            "no fuzz target's name contains {:?}: they are in tests/fuzz/fuzz_targets",
            filter.unwrap_or("")
        );
    }
    println!("{tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every target whose name contains the filter; a target that finds something is a failure.
pub(crate) fn run(filter: Option<&str>, seconds: u32) -> Result<Tally> {
    let mut tally = Tally::default();
    if !folder().is_dir() {
        return Ok(tally);
    }
    let tool = tool()?;
    let targets = cargo::output(&mut tool.command("list"), "see tests/fuzz/Cargo.toml")?;
    say::step("building the fuzz targets (about a minute the first time)", || {
        cargo::run(
            &mut tool.build("build"),
            "see the compiler's message; libFuzzer needs a C++ compiler",
        )
    })?;
    let chosen: Vec<&str> =
        targets.lines().map(str::trim).filter(|name| name.contains(filter.unwrap_or(""))).collect();
    for together in chosen.chunks(AT_ONCE) {
        let names = together.join(" and ");
        let ended = say::step(format!("fuzzing {names} for {seconds} s"), || {
            anyhow::Ok(tool.fuzz_together(together, seconds))
        })?;
        for (target, ended) in together.iter().zip(ended) {
            tally += match ended {
                Ok(()) => Tally::PASSED,
                Err(error) => {
                    say::error(&error);
                    Tally::failed(format_args!("fuzz target {target}: {error:#}"))
                }
            };
        }
    }
    Ok(tally)
}

/// cargo-fuzz, and the folders it writes to.
struct Tool {
    program: PathBuf,
    /// Cargo's folder for the fuzz targets.
    target: PathBuf,
    cache: PathBuf,
}

/// Installs cargo-fuzz below the cache, once.
fn tool() -> Result<Tool> {
    let cache = places::cache()?;
    let root = cache.join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        say::step(format!("building cargo-fuzz {CARGO_FUZZ} (about 20 s, once)"), || {
            cargo::install("cargo-fuzz", CARGO_FUZZ, &root, &cache, &[], &[])
        })?;
    }
    Ok(Tool { program, target: places::target()?.join("fuzz"), cache })
}

impl Tool {
    fn command(&self, task: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(places::workspace()).args(["fuzz", task]);
        command.arg("--fuzz-dir").arg(folder());
        cargo::forget_xtask(&mut command);
        command.env("RUSTC_BOOTSTRAP", "1"); // it builds with -Z options, on a stable toolchain
        command.env("SPANWIRE_NO_PROBES", "1"); // what is fuzzed runs in user space
        command
    }

    /// A task that compiles: not into the folder of sources.
    fn build(&self, task: &str) -> Command {
        let mut command = self.command(task);
        command.arg("--target-dir").arg(&self.target);
        // What is fuzzed is safe Rust: what goes wrong there is a panic, a hang or much memory, which libFuzzer sees by itself.
        command.args(["--sanitizer", "none"]);
        // Its default of one unit has a single CPU compile for minutes.
        command.args(["--codegen-units", "16"]);
        command
    }

    /// Several targets at the same time; how each ended.
    fn fuzz_together(&self, targets: &[&str], seconds: u32) -> Vec<Result<()>> {
        thread::scope(|scope| {
            let each = |&target| scope.spawn(move || self.fuzz(target, seconds));
            let running: Vec<_> = targets.iter().map(each).collect();
            running.into_iter().map(|one| one.join().expect("nobody panics")).collect()
        })
    }

    fn fuzz(&self, target: &str, seconds: u32) -> Result<()> {
        let learnt = self.cache.join("fuzz-corpus").join(target);
        fs::create_dir_all(&learnt)
            .with_context(|| format!("cannot make {}: set XDG_CACHE_HOME", learnt.display()))?;
        let mut run = self.build("run");
        run.arg(target).arg(&learnt).args(seeds(target));
        run.args([
            "--",
            "-print_final_stats=0",
            "-verbosity=0",
            "-timeout=10",
            "-rss_limit_mb=2048",
        ]);
        run.arg(format!("-max_total_time={seconds}"));
        // What it says while all is well (its dictionary, its functions) would bury everything else.
        let log = self.target.join(format!("{target}.log"));
        let file = fs::File::create(&log)
            .with_context(|| format!("cannot write {}: make room there", log.display()))?;
        run.stdout(file.try_clone()?).stderr(file);
        cargo::run(
            &mut run,
            "the input that did it is named above; keep it in tests/fuzz/seeds under the bug's name",
        )
        .inspect_err(|_| say::note(end_of(&log)))
    }
}

/// The last lines of a target's log: the panic, the stack and the input are there.
fn end_of(log: &Path) -> String {
    let whole = fs::read(log).unwrap_or_default();
    let whole = String::from_utf8_lossy(&whole);
    let lines: Vec<&str> = whole.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// The seeds of a target, when it has any.
fn seeds(target: &str) -> Option<PathBuf> {
    Some(folder().join("seeds").join(target)).filter(|seeds: &PathBuf| Path::is_dir(seeds))
}
