//! How much of the truth is in a set of spans: each end of each call is exact, absent, wrong or missing.
//!
//! The denominator is what was sent, never what was stored, and every doubt counts against the tracer: a second span of one
//! end, a span of a call that nobody made, a parent that nobody stored. Pure: it must not know where spans come from.

use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;

use super::graph::{AFTER, CALL, End, LATER, Node, PING, TIMER};
use crate::otlp::{Kind, Span};

/// Wrong spans that are told one by one.
const TOLD: usize = 10;

/// What scoring needs of a span. Ids are compared, and never looked into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// What it claims to be.
    pub end: End,
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent's id; empty when it has none.
    pub parent: String,
}

impl From<&Span> for Stored {
    fn from(span: &Span) -> Self {
        let path = path(span);
        Self {
            end: End { service: span.service.clone(), kind: span.kind, path },
            trace: span.trace_id.clone(),
            id: span.span_id.clone(),
            parent: span.parent.clone(),
        }
    }
}

/// The path by which a call is known: over gRPC that is the method.
#[must_use]
pub fn path(span: &Span) -> String {
    match span.text("rpc.method") {
        "" => span.path().to_owned(),
        method => format!("/{method}"),
    }
}

/// How the ends of one sort came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// The parent is the true one, and of the same trace; of a root: it has none.
    pub exact: u64,
    /// It has no parent where there is one.
    pub absent: u64,
    /// It has another parent, or is a span of nothing that happened.
    pub wrong: u64,
    /// There is no span.
    pub missing: u64,
}

impl Score {
    /// All ends there were to be seen.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.exact + self.absent + self.wrong + self.missing
    }

    /// The share of exact ones, percent; of nothing all are exact.
    #[must_use]
    pub fn percent_exact(&self) -> f64 {
        if self.sent() == 0 { 100.0 } else { 100.0 * self.exact as f64 / self.sent() as f64 }
    }

    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Exact => self.exact += 1,
            Verdict::Absent => self.absent += 1,
            Verdict::Wrong => self.wrong += 1,
            Verdict::Missing => self.missing += 1,
        }
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.exact += other.exact;
        self.absent += other.absent;
        self.wrong += other.wrong;
        self.missing += other.missing;
    }
}

/// How everything came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// Calls that a service made for a request: whether they are children of it.
    pub inside: Score,
    /// Served requests: whether they are children of the call.
    pub between: Score,
    /// The client's own: whether they begin a trace.
    pub roots: Score,
    /// Everything that belongs to no request: pings, timers, what is done later. Of the last two only what was stored counts,
    /// and of early requests only what is wrong.
    pub decoys: Score,
    /// Spans of no call that was made, and second spans of one: wrong, beyond all that was sent.
    pub invented: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests all of whose ends are exact: whole traces.
    pub whole: u64,
    /// The first wrong ones, in words.
    pub told: Vec<String>,
}

impl Scores {
    /// Everything that must not be.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let all = [self.inside, self.between, self.roots, self.decoys];
        all.iter().map(|score| score.wrong).sum::<u64>() + self.invented
    }

    /// Ends of requests that have no span.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.inside.missing + self.between.missing + self.roots.missing
    }

    /// Ends of requests.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.inside.sent() + self.between.sent() + self.roots.sent()
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() < TOLD {
            self.told.push(what());
        }
    }
}

impl AddAssign<&Self> for Scores {
    fn add_assign(&mut self, other: &Self) {
        self.inside += other.inside;
        self.between += other.between;
        self.roots += other.roots;
        self.decoys += other.decoys;
        self.invented += other.invented;
        self.requests += other.requests;
        self.whole += other.whole;
        for told in &other.told {
            self.tell(|| told.clone());
        }
    }
}

/// What was sent.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// The trees of the requests.
    pub requests: Vec<Vec<Node>>,
    /// The trees of the client's pings.
    pub pings: Vec<Vec<Node>>,
    /// The trees of requests and pings that may have been under way when the tracer came: nothing of them has to be there, and
    /// nothing of it may be wrong.
    pub early: Vec<Vec<Node>>,
}

/// What a tree is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Request,
    Ping,
    Early,
}

/// How one end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Exact,
    Absent,
    Wrong,
    Missing,
}

/// Compares what was stored with what is true. Spans of paths that are none of the harness's are somebody else's, and one that was
/// delivered twice (OTLP promises at least once) is one.
#[must_use]
pub fn score(truth: &Truth, stored: &[Stored]) -> Scores {
    let mut seen: HashSet<&Stored> = HashSet::new();
    let stored: Vec<&Stored> = stored.iter().filter(|span| seen.insert(span)).collect();
    let stored = stored.as_slice();
    let spans = Spans::of(stored);
    let mut scores = Scores { requests: truth.requests.len() as u64, ..Scores::default() };
    let mut known: HashSet<&End> = HashSet::new();
    let sorts =
        [(&truth.requests, Sort::Request), (&truth.pings, Sort::Ping), (&truth.early, Sort::Early)];
    for (trees, sort) in sorts {
        for tree in trees {
            let mut whole = sort == Sort::Request;
            for node in tree {
                known.insert(&node.end);
                let parent = node.parent.map(|at| &tree[at].end);
                let verdict = spans.judge(&node.end, parent);
                whole &= verdict == Verdict::Exact;
                match (sort, parent, node.end.kind) {
                    (Sort::Early, ..) if verdict != Verdict::Wrong => {}
                    (Sort::Ping | Sort::Early, ..) => scores.decoys.count(verdict),
                    (Sort::Request, None, _) => scores.roots.count(verdict),
                    (Sort::Request, _, Kind::Server) => scores.between.count(verdict),
                    (Sort::Request, ..) => scores.inside.count(verdict),
                }
                if verdict == Verdict::Wrong {
                    scores.tell(|| spans.say_wrong(&node.end, parent));
                }
                let again = spans.at(&node.end).len().saturating_sub(1);
                if again > 0 {
                    scores.invented += again as u64;
                    scores.tell(|| format!("{again} more spans of {:?}", node.end));
                }
            }
            scores.whole += u64::from(whole);
        }
    }
    for span in stored.iter().filter(|span| !known.contains(&span.end)) {
        unplanned(&mut scores, &spans, span);
    }
    shared_traces(&mut scores, stored);
    scores
}

