//! What a query means: its keys as fields, its values as numbers, times and patterns. What is guessed is said.

use super::field::Field;
use super::parse::Mistake;
use super::syntax::{Key, Node, Op, Term, Written};
use crate::viewer::span::TraceId;

/// A query that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(super) meaning: Meaning,
    /// How something was read that was not said so: `status>=500 is read as …`.
    pub(crate) guesses: Vec<String>,
}

/// As [`Node`], understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
    /// In lower case.
    Word(String),
    Trace(TraceId),
    Span(Box<Self>),
}

/// A field compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) field: Field,
    pub(super) op: Op,
    /// One of them must hold.
    pub(super) wanted: Vec<Wanted>,
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// Any value.
    Any,
    /// The field is there (true) or not.
    Truth(bool),
    /// This text, or where both are numbers, this number.
    Text(String, Option<f64>),
    Number(f64),
    /// Both ends included.
    Range(f64, f64),
    /// Contains this, in lower case; with `*` and `?` all of it is a pattern.
    Like(String),
    /// The span failed (true) or not.
    Failed(bool),
}

impl Query {
    /// The trace whose id the query is.
    pub(crate) const fn trace(&self) -> Option<TraceId> {
        match self.meaning {
            Meaning::Trace(id) => Some(id),
            _ => None,
        }
    }
}

/// Understands a query. `keys` are the attributes that spans have.
pub(crate) fn read(node: &Node, keys: &[&str]) -> Result<Query, Mistake> {
    let mut reader = Reader { keys, guesses: Vec::new() };
    let meaning = reader.node(node)?;
    Ok(Query { meaning, guesses: reader.guesses })
}

struct Reader<'a> {
    keys: &'a [&'a str],
    guesses: Vec<String>,
}

