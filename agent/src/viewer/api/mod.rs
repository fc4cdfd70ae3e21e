//! What the page, Jaeger's clients and the terminal ask, and the answers, as JSON.
//!
//! Only reading: there is nothing here that changes anything. Each answer is made from a snapshot, so that spans go on
//! coming in while it is computed. Who may ask is decided before, in `status/`.

mod asked;
mod attributes;
mod clocks;
mod compared;
mod differs;
mod host;
mod jaeger;
mod lenses;
mod live;
mod otlp;
#[cfg(test)]
mod tests;
mod trace;
mod traces;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use serde_json::{Value, json};

pub(crate) use self::asked::Asked;
pub use self::host::{Host, Watched};
pub(crate) use self::live::Live;
use super::disk::Disk;
use super::losses::{Losses, Lost};
use super::span::TraceId;
use super::store::{Limits, Store, Trace};
use crate::status::{Counters, Meaning, OpenRequest, Snapshot};

/// All that is known.
pub(crate) struct Viewer {
    store: Mutex<Store>,
    snapshot: Mutex<Snapshot>,
    losses: Mutex<Losses>,
    host: Mutex<Host>,
    disk: Mutex<Option<Disk>>,
    /// Number of the newest trace that was looked at for the file.
    arrivals_seen: AtomicU64,
    /// Colours of services that are in it.
    slots_saved: AtomicUsize,
    /// Traces that were written to it, those that grew each time.
    saved: AtomicU64,
    /// Traces that were to be written and were not.
    not_saved: AtomicU64,
}

/// An answer in JSON, or why there is none.
pub(crate) type Answered = Result<Value, Refused>;

/// Why a question is not answered.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Refused {
    fn new(status: StatusCode, text: &str) -> Self {
        Self { status, body: json!({ "error": text }) }
    }

    fn not_found(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl Viewer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            store: Mutex::new(Store::new(limits)),
            snapshot: Mutex::default(),
            losses: Mutex::default(),
            host: Mutex::default(),
            disk: Mutex::default(),
            arrivals_seen: AtomicU64::new(0),
            slots_saved: AtomicUsize::new(0),
            saved: AtomicU64::new(0),
            not_saved: AtomicU64::new(0),
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's numbers at `now`, ns since 1970, and what is open.
    pub(crate) fn set_snapshot(&self, snapshot: Snapshot, now: u64) {
        *self.snapshot() = snapshot;
        let counters = self.counters();
        self.losses().take(&counters, now);
    }

    fn losses(&self) -> MutexGuard<'_, Losses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was lost in the range that is asked about, by reason.
    fn lost(&self, asked: &Asked) -> Lost {
        let window = asked.window();
        self.losses().between(window.from, window.to.saturating_add(1))
    }

    fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests that are open for longest.
    pub(crate) fn open(&self) -> Vec<OpenRequest> {
        self.snapshot().open.clone()
    }

    /// The agent's numbers, and the store's behind them.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.snapshot().counters.clone();
        self.store().count(&mut counters);
        if self.disk().is_some() {
            for (name, meaning, count) in [
                ("traces_saved", Meaning::Event, &self.saved),
                ("traces_not_saved", Meaning::Loss, &self.not_saved),
            ] {
                counters.add("viewer", name, meaning, count.load(Relaxed));
            }
        }
        counters
    }

    /// Who is traced. Each has a colour before its first span, so that none changes with it.
    pub(crate) fn set_host(&self, host: Host) {
        self.store().expect(host.services());
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = host;
    }

    /// From now on what settles is kept in this file, too.
    pub(crate) fn set_disk(&self, disk: Disk) {
        self.arrivals_seen.store(self.store().since(u64::MAX).1, Relaxed);
        *self.disk() = Some(disk);
    }

    fn disk(&self) -> MutexGuard<'_, Option<Disk>> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps in the file what has settled since the last time.
    pub(crate) fn save(&self, now: u64) {
        let disk = self.disk();
        let Some(disk) = disk.as_ref() else { return };
        self.save_slots(disk);
        // Whoever saves holds the file's lock: nobody else counts meanwhile.
        let before = self.arrivals_seen.load(Relaxed);
        let (new, newest) = self.store().since(before);
        if newest == before {
            return;
        }
        self.arrivals_seen.store(newest, Relaxed);
        let mut lost = (newest - before).saturating_sub(new.len() as u64);
        match disk.save(&new, now) {
            Ok(()) => _ = self.saved.fetch_add(new.len() as u64, Relaxed),
            Err(error) => {
                log::warn!("traces cannot be kept in the store: {error}");
                lost += new.len() as u64;
            }
        }
        self.not_saved.fetch_add(lost, Relaxed);
    }

    /// Keeps the services' colours where there are new ones.
    fn save_slots(&self, disk: &Disk) {
        let slots: Vec<_> =
            self.store().slots().map(|(service, slot)| (service.clone(), slot)).collect();
        if slots.len() == self.slots_saved.load(Relaxed) {
            return;
        }
        match disk.save_slots(&slots) {
            Ok(()) => self.slots_saved.store(slots.len(), Relaxed),
            // Nothing is lost by it: they are chosen again.
            Err(error) => log::warn!("colours cannot be kept in the store: {error}"),
        }
    }

    /// That trace: from memory, else from the file.
    fn find(&self, id: TraceId) -> Option<Arc<Trace>> {
        if let Some(trace) = self.store().trace(id) {
            return Some(trace);
        }
        let found = self.disk().as_ref()?.trace(id)?;
        // A store of its own, for a moment: it must not push out what is newer.
        let mut store = Store::new(Limits::default());
        store.take(found, 0);
        store.trace(id)
    }

    /// Since when all that was seen is still here, ns since 1970.
    fn began(&self) -> u64 {
        let store = self.store();
        let oldest = store.oldest();
        match self.host().since {
            since if !store.has_let_go() => oldest.map_or(since, |oldest| oldest.min(since)),
            since => oldest.unwrap_or(since),
        }
    }

    /// What the agent said of itself and its host.
    fn host(&self) -> Host {
        self.host.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a question asked at `now`, ns since 1970; `None` when there is no such question.
    pub(crate) fn answer(&self, path: &str, asked: &str, now: u64) -> Option<Answered> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let asked = Asked::new(asked, now).since(self.began());
        Some(match parts.as_slice() {
            ["view", "host"] => Ok(host::host(self, &asked)),
            ["view", "traces"] => traces::traces(self, &asked),
            ["view", "keys"] => Ok(attributes::keys(self, &asked)),
            ["view", "trace", id] => trace::trace(self, id, &asked),
            ["view", "trace", id, "otlp"] => otlp::trace(self, id),
            ["view", "trace", id, "span", span] => trace::span(self, id, span, &asked),
            ["view", "red"] => lenses::red(self, &asked),
            ["view", "edges"] => lenses::edges(self, &asked),
            ["view", "heat"] => lenses::heat(self, &asked),
            ["view", "differs"] => differs::differs(self, &asked),
            ["view", "compare", a, b] => compared::compare(self, a, b),
            ["view", "typical", id] => compared::typical(self, id, &asked),
            ["api", rest @ ..] => return jaeger::answer(self, rest, &asked),
            _ => return None,
        })
    }
}
