//! wrk: a real client that asks as fast as it is answered.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tests::process;
use tests::programs::installed;

use crate::cpu;
use crate::modes::{Measure, Sample, Sort};

/// wrk at one address.
pub(crate) struct Wrk {
    program: PathBuf,
    url: String,
    connections: usize,
    cpu: usize,
    header: Option<&'static str>,
    script: Option<PathBuf>,
}

impl Wrk {
    /// What a run gives, in this order.
    pub(crate) const MEASURES: &'static [Measure] = &[
        Measure { name: "requests/s", sort: Sort::Rate },
        Measure { name: "server CPU a request", sort: Sort::Cpu },
        Measure { name: "client CPU a request", sort: Sort::Cpu },
    ];

    /// Not started yet.
    pub(crate) fn new(url: String, connections: usize, cpu: usize) -> anyhow::Result<Self> {
        let program = installed("wrk")?;
        Ok(Self { program, url, connections, cpu, header: None, script: None })
    }

    pub(crate) fn header(mut self, header: &'static str) -> Self {
        self.header = Some(header);
        self
    }

    pub(crate) fn script(mut self, script: PathBuf) -> Self {
        self.script = Some(script);
        self
    }

    /// Runs it; `server` is who answers, its children with it.
    pub(crate) fn run(&mut self, time: Duration, server: u32) -> anyhow::Result<Sample> {
        let mut command = Command::new(&self.program);
        // wrk takes whole seconds only.
        let seconds = time.as_secs_f64().round().max(1.0);
        command.args(["-t", "1", "-c", &self.connections.to_string()]);
        command.arg("-d").arg(format!("{seconds}s"));
        if let Some(header) = self.header {
            command.arg("-H").arg(header);
        }
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        command.arg(&self.url);
        let (server_before, client_before) = (cpu::of_family(server)?, cpu::of_ended_children()?);
        let told = cpu::on(self.cpu, || process::output(&mut command))?;
        let server_used = cpu::of_family(server)?.saturating_sub(server_before);
        let client_used = cpu::of_ended_children()?.saturating_sub(client_before);
        let (requests, rate) = read(&String::from_utf8_lossy(&told))?;
        let each = |used: Duration| used.as_nanos() as f64 / requests;
        Ok(Sample {
            units: requests,
            values: vec![rate, each(server_used), each(client_used)],
            alone: None,
        })
    }
}

/// Requests answered, and how many a second.
fn read(told: &str) -> anyhow::Result<(f64, f64)> {
    let line = |mark: &str| {
        told.lines().find(|line| line.contains(mark)).with_context(|| format!("wrk said {told}"))
    };
    for complaint in ["Non-2xx", "Socket errors"] {
        if let Ok(line) = line(complaint) {
            bail!("wrk: {}", line.trim());
        }
    }
    let word = |line: &str, at| -> anyhow::Result<f64> {
        let word = line.split_whitespace().nth(at);
        Ok(word.with_context(|| format!("wrk said {line:?}"))?.parse()?)
    };
    let requests = word(line(" requests in ")?, 0)?;
    if requests == 0.0 {
        // No reason to end: on a machine that is busy with something else it happens, and the round shows it.
        eprintln!("    wrk was answered nothing in a run");
    }
    Ok((requests.max(1.0), word(line("Requests/sec:")?, 1)?))
}
