//! The rules below `select`: which processes and requests are traced.
//!
//! ```yaml
//! select:
//!   - exclude: {executable: /usr/bin/node_exporter}
//!   - include: {service: [shop, till]}
//!     share: 0.1
//!   - exclude: {port: [9100, 9200-9299]}
//!     name: metrics
//! ```

use super::document::{Entry, Node, Value};
use super::keys::SELECT;
use super::list::Reader;
use super::problem::Problem;
use crate::selection::{Action, Conditions, Label, Pattern, Ports, Rule, Selection};
use crate::trace::Share;

/// What a rule may say.
const PARTS: [&str; 4] = ["include", "exclude", "share", "name"];
/// What it may ask.
const CONDITIONS: [&str; 6] = ["executable", "service", "unit", "container", "label", "port"];

/// Reads the list; what is wrong with any rule is added to `problems`.
pub(super) fn selection(file: &str, node: Node, problems: &mut Vec<Problem>) -> Selection {
    let mut reader = Reader { file, key: SELECT, problems };
    let rules = reader.elements(node);
    let mut read: Vec<Rule> = Vec::new();
    for (at, node) in rules.into_iter().enumerate() {
        let line = node.line;
        let Some(rule) = reader.rule(at + 1, node) else { continue };
        if read.iter().any(|other| other.name == rule.name) {
            reader.problem(line, format!("the name {:?} is another rule's already", rule.name));
        }
        read.push(rule);
    }
    Selection::new(read)
}

impl Reader<'_> {
    fn rule(&mut self, number: usize, node: Node) -> Option<Rule> {
        let line = node.line;
        let Value::Map(entries) = node.value else {
            self.problem(line, "a rule is a mapping with `include` or `exclude`".to_owned());
            return None;
        };
        let (mut action, mut share, mut name) = (None, None, None);
        for entry in entries {
            match entry.key.as_str() {
                "include" | "exclude" if action.is_some() => {
                    self.problem(entry.line, "a rule either includes or excludes".to_owned());
                }
                "include" => action = Some((true, self.conditions(entry.node))),
                "exclude" => action = Some((false, self.conditions(entry.node))),
                "share" => share = self.share(&entry.node).map(|share| (entry.line, share)),
                "name" => name = self.scalar(&entry.node),
                unknown => self.unknown(entry.line, unknown, &PARTS),
            }
        }
        let Some((includes, conditions)) = action else {
            self.problem(line, "a rule has `include` or `exclude`".to_owned());
            return None;
        };
        let action = match (includes, share) {
            (true, share) => Action::Include { share: share.map(|(_, share)| share) },
            (false, None) => Action::Exclude,
            (false, Some((line, _))) => {
                self.problem(line, "a share is of what is included".to_owned());
                Action::Exclude
            }
        };
        let word = if includes { "include" } else { "exclude" };
        Some(Rule { name: name.unwrap_or_else(|| format!("{word}_{number}")), action, conditions })
    }

    fn conditions(&mut self, node: Node) -> Conditions {
        let mut conditions = Conditions::default();
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Scalar(text) if ["", "all"].contains(&text.as_str()) => Vec::new(),
            _ => {
                let what = CONDITIONS.join(", ");
                self.problem(node.line, format!("is neither `all` nor a mapping of {what}"));
                Vec::new()
            }
        };
        for Entry { key, line, node } in entries {
            match key.as_str() {
                "executable" => conditions.executable = self.patterns(node),
                "service" => conditions.service = self.patterns(node),
                "unit" => conditions.unit = self.patterns(node),
                "container" => conditions.container = self.patterns(node),
                "port" => conditions.ports = Some(self.ports(node)),
                "label" => conditions.labels = self.labels(node),
                unknown => self.unknown(line, unknown, &CONDITIONS),
            }
        }
        conditions
    }

    /// `{key: pattern}`, all of which must fit.
    fn labels(&mut self, node: Node) -> Vec<Label> {
        let line = node.line;
        let entries = match node.value {
            Value::Map(entries) if !entries.is_empty() => entries,
            _ => {
                let why = "labels are a mapping of their keys to patterns, such as {app: shop}";
                self.problem(line, why.to_owned());
                return Vec::new();
            }
        };
        let label = |entry: Entry| Label { key: entry.key, values: self.patterns(entry.node) };
        entries.into_iter().map(label).collect()
    }

    fn patterns(&mut self, node: Node) -> Vec<Pattern> {
        let line = node.line;
        let texts = self.texts(node);
        if texts.is_empty() {
            // A list of nothing would fit everything.
            self.problem(line, "names nothing".to_owned());
        }
        let mut patterns = Vec::new();
        for (line, text) in texts {
            match Pattern::new(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.problem(line, format!("a pattern {error}")),
            }
        }
        patterns
    }

    fn ports(&mut self, node: Node) -> Ports {
        let line = node.line;
        let texts = self.texts(node);
        if texts.is_empty() {
            self.problem(line, "names no port".to_owned());
        }
        let mut ports = Vec::new();
        for (line, text) in texts {
            match Ports::parse(&text) {
                Some(range) => ports.push(range),
                None => self.problem(line, format!("{text:?} is no port and no range of ports")),
            }
        }
        Ports::new(ports)
    }

    /// One text, or a list of them, each with its line.
    fn texts(&mut self, node: Node) -> Vec<(usize, String)> {
        let nodes = match node.value {
            Value::List(nodes) => nodes,
            value => vec![Node { line: node.line, value }],
        };
        nodes.into_iter().filter_map(|node| Some((node.line, self.scalar(&node)?))).collect()
    }

    fn share(&mut self, node: &Node) -> Option<Share> {
        let text = self.scalar(node)?;
        let share = text.parse().ok().and_then(Share::ratio);
        if share.is_none() {
            self.problem(node.line, format!("{text:?} is no share from 0 to 1"));
        }
        share
    }
}
