//! The first process: makes the machine usable, runs the tests, and ends the machine. It must never end itself: that
//! is a kernel panic.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

/// What is said last: a console without it is a machine that died.
const ENDED: &str = "the virtual machine's tests have ended";

/// Runs the tests that the kernel's command line asks for, and switches the machine off.
pub fn first_process() -> ! {
    if let Err(error) = prepare().and_then(|()| run()) {
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
fn run() -> anyhow::Result<()> {
    let arguments = std::env::args_os().skip(1);
    Command::new(Path::new("/proc/self/exe").canonicalize()?).args(arguments).status()?;
    Ok(())
}
