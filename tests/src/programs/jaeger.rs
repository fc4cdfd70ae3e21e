//! Jaeger v2, a real OpenTelemetry Collector distribution with storage and a query API, built from source once.
//!
//! `backends/jaeger` pins it and everything it is made of by checksum.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;

use super::{backend::Backend, go};
use crate::listening::free_port;
use crate::otlp::{Spans, spans_from_json};
use crate::peer::Connection;

/// The package of its program.
const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";

/// A Jaeger and the folder it lives in.
pub struct Jaeger {
    /// The program.
    pub backend: Backend,
    /// Port of its OTLP gRPC receiver.
    pub grpc: u16,
    /// Port of its OTLP HTTP receiver.
    pub http: u16,
    _folder: tempfile::TempDir,
}

/// Where spans are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory: lost when it is killed.
    Memory,
    /// On disk, before their arrival is confirmed.
    Disk,
}

impl Jaeger {
    /// Starts it on free ports, its storage in memory.
    ///
    /// # Errors
    /// When it cannot be built, or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        Self::with(Storage::Memory)
    }

    /// The same with another storage.
    ///
    /// # Errors
    /// When it cannot be built, or does not come up.
    pub fn with(storage: Storage) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (query, query_grpc, grpc, http) =
            (free_port()?, free_port()?, free_port()?, free_port()?);
        let file = folder.path().join("config.yaml");
        let storage = match storage {
            Storage::Memory => "memory: {max_traces: 100000}".to_owned(),
            Storage::Disk => {
                let at = folder.path().display();
                format!(
                    "badger: {{ephemeral: false, directories: {{keys: {at}/keys, values: {at}/values}}}}"
                )
            }
        };
        std::fs::write(&file, configuration(query, query_grpc, grpc, http, &storage))?;
        let binary = binary()?;
        let command = move || {
            let mut command = Command::new(&binary);
            command.arg("--config").arg(&file);
            command
        };
        let backend = Backend::start("jaeger", vec![query, grpc, http], command)?;
        Ok(Self { backend, grpc, http, _folder: folder })
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
        let answer = Connection::open(&self.backend.api())?.get(&path)?;
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
}

/// Its program, built if it is not yet.
///
/// # Errors
/// When Go is missing, or it does not build.
pub fn binary() -> anyhow::Result<PathBuf> {
    go::backend("jaeger", PACKAGE, &[])
}

fn configuration(query: u16, query_grpc: u16, grpc: u16, http: u16, storage: &str) -> String {
    format!(
        "service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], processors: [], exporters: [jaeger_storage_exporter]}}
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
extensions:
  jaeger_storage: {{backends: {{spans: {{{storage}}}}}}}
  jaeger_query:
    storage: {{traces: spans}}
    http: {{endpoint: '127.0.0.1:{query}'}}
    grpc: {{endpoint: '127.0.0.1:{query_grpc}'}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, http: {{endpoint: '127.0.0.1:{http}'}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: spans}}
"
    )
}
