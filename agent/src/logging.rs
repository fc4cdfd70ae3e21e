//! What the agent says of itself on standard error: a line each, from `OTEL_LOG_LEVEL` (default `info`) up.
#![forbid(unsafe_code)]

use std::str::FromStr;

use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries say is for their authors.
        metadata.target().starts_with("spanwire") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!(
                "spanwire: {}: {}",
                record.level().as_str().to_ascii_lowercase(),
                record.args()
            );
        }
    }

    fn flush(&self) {}
}

/// Starts logging. A level that cannot be read is the default (specification: warn and ignore).
pub fn start() {
    let named = std::env::var("OTEL_LOG_LEVEL").unwrap_or_default();
    let level = LevelFilter::from_str(named.trim());
    log::set_max_level(*level.as_ref().unwrap_or(&LevelFilter::Info));
    if log::set_logger(&Lines).is_ok() && level.is_err() && !named.trim().is_empty() {
        log::warn!("OTEL_LOG_LEVEL is {named:?}, which is no level; using info");
    }
}
