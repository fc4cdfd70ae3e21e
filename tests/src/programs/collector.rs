//! The OpenTelemetry Collector, built from source once with the parts that tests need.
//!
//! `backends/collector` lists them and pins everything by checksum. What one does is said by its configuration, which is
//! the test's.

use std::path::PathBuf;
use std::process::Command;

use super::{backend::Backend, go};

/// A Collector and the folder it lives in.
pub struct Collector {
    /// The program.
    pub backend: Backend,
    _folder: tempfile::TempDir,
}

impl Collector {
    /// Starts one with these parts of a configuration (YAML: all but `service.telemetry`, `service` last), which listens
    /// on these ports.
    ///
    /// # Errors
    /// When it cannot be built, or does not come up.
    pub fn start(configuration: &str, ports: Vec<u16>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("config.yaml");
        // Its own metrics would be served at a fixed port.
        let quiet = "  telemetry: {metrics: {level: none}, logs: {level: warn}}\n";
        std::fs::write(&file, format!("{configuration}{quiet}"))?;
        let binary = binary()?;
        let command = move || {
            let mut command = Command::new(&binary);
            command.arg("--config").arg(&file);
            command
        };
        Ok(Self { backend: Backend::start("collector", ports, command)?, _folder: folder })
    }
}

/// Its program, built if it is not yet.
///
/// # Errors
/// When Go is missing, or it does not build.
pub fn binary() -> anyhow::Result<PathBuf> {
    go::backend("collector", ".", &["main.go"])
}
