//! The first process: makes the machine usable, runs the tests, and ends the machine. It must never end itself: that
//! is a kernel panic.
//!
//! Or, asked for [`UNDER_SYSTEMD`], it becomes systemd, with the tests as a unit that ends the machine.

use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

/// What is said last: a console without it is a machine that died.
const ENDED: &str = "the virtual machine's tests have ended";

/// The argument before the tests' own that asks for systemd as first process.
const UNDER_SYSTEMD: &str = "--under-systemd";

/// The variable by which the tests know that they are the unit that systemd started.
const IN_UNIT: &str = "TESTS_IN_UNIT";

/// What is to be reached. Only what the tests start comes on top of systemd's own beginning.
const TARGET: &str = "tests.target";

/// Whether this process has the machine to itself.
#[must_use]
pub fn is_first() -> bool {
    std::process::id() == 1 || std::env::var_os(IN_UNIT).is_some()
}

/// Runs the tests that the kernel's command line asks for, and switches the machine off.
pub fn first_process() -> ! {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = if std::process::id() != 1 {
        run(&arguments)
    } else if arguments.first().is_some_and(|first| first == UNDER_SYSTEMD) {
        become_systemd(&arguments.split_off(1))
    } else {
        prepare().and_then(|()| run(&arguments))
    };
    if let Err(error) = done {
        println!("the machine cannot run its tests: {error:#}");
    } else {
        println!("{ENDED}");
    }
    rustix::fs::sync();
    if let Err(error) = rustix::system::reboot(RebootCommand::PowerOff) {
        println!("the machine cannot be switched off: {error}");
    }
    loop {
        std::thread::park();
    }
}

/// File systems, modules, loopback. Not what the agent must be able to make itself (tracefs, bpffs, securityfs).
///
/// Everything is in memory already, `/tmp` included: a checkout may lie there, and nothing may cover it.
fn prepare() -> anyhow::Result<()> {
    for (kind, place) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run")]
    {
        mount(kind, place, kind, MountFlags::empty(), None).with_context(|| place.to_owned())?;
    }
    std::fs::create_dir("/sys/fs/cgroup").or_else(exists)?;
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None).context("cgroup2")?;
    for module in std::fs::read_dir("/modules")? {
        let module = std::fs::File::open(module?.path())?;
        rustix::system::finit_module(module.as_fd(), c"", 0).context("a module")?;
    }
    for line in std::fs::read_to_string("/etc/environment")?.lines() {
        let (name, value) = line.split_once('=').context("a variable has a value")?;
        // SAFETY: no other thread exists yet.
        unsafe { std::env::set_var(name, value) };
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("ip")?;
    anyhow::ensure!(up.success(), "loopback stays down");
    Ok(())
}

fn exists(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// This program again, as the runner of the tests.
fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut runner = Command::new(Path::new("/proc/self/exe").canonicalize()?);
    runner.args(arguments).env_remove(IN_UNIT).status()?;
    Ok(())
}

/// Makes the tests a unit and hands the machine to systemd, which does itself what [`prepare`] does.
fn become_systemd(arguments: &[String]) -> anyhow::Result<()> {
    let units = Path::new("/etc/systemd/system");
    std::fs::create_dir_all(units)?;
    std::fs::write("/etc/machine-id", "")?;
    // A checkout may lie in /tmp: nothing may cover it, and nobody tidy it up.
    std::os::unix::fs::symlink("/dev/null", units.join("tmp.mount"))?;
    std::fs::create_dir_all("/etc/tmpfiles.d")?;
    std::fs::write("/etc/tmpfiles.d/tmp.conf", "")?;
    let tests = arguments.join(" ");
    std::fs::write(
        units.join("tests.service"),
        format!(
            "[Service]\nExecStart=/init {tests}\nEnvironmentFile=/etc/environment\nEnvironment={IN_UNIT}=1\n\
             StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS0\n"
        ),
    )?;
    std::fs::write(
        units.join(TARGET),
        "[Unit]\nRequires=basic.target tests.service\nAfter=basic.target\n",
    )?;
    let error = Command::new("/lib/systemd/systemd").arg(format!("--unit={TARGET}")).exec();
    Err(error).context("systemd")
}
