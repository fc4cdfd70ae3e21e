//! Titles: what a program wrote over its own arguments, so that they are one text now.
//!
//! The arguments are lost; a title says more or less of them. What it says must give the same name that the arguments
//! would have given, because whether they or the title are read depends on when the agent comes by.

use crate::service::ProcessFacts;

/// The one text that stands where arguments were, if it does.
pub(super) fn title(facts: &ProcessFacts) -> Option<&str> {
    match facts.arguments.as_slice() {
        [title] if title.contains(' ') => Some(title.trim_end()),
        // Behind a title some programs leave what they did not overwrite.
        [title, ..] if title.starts_with("gunicorn: ") => Some(title.trim_end()),
        _ => None,
    }
}

/// What stands in its last brackets: `gunicorn: worker [shop]`.
pub(super) fn bracketed(title: &str) -> Option<&str> {
    between(title, '[', ']')
}

/// The arguments as a title still has them: behind its first word, or in parentheses
/// (`[celeryd: a@b:MainProcess] -active- (worker -A shop)`).
pub(super) fn arguments(title: &str) -> Vec<String> {
    let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
    match between(title, '(', ')') {
        Some(inner) => words(inner),
        None => title.split_once(' ').map_or_else(Vec::new, |(_, rest)| words(rest)),
    }
}

fn between(title: &str, open: char, close: char) -> Option<&str> {
    let inner = title.strip_suffix(close)?.rsplit_once(open)?.1;
    (!inner.is_empty()).then_some(inner)
}