/// A span of no tree: a call that a service made on its own, or one that nobody made.
fn unplanned(scores: &mut Scores, spans: &Spans<'_>, span: &Stored) {
    let End { service, kind, path } = &span.end;
    let is = |prefix: &str| path.starts_with(prefix);
    if is(CALL) || is(PING) {
        scores.invented += 1;
        scores.tell(|| format!("a span of nothing that was sent: {span:?}"));
        return;
    }
    if !is(TIMER) && !is(LATER) && !is(AFTER) {
        return;
    }
    let verdict = match (kind, spans.by_id.get(&*span.parent)) {
        (Kind::Client, None) if span.parent.is_empty() => Verdict::Exact,
        (Kind::Client, Some(parent)) => {
            let cause = path.strip_prefix(LATER).map(|id| format!("{CALL}{id}"));
            // A proxy's call is of the same path as what it serves.
            let is_cause = parent.end.kind == Kind::Server
                && parent.end.service == *service
                && (parent.end.path == *path || Some(&parent.end.path) == cause.as_ref())
                && parent.trace == span.trace;
            if is_cause { Verdict::Exact } else { Verdict::Wrong }
        }
        (Kind::Server, None) if span.parent.is_empty() => Verdict::Absent,
        (Kind::Server, Some(parent)) => {
            let is_call = parent.end.kind == Kind::Client
                && parent.end.path == *path
                && parent.trace == span.trace;
            if is_call { Verdict::Exact } else { Verdict::Wrong }
        }
        // The call itself was not stored: nobody can tell.
        (Kind::Server, None) => Verdict::Absent,
        _ => Verdict::Wrong,
    };
    scores.decoys.count(verdict);
    if verdict == Verdict::Wrong {
        let parent = spans.by_id.get(&*span.parent);
        scores.tell(|| format!("{span:?} is a child of {parent:?}"));
    }
}

/// Traces of two things: a span without a parent begins one, and another in it must at least be of the same request, whose
/// parent was not found.
fn shared_traces(scores: &mut Scores, stored: &[&Stored]) {
    let mut begun: HashMap<&str, &Stored> = HashMap::new();
    let ours = |span: &&&Stored| {
        [CALL, PING, TIMER, LATER, AFTER].iter().any(|prefix| span.end.path.starts_with(prefix))
    };
    for span in stored.iter().filter(ours).filter(|span| span.parent.is_empty()) {
        if let Some(other) = begun.insert(&span.trace, span)
            && (request(&span.end).is_none() || request(&span.end) != request(&other.end))
        {
            scores.invented += 1;
            scores.tell(|| format!("{span:?} and {other:?} both begin one trace"));
        }
    }
}

/// The number of the request that an end is of, if it belongs into that one's trace.
fn request(end: &End) -> Option<&str> {
    let id = [CALL, LATER].iter().find_map(|prefix| end.path.strip_prefix(prefix))?;
    id.split('.').next()
}

/// The stored spans, to be asked.
struct Spans<'a> {
    by_end: HashMap<&'a End, Vec<&'a Stored>>,
    by_id: HashMap<&'a str, &'a Stored>,
}

impl<'a> Spans<'a> {
    fn of(stored: &[&'a Stored]) -> Self {
        let mut by_end: HashMap<&End, Vec<&Stored>> = HashMap::new();
        for &span in stored {
            by_end.entry(&span.end).or_default().push(span);
        }
        Self { by_end, by_id: stored.iter().map(|&span| (&*span.id, span)).collect() }
    }

    fn at(&self, end: &End) -> &[&'a Stored] {
        self.by_end.get(end).map_or(&[], Vec::as_slice)
    }

    fn judge(&self, end: &End, parent: Option<&End>) -> Verdict {
        let Some(span) = self.at(end).first() else { return Verdict::Missing };
        let Some(parent) = parent else {
            return if span.parent.is_empty() { Verdict::Exact } else { Verdict::Wrong };
        };
        if span.parent.is_empty() {
            return Verdict::Absent;
        }
        let true_ones = self.at(parent);
        if true_ones.iter().any(|it| it.id == span.parent && it.trace == span.trace) {
            return Verdict::Exact;
        }
        // A parent that was lost on the way may be the true one, if that is not there: not proven to be right or wrong.
        let unknown = true_ones.is_empty() && !self.by_id.contains_key(&*span.parent);
        if unknown { Verdict::Absent } else { Verdict::Wrong }
    }

    fn say_wrong(&self, end: &End, parent: Option<&End>) -> String {
        let span = self.at(end).first();
        let claimed = span.and_then(|span| self.by_id.get(&*span.parent));
        format!("{span:?}\n    is a child of {claimed:?}\n    and not of {parent:?}")
    }
}

#[cfg(test)]
mod tests;
