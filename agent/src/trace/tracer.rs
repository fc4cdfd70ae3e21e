//! placeholder
use std::sync::Arc;

use abi::Opened;
use abi::id::Seed;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::exchange::Report;
use crate::input::{ConnId, Nanos};
use crate::service::{ProcessFacts, Service};
use crate::trace::{Counts, Settings};

/// A span that is complete, resolved and sampled.
#[derive(Clone, Debug)]
pub struct FinishedSpan {
    /// Whose it is.
    pub service: Arc<Service>,
    /// Instrumentation scope: one for each protocol.
    pub scope: &'static str,
    /// As OTLP has it.
    pub span: Span,
}

/// Exchanges in, spans out.
pub struct Tracer {
    counts: Counts,
}

impl Tracer {
    /// A tracer that has seen nothing.
    #[must_use]
    pub fn new(_seed: Seed, _settings: Settings) -> Self {
        Self { counts: Counts::default() }
    }
    /// A protocol reports.
    pub fn report(&mut self, _report: Report) {}
    /// A connection is seen for the first time.
    pub fn opened(&mut self, _opened: &Opened) {}
    /// A connection is gone (`Closed`, or a unix socket's sweep).
    pub fn closed(&mut self, _connection: ConnId) {}
    /// Threads say nothing about requests in this process any more.
    pub fn revoked(&mut self, _pid: u32) {}
    /// What a process is.
    pub fn process(&mut self, _facts: ProcessFacts) {}
    /// A process ended.
    pub fn process_gone(&mut self, _pid: u32) {}
    /// Control events were lost: a revocation may be among them.
    pub fn control_lost(&mut self) {}
    /// Time went on. Spans that are ready are appended to `out`.
    pub fn tick(&mut self, _now: Nanos, _wall_offset: i64, _out: &mut Vec<FinishedSpan>) {}
    /// The end: every finished span goes out, ready or not.
    pub fn flush(&mut self, _out: &mut Vec<FinishedSpan>) {}
    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}
