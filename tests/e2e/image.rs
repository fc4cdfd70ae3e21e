//! The image of `deploy/`: built from its Dockerfile, run with the capabilities and mounts that its Dockerfile names and no more,
//! it traces the host, and gives up what only loading needed.
//!
//! By buildah, which needs no daemon and no network. It runs programs in the host's network and pid namespaces, as the
//! DaemonSet has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tests::otlp::{Kind, Receiver};
use tests::outcome::{TestResult, missing};
use tests::process::{self, Program};
use tests::programs::{installed, python, workload};
use tests::runner::Suite;
use tests::tour::TOUR;
use tests::wait::Deadline;

use crate::programs::take_tour;

/// `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` in the masks of proc(5).
const GIVEN_UP: u64 = 1 << 12 | 1 << 21;

pub(crate) fn add(suite: &mut Suite) {
    suite.test("image::traces_the_host", traces_the_host);
}

fn traces_the_host() -> TestResult {
    tests::agent::need_root()?;
    installed("buildah")?;
    let image = Image::build(&static_agent()?)?;
    let receiver = Receiver::start()?;
    let mut agent = image.run(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ])?;
    agent.wait_line("tracing at", Deadline::seconds(20))?;
    let off: Vec<_> = agent.lines().into_iter().filter(|line| line.contains(": off,")).collect();
    ensure!(off.is_empty(), "not all that a host can have: {off:#?}");

    let server = python::tour_server("imaged", [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    receiver.wait("imaged", Duration::from_secs(15), |spans| {
        spans.of("imaged", Kind::Server).len() >= TOUR.len()
    })?;

    let pid = started_by(agent.pid())?;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        let permitted = permitted(&thread)?;
        ensure!(permitted & GIVEN_UP == 0, "{} may still {permitted:x}", thread.display());
    }
    kill_process(Pid::from_raw(pid.cast_signed()).context("a pid")?, Signal::TERM)?;
    let ended = agent.wait_end(Deadline::seconds(10))?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

/// The static agent, from `SPANWIRE_STATIC_BIN`.
fn static_agent() -> anyhow::Result<PathBuf> {
    std::env::var_os("SPANWIRE_STATIC_BIN").map(PathBuf::from).ok_or_else(|| {
        missing(
            "the static agent",
            "set SPANWIRE_STATIC_BIN to what `cargo xtask build --static` made",
        )
    })
}

/// A built image, in a storage of its own that goes with it.
struct Image {
    folder: tempfile::TempDir,
    dockerfile: PathBuf,
}

impl Image {
    fn build(agent: &Path) -> anyhow::Result<Self> {
        let dockerfile = workload("../../deploy/Dockerfile").canonicalize()?;
        let image = Self { folder: tempfile::tempdir()?, dockerfile };
        let context = image.folder.path().join("context");
        fs::create_dir(&context)?;
        fs::copy(agent, context.join("spanwire"))?;
        let mut build = image.buildah("bud");
        build.arg("--file").arg(&image.dockerfile).args(["--tag", "spanwire"]).arg(&context);
        process::output(&mut build)?;
        Ok(image)
    }

    /// Its program, run as the Dockerfile's remark says, by buildah's words for the same.
    fn run(&self, environment: &[(&str, &str)]) -> anyhow::Result<Program> {
        let said = fs::read_to_string(&self.dockerfile)?;
        let words: Vec<&str> = said.split_whitespace().collect();
        let mut create = self.buildah("from");
        let mut run = self.buildah("run");
        run.args(["--isolation", "chroot"]);
        for (at, word) in words.iter().enumerate() {
            match *word {
                "--security-opt" => drop(create.args([*word, words[at + 1]])),
                "-v" => drop(run.args([*word, words[at + 1]])),
                "--cap-drop=ALL" => drop(create.arg(word)),
                _ => {
                    if let Some(name) = word.strip_prefix("--cap-add=") {
                        create.arg(format!("--cap-add=CAP_{name}"));
                    }
                }
            }
        }
        let container = String::from_utf8(process::output(create.arg("spanwire"))?)?;
        for (key, value) in environment {
            run.args(["--env", &format!("{key}={value}")]);
        }
        run.args([container.trim(), "--", "/usr/bin/spanwire", "run"]);
        Program::start("the image", &mut run)
    }

    fn buildah(&self, word: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("buildah");
        command.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(folder.join("run"));
        command.args(["--storage-driver", "vfs", word]);
        command
    }
}

/// The agent below the container's tools, which are programs of several processes.
fn started_by(ancestor: u32) -> anyhow::Result<u32> {
    let mut below = vec![ancestor];
    while let Some(pid) = below.pop() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim() == "spanwire" {
            return Ok(pid);
        }
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            below.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    anyhow::bail!("no process below {ancestor} is the agent")
}

fn permitted(thread: &Path) -> anyhow::Result<u64> {
    let status = fs::read_to_string(thread.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).context("no CapPrm")?;
    Ok(u64::from_str_radix(line.trim(), 16)?)
}
