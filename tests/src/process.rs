//! Programs that a test starts: each in a process group of its own, its output kept, ended when the test is.
//!
//! No program may outlive its test, whatever happens to the test: the kernel kills it when the test's main thread
//! dies, dropping it kills its whole group, and the runner kills what is left.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};

use crate::wait::{self, Deadline};

/// A running program.
pub struct Program {
    name: String,
    child: Child,
    lines: Arc<Lines>,
    ended: Option<ExitStatus>,
}

/// What a program wrote on its standard output and error, line by line.
#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<String>>,
    more: Condvar,
}

impl Program {
    /// Starts it. `name` is what the test calls it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        die_with_parent(command);
        let mut child =
            command.spawn().with_context(|| format!("starting {name} ({command:?})"))?;
        let lines = Arc::new(Lines::default());
        collect(name, child.stdout.take().expect("it is piped"), &lines);
        collect(name, child.stderr.take().expect("it is piped"), &lines);
        Ok(Self { name: name.to_owned(), child, lines, ended: None })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`, and gives it.
    ///
    /// # Errors
    /// When the program ends or the deadline comes first.
    pub fn wait_line(&mut self, text: &str, deadline: Deadline) -> anyhow::Result<String> {
        loop {
            let ended = self.poll()?;
            let seen = self.lines.seen.lock().expect("no writer panics");
            if let Some(line) = seen.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            if let Some(status) = ended {
                // What it said last may not be read yet.
                drop(seen);
                self.wait_read();
                let last = self.lines().into_iter().find(|line| line.contains(text));
                return last.with_context(|| {
                    format!("{} ended ({status}) without saying {text:?}", self.name)
                });
            }
            if deadline.is_past() {
                bail!("{} did not say {text:?} in time", self.name);
            }
            let short = deadline.left().min(Duration::from_millis(50));
            drop(self.lines.more.wait_timeout(seen, short).expect("no writer panics"));
        }
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.seen.lock().expect("no writer panics").clone()
    }

    /// What it wrote from line number `from` on, until that line has come.
    ///
    /// # Errors
    /// At the deadline.
    pub fn lines_until(
        &self,
        last: &str,
        from: usize,
        deadline: Deadline,
    ) -> anyhow::Result<Vec<String>> {
        wait::until(&format!("{last:?} of {}", self.name), deadline, || {
            let new = self.lines().split_off(from);
            let end = new.iter().position(|line| line == last)?;
            Some(new[..end].to_vec())
        })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the kernel will not say.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.poll()?.is_none())
    }

    /// Waits until it ends by itself, and what it wrote has been read.
    ///
    /// # Errors
    /// At the deadline.
    pub fn wait_end(&mut self, deadline: Deadline) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let status = wait::until(&what, deadline, || self.poll().transpose())??;
        self.wait_read();
        Ok(status)
    }

    /// Waits until all is read that it wrote before it ended. Who reads holds the lines, too. A child that it left behind may keep a pipe
    /// open: that one is not waited for.
    fn wait_read(&self) {
        let read = || (Arc::strong_count(&self.lines) == 1).then_some(());
        let _ = wait::until("its last words", Deadline::seconds(1), read);
    }

    /// Sends a signal to it alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub fn stop(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_end(Deadline::after(within))
    }

    /// Kills it and all of its process group.
    pub fn kill(&mut self) {
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    fn poll(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end and gives its standard output; the test's own output gets what it writes on its error.
///
/// # Errors
/// When it fails; its output is in the error.
pub fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    die_with_parent(command);
    let ended = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !ended.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            ended.status,
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    Ok(ended.stdout)
}

/// The path of a program, if it is installed.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A process below this one.
#[derive(Debug)]
pub struct Descendant {
    /// Its pid.
    pub pid: Pid,
    /// Its name.
    pub name: String,
    /// It has ended and waits to be collected.
    pub is_zombie: bool,
}

/// The children of this process, those it adopted included.
#[must_use]
pub fn descendants() -> Vec<Descendant> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let children = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = children
        .flat_map(|line| line.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect();
    pids.into_iter()
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (start, end) = (stat.find('(')?, stat.rfind(')')?);
            Some(Descendant {
                pid: Pid::from_raw(pid)?,
                name: stat[start + 1..end].to_owned(),
                is_zombie: stat[end + 1..].trim_start().starts_with('Z'),
            })
        })
        .collect()
}

/// Has the kernel kill the program when the thread that started it is gone.
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: the closure makes two system calls and allocates nothing, as is required between fork and exec.
    unsafe { command.pre_exec(prepare) };
}

/// Reads a pipe to its end in a thread of its own, and repeats it to the test's output.
fn collect(name: &str, pipe: impl Into<std::os::fd::OwnedFd>, lines: &Arc<Lines>) {
    let (name, lines) = (name.to_owned(), Arc::clone(lines));
    let pipe = BufReader::new(File::from(pipe.into()));
    std::thread::spawn(move || {
        for line in pipe.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("[{name}] {line}");
            lines.seen.lock().expect("no reader panics").push(line);
            lines.more.notify_all();
        }
        lines.more.notify_all();
    });
}
