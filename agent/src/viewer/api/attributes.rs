//! Which attributes spans have: for completion, and for guessing what a key means.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Asked, Viewer};

/// Spans that are looked at: enough for shares that are right to a percent.
const SAMPLE: usize = 20_000;
/// Keys told.
const KEYS: usize = 200;
/// Values told of each key.
const VALUES: usize = 20;
/// Different values remembered of each key.
const MOST_VALUES: usize = 2_000;

/// Keys by the share of spans that have them, each with its most frequent values.
pub(super) fn keys(viewer: &Viewer, asked: &Asked) -> Value {
    let window = asked.window();
    let snapshot = viewer.store().between(window.from, window.to);
    let mut spans = 0_u64;
    let mut seen: HashMap<String, (u64, HashMap<String, u64>)> = HashMap::new();
    let mut note = |key: &str, value: &str| {
        let (count, values) = seen.entry(key.to_owned()).or_default();
        *count += 1;
        if values.len() < MOST_VALUES || values.contains_key(value) {
            *values.entry(value.chars().take(200).collect()).or_default() += 1;
        }
    };
    'all: for trace in &snapshot.traces {
        for span in &trace.spans {
            if spans >= SAMPLE as u64 {
                break 'all;
            }
            spans += 1;
            note("service", span.service());
            note("name", &span.operation);
            note("kind", span.kind.name());
            if let Some(peer) = &span.peer {
                note("peer", peer);
            }
            if let Some(outcome) = span.outcome(&snapshot.dictionary) {
                note("status", &outcome);
                if span.failed {
                    note("error", &outcome);
                }
            }
            for (key, value) in span.attributes.iter(&snapshot.dictionary) {
                note(key, &value.display());
            }
        }
    }
    let mut keys: Vec<_> = seen.into_iter().collect();
    keys.sort_by(|(a, (x, _)), (b, (y, _))| y.cmp(x).then_with(|| a.cmp(b)));
    let keys = keys.into_iter().take(KEYS).map(|(key, (count, values))| {
        let different = values.len();
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        values.truncate(VALUES);
        json!({
            "key": key,
            "share": count as f64 / spans.max(1) as f64,
            "different": different,
            "values": values,
        })
    });
    json!({ "spans": spans, "keys": keys.collect::<Vec<_>>() })
}
