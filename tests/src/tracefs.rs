//! The kernel's own trace of one of its tracepoints (Documentation/trace/ftrace.rst): a witness that is none of ours.
//!
//! In an instance of its own, which is taken down again. Must never change what others trace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where instances are made.
const INSTANCES: &str = "/sys/kernel/tracing/instances";

/// A tracepoint that is traced until this is dropped.
pub struct Trace {
    instance: PathBuf,
}

impl Trace {
    /// Begins to trace an event, such as `tcp/tcp_retransmit_skb`. `None` where the kernel has no tracefs there, or no such event.
    #[must_use]
    pub fn start(event: &str) -> Option<Self> {
        let instance = Path::new(INSTANCES).join(format!("spanwire-{}", std::process::id()));
        fs::create_dir(&instance).ok()?;
        // From here on it is taken down whatever happens.
        let trace = Self { instance };
        fs::write(trace.instance.join("events").join(event).join("enable"), "1").ok()?;
        Some(trace)
    }

    /// The task that was on the CPU at each event so far: its thread id.
    ///
    /// # Errors
    /// When the trace cannot be read, or is not written as it used to be.
    pub fn tasks(&self) -> anyhow::Result<Vec<u32>> {
        tasks_in(&fs::read_to_string(self.instance.join("trace"))?)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Left behind it would hold memory, but nobody would be told anything wrong.
        let _ = fs::remove_dir(&self.instance);
    }
}

/// Of lines like `python3-6244    [000] ..s1. 28455.676980: tcp_retransmit_skb: …`; names may have blanks and hyphens.
fn tasks_in(trace: &str) -> anyhow::Result<Vec<u32>> {
    let events = trace.lines().filter(|line| !line.starts_with('#'));
    events
        .map(|line| {
            let task = line.split_once(" [").and_then(|(task, _)| task.trim_end().rsplit_once('-'));
            let (_, id) = task.with_context(|| format!("no task in {line:?}"))?;
            Ok(id.parse()?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::tasks_in;

    #[test]
    fn tasks_are_read_whatever_they_are_called() {
        let trace = "# tracer: nop\n#\n          <idle>-0       [000] ..s2. 1.5: x: a\n tokio-rt worker-75      [001] ..s1. 2.5: x: b-9 [c\n";
        assert_eq!(tasks_in(trace).unwrap(), [0, 75]);
        assert!(tasks_in("# nothing\n").unwrap().is_empty());
        assert!(tasks_in("else\n").is_err());
    }
}
