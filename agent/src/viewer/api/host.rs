//! Who is traced, since when, and what was lost: the bar above all views, and the page when nothing has come yet.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Asked, Viewer};
use crate::viewer::span::Span;
use crate::viewer::store::Trace;

/// Traces that are looked at for what services speak, and for what sampling leaves.
const LOOKED_AT: usize = 300;
/// Services that are told.
const SERVICES: usize = 500;

/// What the agent says of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    name: String,
    pub(super) since: u64,
    watched: Vec<Watched>,
}

/// Processes of a service that talk to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Its name, as its spans will have it.
    pub service: String,
    /// Their executable's name.
    pub program: String,
    /// Their language, as far as it is known.
    pub runtime: String,
    /// TCP ports on which they listen, rising.
    pub ports: Vec<u16>,
    /// How many they are.
    pub processes: u32,
    /// Anything of them is traced.
    pub is_traced: bool,
    /// Why not, or what is not seen of them; empty if there is nothing to say.
    pub note: String,
}

impl Host {
    /// A host of that name, traced since so many ns after 1970 began, with who talks there.
    #[must_use]
    pub const fn new(name: String, since: u64, watched: Vec<Watched>) -> Self {
        Self { name, since, watched }
    }

    /// Names of those that are traced.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.watched.iter().filter(|of| of.is_traced).map(|of| of.service.as_str())
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
        "lost": viewer.lost(asked),
        "kept": kept(viewer),
        "open": viewer.open(),
        "slots": slots,
        "processes": host.watched,
        "spoken": spoken(viewer),
        "store": {
            "traces": traces,
            "bytes": bytes,
            "limit": limit,
            "oldest": oldest.map(|at| at.to_string()),
        },
    })
}

/// Which share of the traces sampling leaves, by the newest ones; `None` for all.
fn kept(viewer: &Viewer) -> Option<f64> {
    let traces = viewer.store().newest(LOOKED_AT);
    let stands_for: f64 = traces.iter().map(|trace| trace.weight).sum();
    Some(traces.len() as f64 / stands_for).filter(|share| *share < 0.9995)
}

/// Services of the newest traces, each with what it was seen to speak.
fn spoken(viewer: &Viewer) -> BTreeMap<String, BTreeSet<&'static str>> {
    let traces = viewer.store().newest(LOOKED_AT);
    let mut services: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for trace in &traces {
        for span in trace.spans.iter().filter(|span| span.kind.is_called()) {
            let service = span.service();
            if services.len() >= SERVICES && !services.contains_key(&**service) {
                continue;
            }
            services.entry(service.to_string()).or_default().extend(protocol(trace, span));
        }
    }
    services
}

/// The protocol of a span that was asked, for people.
fn protocol(trace: &Trace, span: &Span) -> Option<&'static str> {
    let is = |key, beginning: &str| {
        let value = span.attributes.get(&trace.dictionary, key);
        value.is_some_and(|value| value.display().starts_with(beginning))
    };
    const PROTOCOLS: [(&str, &str, &str); 5] = [
        ("rpc.system.name", "grpc", "gRPC"),
        ("rpc.system", "grpc", "gRPC"),
        ("network.protocol.version", "2", "HTTP/2"),
        ("network.protocol.version", "1", "HTTP/1"),
        ("http.request.method", "", "HTTP"),
    ];
    PROTOCOLS.iter().find(|(key, beginning, _)| is(key, beginning)).map(|(.., name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use crate::viewer::sample::{BEGIN, MS, Sample};
    use crate::viewer::span::Kind::Server;
    use crate::viewer::store::Limits;

    #[test]
    fn no_colour_changes_with_the_first_span() {
        let viewer = Viewer::new(Limits::default());
        let slots = || {
            let asked = Asked::new("", BEGIN);
            host(&viewer, &asked)["slots"].clone()
        };
        // So many share colours by their names alone: who comes first has its own.
        let names: Vec<String> = (0..12).map(|number| format!("service-{number}")).collect();
        let watched = |is_traced| {
            let of =
                |name: &String| Watched { service: name.clone(), is_traced, ..Watched::default() };
            names.iter().map(of).collect()
        };
        viewer.set_host(Host::new("host".to_owned(), BEGIN, watched(false)));
        assert_eq!(slots(), json!({}), "who is not traced has no colour");
        viewer.set_host(Host::new("host".to_owned(), BEGIN, watched(true)));
        let before = slots();
        assert_eq!(before.as_object().unwrap().len(), 12);
        for (id, name) in (1..).zip(names.iter().rev()) {
            let sample = Sample::new(id).span((1, 0), Server, (name, "GET /"), (0, 5), &[]);
            viewer.store().take(sample::request(sample.spans), BEGIN + MS);
        }
        assert_eq!(slots(), before);
    }

    #[test]
    fn what_sampling_leaves_is_told() {
        let viewer = Viewer::new(Limits::default());
        assert_eq!(kept(&viewer), None);
        for (id, state) in [(1, "ot=th:8"), (2, "ot=th:c"), (3, "")] {
            let mut sample = Sample::new(id).span((1, 0), Server, ("a", "GET /"), (0, 5), &[]);
            state.clone_into(&mut sample.spans[0].span.trace_state);
            viewer.store().take(sample::request(sample.spans), BEGIN);
        }
        // Three stand for two, four and one.
        assert_eq!(kept(&viewer), Some(3.0 / 7.0));
        let asked = |path: &str| viewer.answer(path, "t=1h", BEGIN + 70_000 * MS).unwrap().unwrap();
        let red = asked("/view/red");
        let row = &red["rows"][0];
        let rate = row["rate"].as_f64().unwrap();
        assert!((rate * 3_600.0 - 7.0).abs() < 1e-9, "{row}");
        assert_eq!((&row["count"], &row["estimated"]), (&3.into(), &true.into()));
        let map = asked("/view/edges");
        let edge = &map["edges"][0];
        assert_eq!(edge["rate"], row["rate"]);
        assert_eq!(edge["operations"][0]["rate"], row["rate"]);
        let list = asked("/view/traces");
        assert_eq!(list["totals"]["rate"], row["rate"]);
        assert_eq!(list["beside"]["services"][0]["rate"], row["rate"]);
    }
}
