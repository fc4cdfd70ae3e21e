//! The test runner: libtest's command line and output, and the three things libtest cannot do.
//!
//! A test that cannot run is reported as skipped with its reason; a test that hangs is killed with everything it
//! started; and what a test and its programs print is shown only when it fails, but for its notes. For that each test
//! runs in a process of its own (this same binary, called with `--one`), one at a time, because the agent sees the
//! whole host.

use std::io::{Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Signal, WaitOptions};

use crate::outcome::{NOTE, Skip, TestResult};
use crate::process::descendants;
use crate::vm;
use crate::wait::{self, Deadline};

/// Exit code of a test process whose test could not run, as automake has it.
const SKIPPED: i32 = 77;

/// How often a test is run where the kernel has passed over probes in it, and says so: every kernel does when a timer or a packet
/// interrupts a probe and comes to the same one (two in some thousand connections were seen), and an emulated CPU is interrupted
/// much oftener than any other.
const GOES: u32 = 3;

/// What an agent's counters say then.
const PASSED_OVER: &str = "kernel recursion misses";

/// Most bytes of a failed test's output that are shown, from its end.
const SHOWN: usize = 64 * 1024;

/// Where a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Here,
    /// On this machine, and on every kernel that is booted.
    Everywhere,
    /// On the kernels that are booted: it does to the machine what nobody wants done to theirs.
    InVm,
    /// On a machine that is booted with systemd as its first process, where only such tests run.
    UnderSystemd,
}

impl Place {
    /// Whether tests of this place run on this machine.
    fn is_here(self) -> bool {
        if vm::is_under_systemd() {
            return self == Self::UnderSystemd;
        }
        match self {
            Self::Here => !vm::is_here(),
            Self::Everywhere => true,
            Self::InVm => vm::is_here(),
            Self::UnderSystemd => false,
        }
    }
}

/// One test.
pub struct Test {
    /// `theme::what`, and `[variant]` where one body runs several times.
    pub name: String,
    /// Where it runs.
    pub place: Place,
    /// When it is killed.
    pub limit: Duration,
    /// Its body.
    pub body: Box<dyn Fn() -> TestResult>,
}

/// The tests of this binary, in the order they run.
#[derive(Default)]
pub struct Suite {
    tests: Vec<Test>,
    before: Option<fn()>,
}

impl Suite {
    /// Adds a test that may take a minute.
    pub fn test(&mut self, name: impl Into<String>, body: impl Fn() -> TestResult + 'static) {
        self.slow(name, 60, body);
    }

    /// Adds a test with a time limit of its own, in seconds.
    pub fn slow(
        &mut self,
        name: impl Into<String>,
        seconds: u64,
        body: impl Fn() -> TestResult + 'static,
    ) {
        self.at(Place::Here, name, seconds, body);
    }

    /// Adds a test that runs there. Where CPUs are emulated it is given several times its limit.
    pub fn at(
        &mut self,
        place: Place,
        name: impl Into<String>,
        seconds: u64,
        body: impl Fn() -> TestResult + 'static,
    ) {
        let limit = Duration::from_secs(seconds) * if vm::is_here() { vm::SLOWER } else { 1 };
        let body = Box::new(body);
        self.tests.push(Test { name: name.into(), place, limit, body });
    }

    /// Has this done once before any test runs, outside all time limits.
    pub fn before(&mut self, step: fn()) {
        self.before = Some(step);
    }

    /// Does what the command line asks for.
    #[must_use]
    pub fn main(self) -> ExitCode {
        if vm::is_first() {
            vm::first_process();
        }
        let asked = match Asked::parse(std::env::args().skip(1)) {
            Ok(asked) => asked,
            Err(argument) => {
                eprintln!(
                    "unknown argument {argument}; known: [FILTER…] --exact --skip FILTER --list --nocapture"
                );
                return ExitCode::from(2);
            }
        };
        if let Some(name) = &asked.one {
            return self.run_one(name);
        }
        if asked.prepare {
            if let Some(before) = self.before {
                before();
            }
            return ExitCode::SUCCESS;
        }
        if asked.needs_in_vm {
            return vm::say_needs();
        }
        if asked.needs_under_systemd {
            return vm::say_needs_under_systemd();
        }
        let here = |test: &&Test| test.place.is_here() && asked.wants(&test.name);
        let chosen: Vec<&Test> = self.tests.iter().filter(here).collect();
        if asked.list {
            for test in &chosen {
                println!("{}: test", test.name);
            }
            println!("\n{} tests, 0 benchmarks", chosen.len());
            return ExitCode::SUCCESS;
        }
        if let (Some(before), false, false) = (self.before, chosen.is_empty(), vm::is_here()) {
            before();
        }
        run_all(&chosen, self.tests.len() - chosen.len(), asked.nocapture)
    }

    /// In the test's own process: runs it and says how it ended by the exit code.
    fn run_one(&self, name: &str) -> ExitCode {
        let Some(test) = self.tests.iter().find(|test| test.name == name) else {
            eprintln!("there is no test {name}");
            return ExitCode::FAILURE;
        };
        match (test.body)() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) if !(skip.missing_program && std::env::var_os("CI").is_some()) => {
                    println!("{skip}");
                    ExitCode::from(u8::try_from(SKIPPED).expect("77 fits"))
                }
                _ => {
                    println!("{error:#}");
                    // Of the way here only the tests' own lines say something.
                    let way = error.backtrace().to_string();
                    for line in way.lines().filter(|line| line.contains("at ./e2e/")) {
                        println!("    {}", line.trim());
                    }
                    ExitCode::FAILURE
                }
            },
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Default)]
struct Asked {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    nocapture: bool,
    prepare: bool,
    needs_in_vm: bool,
    needs_under_systemd: bool,
    one: Option<String>,
}

