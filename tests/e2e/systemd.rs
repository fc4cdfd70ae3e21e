//! The unit of `deploy/`, on a machine that systemd has booted: it starts with the capabilities it names and no more, traces,
//! reads its rules again, comes back when it is killed, and ends when it is told to.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, getpriority_process};
use tests::listening::free_port;
use tests::otlp::{Kind, Receiver};
use tests::outcome::TestResult;
use tests::peer::{Connection, Target};
use tests::privileges;
use tests::process;
use tests::programs::{installed, python, workload};
use tests::runner::{Place, Suite};
use tests::tour::TOUR;
use tests::vm;
use tests::wait::{self, Deadline};

use crate::programs::take_tour;

/// Bits of capabilities(7) that are left of those that the unit names, without `CAP_NET_ADMIN`: `CAP_SETGID`, `CAP_SETUID`, `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`,
/// `CAP_SYS_NICE`, `CAP_PERFMON`, `CAP_BPF`.
const CAPABILITIES: u64 =
    1 << 6 | 1 << 7 | 1 << 2 | 1 << 19 | privileges::SYS_NICE | 1 << 38 | 1 << 39;

/// The user the child is made one of.
const NOBODY: u32 = 65534;

pub(crate) fn add(suite: &mut Suite) {
    suite.at(Place::UnderSystemd, "systemd::the_unit_runs", 50, unit);
}

fn unit() -> TestResult {
    let receiver = Receiver::start()?;
    fs::create_dir_all("/etc/default")?;
    fs::write(
        "/etc/default/spanwire",
        format!(
            "OTEL_EXPORTER_OTLP_ENDPOINT={}\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nOTEL_BSP_SCHEDULE_DELAY=100\n",
            receiver.endpoint()
        ),
    )?;
    systemctl(&["start", "spanwire"])?;
    traced(&receiver, "started")?;

    let main = main_pid()?;
    ensure!(
        privileges::of(main)? == (0, CAPABILITIES),
        "of the agent: {:?}",
        privileges::of(main)?
    );
    ensure!(sees_options(main)?, "contexts do not go between hosts");
    goes_first(main)?;
    let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children"))?;
    let child = children.trim().parse().with_context(|| format!("one child, not {children:?}"))?;
    ensure!(privileges::of(child)? == (NOBODY, 0), "of its child: {:?}", privileges::of(child)?);

    fs::create_dir_all("/etc/spanwire")?;
    fs::write("/etc/spanwire/spanwire.yaml", "select:\n  - exclude: {service: quiet}\n")?;
    systemctl(&["reload", "spanwire"])?;
    ensure!(main_pid()? == main, "a reload is no restart");
    traced(&receiver, "reloaded")?;

    named_by_unit(&receiver)?;

    systemctl(&["kill", "--kill-whom=main", "--signal=KILL", "spanwire"])?;
    let again =
        wait::until("the restart", within(30), || main_pid().ok().filter(|pid| *pid != main))?;
    traced(&receiver, "restarted")?;
    take_tour_of("quiet")?;
    ensure!(receiver.spans()?.of("quiet", Kind::Server).is_empty(), "the rule is in its file");

    systemctl(&["stop", "spanwire"])?;
    ensure!(!std::path::Path::new(&format!("/proc/{again}")).exists(), "it still runs");
    ensure!(property("Result")? == "success", "it ended with {}", property("Result")?);
    let spool = fs::metadata("/var/lib/spanwire")?;
    ensure!(std::os::unix::fs::PermissionsExt::mode(&spool.permissions()) & 0o7777 == 0o700);
    Ok(())
}

/// A unit of somebody's own, whose program would be called otherwise.
fn named_by_unit(receiver: &Receiver) -> TestResult {
    const UNIT: &str = "till-api";
    let port = free_port()?;
    let server = workload("python/tour_server.py");
    let unit = format!(
        "[Service]\nExecStart={} {} 127.0.0.1 {port}\n",
        installed("python3")?.display(),
        server.display()
    );
    fs::write(format!("/run/systemd/system/{UNIT}.service"), unit)?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["start", UNIT])?;
    let target = Target::port(port);
    let mut connection =
        wait::until("the unit's server", within(20), || Connection::open(&target).ok())?;
    ensure!(connection.get("/hello")?.status == 200);
    let spans = receiver.wait(UNIT, Duration::from_secs(10) * vm::SLOWER, |spans| {
        !spans.of(UNIT, Kind::Server).is_empty()
    })?;
    let span = &spans.of(UNIT, Kind::Server).0[0];
    ensure!(span.int("server.port") == Some(i64::from(port)), "another's: {span}");
    systemctl(&["stop", UNIT])
}

fn within(seconds: u64) -> Deadline {
    Deadline::after(Duration::from_secs(seconds) * vm::SLOWER)
}

/// Waits until the agent traces, and has a server under that name traced whole.
fn traced(receiver: &Receiver, service: &str) -> TestResult {
    let live = || {
        let doctor = Command::new("/usr/bin/spanwire").args(["doctor", "--live"]).output().ok()?;
        doctor.status.success().then_some(())
    };
    wait::until("the agent's counters", within(20), live)
        .with_context(|| systemctl_text(&["status", "spanwire"]))?;
    take_tour_of(service)?;
    let patience = Duration::from_secs(10) * vm::SLOWER;
    receiver
        .wait(service, patience, |spans| spans.of(service, Kind::Server).len() >= TOUR.len())
        .with_context(|| systemctl_text(&["status", "spanwire"]))?;
    Ok(())
}

fn take_tour_of(service: &str) -> TestResult {
    let server = python::tour_server(service, [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)
}

fn systemctl(arguments: &[&str]) -> TestResult {
    process::output(Command::new("systemctl").args(arguments))
        .map(drop)
        .with_context(|| systemctl_text(&["status", "spanwire"]))
}

/// What systemctl says, for a person.
fn systemctl_text(arguments: &[&str]) -> String {
    match Command::new("systemctl").args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    }
}

fn property(name: &str) -> anyhow::Result<String> {
    let ask = ["show", "--value", "--property", name, "spanwire"];
    let told = process::output(Command::new("systemctl").args(ask))?;
    Ok(String::from_utf8(told)?.trim().to_owned())
}

fn main_pid() -> anyhow::Result<u32> {
    let pid = property("MainPID")?.parse()?;
    ensure!(pid != 0, "it does not run");
    Ok(pid)
}

/// The thread that reads the rings may go first: one that may is nice in the meantime.
fn goes_first(pid: u32) -> TestResult {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let nice = || getpriority_process(pid).ok().filter(|nice| *nice > 0);
    wait::until("the thread that reads the rings to be nice", within(20), nice).map(drop)
}

/// Whether it has a program attached to the cgroups (proc_pid_fdinfo(5) of a link), which the kernel grants to nobody without
/// `CAP_NET_ADMIN`.
fn sees_options(pid: u32) -> anyhow::Result<bool> {
    let mut infos = fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten();
    Ok(infos.any(|info| {
        fs::read_to_string(info.path()).is_ok_and(|text| text.contains("link_type:\tcgroup"))
    }))
}
