//! One boot of a virtual machine: QEMU, a kernel, a file system in memory, and the tests as its first process.
//!
//! Always emulated, so that it runs wherever this repository is built; nothing that is measured in there is a cost.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::kernels::Kernel;
use crate::{
    say,
    tally::{Reader, Tally},
};

/// What emulates the machine; in Debian's package `qemu-system-x86`.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// When a machine is given up: several times what the slowest takes, which is minutes where others run beside it.
const PATIENCE: Duration = Duration::from_secs(1500);

/// What the first process says last. A console without it is a machine that died.
const ENDED: &str = "the virtual machine's tests have ended";

/// Lines of a dead machine's console that are shown.
const SHOWN: usize = 60;

/// One boot.
pub(crate) struct Boot<'a> {
    /// What it is called in the output, and the name its records go by.
    pub(crate) name: String,
    pub(crate) kernel: &'a Kernel,
    /// Further words of the kernel's command line.
    pub(crate) append: &'static str,
    /// Memory, MiB.
    pub(crate) memory: u32,
    /// The tests' own arguments.
    pub(crate) tests: Vec<String>,
}

/// How a boot went.
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// What the tests wrote down for the repository.
    pub(crate) records: String,
    /// The machine did not come to the end of its tests.
    pub(crate) died: bool,
}

impl Boot<'_> {
    /// Boots, shows the tests' report as it comes, and waits for the end.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be run. A machine that dies or hangs is a failed test in the report.
    pub(crate) fn run(&self, initrd: &Path, folder: &Path) -> Result<Report> {
        let records = folder.join("records");
        let mut qemu = self.qemu(initrd, &records);
        let mut child = qemu
            .spawn()
            .with_context(|| format!("cannot start {QEMU}: apt-get install qemu-system-x86"))?;
        let console = child.stdout.take().context("QEMU has no output")?;
        let watch = watch(child);
        let began = say::now();
        let mut reader = Reader::default();
        let mut lines = Vec::new();
        let mut has_ended = false;
        for line in BufReader::new(console).split(b'\n').map_while(io::Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            has_ended |= line.contains(ENDED);
            reader.line(&line);
            let mut out = io::stdout().lock();
            if !line.is_empty() {
                writeln!(out, "[{}] {line}", self.name)?;
            }
            lines.push(line);
        }
        let mut tally = reader.tally;
        if watch.ended().is_err() {
            say::note(format!("{}: it was stopped after {}", self.name, say::seconds(PATIENCE)));
        }
        if !has_ended {
            let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
            tally += Tally::failed(format_args!(
                "the machine ended without its report; its console's last lines:\n{last}"
            ));
        } else if tally.is_empty() {
            tally += Tally::failed("no test ran");
        }
        if tally.failed > 0 {
            tally.said = format!("of the machine {}:\n{}", self.name, tally.said);
        }
        say::note(format!("{}: {tally} in {}", self.name, say::seconds(began.elapsed())));
        let records = fs::read_to_string(&records).unwrap_or_default().replace('\r', "");
        Ok(Report { tally, records, died: !has_ended })
    }

    fn qemu(&self, initrd: &Path, records: &Path) -> Command {
        let mut qemu = Command::new(QEMU);
        // All CPUs in one thread of the host: with a thread for each, QEMU 7.2 now and then keeps running an instruction that another CPU
        // has meanwhile replaced (one translates what the other is writing). Kernels replace theirs whenever a tracepoint is put
        // on or taken off, and one CPU then met a breakpoint for ever that was long gone. Several machines run at once as it is.
        qemu.args(["-accel", "tcg,thread=single,tb-size=256"]);
        if self.kernel.is_preemptible() {
            // Time goes by instructions, not by the clock of a host that is thirty times faster: else the timer would take
            // a task off its CPU in the middle of everything, thirty times as often as on any real machine. Several CPUs
            // would then run one after the other, each for so long that a process is born and gone unseen: it has one.
            qemu.args(["-icount", "shift=0,sleep=off", "-smp", "1"]);
        } else {
            qemu.args(["-smp", "2"]);
        }
        // QEMU 7.2 emulates cmpxchg16b wrongly: 6.12 dies of it. Kernels since 6.18 cannot do without, and live with it.
        let cpu = if self.kernel.needs_cmpxchg16b() { "max" } else { "max,-cx16" };
        qemu.args(["-cpu", cpu]);
        qemu.args([
            "-machine",
            "q35",
            "-m",
            &self.memory.to_string(),
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
        ]);
        qemu.args(["-display", "none", "-serial", "stdio", "-serial"]);
        qemu.arg(format!("file:{}", records.display()));
        qemu.arg("-kernel").arg(&self.kernel.image).arg("-initrd").arg(initrd);
        // A CPU that nothing else gets onto for a minute ends the machine, and says where it is. It is not mistaken for one that the
        // host does not let run: that is never so long.
        let mut line = format!(
            "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic softlockup_panic=1 watchdog_thresh=30 mitigations=off rdinit=/init {}",
            self.append
        );
        if !self.tests.is_empty() {
            line += " -- ";
            line += &self.tests.join(" ");
        }
        qemu.arg("-append").arg(line);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        qemu
    }
}

/// Waits for QEMU's end from beside; at the end of all patience it is killed.
fn watch(mut child: Child) -> Watch {
    let (done, is_done) = mpsc::channel::<()>();
    let watcher = thread::spawn(move || {
        // An error is the sender gone: the console has ended.
        let in_time = is_done.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Timeout);
        if !in_time {
            let _ = child.kill();
        }
        let _ = child.wait();
        in_time
    });
    Watch { done, watcher }
}

struct Watch {
    done: mpsc::Sender<()>,
    watcher: thread::JoinHandle<bool>,
}

impl Watch {
    /// To be called when the console has ended.
    fn ended(self) -> Result<()> {
        drop(self.done);
        match self.watcher.join() {
            Ok(true) => Ok(()),
            _ => bail!("it was killed"),
        }
    }
}

/// One initrd of several: the kernel unpacks them one after the other.
pub(crate) fn join(parts: &[PathBuf], whole: &Path) -> Result<()> {
    let mut out =
        fs::File::create(whole).with_context(|| format!("cannot write {}", whole.display()))?;
    for part in parts {
        let length = io::copy(&mut fs::File::open(part)?, &mut out)?;
        // Each must begin at a multiple of four bytes; zeros between them are passed over.
        let padding = [0; 4];
        out.write_all(&padding[..usize::try_from((4 - length % 4) % 4)?])?;
    }
    Ok(())
}
