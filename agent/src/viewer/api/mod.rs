//! What the page, Jaeger's clients and the terminal ask, and the answers, as JSON.
//!
//! Only reading: there is nothing here that changes anything. Each answer is made from a snapshot, so that spans go on
//! coming in while it is computed. Who may ask is decided before, in `status/`.

mod asked;
mod attributes;
mod compared;
mod host;
mod jaeger;
mod lenses;
mod live;
mod otlp;
mod trace;
mod traces;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use serde_json::{Value, json};

pub(crate) use self::asked::Asked;
pub use self::host::Host;
pub(crate) use self::live::Live;
use super::store::{Limits, Store};
use crate::status::Counters;

/// All that is known.
pub(crate) struct Viewer {
    store: Mutex<Store>,
    counters: Mutex<Counters>,
    host: Mutex<Host>,
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
            counters: Mutex::default(),
            host: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's newest numbers.
    pub(crate) fn set_counters(&self, counters: Counters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// The agent's numbers, and the store's behind them.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.store().count(&mut counters);
        counters
    }

    pub(crate) fn set_host(&self, host: Host) {
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = host;
    }

    /// What the agent said of itself and its host.
    fn host(&self) -> Host {
        self.host.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a question asked at `now`, ns since 1970; `None` when there is no such question.
    pub(crate) fn answer(&self, path: &str, asked: &str, now: u64) -> Option<Answered> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let asked = Asked::new(asked, now);
        Some(match parts.as_slice() {
            ["view", "host"] => Ok(host::host(self, &asked)),
            ["view", "traces"] => traces::traces(self, &asked),
            ["view", "keys"] => Ok(attributes::keys(self, &asked)),
            ["view", "trace", id] => trace::trace(self, id),
            ["view", "trace", id, "otlp"] => otlp::trace(self, id),
            ["view", "trace", id, "span", span] => trace::span(self, id, span),
            ["view", "red"] => lenses::red(self, &asked),
            ["view", "edges"] => lenses::edges(self, &asked),
            ["view", "heat"] => lenses::heat(self, &asked),
            ["view", "differs"] => lenses::differs(self, &asked),
            ["view", "compare", a, b] => compared::compare(self, a, b),
            ["view", "typical", id] => compared::typical(self, id, &asked),
            ["api", rest @ ..] => return jaeger::answer(self, rest, &asked),
            _ => return None,
        })
    }
}
