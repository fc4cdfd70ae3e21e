//! Facts of a request: what its trace's spans say, and how its trace is built.
//!
//! Numbers are cut at the quartiles of what the selected and the rest have; ids are no facts.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Found;
use crate::viewer::attributes::Value;
use crate::viewer::span::Span;
use crate::viewer::store::Trace;

/// Most different values of a key that are looked at: more are ids.
const MOST_VALUES: usize = 1_000;
/// A key of which so many of a hundred values are different has ids.
const ID: usize = 90;
/// A fact that fewer of the selected have is not tested.
const LEAST: usize = 5;
/// Longest value that is a fact, bytes.
const LONGEST: usize = 120;

/// A fact that is to be tested.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) text: String,
    /// What is cut, for a number: of its cuts only the best is told.
    pub(super) cut_of: Option<String>,
    pub(super) term: Option<String>,
    /// How many of the selected, and of the rest, have it.
    pub(super) selected: usize,
    pub(super) rest: usize,
    /// Which: places in both lists, one behind the other.
    pub(super) holds: Vec<u32>,
}

/// What a key had, over all requests.
#[derive(Default)]
struct Key {
    /// Texts: who has each.
    values: HashMap<String, Vec<u32>>,
    /// Numbers: each request's largest.
    numbers: Vec<(u32, f64)>,
    is_id: bool,
}

/// All facts of the requests that enough of the selected have.
pub(super) fn facts(selected: &[Found], rest: &[Found]) -> Vec<Candidate> {
    let mut keys: BTreeMap<String, Key> = BTreeMap::new();
    let mut calls: BTreeMap<String, Vec<(u32, f64)>> = BTreeMap::new();
    for (place, (trace, _)) in selected.iter().chain(rest).enumerate() {
        let place = place as u32;
        for (key, values) in values(trace) {
            let key = keys.entry(key).or_default();
            let largest = values.iter().filter_map(|value| match value {
                Said::Number(number) => Some(*number),
                Said::Text(_) => None,
            });
            if let Some(largest) = largest.max_by(f64::total_cmp) {
                key.numbers.push((place, largest));
            }
            for value in values {
                if let Said::Text(text) = value
                    && !key.is_id
                {
                    key.values.entry(text).or_default().push(place);
                    key.is_id = key.values.len() > MOST_VALUES;
                }
            }
        }
        for (call, count) in counts(trace) {
            calls.entry(call).or_default().push((place, f64::from(count)));
        }
    }
    let border = selected.len() as u32;
    let all = selected.len() + rest.len();
    let mut out = Vec::new();
    for (key, found) in keys {
        let holders: usize = found.values.values().map(Vec::len).sum();
        let is_id = found.is_id || (holders > LEAST && found.values.len() * 100 > holders * ID);
        if !is_id {
            for (value, holds) in found.values {
                let quoted = if value.contains([' ', '"', '(', ')', '{', '}', ',']) {
                    format!("{value:?}")
                } else {
                    value.clone()
                };
                let term = Some(format!("{key}={quoted}"));
                let text = format!("{key} = {value}");
                push(&mut out, (text, None, term), holds, border, all);
            }
        }
        cut(&mut out, &key, found.numbers, border, all, Some(&key));
    }
    for (call, counts) in calls {
        cut(&mut out, &call, counts, border, all, None);
    }
    out
}

/// A number becomes facts "at least so much".
fn cut(
    out: &mut Vec<Candidate>,
    name: &str,
    mut numbers: Vec<(u32, f64)>,
    border: u32,
    all: usize,
    key: Option<&str>,
) {
    let different: HashSet<u64> = numbers.iter().map(|(_, number)| number.to_bits()).collect();
    if different.len() < 2 && numbers.len() == all {
        return;
    }
    if different.len() > MOST_VALUES.min(numbers.len() * ID / 100) && key.is_some() {
        return;
    }
    numbers.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let mut cuts: Vec<f64> = [1, 2, 3]
        .into_iter()
        .filter_map(|quartile| numbers.get(numbers.len() * quartile / 4))
        .map(|(_, number)| *number)
        .collect();
    // What only a few have most of is above all quartiles.
    cuts.extend(
        numbers.iter().filter(|(place, _)| *place < border).map(|(_, n)| *n).min_by(f64::total_cmp),
    );
    cuts.sort_unstable_by(f64::total_cmp);
    cuts.dedup();
    for cut in cuts {
        let from = numbers.partition_point(|(_, number)| *number < cut);
        let mut holds: Vec<u32> = numbers[from..].iter().map(|(place, _)| *place).collect();
        holds.sort_unstable();
        let term = key.map(|key| format!("{key}>={cut}"));
        let text = format!("{name} ≥ {cut}");
        push(out, (text, Some(name.to_owned()), term), holds, border, all);
    }
}

fn push(
    out: &mut Vec<Candidate>,
    (text, cut_of, term): (String, Option<String>, Option<String>),
    mut holds: Vec<u32>,
    border: u32,
    all: usize,
) {
    holds.dedup();
    let selected = holds.partition_point(|place| *place < border);
    // What all have tells nothing.
    if selected >= LEAST && holds.len() < all {
        let rest = holds.len() - selected;
        out.push(Candidate { text, cut_of, term, selected, rest, holds });
    }
}

enum Said {
    Text(String),
    Number(f64),
}

/// What the trace's spans say, by key, each value once.
fn values(trace: &Trace) -> BTreeMap<String, Vec<Said>> {
    let mut said: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    for span in &trace.spans {
        let span: &Span = span;
        for (key, value) in span.attributes.iter(&trace.dictionary).filter(|(key, _)| is_fact(key))
        {
            add(said.entry(key.to_owned()).or_default(), key, value);
        }
        for key in ["service.version", "host.name", "deployment.environment.name"] {
            if let Some(value) = span.process.attributes.get(&trace.dictionary, key) {
                add(said.entry(key.to_owned()).or_default(), key, value);
            }
        }
    }
    said
}

fn add(values: &mut Vec<Said>, key: &str, value: Value<'_>) {
    // Names that happen to be numbers.
    let is_name = key.ends_with("status_code") || key.ends_with(".port");
    match value {
        Value::Int(number) if !is_name => {
            values.push(Said::Number(number as f64));
        }
        Value::Float(number) => values.push(Said::Number(number)),
        Value::Json(_) => {}
        other => {
            let text = other.display();
            let is_new =
                !values.iter().any(|said| matches!(said, Said::Text(said) if *said == text));
            if is_new && text.len() <= LONGEST {
                values.push(Said::Text(text.into_owned()));
            }
        }
    }
}

/// Not how long it took, nor what only tells connections apart.
fn is_fact(key: &str) -> bool {
    const NOT: [&str; 6] = [
        "spanwire.time_to_first_byte_ns",
        "spanwire.process.pid",
        "network.peer.port",
        "client.port",
        "network.local.port",
        "url.full",
    ];
    !NOT.contains(&key)
}

/// How often each thing was done in the trace.
fn counts(trace: &Trace) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for span in trace.spans.iter().filter(|span| span.kind.calls()) {
        let call = match &span.peer {
            Some(peer) => format!("{} calls {peer} {}", span.service(), span.operation),
            None => format!("{} calls {}", span.service(), span.operation),
        };
        *counts.entry(call).or_default() += 1;
    }
    counts
}
