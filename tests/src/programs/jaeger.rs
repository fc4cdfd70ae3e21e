//! Jaeger v2, a real OpenTelemetry Collector distribution with storage and a query API, built from source once.
//!
//! `backends/jaeger` pins it and everything it is made of by checksum.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use super::{Server, cache, fingerprint, installed};
use crate::listening::{free_port, wait_port};
use crate::otlp::{Spans, spans_from_json};
use crate::peer::{Connection, Target};
use crate::process;

/// The package of its program.
const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";

/// A running Jaeger with its storage in memory.
pub struct Jaeger {
    server: Server,
    /// Port of its OTLP gRPC receiver.
    pub grpc: u16,
    /// Port of its OTLP HTTP receiver.
    pub http: u16,
    _folder: tempfile::TempDir,
}

impl Jaeger {
    /// Starts it on free ports.
    ///
    /// # Errors
    /// When it cannot be built, or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (query, query_grpc, grpc, http) =
            (free_port()?, free_port()?, free_port()?, free_port()?);
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, configuration(query, query_grpc, grpc, http))?;
        let mut command = Command::new(binary()?);
        let mut server = Server::on_port("jaeger", query, command.arg("--config").arg(file))?;
        wait_port(&mut server.program, grpc)?;
        wait_port(&mut server.program, http)?;
        Ok(Self { server, grpc, http, _folder: folder })
    }

    /// All spans it has of the traces in which that service takes part.
    ///
    /// # Errors
    /// When it does not answer as documented.
    pub fn spans(&self, service: &str) -> anyhow::Result<Spans> {
        let path = format!(
            "/api/v3/traces?query.service_name={service}&query.num_traces=10000\
             &query.start_time_min=2000-01-01T00:00:00Z&query.start_time_max=2100-01-01T00:00:00Z"
        );
        let answer = Connection::open(&self.server.target)?.get(&path)?;
        if answer.status == 404 {
            return Ok(Spans::default());
        }
        anyhow::ensure!(
            answer.status == 200,
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        let json: Json = serde_json::from_slice(&answer.body)?;
        let mut spans = spans_from_json(&json["result"])?;
        for span in &mut spans.0 {
            // Jaeger's own remarks are no part of what it was sent.
            span.attributes.retain(|key, _| !key.starts_with("@jaeger@"));
        }
        Ok(spans)
    }

    /// Where it answers queries.
    #[must_use]
    pub fn query(&self) -> &Target {
        &self.server.target
    }
}

/// Its program, built if it is not yet.
///
/// # Errors
/// When Go is missing, or it does not build.
pub fn binary() -> anyhow::Result<PathBuf> {
    let go = installed("go")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("backends/jaeger");
    let name = format!("jaeger-{}", fingerprint(&[source.join("go.mod"), source.join("go.sum")])?);
    let built = cache(&name)?.join("jaeger");
    if !built.exists() {
        let part = built.with_extension("part");
        process::output(
            Command::new(go)
                .current_dir(&source)
                .env("GOFLAGS", "-mod=readonly")
                .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
                .arg(&part)
                .arg(PACKAGE),
        )?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}

fn configuration(query: u16, query_grpc: u16, grpc: u16, http: u16) -> String {
    format!(
        "service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], processors: [], exporters: [jaeger_storage_exporter]}}
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
extensions:
  jaeger_storage: {{backends: {{memory: {{memory: {{max_traces: 100000}}}}}}}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: '127.0.0.1:{query}'}}
    grpc: {{endpoint: '127.0.0.1:{query_grpc}'}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, http: {{endpoint: '127.0.0.1:{http}'}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"
    )
}
