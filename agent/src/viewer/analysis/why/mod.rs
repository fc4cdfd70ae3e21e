//! Why a request failed, and where its time went, in words: the first reason that fits, made of parts that each name
//! the span they speak of.

mod failed;
#[cfg(test)]
mod tests;
mod time;

use super::path::Segment;
use super::tree::Tree;
use crate::viewer::span::Span;
use crate::viewer::store::Trace;

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) span: Option<u32>,
}

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WhyKind {
    Failed,
    /// Failed, and again.
    Retried,
    TimedOut,
    /// One query many times.
    Repeats,
    /// One service's own time.
    Inside,
    Peer,
    /// Time between two attempts.
    Waiting,
    Network,
    /// Nothing stands out.
    Shares,
}

impl WhyKind {
    /// As the page knows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::TimedOut => "timed-out",
            Self::Repeats => "repeats",
            Self::Inside => "inside",
            Self::Peer => "peer",
            Self::Waiting => "waiting",
            Self::Network => "network",
            Self::Shares => "shares",
        }
    }
}

/// One reason.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) kind: WhyKind,
    /// For a list: `payments: UNAVAILABLE, also on retry`.
    pub(crate) short: String,
    /// A clause, to stand behind "because".
    pub(crate) clause: Vec<Part>,
    /// The span it is about.
    pub(crate) span: u32,
}

/// Both reasons.
#[derive(Clone, Debug)]
pub(crate) struct Why {
    pub(crate) failed: Option<Reason>,
    pub(crate) time: Option<Reason>,
}

/// The reasons of the request that `entry` is, whose critical path is `path`.
pub(crate) fn why(trace: &Trace, tree: &Tree, other: &[u32], entry: u32, path: &[Segment]) -> Why {
    let teller = Teller { trace, tree, other };
    Why { failed: teller.failed(entry), time: teller.time(path) }
}

/// What reasons are found in.
struct Teller<'a> {
    trace: &'a Trace,
    tree: &'a Tree,
    /// The other end of each span's request.
    other: &'a [u32],
}

impl<'a> Teller<'a> {
    fn span(&self, at: u32) -> &'a Span {
        &self.trace.spans[at as usize]
    }
}

/// A clause of one piece.
fn said(text: String, span: u32) -> Vec<Part> {
    vec![Part { text, span: Some(span) }]
}
