//! The store: the traces of the last minutes, in memory, bounded by bytes.
//!
//! Oldest out first. Traces that failed or were slow for their kind are kept longer: when their turn comes they move to
//! a second queue, which may fill half of the bound. A span that comes late joins its trace. Everything that leaves or
//! never fits is counted. It reads no clock: time comes with each call.

mod normal;
mod slots;
mod trace;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use self::normal::Normal;
use self::slots::Slots;
pub(crate) use self::trace::Trace;
use super::dictionary::Dictionary;
use super::ingest::Ingest;
use super::span::TraceId;
use crate::status::{Counters, Meaning};

/// A trace is settled after so long without a new span, ns: then it is judged and shown as new.
const QUIET: u64 = 1_000_000_000;
/// Arrivals that a live page may not have asked for yet.
const ARRIVALS: usize = 8_192;
/// Traces remembered as gone.
const GONE: usize = 65_536;

/// How much to keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all traces.
    pub bytes: usize,
}

impl Limits {
    /// So many MiB.
    pub(crate) const fn mebibytes(number: u32) -> Self {
        Self { bytes: (number as usize) << 20 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 128 << 20 }
    }
}

/// The traces.
pub(crate) struct Store {
    limits: Limits,
    dictionary: Arc<Dictionary>,
    ingest: Ingest,
    traces: HashMap<TraceId, Arc<Trace>>,
    /// All that have not had their turn to leave, oldest first.
    young: VecDeque<TraceId>,
    /// Those that had it and are worth keeping, oldest first.
    kept: VecDeque<TraceId>,
    /// When to look whether a trace has gone quiet.
    open: VecDeque<(u64, TraceId)>,
    /// Settled traces with their numbers, oldest first.
    arrivals: VecDeque<(u64, TraceId)>,
    arrived: u64,
    gone: VecDeque<(TraceId, u64)>,
    normal: Normal,
    slots: Slots,
    bytes: usize,
    kept_bytes: usize,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    spans: u64,
    late: u64,
    traces_out: u64,
    kept_out: u64,
    spans_left_out: u64,
}