impl Asked {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => asked.exact = true,
                "--list" => asked.list = true,
                "--nocapture" | "--no-capture" => asked.nocapture = true,
                "--prepare" => asked.prepare = true,
                "--needs-in-vm" => asked.needs_in_vm = true,
                "--needs-under-systemd" => asked.needs_under_systemd = true,
                "--skip" => asked.skips.extend(arguments.next()),
                "--one" => asked.one = arguments.next(),
                // Given by cargo and by people to libtest; without meaning here, where tests run one by one.
                "--quiet" | "-q" | "--show-output" => {}
                "--test-threads" | "--color" | "--format" => drop(arguments.next()),
                _ if argument.starts_with("--test-threads=")
                    || argument.starts_with("--color=")
                    || argument.starts_with("--format=") => {}
                _ if argument.starts_with('-') => return Err(argument),
                _ => asked.filters.push(argument),
            }
        }
        Ok(asked)
    }

    fn wants(&self, name: &str) -> bool {
        let hit = |filter: &String| if self.exact { name == filter } else { name.contains(filter) };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skips.iter().any(hit)
    }
}

/// How a test's process ended.
enum Ended {
    /// With its notes.
    Passed(String),
    Skipped(String),
    Failed(String),
}

fn run_all(chosen: &[&Test], filtered: usize, nocapture: bool) -> ExitCode {
    // What a killed test leaves behind becomes our child, so that it can be found and ended.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    println!("\nrunning {} tests", chosen.len());
    let began = wait::now();
    let (mut passed, mut skipped, mut failures) = (0, 0, Vec::new());
    for test in chosen {
        print!("test {} ... ", test.name);
        let _ = std::io::stdout().flush();
        let test_began = wait::now();
        let ended = run_patiently(test, nocapture);
        let took = test_began.elapsed().as_secs_f32();
        match ended {
            Ended::Passed(notes) => {
                println!("ok ({took:.1}s){notes}");
                passed += 1;
            }
            Ended::Skipped(why) => {
                println!("skipped: {why}");
                skipped += 1;
            }
            Ended::Failed(output) => {
                println!("FAILED ({took:.1}s)");
                failures.push((test.name.as_str(), output));
            }
        }
    }
    if !failures.is_empty() {
        println!("\nfailures:");
        for (name, output) in &failures {
            println!("\n---- {name} ----\n{}", output.trim_end());
        }
        println!("\nfailures:");
        for (name, _) in &failures {
            println!("    {name}");
        }
    }
    println!(
        "\ntest result: {}. {passed} passed; {} failed; {skipped} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        failures.len(),
        began.elapsed().as_secs_f64(),
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a test, and again where the kernel owns up to having passed over probes.
fn run_patiently(test: &Test, nocapture: bool) -> Ended {
    for _ in 1..GOES {
        match run_once(test, nocapture) {
            Ended::Failed(output) if output.contains(PASSED_OVER) => {
                print!("again, because the kernel passed over probes ... ");
                let _ = std::io::stdout().flush();
            }
            ended => return ended,
        }
    }
    run_once(test, nocapture)
}

fn run_once(test: &Test, nocapture: bool) -> Ended {
    run_isolated(test, nocapture)
        .unwrap_or_else(|error| Ended::Failed(format!("the test could not be started: {error:#}")))
}

fn run_isolated(test: &Test, nocapture: bool) -> anyhow::Result<Ended> {
    let mut output = tempfile::tempfile()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--one", &test.name]).stdin(Stdio::null()).process_group(0);
    if !nocapture {
        command.stdout(output.try_clone()?).stderr(output.try_clone()?);
    }
    let mut child =
        command.env("OTEL_SERVICE_NAME", "e2e").env("RUST_LIB_BACKTRACE", "1").spawn()?;
    let deadline = Deadline::after(test.limit);
    let status = wait::until("the end of the test", deadline, || child.try_wait().ok().flatten());
    if status.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let left = end_descendants();

    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut output)?;
    output.read_to_end(&mut bytes)?;
    let shown = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN)..]).into_owned();
    Ok(match status {
        Err(_) => Ended::Failed(format!("{shown}\nkilled: it took longer than {:?}", test.limit)),
        Ok(status) if status.success() && left.is_empty() => Ended::Passed(notes(&shown)),
        Ok(status) if status.success() => {
            Ended::Failed(format!("{shown}\nit passed, but left processes behind: {left:?}"))
        }
        Ok(status) if status.code() == Some(SKIPPED) => {
            Ended::Skipped(shown.trim().lines().last().unwrap_or("it did not say why").to_owned())
        }
        Ok(status) => Ended::Failed(match status.signal() {
            Some(signal) => format!("{shown}\nended by signal {signal}"),
            None => shown,
        }),
    })
}

/// What a passed test has noted, to stand behind its name.
fn notes(output: &str) -> String {
    let noted = output.lines().filter_map(|line| line.strip_prefix(NOTE));
    noted.map(|note| format!(", {note}")).collect()
}

/// Kills whatever a test left running, and names it. What is just dying of the test's own kill is given its time.
fn end_descendants() -> Vec<String> {
    let dying = Deadline::seconds(2);
    let _ = wait::until("processes that die", dying, || {
        descendants().iter().all(|process| process.is_zombie).then_some(())
    });
    let mut named = Vec::new();
    loop {
        let left = descendants();
        if left.is_empty() {
            return named;
        }
        for process in left {
            if !process.is_zombie {
                named.push(format!("{} ({})", process.name, process.pid.as_raw_nonzero()));
                let _ = rustix::process::kill_process(process.pid, Signal::KILL);
            }
            let _ = rustix::process::waitpid(Some(process.pid), WaitOptions::empty());
        }
    }
}