impl Reader<'_> {
    fn node(&mut self, node: &Node) -> Result<Meaning, Mistake> {
        Ok(match node {
            Node::And(all) => {
                Meaning::All(all.iter().map(|node| self.node(node)).collect::<Result<_, _>>()?)
            }
            Node::Or(any) => {
                Meaning::Any(any.iter().map(|node| self.node(node)).collect::<Result<_, _>>()?)
            }
            Node::Not(node) => Meaning::Not(Box::new(self.node(node)?)),
            Node::Span(node) => Meaning::Span(Box::new(self.node(node)?)),
            Node::Word(word) => Meaning::Word(word.to_lowercase()),
            Node::Trace(id) => Meaning::Trace(*id),
            Node::Has(key) => {
                let (field, _) = self.field(key);
                let wanted =
                    if field == Field::Incomplete { Wanted::Truth(true) } else { Wanted::Any };
                Meaning::Test(Test { field, op: Op::Eq, wanted: vec![wanted] })
            }
            Node::Term(term) => Meaning::Test(self.term(term)?),
        })
    }

    fn term(&mut self, term: &Term) -> Result<Test, Mistake> {
        let (field, name) = self.field(&term.key);
        let shown = |values: &str| format!("{}{}{values}", term.key, term.op.text());
        let all: Vec<String> = term.values.iter().map(ToString::to_string).collect();
        if field == Field::Status && matches!(term.op, Op::Gt | Op::Ge | Op::Lt | Op::Le) {
            self.guess(format!(
                "{} is read as http.response.status_code{}{}",
                shown(&all.join(",")),
                term.op.text(),
                all.join(",")
            ));
        } else if let Some(name) = name {
            let read = format!("{name}{}{}", term.op.text(), all.join(","));
            self.guess(format!("{} is read as {read}", shown(&all.join(","))));
        }
        let mut wanted = Vec::with_capacity(term.values.len());
        for value in &term.values {
            wanted.push(self.value(&field, term.op, value)?);
        }
        if matches!(&field, Field::Attribute(keys) if keys.iter().any(|key| key == "db.system.name"))
            && wanted
                .iter()
                .any(|wanted| matches!(wanted, Wanted::Text(text, _) if text == "postgres"))
        {
            wanted.push(Wanted::Text("postgresql".to_owned(), None));
        }
        Ok(Test { field, op: term.op, wanted })
    }

    /// The field, and its name where that is not what was written.
    fn field(&mut self, key: &Key) -> (Field, Option<String>) {
        let lower = key.0.to_lowercase();
        // TraceQL's scopes; attributes of ours never begin so.
        let bare = ["span.", "resource.", "parent.", "."]
            .iter()
            .find_map(|scope| lower.strip_prefix(scope))
            .filter(|bare| !bare.is_empty());
        let scope = lower.len() - bare.map_or(lower.len(), str::len);
        // What is in lower case may be longer or shorter than what was written.
        let written = key.0.get(scope..).unwrap_or(&key.0);
        let lower = bare.unwrap_or(&lower);
        if self.keys.contains(&written) && Field::named(lower).is_none() {
            return (Field::Attribute(vec![written.to_owned()]), None);
        }
        if let Some(field) = Field::named(lower) {
            return (field, None);
        }
        let same_but_case = self.keys.iter().find(|known| known.to_lowercase() == lower);
        let mut ends = self.keys.iter().filter(|known| {
            known.to_lowercase().strip_suffix(lower).is_some_and(|rest| rest.ends_with('.'))
        });
        let suffix = match (ends.next(), ends.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        };
        match same_but_case.or(suffix) {
            Some(known) => (Field::Attribute(vec![(*known).to_owned()]), Some((*known).to_owned())),
            None => {
                let known: Vec<&str> = self.keys.iter().copied().chain(Field::NAMES).collect();
                if !self.keys.is_empty()
                    && let Some(near) = nearest(lower, &known)
                {
                    self.guess(format!("No span has {written} yet. The nearest key is {near}."));
                }
                (Field::Attribute(vec![written.to_owned()]), None)
            }
        }
    }

    fn value(&mut self, field: &Field, op: Op, value: &Written) -> Result<Wanted, Mistake> {
        let text = &value.text;
        let mistake = |text: &str| Mistake { at: value.at.clone(), text: text.to_owned() };
        if op == Op::Like {
            return Ok(Wanted::Like(text.to_lowercase()));
        }
        if matches!(op, Op::Gt | Op::Ge | Op::Lt | Op::Le) {
            return match self.number(field, text) {
                Some(number) => Ok(Wanted::Number(number)),
                None if field.is_time() => {
                    Err(mistake("A duration is expected here, such as 200ms or 1.5s."))
                }
                None => Err(mistake("A number is expected here.")),
            };
        }
        if value.quoted {
            return Ok(Wanted::Text(text.clone(), text.parse().ok()));
        }
        if text == "*" {
            return Ok(Wanted::Any);
        }
        match (field, text.to_ascii_lowercase().as_str()) {
            (Field::Error | Field::Status, "true" | "error") => return Ok(Wanted::Failed(true)),
            (Field::Error | Field::Status, "false" | "ok") => return Ok(Wanted::Failed(false)),
            (Field::Incomplete, "false" | "no") => return Ok(Wanted::Truth(false)),
            (Field::Incomplete, _) => return Ok(Wanted::Truth(true)),
            _ => {}
        }
        if let Some((low, high)) = text.split_once("..")
            && let (Some(low), Some(high)) = (self.number(field, low), self.number(field, high))
        {
            return Ok(Wanted::Range(low, high));
        }
        if let Some(class @ b'1'..=b'9') =
            text.to_ascii_lowercase().strip_suffix("xx").and_then(|c| {
                let [class] = c.as_bytes() else { return None };
                Some(*class)
            })
        {
            let low = f64::from(class - b'0') * 100.0;
            return Ok(Wanted::Range(low, low + 99.0));
        }
        match self.number(field, text) {
            Some(number) if field.is_time() => Ok(Wanted::Number(number)),
            None if field.is_time() => {
                Err(mistake("A duration is expected here, such as 200ms or 1.5s."))
            }
            number => Ok(Wanted::Text(text.clone(), number)),
        }
    }

    /// A number with or without a unit: times become ns, sizes bytes.
    fn number(&mut self, field: &Field, text: &str) -> Option<f64> {
        let digits = text
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().ok()?;
        if unit.is_empty() && field.is_time() {
            self.guess(format!("{text} is read as {text}ms"));
            return Some(number * 1e6);
        }
        Some(number * unit_of(unit)?)
    }

    fn guess(&mut self, text: String) {
        if !self.guesses.contains(&text) {
            self.guesses.push(text);
        }
    }
}

fn unit_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "ns" | "B" | "b" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3_600e9,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "KiB" => 1_024.0,
        "MiB" => 1_048_576.0,
        _ => return None,
    })
}

/// The key that takes the fewest edits, if they are few.
fn nearest<'a>(to: &str, keys: &[&'a str]) -> Option<&'a str> {
    let few = to.len() / 3 + 1;
    let distance = |key: &&str| (edits(to, key), key.len());
    let best = keys
        .iter()
        .filter(|key| key.len().abs_diff(to.len()) <= few)
        .min_by_key(|key| distance(key))?;
    (edits(to, best) <= few).then_some(*best)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (row[j] + 1).min(row[j + 1] + 1).min(corner + usize::from(x != *y));
            corner = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(nearest("user.ld", &["user.id", "url.path"]), Some("user.id"));
        assert_eq!(nearest("xyz", &["http.request.method"]), None);
    }
}
