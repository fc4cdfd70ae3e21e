//! CPUs: who runs on which, and how much of them a process has used, in the scheduler's own nanoseconds.
//!
//! A process's clock covers its threads that have ended, too; what `/proc` sums up in ticks is too coarse for a second.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which CPU has which duty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Servers, and whatever is measured call by call.
    pub(crate) servers: usize,
    /// Clients, background load and the sink.
    pub(crate) clients: usize,
}

impl Places {
    /// The first two CPUs we may use; one for both duties where there is only one. The agent is left to the scheduler,
    /// as it is where people run it.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        let usable = sched_getaffinity(None)?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| usable.is_set(*cpu));
        let servers = cpus.next().context("no CPU to run on")?;
        Ok(Self { servers, clients: cpus.next().unwrap_or(servers) })
    }
}

/// Does something with this thread bound to a CPU: what it starts meanwhile is bound, too, and stays so.
pub(crate) fn on<T>(cpu: usize, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).context("binding to a CPU")?;
    let done = act();
    sched_setaffinity(None, &before)?;
    done
}

/// CPU time of a process, ended threads included, children not.
pub(crate) fn of_process(pid: u32) -> anyhow::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write to the locals they are given, which outlive them.
    let failed = unsafe {
        let found = libc::clock_getcpuclockid(i32::try_from(pid)?, &raw mut clock);
        if found == 0 { libc::clock_gettime(clock, &raw mut time) } else { found }
    };
    ensure!(failed == 0, "process {pid} has no clock: is it gone?");
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

/// CPU time of a process and of all that descend from it now.
pub(crate) fn of_family(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = of_process(pid)?;
    for child in children(pid) {
        // One that ended since the list was read had next to nothing.
        sum += of_family(child).unwrap_or_default();
    }
    Ok(sum)
}

/// CPU time of all children of ours that have ended and were waited for.
pub(crate) fn of_ended_children() -> anyhow::Result<Duration> {
    // SAFETY: a zeroed `rusage` is a valid one, and the call writes to it alone.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        let failed = libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        ensure!(failed == 0, "getrusage: {}", std::io::Error::last_os_error());
        usage
    };
    let time = |time: libc::timeval| -> anyhow::Result<Duration> {
        Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_usec * 1000)?))
    };
    Ok(time(usage.ru_utime)? + time(usage.ru_stime)?)
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>())
        .collect()
}
