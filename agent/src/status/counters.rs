//! A snapshot of everything the agent counts, by stage.
//!
//! One type for all readers: the table at exit, `doctor --live`, JSON and Prometheus. Losses come first for people:
//! they are what decides whether the traces can be trusted.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// All counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// In the order of the pipeline.
    pub groups: Vec<Group>,
}

/// The counters of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `kernel`, `conn`, `protocols`, `trace` or `export`.
    pub name: Cow<'static, str>,
    /// In the stage's own order.
    pub counters: Vec<Counter>,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// In lower case with underscores; unique in its group.
    pub name: Cow<'static, str>,
    /// The number, since the agent's start (or now, for a level).
    pub value: u64,
    /// How to read it.
    pub meaning: Meaning,
}

/// How to read a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Something that was to happen, counted since the start.
    Event,
    /// Something lost, counted since the start: anything but zero makes traces less whole.
    Loss,
    /// A level now, such as a queue's length.
    Level,
}

impl Counters {
    /// Adds a number; groups appear in the order of their first number.
    pub fn add(
        &mut self,
        group: &'static str,
        name: impl Into<Cow<'static, str>>,
        meaning: Meaning,
        value: u64,
    ) {
        let counter = Counter { name: name.into(), value, meaning };
        match self.groups.iter_mut().find(|g| g.name == group) {
            Some(group) => group.counters.push(counter),
            None => self.groups.push(Group { name: group.into(), counters: vec![counter] }),
        }
    }

    /// A short table: losses that are not zero, then everything else that is not zero.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let lost: Vec<_> = self.rows(true).collect();
        if lost.is_empty() {
            text.push_str("nothing lost\n");
        } else {
            text.push_str("lost\n");
            rows(&mut text, &lost);
        }
        let seen: Vec<_> = self.rows(false).collect();
        if !seen.is_empty() {
            text.push_str("seen\n");
            rows(&mut text, &seen);
        }
        text
    }

    /// Writes all of it to a file, as one JSON object of `group.name` to number.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let object: serde_json::Map<String, serde_json::Value> = self
            .groups
            .iter()
            .flat_map(|group| {
                let name = |counter: &Counter| format!("{}.{}", group.name, counter.name);
                group.counters.iter().map(move |counter| (name(counter), counter.value.into()))
            })
            .collect();
        std::fs::write(path, serde_json::to_string_pretty(&object)? + "\n")
    }

    /// Prometheus text format 0.0.4.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for group in &self.groups {
            for counter in &group.counters {
                let (kind, suffix) = match counter.meaning {
                    Meaning::Event | Meaning::Loss => ("counter", "_total"),
                    Meaning::Level => ("gauge", ""),
                };
                let name = format!(
                    "spanwire_{}_{}{suffix}",
                    metric_name(&group.name),
                    metric_name(&counter.name)
                );
                let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {}", counter.value);
            }
        }
        text
    }

    fn rows(&self, losses: bool) -> impl Iterator<Item = (String, u64)> + '_ {
        self.groups.iter().flat_map(move |group| {
            group
                .counters
                .iter()
                .filter(move |c| c.value != 0 && (c.meaning == Meaning::Loss) == losses)
                .map(|c| (format!("{} {}", group.name, c.name.replace('_', " ")), c.value))
        })
    }
}

fn rows(text: &mut String, rows: &[(String, u64)]) {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let longest = rows.iter().map(|(_, value)| value.to_string().len()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:widest$}  {value:>longest$}");
    }
}

/// Anything but letters, digits and underscores would break the format.
fn metric_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        let mut counters = Counters::default();
        counters.add("kernel", "data_events", Meaning::Event, 12_345);
        counters.add("kernel", "data_ring_full", Meaning::Loss, 0);
        counters.add("export", "spans_sent", Meaning::Event, 7);
        counters.add("export", "queue_full", Meaning::Loss, 3);
        counters.add("export", "waiting", Meaning::Level, 2);
        counters
    }

    #[test]
    fn losses_come_first_and_zeros_not_at_all() {
        assert_eq!(
            counters().table(),
            "lost\n  export queue full  3\n\
             seen\n  kernel data events  12345\n  export spans sent       7\n  export waiting          2\n"
        );
        assert_eq!(Counters::default().table(), "nothing lost\n");
    }

    #[test]
    fn prometheus_has_every_number() {
        assert_eq!(
            counters().prometheus(),
            "# TYPE spanwire_kernel_data_events_total counter\nspanwire_kernel_data_events_total 12345\n\
             # TYPE spanwire_kernel_data_ring_full_total counter\nspanwire_kernel_data_ring_full_total 0\n\
             # TYPE spanwire_export_spans_sent_total counter\nspanwire_export_spans_sent_total 7\n\
             # TYPE spanwire_export_queue_full_total counter\nspanwire_export_queue_full_total 3\n\
             # TYPE spanwire_export_waiting gauge\nspanwire_export_waiting 2\n"
        );
    }

    #[test]
    fn json_there_and_back() {
        let json = serde_json::to_string(&counters()).unwrap();
        assert_eq!(serde_json::from_str::<Counters>(&json).unwrap(), counters());
    }
}
