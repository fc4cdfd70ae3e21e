//! Whether a trace matches, and by which spans.

use super::field::{Field, Found};
use super::reading::{Meaning, Query, Test, Wanted};
use super::syntax::Op;
use crate::viewer::attributes::Value;
use crate::viewer::store::Trace;

/// Ancestors that are asked for an attribute.
const ANCESTORS: usize = 64;

/// What matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    No,
    /// The trace as such: nothing was asked of its spans.
    Trace,
    /// These spans, in the order in which they came.
    Spans(Vec<u32>),
}

impl Match {
    pub(crate) const fn is_match(&self) -> bool {
        !matches!(self, Self::No)
    }
}

impl Query {
    /// Asks a trace.
    pub(crate) fn ask(&self, trace: &Trace) -> Match {
        ask(&self.meaning, trace)
    }
}

/// Something asked of a trace: parts that are about spans go together, one span must satisfy all of them.
fn ask(meaning: &Meaning, trace: &Trace) -> Match {
    match meaning {
        Meaning::All(all) => {
            let (of_span, of_trace): (Vec<&Meaning>, Vec<&Meaning>) =
                all.iter().partition(|part| is_of_span(part));
            let mut spans: Option<Vec<u32>> = None;
            for part in of_trace {
                match ask(part, trace) {
                    Match::No => return Match::No,
                    Match::Trace => {}
                    Match::Spans(found) => spans = Some(merge(spans.take(), found)),
                }
            }
            if !of_span.is_empty() {
                match one_span(&of_span, trace) {
                    Match::No => return Match::No,
                    Match::Trace => {}
                    Match::Spans(found) => spans = Some(merge(spans.take(), found)),
                }
            }
            spans.map_or(Match::Trace, Match::Spans)
        }
        Meaning::Any(any) if !is_of_span(meaning) => {
            let mut result = Match::No;
            for part in any {
                result = match (result, ask(part, trace)) {
                    (Match::Spans(a), Match::Spans(b)) => Match::Spans(merge(Some(a), b)),
                    (Match::Spans(a), _) | (_, Match::Spans(a)) => Match::Spans(a),
                    (Match::Trace, _) | (_, Match::Trace) => Match::Trace,
                    (Match::No, Match::No) => Match::No,
                };
            }
            result
        }
        Meaning::Not(part) if !is_of_span(part) => {
            if ask(part, trace).is_match() {
                Match::No
            } else {
                Match::Trace
            }
        }
        Meaning::Span(part) => one_span(&[part], trace),
        Meaning::Trace(id) => {
            if *id == trace.id {
                Match::Trace
            } else {
                Match::No
            }
        }
        Meaning::Test(test) if test.field.is_of_trace() => {
            if test.holds(test.field.of_trace(trace).as_ref(), false) {
                Match::Trace
            } else {
                Match::No
            }
        }
        part => one_span(&[part], trace),
    }
}

/// Spans that satisfy all parts. Where only something is excluded, no span of the trace may have it.
fn one_span(parts: &[&Meaning], trace: &Trace) -> Match {
    let excludes = |part: &&Meaning| matches!(part, Meaning::Not(_));
    let count = trace.spans.len() as u32;
    if !parts.is_empty() && parts.iter().all(excludes) {
        let clean = (0..count).all(|at| parts.iter().all(|part| holds(part, trace, at)));
        return if clean { Match::Trace } else { Match::No };
    }
    let found: Vec<u32> =
        (0..count).filter(|at| parts.iter().all(|part| holds(part, trace, *at))).collect();
    if found.is_empty() { Match::No } else { Match::Spans(found) }
}

fn is_of_span(meaning: &Meaning) -> bool {
    match meaning {
        Meaning::All(parts) | Meaning::Any(parts) => {
            !parts.is_empty() && parts.iter().all(is_of_span)
        }
        Meaning::Not(part) => is_of_span(part),
        Meaning::Test(test) => !test.field.is_of_trace(),
        Meaning::Word(_) => true,
        Meaning::Trace(_) | Meaning::Span(_) => false,
    }
}

