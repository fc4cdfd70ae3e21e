//! A YAML file as a tree whose every part knows its line.
//!
//! Only what a configuration needs: one document of mappings, lists and scalars. Anchors, aliases and tags are refused:
//! whoever reads the file should see what it says. Scalars are texts; what they mean is for who asks.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::problem::{Place, Problem};

/// Deepest nesting; the deepest key there is lies four levels down.
const DEPTH: usize = 16;

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, a number, or nothing: as written.
    Scalar(String),
    /// Elements in order.
    List(Vec<Node>),
    /// Keys in order, each once.
    Map(Vec<Entry>),
}

/// A key and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub line: usize,
    pub node: Node,
}

/// Reads a file's text. An empty one is an empty mapping.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Entry>, Problem> {
    let mut reader = Reader { file, events: Parser::new_from_str(text) };
    let root = reader.document()?;
    match root.value {
        Value::Map(entries) => Ok(entries),
        Value::Scalar(text) if text.is_empty() => Ok(Vec::new()),
        _ => Err(reader.problem(root.line, "is not a mapping of keys to values")),
    }
}

struct Reader<'a> {
    file: &'a str,
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Problem> {
        let empty = Node { line: 1, value: Value::Scalar(String::new()) };
        let mut root = None;
        loop {
            let (event, line) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or(empty)),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.problem(line, "begins a second document; only one is read"));
                }
                Event::DocumentStart(_) => {
                    let (event, line) = self.next()?;
                    root = Some(self.node(&event, line, 0)?);
                }
                _ => return Err(self.problem(line, "is not where anything belongs")),
            }
        }
    }

    fn node(&mut self, event: &Event<'_>, line: usize, depth: usize) -> Result<Node, Problem> {
        if depth > DEPTH {
            return Err(self.problem(line, "is nested too deep"));
        }
        let plain = |anchor: usize, is_tagged: bool| anchor == 0 && !is_tagged;
        let value = match event {
            Event::Scalar(text, style, anchor, tag) if plain(*anchor, tag.is_some()) => {
                let nothing =
                    *style == ScalarStyle::Plain && ["~", "null"].contains(&text.as_ref());
                Value::Scalar(if nothing { String::new() } else { text.to_string() })
            }
            Event::SequenceStart(anchor, tag) if plain(*anchor, tag.is_some()) => {
                self.list(depth)?
            }
            Event::MappingStart(anchor, tag) if plain(*anchor, tag.is_some()) => self.map(depth)?,
            _ => {
                return Err(self.problem(line, "has an anchor, an alias or a tag; none is read"));
            }
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut nodes = Vec::new();
        loop {
            let (event, line) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::List(nodes));
            }
            nodes.push(self.node(&event, line, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(entries));
            }
            let Value::Scalar(key) = self.node(&event, line, depth + 1)?.value else {
                return Err(self.problem(line, "has a key that is no text"));
            };
            if let Some(before) = entries.iter().find(|entry| entry.key == key) {
                let why = format!("`{key}` is set already in line {}", before.line);
                return Err(self.problem(line, &why));
            }
            let (event, value_line) = self.next()?;
            let node = self.node(&event, value_line, depth + 1)?;
            entries.push(Entry { key, line, node });
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, usize), Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => {
                let why = format!("cannot be read: {}", error.info());
                Err(self.problem(error.marker().line(), &why))
            }
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn problem(&self, line: usize, why: &str) -> Problem {
        Problem {
            place: Place::File { file: self.file.to_owned(), line, key: None },
            why: why.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse("a.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_part_knows_its_line() {
        let read = parse("a.yaml", "# first\na: 1\nb:\n  - x\n  - {y: 'z z'}\n").unwrap();
        let scalar = |line, text: &str| Node { line, value: Value::Scalar(text.into()) };
        let inner = Entry { key: "y".into(), line: 5, node: scalar(5, "z z") };
        let map = Node { line: 5, value: Value::Map(vec![inner]) };
        assert_eq!(read[0], Entry { key: "a".into(), line: 2, node: scalar(2, "1") });
        assert_eq!((read[1].key.as_str(), read[1].line), ("b", 3));
        assert_eq!(read[1].node.value, Value::List(vec![scalar(4, "x"), map]));
    }

    #[test]
    fn nothing_is_an_empty_mapping() {
        for text in ["", "# only a comment\n", "---\n"] {
            assert_eq!(parse("a.yaml", text), Ok(vec![]), "{text:?}");
        }
        let empty = |text| parse("a.yaml", text).unwrap()[0].node.value == Value::Scalar("".into());
        assert!(empty("a:\n") && empty("a: ~\n") && empty("a: null\n") && empty("a: ''\n"));
        assert!(!empty("a: '~'\n"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(problem("a: 1\na: 2\n"), "a.yaml:2: `a` is set already in line 1");
        assert!(problem("a: 1\nb: [1\n").starts_with("a.yaml:"), "{}", problem("a: 1\nb: [1\n"));
        assert_eq!(problem("- a\n"), "a.yaml:1: is not a mapping of keys to values");
        assert!(problem("a: &x 1\nb: *x\n").contains("anchor"));
        assert!(problem("a: !!str 1\n").contains("tag"));
        assert!(problem("a: 1\n---\nb: 2\n").contains("second document"));
        let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
        assert!(problem(&deep).contains("deep"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in r"[a-z:\-{}\[\],&*!#'\n |>]{0,80}") {
            let _ = parse("a.yaml", &text);
        }
    }
}
