//! Reads a query. Forgiving: spaces around operators, `==`, `&&`, `||`, TraceQL's prefixes and outer braces.
//!
//! ```text
//! query  = or ;  or = and {("OR"|"||") and} ;  and = term {["AND"|"&&"] term}
//! term   = ["-"|"!"|"NOT"] ( key op value {"," value} | "has:" key | word | 32 hex | "(" or ")" | "{" or "}" )
//! ```

use std::ops::Range;

use super::syntax::{Key, Node, Op, Term, Written, ends_word, is_operator};

/// Longest query, bytes: longer ones are pasted by mistake.
const LONGEST: usize = 4_096;
/// Deepest nesting: the reader is recursive.
const DEEPEST: u32 = 32;

/// What cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Bytes of the query.
    pub(crate) at: Range<usize>,
    /// What was expected, as a sentence.
    pub(crate) text: String,
}

/// Reads it.
pub(crate) fn parse(query: &str) -> Result<Node, Mistake> {
    if query.len() > LONGEST {
        return Err(Mistake {
            at: 0..query.len(),
            text: format!("A query is at most {LONGEST} bytes long."),
        });
    }
    let mut reader = Reader { query, at: 0, depth: 0 };
    let node = reader.or()?;
    match reader.peek() {
        None => Ok(flat(node)),
        Some(c) => {
            Err(reader.mistake(c.len_utf8(), format!("There is no bracket open for “{c}”.")))
        }
    }
}

/// TraceQL's braces around all of it mean what no braces mean.
fn flat(mut node: Node) -> Node {
    while let Node::Span(inner) = node {
        node = *inner;
    }
    node
}

