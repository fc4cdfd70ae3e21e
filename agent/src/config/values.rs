//! All settings that are one text, from wherever they were set: the command line, the environment, the file, in this
//! order.

use std::collections::BTreeMap;

use super::document::{Entry, Node, Value};
use super::keys::{self, Form, Key, LISTS};
use super::problem::{Place, Problem, suggestion};

/// Texts by the name of their variable.
#[derive(Debug, Default)]
pub(super) struct Values {
    by_variable: BTreeMap<String, (String, Place)>,
    pub problems: Vec<Problem>,
}

impl Values {
    /// Takes what the file sets; what stands below the keys of lists ([`LISTS`]) is handed back by its key.
    pub(super) fn take_file(
        &mut self,
        file: &str,
        entries: Vec<Entry>,
    ) -> BTreeMap<&'static str, Node> {
        let mut lists = BTreeMap::new();
        for entry in entries {
            match LISTS.into_iter().find(|key| *key == entry.key) {
                Some(key) => drop(lists.insert(key, entry.node)),
                None => self.take(file, "", entry),
            }
        }
        lists
    }

    /// Takes variables; empty ones are unset (OpenTelemetry specification, "Parsing empty value").
    pub(super) fn take_variables(&mut self, variables: &BTreeMap<String, String>) {
        for (name, value) in variables {
            if !value.trim().is_empty() {
                self.set(name, value.trim(), Place::Variable(name.clone()));
            }
        }
    }

    /// Sets one, over what was set before.
    pub(super) fn set(&mut self, variable: &str, text: &str, place: Place) {
        self.by_variable.insert(variable.to_owned(), (text.to_owned(), place));
    }

    /// What a variable or its key is set to.
    pub(super) fn text(&self, variable: &str) -> Option<&str> {
        self.by_variable.get(variable).map(|(text, _)| text.as_str())
    }

    /// Where it was set.
    pub(super) fn place(&self, variable: &str) -> Option<&Place> {
        self.by_variable.get(variable).map(|(_, place)| place)
    }

    /// Names of all variables of the environment.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.by_variable
            .iter()
            .filter(|(_, (_, place))| matches!(place, Place::Variable(_)))
            .map(|(name, _)| name.as_str())
    }

    /// What it means, if it can be read; else that is a problem, unless the specification says to ignore it.
    pub(super) fn parsed<T>(
        &mut self,
        variable: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
        warnings: &mut Vec<String>,
    ) -> Option<T> {
        let text = self.text(variable)?;
        let parsed = parse(text);
        if parsed.is_none() {
            let why = format!("{text:?} is not {expected}");
            self.wrong(variable, &why, warnings);
        }
        parsed
    }

    /// A value is wrong. OpenTelemetry's own variables are to be ignored then, with a warning; ours and the file are
    /// not, because nobody reads warnings.
    pub(super) fn wrong(&mut self, variable: &str, why: &str, warnings: &mut Vec<String>) {
        match self.place(variable).cloned() {
            Some(Place::Variable(name)) if name.starts_with("OTEL_") => {
                warnings.push(format!("{name}: {why}; ignored"));
            }
            Some(place) => self.problems.push(Problem { place, why: why.to_owned() }),
            None => {}
        }
    }

    fn take(&mut self, file: &str, group: &str, entry: Entry) {
        let path =
            if group.is_empty() { entry.key.clone() } else { format!("{group}.{}", entry.key) };
        let place = |line, key| Place::File { file: file.to_owned(), line, key };
        if let Some(key) = keys::by_path(&path) {
            let place = place(entry.node.line, Some(path));
            match text(key, entry.node.value) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => self.set(key.variable, &text, place),
                Err(why) => self.problems.push(Problem { place, why: why.to_owned() }),
            }
        } else if keys::is_group(&path) {
            match entry.node.value {
                Value::Map(entries) => {
                    for entry in entries {
                        self.take(file, &path, entry);
                    }
                }
                Value::Scalar(text) if text.is_empty() => {}
                _ => {
                    let why = format!(
                        "has settings below it: {}",
                        keys::below(&path).collect::<Vec<_>>().join(", ")
                    );
                    self.problems.push(Problem { place: place(entry.line, Some(path)), why });
                }
            }
        } else {
            let near = suggestion(&entry.key, keys::below(group));
            let why = format!("unknown key `{path}`{near}");
            self.problems.push(Problem { place: place(entry.line, None), why });
        }
    }
}

/// A value of the file as its variable would have it.
fn text(key: &Key, value: Value) -> Result<String, &'static str> {
    match (key.form, value) {
        (_, Value::Scalar(text)) => Ok(text),
        (Form::List, Value::List(nodes)) => {
            let texts: Option<Vec<String>> = nodes
                .into_iter()
                .map(|node| match node.value {
                    Value::Scalar(text) => Some(text),
                    _ => None,
                })
                .collect();
            texts.map(|texts| texts.join(",")).ok_or("is not a list of texts")
        }
        (Form::Secrets, Value::Map(entries)) => {
            let pairs: Option<Vec<String>> = entries
                .into_iter()
                .map(|entry| match entry.node.value {
                    Value::Scalar(value) => {
                        Some(format!("{}={}", entry.key, percent_encoded(&value)))
                    }
                    _ => None,
                })
                .collect();
            pairs.map(|pairs| pairs.join(",")).ok_or("is not a mapping of names to texts")
        }
        (Form::Scalar, _) => Err("is not one value"),
        (Form::List, _) => Err("is neither one value nor a list"),
        (Form::Secrets, _) => Err("is neither one value nor a mapping"),
    }
}

/// Everything but what no reader can take for anything else.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => out + &format!("%{byte:02X}"),
    })
}
