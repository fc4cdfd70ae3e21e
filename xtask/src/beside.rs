//! What `cargo xtask test` does beside its other steps: in processes of their own that get a CPU where nothing else wants it. The
//! end-to-end tests alone leave the machine idle for more than half of their time.
//!
//! What such a process says is kept, and shown when what it does is waited for. It must never do what a test notices: nothing in it
//! serves or asks on this host's network while end-to-end tests run.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{arm64, cargo, fuzz, instructions, places, say, sum::Sum, tally::Tally, vm};

/// How often it is looked for more to show.
const PERIOD: Duration = Duration::from_millis(200);

/// Starts a program that gives way to all others (sched(7), `SCHED_IDLE`); of util-linux.
const GIVES_WAY: &str = "chrt";

/// What is done beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Work {
    /// Has the programs that tests trace downloaded and built.
    Programs,
    /// Builds in folders of their own, and what is tried with them: fuzzing, and arm64.
    Builds,
    /// What has no need of this machine's clock: instructions, and the virtual machines.
    Machines,
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Builds => "builds",
            Self::Machines => "machines",
        }
    }

    /// Does it. It has the machine for itself when `alone` returns.
    fn run(self, asked: &Asked, alone: &(dyn Fn() + Sync)) -> Result<Sum> {
        let mut sum = Sum::default();
        match self {
            Self::Programs => {
                let mut prepare = Command::new(&asked.tests);
                let run = || cargo::run(prepare.arg("--prepare"), "see its message");
                if let Err(error) = say::step("preparing the programs that tests trace", run) {
                    say::error(&error); // the tests that need them say what is missing
                }
            }
            Self::Builds => {
                sum.tests("fuzzing", || fuzz::run(None, fuzz::SECONDS));
                sum.check("the build for arm64", arm64::build);
            }
            Self::Machines => {
                let agent = asked.agent.as_ref().context("they need the agent: --agent")?;
                count_instructions(&mut sum, agent);
                sum.tests("the kernels in virtual machines", || vm::run(agent, None, false, alone));
            }
        }
        Ok(sum)
    }
}

fn count_instructions(sum: &mut Sum, agent: &Path) {
    if instructions::possible() || std::env::var_os("CI").is_some() {
        sum.check("the instructions of a replay", || instructions::check(agent, false));
    } else {
        say::note("instructions are not counted: valgrind is missing");
        sum.add("instructions", Tally::SKIPPED);
    }
}

/// Arguments of such a process.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// What to do, one after the other
    works: Vec<Work>,
    /// The end-to-end tests
    #[arg(long)]
    tests: PathBuf,
    /// The agent, once it is there
    #[arg(long)]
    agent: Option<PathBuf>,
}

/// In the process: does what is asked. It is alone when its input ends.
pub(crate) fn task(asked: &Asked) -> Result<ExitCode> {
    let input = Mutex::new(io::stdin());
    let alone = || {
        let input = input.lock().expect("nobody panics");
        let _ = io::copy(&mut input.lock(), &mut io::sink());
    };
    for &work in &asked.works {
        let sum = serde_json::to_string(&work.run(asked, &alone)?)?;
        // Whole as soon as it is there.
        let (file, part) = (sum_of(work)?, sum_of(work)?.with_extension("part"));
        fs::write(&part, sum)?;
        fs::rename(part, file)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it is written what ran.
fn sum_of(work: Work) -> Result<PathBuf> {
    Ok(folder()?.join(work.name()).with_extension("json"))
}

fn folder() -> Result<PathBuf> {
    Ok(places::target()?.join("beside"))
}

/// This program in a place of its own: cargo writes it anew while tests of it are built.
fn program() -> Result<PathBuf> {
    Ok(folder()?.join("xtask"))
}

/// Puts it there. To be done first of all.
pub(crate) fn keep_program() -> Result<()> {
    fs::create_dir_all(folder()?)?;
    let program = program()?;
    let _ = fs::remove_file(&program); // it may run
    fs::copy(std::env::current_exe()?, &program)
        .with_context(|| format!("cannot write {}: make room there", program.display()))?;
    Ok(())
}

/// A process that is at work.
pub(crate) struct Beside {
    child: Child,
    /// Ends when it is alone.
    input: Option<ChildStdin>,
    /// What it says.
    log: File,
}

impl Beside {
    /// Starts it.
    ///
    /// # Errors
    /// Where this program cannot be started again, or what it says cannot be kept.
    pub(crate) fn start(works: &[Work], tests: &Path, agent: Option<&Path>) -> Result<Self> {
        for &work in works {
            let _ = fs::remove_file(sum_of(work)?);
        }
        let log = folder()?.join(works[0].name()).with_extension("log");
        let said = File::create(&log)
            .with_context(|| format!("cannot write {}: make room there", log.display()))?;
        let this = program()?;
        let mut command = match cargo::find(GIVES_WAY) {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(["--idle", "0"]).arg(this);
                command
            }
            None => Command::new(this),
        };
        command.arg("beside").args(works.iter().map(|work| work.name()));
        command.arg("--tests").arg(tests);
        if let Some(agent) = agent {
            command.arg("--agent").arg(agent);
        }
        command.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        let mut child = command.spawn().context("this program cannot start itself")?;
        let input = child.stdin.take();
        Ok(Self { child, input, log: File::open(log)? })
    }

    /// Nothing else runs any more: it may use the whole machine.
    pub(crate) fn leave_alone(&mut self) {
        self.input = None;
    }

    /// Waits until that is done, shows what is said meanwhile and was before, and gives what ran.
    ///
    /// # Errors
    /// Where it ended without saying what ran.
    pub(crate) fn wait(&mut self, work: Work) -> Result<Sum> {
        let file = sum_of(work)?;
        loop {
            let ended = self.child.try_wait()?;
            let told = fs::read(&file);
            self.show()?;
            match told {
                Ok(told) => return Ok(serde_json::from_slice(&told)?),
                Err(_) if ended.is_some() => {
                    bail!("the {} ended without saying what ran: see above", work.name())
                }
                Err(_) => thread::sleep(PERIOD),
            }
        }
    }

    fn show(&mut self) -> Result<()> {
        let mut said = Vec::new();
        self.log.read_to_end(&mut said)?;
        let mut out = io::stdout().lock();
        out.write_all(&said)?;
        Ok(out.flush()?)
    }
}
