//! Lists of rules in the file, which no variable can hold: what all of them have in common.
//!
//! A list is read to its end whatever is wrong in it, so that nobody has to start again for each mistake.

use super::document::{Entry, Node, Value};
use super::problem::{Place, Problem, suggestion};

/// Most rules of a list: some are asked for each process, others for each request.
pub(super) const MOST: usize = 256;

/// Reads a list, and collects what is wrong with it.
pub(super) struct Reader<'a> {
    pub file: &'a str,
    /// The list's key.
    pub key: &'static str,
    pub problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// The list's elements. Nothing is an empty list.
    pub(super) fn elements(&mut self, node: Node) -> Vec<Node> {
        match node.value {
            Value::List(nodes) if nodes.len() <= MOST => return nodes,
            Value::Scalar(text) if text.is_empty() => {}
            Value::List(_) => self.problem(node.line, format!("has more than {MOST} rules")),
            _ => self.problem(node.line, "is not a list of rules".to_owned()),
        }
        Vec::new()
    }

    /// A rule that is a mapping of texts, by `parts` in their order; nothing where one is absent.
    pub(super) fn texts_of<const N: usize>(
        &mut self,
        entries: Vec<Entry>,
        parts: [&str; N],
    ) -> [Option<(usize, String)>; N] {
        let mut found = [const { None }; N];
        for entry in entries {
            match parts.iter().position(|part| *part == entry.key) {
                Some(at) => {
                    found[at] = self.scalar(&entry.node).map(|text| (entry.node.line, text));
                }
                None => self.unknown(entry.line, &entry.key, &parts),
            }
        }
        found
    }

    pub(super) fn scalar(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar(text) => Some(text.clone()),
            _ => {
                self.problem(node.line, "is not one value".to_owned());
                None
            }
        }
    }

    pub(super) fn unknown(&mut self, line: usize, key: &str, known: &[&str]) {
        let near = suggestion(key, known.iter().copied());
        self.problem(line, format!("unknown key `{key}`{near}"));
    }

    pub(super) fn problem(&mut self, line: usize, why: String) {
        let place = Place::File { file: self.file.to_owned(), line, key: Some(self.key.into()) };
        self.problems.push(Problem { place, why });
    }
}
