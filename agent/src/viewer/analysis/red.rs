//! Rate, errors and durations, of services and of their operations.

use std::collections::HashMap;
use std::sync::Arc;

use super::tree::NONE;
use crate::viewer::histogram::Histogram;
use crate::viewer::span::{Kind, Span};
use crate::viewer::store::Trace;

/// Points of a series.
pub(crate) const POINTS: usize = 48;
/// Most operations told of one service; the others are in its own numbers only.
const MOST_OPERATIONS: usize = 200;

/// A range of time, ns since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Window {
    pub(crate) const fn has(&self, at: u64) -> bool {
        self.from <= at && at < self.to
    }

    /// s.
    pub(crate) fn seconds(&self) -> f64 {
        self.to.saturating_sub(self.from).max(1) as f64 / 1e9
    }

    /// Where a moment is among `parts` equal ones.
    pub(crate) fn part(&self, at: u64, parts: usize) -> usize {
        let length = self.to.saturating_sub(self.from).max(1);
        let place = u128::from(at.saturating_sub(self.from)) * parts as u128 / u128::from(length);
        (place as usize).min(parts - 1)
    }
}

/// Requests counted and measured.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    /// How many requests those that were counted stand for.
    pub(crate) weight: f64,
    pub(crate) errors: u64,
    pub(crate) durations: Histogram,
    /// Requests and errors over time.
    pub(crate) series: Box<[(u32, u32); POINTS]>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            weight: 0.0,
            errors: 0,
            durations: Histogram::default(),
            series: Box::new([(0, 0); POINTS]),
        }
    }
}

impl Stats {
    /// Counts a request of a trace that stands for `weight`.
    pub(crate) fn add(
        &mut self,
        window: Window,
        weight: f64,
        start: u64,
        duration: u64,
        failed: bool,
    ) {
        self.weight += weight;
        self.errors += u64::from(failed);
        self.durations.add(duration);
        let point = &mut self.series[window.part(start, POINTS)];
        point.0 += 1;
        point.1 += u32::from(failed);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.durations.count()
    }

    /// Requests a second, those that sampling left out included.
    pub(crate) fn rate(&self, window: Window) -> f64 {
        self.weight / window.seconds()
    }

    /// Sampling left some out: the rate is known as well as a sample tells.
    pub(crate) fn is_estimated(&self) -> bool {
        self.weight > self.count() as f64 * 1.0005
    }
}

/// From which end calls are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// By who was called.
    Called,
    /// By who called.
    Made,
}

/// A service, or somebody who is only seen from outside.
#[derive(Debug)]
pub(crate) struct Red {
    pub(crate) name: Arc<str>,
    /// Known from its callers only.
    pub(crate) outside: bool,
    /// The mark of one seen from outside.
    pub(crate) icon: &'static str,
    pub(crate) stats: Stats,
    /// Most requests first.
    pub(crate) operations: Vec<(Arc<str>, Stats)>,
}

#[derive(Default)]
struct Counted {
    icon: &'static str,
    stats: Stats,
    operations: HashMap<Arc<str>, Stats>,
}

/// Numbers of all services in these traces, the busiest (rate × mean) first; those seen from outside last.
pub(crate) fn red(traces: &[Arc<Trace>], window: Window, side: Side) -> Vec<Red> {
    let mut all: HashMap<(bool, Arc<str>), Counted> = HashMap::new();
    for trace in traces {
        let answered = answered(trace);
        for (at, span) in trace.spans.iter().enumerate() {
            if !window.has(span.start) {
                continue;
            }
            let Some((outside, name, operation)) = row(span, side, answered[at]) else { continue };
            let Counted { icon, stats, operations } = all.entry((outside, name)).or_default();
            if outside && icon.is_empty() {
                *icon = super::icon(trace, span);
            }
            stats.add(window, trace.weight, span.start, span.duration(), span.failed);
            if operations.len() < MOST_OPERATIONS || operations.contains_key(&operation) {
                let stats = operations.entry(operation).or_default();
                stats.add(window, trace.weight, span.start, span.duration(), span.failed);
            }
        }
    }
    let mut rows: Vec<Red> = all
        .into_iter()
        .map(|((outside, name), Counted { icon, stats, operations })| {
            let mut operations: Vec<_> = operations.into_iter().collect();
            operations.sort_by(|(a, x), (b, y)| y.count().cmp(&x.count()).then(a.cmp(b)));
            Red { name, outside, icon, stats, operations }
        })
        .collect();
    let busy = |red: &Red| u128::from(red.stats.count()) * u128::from(red.stats.durations.mean());
    rows.sort_by(|a, b| {
        a.outside.cmp(&b.outside).then(busy(b).cmp(&busy(a))).then(a.name.cmp(&b.name))
    });
    rows
}

fn row(span: &Span, side: Side, answered: bool) -> Option<(bool, Arc<str>, Arc<str>)> {
    match side {
        Side::Called if span.kind.is_called() => {
            Some((false, span.service().clone(), span.operation.clone()))
        }
        Side::Called if span.kind.calls() && !answered => {
            Some((true, span.peer.clone()?, span.operation.clone()))
        }
        Side::Made if span.kind.calls() => {
            let operation = match &span.peer {
                Some(peer) => format!("{peer}: {}", span.operation).into(),
                None => span.operation.clone(),
            };
            Some((false, span.service().clone(), operation))
        }
        _ => None,
    }
}

/// For each span whether a server's span is its child.
pub(crate) fn answered(trace: &Trace) -> Vec<bool> {
    let mut answered = vec![false; trace.spans.len()];
    for (span, parent) in trace.spans.iter().zip(&trace.summary().parents) {
        if *parent != NONE && matches!(span.kind, Kind::Server | Kind::Consumer) {
            answered[*parent as usize] = true;
        }
    }
    answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{BEGIN, MS, checkout};

    #[test]
    fn numbers_are_those_of_the_spans() {
        let traces: Vec<_> =
            (1..=4_u64).map(|id| checkout(id.into()).later(id * 1_000 * MS).trace()).collect();
        let window = Window { from: BEGIN, to: BEGIN + 48_000 * MS };
        let rows = red(&traces, window, Side::Called);
        let names: Vec<_> =
            rows.iter().map(|red| (&*red.name, red.outside, red.stats.count())).collect();
        assert_eq!(
            names,
            [
                ("edge", false, 4),
                ("orders", false, 4),
                ("inventory", false, 4),
                ("payments", false, 8),
                ("postgres", true, 40),
                ("api.cardpay.example", true, 8),
            ]
        );
        let payments = &rows[3];
        assert_eq!(payments.stats.errors, 8);
        assert_eq!(payments.stats.durations.percentiles([0.5, 0.99]), Some([76 * MS, 76 * MS]));
        assert_eq!(payments.stats.series[..6], [(0, 0), (2, 2), (2, 2), (2, 2), (2, 2), (0, 0)]);
        assert_eq!(&*payments.operations[0].0, "Charge");
        let made = red(&traces, window, Side::Made);
        let inventory = made.iter().find(|red| &*red.name == "inventory").unwrap();
        assert_eq!(&*inventory.operations[0].0, "postgres: SELECT stock");
        let later = Window { from: BEGIN + 2_500 * MS, to: window.to };
        assert_eq!(red(&traces, later, Side::Called)[0].stats.count(), 2);
    }
}