/// Something asked of one span.
fn holds(meaning: &Meaning, trace: &Trace, at: u32) -> bool {
    match meaning {
        Meaning::All(all) => all.iter().all(|part| holds(part, trace, at)),
        Meaning::Any(any) => any.iter().any(|part| holds(part, trace, at)),
        Meaning::Not(part) => !holds(part, trace, at),
        Meaning::Span(part) => holds(part, trace, at),
        Meaning::Trace(id) => *id == trace.id,
        Meaning::Word(word) => has_word(trace, at, word),
        Meaning::Test(test) if test.field.is_of_trace() => {
            test.holds(test.field.of_trace(trace).as_ref(), false)
        }
        Meaning::Test(test) => {
            let failed = trace.spans[at as usize].failed;
            let mut asked = at;
            let mut found = test.field.of_span(trace, at);
            if matches!(test.field, Field::Attribute(_)) {
                for _ in 0..ANCESTORS {
                    if found.is_some() {
                        break;
                    }
                    asked = trace.summary().parents[asked as usize];
                    if asked == u32::MAX {
                        break;
                    }
                    found = test.field.of_span(trace, asked);
                }
            }
            // A span has its own name, too, beside the one it is grouped by.
            let by_own_name = test.field == Field::Name && {
                let name = Value::Text(&trace.spans[at as usize].name);
                test.holds(Some(&Found::Value(name)), failed)
            };
            by_own_name || test.holds(found.as_ref(), failed)
        }
    }
}

fn has_word(trace: &Trace, at: u32, word: &str) -> bool {
    let span = &trace.spans[at as usize];
    let has = |text: &str| contains(text, word);
    has(&span.operation)
        || has(&span.name)
        || has(span.service())
        || span.peer.as_deref().is_some_and(has)
        || span.attributes.iter(&trace.dictionary).any(|(_, value)| has(&value.display()))
}

impl Test {
    fn holds(&self, found: Option<&Found<'_>>, failed: bool) -> bool {
        let mut wanted = self.wanted.iter();
        if self.op == Op::Ne {
            return found.is_some() && !wanted.any(|wanted| wanted.is(Op::Eq, found, failed));
        }
        wanted.any(|wanted| wanted.is(self.op, found, failed))
    }
}

impl Wanted {
    fn is(&self, op: Op, found: Option<&Found<'_>>, failed: bool) -> bool {
        if let Self::Failed(wanted) = self {
            return failed == *wanted;
        }
        let Some(found) = found else { return false };
        match self {
            Self::Any | Self::Failed(_) => true,
            Self::Truth(truth) => *found.text() == *truth.to_string(),
            Self::Text(text, number) => {
                found.text().eq_ignore_ascii_case(text)
                    || number.is_some_and(|number| found.number() == Some(number))
            }
            Self::Range(low, high) => {
                found.number().is_some_and(|number| *low <= number && number <= *high)
            }
            Self::Like(pattern) => like(&found.text().to_lowercase(), pattern),
            Self::Number(wanted) => found.number().is_some_and(|number| match op {
                Op::Gt => number > *wanted,
                Op::Ge => number >= *wanted,
                Op::Lt => number < *wanted,
                Op::Le => number <= *wanted,
                Op::Eq | Op::Ne | Op::Like => number == *wanted,
            }),
        }
    }
}

/// Contains, whatever its case; `word` is in lower case.
fn contains(text: &str, word: &str) -> bool {
    if text.is_ascii() && word.is_ascii() {
        let (text, word) = (text.as_bytes(), word.as_bytes());
        return word.is_empty() || text.windows(word.len()).any(|at| at.eq_ignore_ascii_case(word));
    }
    text.to_lowercase().contains(word)
}

/// `pattern` with `*` and `?` is all of `text`, or without them a part of it. Both in lower case.
fn like(text: &str, pattern: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return text.contains(pattern);
    }
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    // Where the last star was, and what it has swallowed.
    let (mut t, mut p, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn merge(a: Option<Vec<u32>>, b: Vec<u32>) -> Vec<u32> {
    let Some(mut a) = a else { return b };
    a.extend(b);
    a.sort_unstable();
    a.dedup();
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_the_whole_and_words_a_part() {
        for (text, pattern, expected) in [
            ("get /product/17", "get /product/*", true),
            ("get /product/17", "product", true),
            ("get /product/17", "product*", false),
            ("get /product/17", "*product*", true),
            ("abc", "a?c", true),
            ("abc", "a?", false),
            ("", "*", true),
            ("", "?", false),
            ("aaab", "*a*ab", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
        assert!(contains("GET /Ärger", "ärger"));
        assert!(contains("GET /x", "get"));
        assert!(!contains("x", "xy"));
    }
}