/// What a question is answered from: the traces at one moment, without holding up those that come.
pub(crate) struct Snapshot {
    /// In no order.
    pub(crate) traces: Vec<Arc<Trace>>,
    pub(crate) dictionary: Arc<Dictionary>,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        let dictionary = Arc::new(Dictionary::default());
        Self {
            limits,
            ingest: Ingest::new(dictionary.clone()),
            dictionary,
            traces: HashMap::new(),
            young: VecDeque::new(),
            kept: VecDeque::new(),
            open: VecDeque::new(),
            arrivals: VecDeque::new(),
            arrived: 0,
            gone: VecDeque::new(),
            normal: Normal::default(),
            slots: Slots::default(),
            bytes: 0,
            kept_bytes: 0,
            counts: Counts::default(),
        }
    }

    /// Keeps a colour for each of these services, whether spans of it come or not.
    pub(crate) fn expect<'a>(&mut self, services: impl Iterator<Item = &'a str>) {
        for service in services {
            self.slots.of(&service.into());
        }
    }

    /// Gives services the colours that they had, before any has another.
    pub(crate) fn restore_slots(&mut self, slots: Vec<(Arc<str>, usize)>) {
        for (service, slot) in slots {
            self.slots.restore(service, slot);
        }
    }

    /// The colour slot of that service.
    pub(crate) fn slot(&mut self, service: &Arc<str>) -> usize {
        self.slots.of(service)
    }

    /// Takes spans at `now`, ns since 1970.
    pub(crate) fn take(&mut self, request: ExportTraceServiceRequest, now: u64) {
        let Self { ingest, dictionary, traces, young, open, bytes, counts, slots, .. } = self;
        ingest.take(request, |id, span| {
            slots.of(span.service());
            counts.spans += 1;
            let mut is_new = false;
            let trace = traces.entry(id).or_insert_with(|| {
                is_new = true;
                Arc::new(Trace::new(id, dictionary.clone()))
            });
            if is_new {
                young.push_back(id);
                *bytes += trace.bytes;
            }
            if is_new || now.saturating_sub(trace.last) > QUIET {
                counts.late += u64::from(!is_new);
                open.push_back((now + QUIET, id));
            }
            let before = trace.bytes;
            let trace = Arc::make_mut(trace);
            if !trace.add(span, now) {
                counts.spans_left_out += 1;
            }
            *bytes += trace.bytes - before;
        });
        self.shrink(now);
    }

    /// Time has gone on: traces that have become quiet are judged.
    pub(crate) fn tick(&mut self, now: u64) {
        while let Some((due, id)) = self.open.front().copied().filter(|(due, _)| *due <= now) {
            self.open.pop_front();
            let Some(trace) = self.traces.get_mut(&id) else { continue };
            if trace.last + QUIET > due {
                // Kept in order well enough: nothing waits longer than twice.
                self.open.push_back((trace.last + QUIET, id));
                continue;
            }
            let summary = trace.summary().clone();
            let is_slow =
                self.normal.judge(&summary.service, &summary.operation, summary.duration, now);
            if is_slow != trace.is_slow {
                Arc::make_mut(trace).is_slow = is_slow;
            }
            self.arrived += 1;
            self.arrivals.push_back((self.arrived, id));
            if self.arrivals.len() > ARRIVALS {
                self.arrivals.pop_front();
            }
        }
    }

    /// Traces that overlap with `from..to`, ns since 1970.
    pub(crate) fn between(&self, from: u64, to: u64) -> Snapshot {
        let overlaps = |trace: &&Arc<Trace>| trace.start < to && trace.end >= from;
        Snapshot {
            traces: self.traces.values().filter(overlaps).cloned().collect(),
            dictionary: self.dictionary.clone(),
        }
    }

    /// Traces that have settled since the one of that number, and the newest number.
    pub(crate) fn since(&self, number: u64) -> (Vec<Arc<Trace>>, u64) {
        let first = self.arrivals.partition_point(|(arrived, _)| *arrived <= number);
        let new = self.arrivals.iter().skip(first);
        (new.filter_map(|(_, id)| self.traces.get(id).cloned()).collect(), self.arrived)
    }

    /// The newest traces, at most so many.
    pub(crate) fn newest(&self, most: usize) -> Vec<Arc<Trace>> {
        let newest = self.young.iter().rev().filter_map(|id| self.traces.get(id));
        newest.take(most).cloned().collect()
    }

    pub(crate) fn dictionary(&self) -> Arc<Dictionary> {
        self.dictionary.clone()
    }

    pub(crate) fn trace(&self, id: TraceId) -> Option<Arc<Trace>> {
        self.traces.get(&id).cloned()
    }

    /// When that trace was let go, if it was here.
    pub(crate) fn gone(&self, id: TraceId) -> Option<u64> {
        self.gone.iter().rev().find(|(gone, _)| *gone == id).map(|(_, at)| *at)
    }

    /// Colour slots of the services: number and, beyond eight, how often it was taken before.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.slots.iter()
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.traces.len()
    }

    /// Start of the oldest trace that is not only kept for being special.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.young.iter().find_map(|id| self.traces.get(id)).map(|trace| trace.start)
    }

    /// The bound has cost traces already.
    pub(crate) const fn has_let_go(&self) -> bool {
        self.counts.traces_out > 0
    }

    pub(crate) fn count(&self, counters: &mut Counters) {
        let counts = self.counts;
        for (name, meaning, value) in [
            ("spans", Meaning::Event, counts.spans),
            ("traces_joined_late", Meaning::Event, counts.late),
            ("traces", Meaning::Level, self.traces.len() as u64),
            ("bytes", Meaning::Level, self.bytes as u64),
            ("traces_out", Meaning::Event, counts.traces_out),
            ("failed_or_slow_traces_out", Meaning::Event, counts.kept_out),
            ("spans_malformed", Meaning::Loss, self.ingest.malformed),
            ("spans_of_endless_traces", Meaning::Loss, counts.spans_left_out),
        ] {
            counters.add("viewer", name, meaning, value);
        }
    }

    /// Lets traces go until the bound holds.
    fn shrink(&mut self, now: u64) {
        while self.bytes > self.limits.bytes {
            if self.kept_bytes <= self.limits.bytes / 2
                && let Some(id) = self.young.pop_front()
            {
                let Some(trace) = self.traces.get(&id) else { continue };
                // It is not settled yet if the store is tiny or the traffic huge: then only errors are known.
                if trace.has_errors || trace.is_slow {
                    self.kept_bytes += trace.bytes;
                    self.kept.push_back(id);
                } else {
                    self.let_go(id, now);
                }
            } else if let Some(id) = self.kept.pop_front() {
                // Late spans may have made it larger since.
                let bytes = self.traces.get(&id).map_or(0, |trace| trace.bytes);
                self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
                self.counts.kept_out += 1;
                self.let_go(id, now);
                if self.kept.is_empty() {
                    self.kept_bytes = 0;
                }
            } else {
                return;
            }
        }
    }

    fn let_go(&mut self, id: TraceId, now: u64) {
        let Some(trace) = self.traces.remove(&id) else { return };
        self.bytes -= trace.bytes;
        self.counts.traces_out += 1;
        self.gone.push_back((id, now));
        if self.gone.len() > GONE {
            self.gone.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