struct Reader<'a> {
    query: &'a str,
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn or(&mut self) -> Result<Node, Mistake> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.mistake(1, "That is nested too deeply.".to_owned()));
        }
        let mut any = vec![self.and()?];
        while self.keyword("OR") || self.take("||") {
            any.push(self.and()?);
        }
        self.depth -= 1;
        Ok(if any.len() == 1 { any.remove(0) } else { Node::Or(any) })
    }

    fn and(&mut self) -> Result<Node, Mistake> {
        let mut all = Vec::new();
        loop {
            self.skip();
            if self.is_at_end_of_and() {
                break;
            }
            if self.keyword("AND") || self.take("&&") {
                continue;
            }
            all.push(self.term()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::And(all) })
    }

    fn is_at_end_of_and(&self) -> bool {
        matches!(self.peek(), None | Some(')' | '}'))
            || self.rest().starts_with("||")
            || self.sees_keyword("OR")
    }

    fn term(&mut self) -> Result<Node, Mistake> {
        self.skip();
        let negated = self.keyword("NOT") || self.take("-") || self.take("!");
        if negated {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(self.mistake(1, "That is nested too deeply.".to_owned()));
            }
            let node = self.term()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(node)));
        }
        self.skip();
        match self.peek() {
            Some('(') => self.bracketed('(', ')'),
            Some('{') => Ok(Node::Span(Box::new(self.bracketed('{', '}')?))),
            Some('"' | '\'') => Ok(Node::Word(self.value()?.text)),
            Some('|') => {
                Err(self.mistake(1, "Pipelines of TraceQL are not known here.".to_owned()))
            }
            Some(_) => self.key(),
            None => {
                Err(self.mistake(0, "A term is expected here, such as service=orders.".to_owned()))
            }
        }
    }

    fn bracketed(&mut self, open: char, close: char) -> Result<Node, Mistake> {
        let from = self.at;
        self.at += open.len_utf8();
        let node = self.or()?;
        self.skip();
        if self.peek() != Some(close) {
            let at = from..from + open.len_utf8();
            return Err(Mistake {
                at, text: format!("“{open}” is not closed by “{close}”.")
            });
        }
        self.at += close.len_utf8();
        Ok(node)
    }

    /// What begins with a bare word.
    fn key(&mut self) -> Result<Node, Mistake> {
        let from = self.at;
        let word = self.word(|c| ends_word(c) || is_operator(c)).to_owned();
        if word.is_empty() {
            return Err(self.mistake(1, "A key is expected before the operator.".to_owned()));
        }
        if word.eq_ignore_ascii_case("has") && self.rest().starts_with(':') {
            self.at += 1;
            let name = self.word(|c| ends_word(c) || is_operator(c)).to_owned();
            if name.is_empty() {
                return Err(self.mistake(0, "has: wants a key, such as has:retry.".to_owned()));
            }
            return Ok(Node::Has(Key(name)));
        }
        let after_word = self.at;
        self.skip();
        let Some(op) = self.operator()? else {
            self.at = after_word;
            return Ok(self.bare(&word, from));
        };
        let mut values = vec![self.value()?];
        loop {
            let before = self.at;
            self.skip();
            if !self.take(",") {
                self.at = before;
                break;
            }
            values.push(self.value()?);
        }
        Ok(Node::Term(Term { key: Key(word), op, values }))
    }

    /// A word that is no key: an id, or text to look for.
    fn bare(&mut self, word: &str, from: usize) -> Node {
        let is_id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id && let Ok(id) = u128::from_str_radix(word, 16) {
            return Node::Trace(id);
        }
        // What only an operator could end belongs to it: a|b, x&y.
        self.at = from;
        let mut word = self.word(ends_word).to_owned();
        if word.is_empty()
            && let Some(c) = self.peek()
        {
            self.at += c.len_utf8();
            word.push(c);
        }
        Node::Word(word)
    }

    fn operator(&mut self) -> Result<Option<Op>, Mistake> {
        for structural in [">>", "<<", "!>>", "!<<", "&>>"] {
            if self.rest().starts_with(structural) {
                let text = format!(
                    "“{structural}” is a structural operator of TraceQL: not known here. Two spans of one trace are {{…}} {{…}}."
                );
                return Err(self.mistake(structural.len(), text));
            }
        }
        const OPERATORS: [(&str, Op); 11] = [
            ("=~", Op::Like),
            ("==", Op::Eq),
            (">=", Op::Ge),
            ("<=", Op::Le),
            ("!=", Op::Ne),
            ("<>", Op::Ne),
            ("=", Op::Eq),
            (">", Op::Gt),
            ("<", Op::Lt),
            ("~", Op::Like),
            (":", Op::Eq),
        ];
        Ok(OPERATORS.into_iter().find(|(text, _)| self.take_here(text)).map(|(_, op)| op))
    }

    fn value(&mut self) -> Result<Written, Mistake> {
        self.skip();
        let from = self.at;
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.at += 1;
            let mut text = String::new();
            loop {
                let Some(c) = self.peek() else {
                    return Err(Mistake {
                        at: from..self.at,
                        text: format!("{quote} is not closed."),
                    });
                };
                self.at += c.len_utf8();
                match c {
                    '\\' => {
                        if let Some(c) = self.peek() {
                            self.at += c.len_utf8();
                            text.push(c);
                        }
                    }
                    c if c == quote => {
                        return Ok(Written { text, quoted: true, at: from..self.at });
                    }
                    c => text.push(c),
                }
            }
        }
        let text = self.word(ends_word).to_owned();
        if text.is_empty() {
            return Err(self.mistake(0, "A value is expected here.".to_owned()));
        }
        Ok(Written { text, quoted: false, at: from..self.at })
    }

    fn rest(&self) -> &str {
        &self.query[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn word(&mut self, ends: impl Fn(char) -> bool) -> &str {
        let from = self.at;
        self.at += self.rest().find(ends).unwrap_or(self.rest().len());
        &self.query[from..self.at]
    }

    fn take(&mut self, text: &str) -> bool {
        self.skip();
        self.take_here(text)
    }

    fn take_here(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn sees_keyword(&self, word: &str) -> bool {
        self.rest().strip_prefix(word).is_some_and(|rest| rest.chars().next().is_none_or(ends_word))
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.skip();
        let found = self.sees_keyword(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn mistake(&self, length: usize, text: String) -> Mistake {
        let end = (self.at + length).min(self.query.len());
        Mistake { at: self.at..end, text }
    }
}
