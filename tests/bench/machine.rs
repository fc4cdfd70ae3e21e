//! On what the figures were taken, and who else was there.

use std::time::SystemTime;

use anyhow::Context as _;

use crate::bench::Bench;

/// The machine, and what its CPUs had done when the bench began.
pub(crate) struct Machine {
    lines: Vec<String>,
    before: Ticks,
}

/// Ticks of `/proc/stat`, all CPUs together.
#[derive(Clone, Copy)]
struct Ticks {
    all: f64,
    steal: f64,
}

impl Machine {
    /// Looks around.
    pub(crate) fn look(bench: &Bench) -> anyhow::Result<Self> {
        let name = rustix::system::uname();
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        let field = |key: &str| {
            let line = cpu.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim())
        };
        let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
        let guest = if cpu.contains(" hypervisor ") { ", a virtual machine" } else { "" };
        let date = httpdate::fmt_http_date(now());
        let lines = vec![
            format!("date: {date}"),
            format!(
                "kernel: {} {} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy(),
                name.machine().to_string_lossy()
            ),
            format!(
                "CPU: {count} × {} (family {}, model {}){guest}",
                field("model name"),
                field("cpu family"),
                field("model\t")
            ),
            format!(
                "servers and measured calls on CPU {}, clients, background and receiver on CPU {}; hooks: {}",
                bench.places.servers,
                bench.places.clients,
                bench.hooks.word()
            ),
            if bench.is_shared {
                "these two are threads of one core: of single calls, those that others disturbed count, too"
            } else {
                "work on one of them does not slow the other"
            }
            .to_owned(),
        ];
        Ok(Self { lines, before: ticks()? })
    }

    /// The bench is over: how much of the machine was somebody else's meanwhile.
    pub(crate) fn look_again(&mut self) -> anyhow::Result<()> {
        let now = ticks()?;
        let all = (now.all - self.before.all).max(1.0);
        let steal = 100.0 * (now.steal - self.before.steal) / all;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split_whitespace().take(3).collect();
        self.lines.push(format!(
            "the hypervisor took {steal:.1} % of the CPUs meanwhile; load averages at the end {}",
            load.join(" ")
        ));
        Ok(())
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

fn ticks() -> anyhow::Result<Ticks> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> =
        first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user time already
    Ok(Ticks { all: ticks.iter().take(8).sum(), steal: ticks.get(7).copied().unwrap_or(0.0) })
}

#[allow(clippy::disallowed_methods, reason = "the bench dates what it writes")]
fn now() -> SystemTime {
    SystemTime::now()
}
