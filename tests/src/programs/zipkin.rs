//! Zipkin in its one jar, its storage in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value as Json;

use super::{backend::Backend, installed, maven};
use crate::listening::free_port;
use crate::peer::Connection;

/// A Zipkin.
pub struct Zipkin {
    /// The program. It forgets everything when it is killed.
    pub backend: Backend,
    /// Where it takes spans and answers questions.
    pub port: u16,
}

/// A span as Zipkin has it (its API's v2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZipkinSpan {
    /// Lower-case hex, 32 digits.
    pub trace_id: String,
    /// Lower-case hex, 16 digits.
    pub id: String,
    /// Lower-case hex; empty for a root.
    pub parent: String,
    /// `CLIENT` or `SERVER`.
    pub kind: String,
    /// Its local endpoint's service.
    pub service: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Zipkin {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When it is not to be had, or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let (java, jar, port) = (installed("java")?, jar()?, free_port()?);
        let command = move || at_port(&java, &jar, port);
        Ok(Self { backend: Backend::start("zipkin", vec![port], command)?, port })
    }

    /// All spans it has of traces in which that service takes part.
    ///
    /// # Errors
    /// When it does not answer as documented.
    pub fn spans(&self, service: &str) -> anyhow::Result<Vec<ZipkinSpan>> {
        let path = format!("/api/v2/traces?serviceName={service}&limit=100000&lookback=86400000");
        let answer = Connection::open(&self.backend.api())?.get(&path)?;
        anyhow::ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        let traces: Vec<Vec<Json>> = serde_json::from_slice(&answer.body)?;
        traces.iter().flatten().map(read).collect()
    }
}

fn read(span: &Json) -> anyhow::Result<ZipkinSpan> {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let tags = span["tags"].as_object().context("no tags")?;
    Ok(ZipkinSpan {
        trace_id: text(&span["traceId"]),
        id: text(&span["id"]),
        parent: text(&span["parentId"]),
        kind: text(&span["kind"]),
        service: text(&span["localEndpoint"]["serviceName"]),
        tags: tags.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
    })
}

/// Zipkin on that port.
///
/// # Errors
/// When Java or its jar is not to be had.
pub fn command(port: u16) -> anyhow::Result<Command> {
    Ok(at_port(&installed("java")?, &jar()?, port))
}

fn at_port(java: &Path, jar: &Path, port: u16) -> Command {
    let mut command = Command::new(java);
    command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar"]).arg(jar);
    command.args(["--armeria.ports[0].ip=127.0.0.1", "--armeria.ports[0].protocols[0]=http"]);
    command.arg(format!("--armeria.ports[0].port={port}"));
    command.env("SELF_TRACING_ENABLED", "false");
    command
}

/// Its jar, fetched if it is not yet.
///
/// # Errors
/// When Maven is missing, or it is not to be had.
pub fn jar() -> anyhow::Result<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("backends/zipkin");
    let jars = maven::jars("zipkin", &project)?;
    let mut files = std::fs::read_dir(jars)?;
    Ok(files.next().context("no jar")??.path())
}
