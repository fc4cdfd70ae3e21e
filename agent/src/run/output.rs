//! Where finished spans go: an OTLP endpoint, a terminal, or nowhere but into the counters.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    export::{
        otlp::{self, Exporter, Totals},
        terminal::{Style, Trees},
    },
    input::Nanos,
    status::{Counters, Meaning},
    trace::EncodedSpan,
};

/// The chosen destinations.
pub(super) struct Output {
    otlp: Option<Exporter>,
    destination: Option<String>,
    terminal: Option<Trees>,
    totals: Option<Totals>,
    /// `OTEL_TRACES_EXPORTER=none`.
    nowhere: bool,
    spans: u64,
    now: Nanos,
}

impl Output {
    pub(super) const fn none() -> Self {
        Self {
            otlp: None,
            destination: None,
            terminal: None,
            totals: None,
            nowhere: false,
            spans: 0,
            now: Nanos(0),
        }
    }

    /// As configured; if nothing is, the terminal if there is one.
    pub(super) fn choose(choice: &otlp::Choice) -> Result<Self> {
        let mut output = Self { nowhere: choice.none, ..Self::none() };
        if let Some(config) = &choice.otlp {
            output.otlp =
                Some(Exporter::start(config).context("the OTLP exporter cannot be started")?);
            output.destination = Some(config.destination());
        }
        let terminal = std::io::stdout().is_terminal();
        if choice.console || (terminal && choice.otlp.is_none() && !choice.none) {
            let color =
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            output.terminal = Some(Trees::new(Style { width: width(), color }));
        }
        Ok(output)
    }

    /// Nothing else was chosen where spans can be looked at later, nor that they go nowhere.
    pub(super) const fn leaves_room(&self) -> bool {
        self.otlp.is_none() && !self.nowhere
    }

    /// Anything is done with spans here.
    pub(super) const fn takes(&self) -> bool {
        self.otlp.is_some() || self.terminal.is_some()
    }

    /// So many spans were finished.
    pub(super) const fn note(&mut self, spans: usize) {
        self.spans += spans as u64;
    }

    pub(super) fn describe(&self, is_viewed: bool) -> String {
        match (&self.destination, &self.terminal) {
            (Some(to), None) => format!("spans go to {to}"),
            (Some(to), Some(_)) => format!("spans go to {to} and to this terminal"),
            (None, Some(_)) => "finished traces are shown here".to_owned(),
            (None, None) if is_viewed => "finished traces are kept for the viewer".to_owned(),
            (None, None) => {
                "spans are only counted: set OTEL_EXPORTER_OTLP_ENDPOINT to send them, or OTEL_TRACES_EXPORTER=console to see them here".to_owned()
            }
        }
    }

    /// Takes all spans; never waits.
    pub(super) fn take(&mut self, spans: &mut Vec<EncodedSpan>) {
        if spans.is_empty() {
            return;
        }
        if let Some(terminal) = &mut self.terminal {
            let shown = if self.otlp.is_some() { spans.clone() } else { std::mem::take(spans) };
            show(&terminal.add(shown, self.now));
        }
        if let Some(exporter) = &self.otlp {
            exporter.offer(std::mem::take(spans));
        }
        spans.clear();
    }

    /// Time went on: traces that have become quiet are shown.
    pub(super) fn tick(&mut self, now: Nanos) {
        self.now = now;
        if let Some(terminal) = &mut self.terminal {
            show(&terminal.tick(now));
        }
    }

    /// Sends what is left, no longer than `within`.
    pub(super) fn shutdown(&mut self, within: Duration) {
        if let Some(terminal) = &mut self.terminal {
            show(&terminal.finish(self.now));
        }
        if let Some(exporter) = self.otlp.take() {
            self.totals = Some(exporter.shutdown(within));
        }
    }

    pub(super) fn count(&self, counters: &mut Counters) {
        counters.add("export", "spans", Meaning::Event, self.spans);
        let totals = self.totals.or_else(|| self.otlp.as_ref().map(Exporter::totals));
        if let Some(totals) = totals {
            let rows = [
                ("spans_accepted", Meaning::Event, totals.sent),
                ("requests_accepted", Meaning::Event, totals.requests),
                ("attempts_failed", Meaning::Event, totals.failed_attempts),
                ("spans_waiting", Meaning::Level, totals.waiting),
                ("spans_rejected_by_server", Meaning::Loss, totals.rejected),
                ("spans_in_refused_requests", Meaning::Loss, totals.refused),
                ("spans_dropped_queue_full", Meaning::Loss, totals.dropped_queue_full),
                ("spans_dropped_at_shutdown", Meaning::Loss, totals.dropped_shutdown),
                ("spans_recovered", Meaning::Event, totals.recovered),
                ("spans_spooled", Meaning::Level, totals.spooled),
                ("spool_failures", Meaning::Event, totals.spool_failures),
                ("spans_dropped_spool_full", Meaning::Loss, totals.dropped_spool_full),
                ("spans_dropped_spool_old", Meaning::Loss, totals.dropped_spool_old),
                ("spans_dropped_spool_damaged", Meaning::Loss, totals.dropped_spool_damaged),
            ];
            for (name, meaning, value) in rows {
                counters.add("export", name, meaning, value);
            }
        }
    }
}

/// Columns of the terminal; plenty where there is none.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0)
        .map_or(160, |size| usize::from(size.ws_col))
}

fn show(text: &str) {
    if !text.is_empty() {
        // A closed terminal is no reason to stop tracing.
        let _ =
            std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    }
}
