//! The spans of one trace as a tree.
//!
//! Parents are what spans say; a parent that is not there makes a root, and spans that name each other in a circle
//! are still each written once.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::Style;
use super::line::{self, MINOR, PLAIN};
use super::text::{clock, cut, duration};
use crate::export::FinishedSpan;

/// Lines for one trace: more than a screen says nothing more.
const MOST_LINES: usize = 100;

/// Writes a trace: a line that names it, then a line for each span.
pub(super) fn write(out: &mut String, spans: &[FinishedSpan], continued: bool, style: Style) {
    let title = title(spans, continued);
    let title = cut(&title, style.width);
    let _ =
        if style.color { writeln!(out, "{MINOR}{title}{PLAIN}") } else { writeln!(out, "{title}") };
    let lines = order(spans);
    for (branches, index) in lines.iter().take(MOST_LINES) {
        line::write(out, branches, &spans[*index], style);
    }
    if lines.len() > MOST_LINES {
        let _ = writeln!(out, "… {} more spans", lines.len() - MOST_LINES);
    }
}

fn title(spans: &[FinishedSpan], continued: bool) -> String {
    let began = spans.iter().map(|s| s.span.start_time_unix_nano).min().unwrap_or(0);
    let ended = spans.iter().map(|s| s.span.end_time_unix_nano).max().unwrap_or(0);
    let id = spans.first().map_or(&[][..], |s| &s.span.trace_id);
    let id = id.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if continued {
        return format!("{} trace {id} goes on", clock(began));
    }
    let count = match spans.len() {
        1 => "1 span".to_owned(),
        n => format!("{n} spans"),
    };
    format!("{} trace {id} · {count} · {}", clock(began), duration(ended.saturating_sub(began)))
}

/// Indexes of the spans as they are written, each with the branches before it.
fn order(spans: &[FinishedSpan]) -> Vec<(String, usize)> {
    let mut ids: HashMap<&[u8], usize> = HashMap::new();
    for (index, span) in spans.iter().enumerate() {
        ids.entry(&span.span.span_id).or_insert(index);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        match ids.get(span.span.parent_span_id.as_slice()) {
            Some(&parent) if parent != index => children[parent].push(index),
            _ => roots.push(index),
        }
    }
    let time = |&index: &usize| {
        let span = &spans[index].span;
        (span.start_time_unix_nano, span.span_id.clone())
    };
    roots.sort_by_cached_key(time);
    children.iter_mut().for_each(|of_one| of_one.sort_by_cached_key(time));

    let mut lines = Vec::with_capacity(spans.len());
    let mut seen = vec![false; spans.len()];
    // What a circle holds cannot be reached from a root: its first span by time becomes one.
    let mut left: Vec<usize> = (0..spans.len()).collect();
    left.sort_by_cached_key(time);
    for root in roots.into_iter().chain(left) {
        descend(root, &children, &mut seen, &mut lines);
    }
    lines
}

/// Depth first without recursion: a hostile trace may be as deep as it is long.
fn descend(
    root: usize,
    children: &[Vec<usize>],
    seen: &mut [bool],
    lines: &mut Vec<(String, usize)>,
) {
    // Spans to write: with the branches before them, and with those before their children.
    let mut next = vec![(String::new(), String::new(), root)];
    while let Some((branches, below, index)) = next.pop() {
        if std::mem::replace(&mut seen[index], true) {
            continue;
        }
        // Beyond what is shown, branches would only cost memory.
        let shown = lines.len() < MOST_LINES;
        lines.push((branches, index));
        let mut last = true;
        for &child in children[index].iter().rev() {
            let (here, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            last = false;
            let with = |branch| if shown { format!("{below}{branch}") } else { String::new() };
            next.push((with(here), with(under), child));
        }
    }
}
