//! What was written, as a tree; and how it is written again.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use crate::viewer::span::TraceId;

/// A part of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// All of them; of none: everything.
    And(Vec<Node>),
    /// At least one of two or more.
    Or(Vec<Node>),
    Not(Box<Node>),
    Term(Term),
    /// `has:key`
    Has(Key),
    /// A word that occurs somewhere in a span.
    Word(String),
    Trace(TraceId),
    /// `{…}`: one span of its own.
    Span(Box<Node>),
}

/// A key, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) String);

/// `key op value, value`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) key: Key,
    pub(crate) op: Op,
    /// At least one.
    pub(crate) values: Vec<Written>,
}

/// A value as it was written, and where, in bytes of the query.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Written {
    pub(crate) text: String,
    /// In quotes it is nothing but text.
    pub(crate) quoted: bool,
    pub(crate) at: Range<usize>,
}

/// Where it was written makes no difference.
impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.quoted) == (&other.text, other.quoted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    /// Contains, or matches with `*` and `?`.
    Like,
}

impl Op {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Like => "~",
        }
    }
}

/// Ends a word that is not in quotes.
pub(super) fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '{' | '}' | '"' | '\'' | ',')
}

/// Ends a key, too.
pub(super) fn is_operator(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>' | '~' | ':' | '&' | '|')
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(all) => join(f, all, " ", |node| matches!(node, Self::Or(_) | Self::And(_))),
            Self::Or(any) => {
                join(f, any, " OR ", |node| matches!(node, Self::Or(_) | Self::And(_)))
            }
            Self::Not(node) => match &**node {
                Self::And(_) | Self::Or(_) => write!(f, "-({node})"),
                _ => write!(f, "-{node}"),
            },
            Self::Term(term) => {
                write!(f, "{}{}", term.key, term.op.text())?;
                for (at, value) in term.values.iter().enumerate() {
                    // What begins like an operator must not be taken for a part of this one.
                    let looks_so = !value.quoted && value.text.starts_with(is_operator);
                    let between = if looks_so { " " } else { "" };
                    write!(f, "{}{between}{value}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Has(key) => write!(f, "has:{key}"),
            Self::Word(word) => quoted(f, word),
            Self::Trace(id) => write!(f, "{id:032x}"),
            Self::Span(node) => write!(f, "{{{node}}}"),
        }
    }
}

fn join(
    f: &mut Formatter<'_>,
    nodes: &[Node],
    between: &str,
    wants_brackets: impl Fn(&Node) -> bool,
) -> fmt::Result {
    for (at, node) in nodes.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { between })?;
        if wants_brackets(node) {
            write!(f, "({node})")?;
        } else {
            write!(f, "{node}")?;
        }
    }
    Ok(())
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Display for Written {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.quoted { quoted(f, &self.text) } else { f.write_str(&self.text) }
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
