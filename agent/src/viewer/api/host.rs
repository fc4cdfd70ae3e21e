//! Who is traced, since when, and what was lost: the bar above all views, and the page when nothing has come yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Asked, Viewer};
use crate::status::Meaning;

/// What the agent says of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    name: String,
    since: u64,
    listening: Vec<Listening>,
}

/// A service that listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Its name, as its spans will have it.
    pub service: String,
    /// Its executable's name.
    pub program: String,
    /// TCP ports, rising.
    pub ports: Vec<u16>,
}

impl Host {
    /// A host of that name, traced since so many ns after 1970 began, with the services that listened then.
    #[must_use]
    pub const fn new(name: String, since: u64, listening: Vec<Listening>) -> Self {
        Self { name, since, listening }
    }
}

/// The answer.
pub(super) fn host(viewer: &Viewer, asked: &Asked) -> Value {
    let host = viewer.host();
    let counters = viewer.counters();
    let number = |group: &str, name: &str| {
        let group = counters.groups.iter().find(|found| found.name == group);
        let counter =
            group.and_then(|group| group.counters.iter().find(|found| found.name == name));
        counter.map_or(0, |counter| counter.value)
    };
    let lost: BTreeMap<String, u64> = counters
        .groups
        .iter()
        .flat_map(|group| group.counters.iter().map(move |counter| (group, counter)))
        .filter(|(_, counter)| counter.meaning == Meaning::Loss && counter.value > 0)
        .map(|(group, counter)| {
            (format!("{} {}", group.name, counter.name.replace('_', " ")), counter.value)
        })
        .collect();
    let (slots, traces, bytes, oldest, limit) = {
        let store = viewer.store();
        let slots: BTreeMap<String, usize> =
            store.slots().map(|(service, slot)| (service.to_string(), slot)).collect();
        (slots, store.len(), store.bytes(), store.oldest(), store.limits().bytes)
    };
    json!({
        "host": host.name,
        "version": env!("CARGO_PKG_VERSION"),
        "since": host.since.to_string(),
        "now": asked.now.to_string(),
        "seen": { "calls": number("kernel", "data_events"), "requests": number("protocols", "requests") },
        "lost": lost,
        "slots": slots,
        "processes": processes(viewer),
        "listening": host.listening,
        "store": {
            "traces": traces,
            "bytes": bytes,
            "limit": limit,
            "oldest": oldest.map(|at| at.to_string()),
        },
    })
}

/// Services of the newest traces, each with what is known of its processes.
fn processes(viewer: &Viewer) -> Vec<Value> {
    let traces = viewer.store().newest(2_000);
    let mut services: BTreeMap<String, Value> = BTreeMap::new();
    for trace in &traces {
        for span in &trace.spans {
            if services.len() >= 500 || services.contains_key(&**span.service()) {
                continue;
            }
            let of = |key| span.process.attributes.get(&trace.dictionary, key);
            let text = |key| of(key).map(|value| value.display().into_owned());
            services.insert(
                span.service().to_string(),
                json!({
                    "service": &**span.service(),
                    "pid": text("process.pid"),
                    "program": text("process.executable.name"),
                    "language": text("telemetry.sdk.language"),
                    "version": text("service.version"),
                    "scope": &*span.scope,
                }),
            );
        }
    }
    services.into_values().collect()
}
