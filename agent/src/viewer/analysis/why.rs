//! Why a request failed, and where its time went, in words: the first reason that fits, made of parts that each name
//! the span they speak of.

use std::collections::HashMap;
use std::sync::Arc;

use super::path::Segment;
use super::similar::{Group, similar};
use super::tree::{NONE, Tree};
use crate::viewer::span::{Kind, Span};
use crate::viewer::store::Trace;

/// A repeated query is told from this share of the request's duration on.
const REPEATED: f64 = 0.1;
/// One service's own time is.
const INSIDE: f64 = 0.5;
/// Waiting for one peer is.
const PEER: f64 = 0.4;
/// Waiting before another attempt is.
const RETRY: f64 = 0.2;
/// Between the two ends of requests.
const NETWORK: f64 = 0.3;

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
    Why { failed: teller.failed(entry), time: teller.time(entry, path) }
}

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

    /// Follows the failing spans down to the first that failed.
    fn failed(&self, entry: u32) -> Option<Reason> {
        if !self.span(entry).failed {
            return None;
        }
        let (mut cause, mut attempts) = (entry, 1);
        loop {
            let failing = |at: &u32| self.span(*at).failed;
            let children = self.tree.children(cause);
            let last = children.iter().copied().filter(failing).max_by_key(|at| self.span(*at).end);
            let Some(child) = last else { break };
            let alike = |at: &&u32| {
                let (a, b) = (self.span(**at), self.span(child));
                failing(at) && a.operation == b.operation && a.kind == b.kind && a.peer == b.peer
            };
            attempts = attempts.max(children.iter().filter(alike).count());
            cause = child;
        }
        let span = self.span(cause);
        let outcome = span.outcome(&self.trace.dictionary).unwrap_or_else(|| "an error".to_owned());
        let words = words(&outcome);
        let again = match attempts {
            1 => "",
            2 => " twice",
            _ => " again and again",
        };
        let (short, clause) = match span.kind {
            Kind::Client | Kind::Producer => {
                let to = self.answerer(cause);
                let from = span.service();
                let short = match words {
                    Some(words) => format!("{from}: {to} {words}"),
                    None => format!("{from}: {to} answered {outcome}"),
                };
                let clause = match words {
                    Some(words) => format!("{from}'s call to {to} {words}{again}"),
                    None => format!("{to} answered {outcome} to {from}{again}"),
                };
                (short, clause)
            }
            _ => {
                let who = span.service();
                match words {
                    Some(words) => {
                        (format!("{who}: {words}"), format!("the request to {who} {words}{again}"))
                    }
                    None => {
                        (format!("{who}: {outcome}"), format!("{who} answered {outcome}{again}"))
                    }
                }
            }
        };
        Some(Reason {
            kind: if outcome.contains("timeout") || outcome == "504" {
                WhyKind::TimedOut
            } else if attempts > 1 {
                WhyKind::Retried
            } else {
                WhyKind::Failed
            },
            short: if attempts > 1 { format!("{short}, also on retry") } else { short },
            clause: vec![Part { text: clause, span: Some(cause) }],
            span: cause,
        })
    }

    /// Who answers this call.
    fn answerer(&self, client: u32) -> Arc<str> {
        match self.other[client as usize] {
            NONE => self.span(client).peer.clone().unwrap_or_else(|| "its peer".into()),
            server => self.span(server).service().clone(),
        }
    }

    fn time(&self, entry: u32, path: &[Segment]) -> Option<Reason> {
        let total = path.iter().map(|segment| segment.end - segment.start).sum::<u64>();
        if total == 0 {
            return None;
        }
        let shares = self.shares(path);
        let share = |time: u64| time as f64 / total as f64;
        self.repeats(total)
            .or_else(|| {
                let (key, (time, span)) =
                    largest(&shares, |place| matches!(place, Place::Inside(_)))?;
                (share(time) >= INSIDE).then(|| {
                    let percent = percent(share(time));
                    let who = key.service();
                    Reason {
                        kind: WhyKind::Inside,
                        short: format!("{who}: {percent} inside the process"),
                        clause: said(format!("{percent} of the time went by inside {who}"), span),
                        span,
                    }
                })
            })
            .or_else(|| {
                let (key, (time, span)) =
                    largest(&shares, |place| matches!(place, Place::Peer(..)))?;
                let Place::Peer(service, peer) = key else { return None };
                (share(time) >= PEER).then(|| {
                    let percent = percent(share(time));
                    Reason {
                        kind: WhyKind::Peer,
                        short: format!("{service}: {percent} waiting for {peer}"),
                        clause: said(
                            format!("{service} waited for {peer} {percent} of the time"),
                            span,
                        ),
                        span,
                    }
                })
            })
            .or_else(|| self.waiting(entry, path, total))
            .or_else(|| {
                let network = shares.iter().filter(|(key, _)| matches!(key, Place::Network(_)));
                let time: u64 = network.clone().map(|(_, (time, _))| time).sum();
                let (_, (_, span)) = network.max_by_key(|(_, (time, _))| *time)?;
                (share(time) >= NETWORK).then(|| {
                    let percent = percent(share(time));
                    Reason {
                        kind: WhyKind::Network,
                        short: format!("{percent} between the ends of calls"),
                        clause: said(
                            format!(
                                "{percent} of the time requests were on their way or in a queue"
                            ),
                            *span,
                        ),
                        span: *span,
                    }
                })
            })
            .or_else(|| {
                let mut largest: Vec<_> = shares.iter().collect();
                largest.sort_unstable_by_key(|(_, (time, span))| (u64::MAX - time, *span));
                largest.truncate(3);
                let mut clause = said("the time went to ".to_owned(), entry);
                clause[0].span = None;
                for (at, (place, (time, span))) in largest.iter().enumerate() {
                    let text = format!(
                        "{}{} {}",
                        if at == 0 { "" } else { ", " },
                        place.name(),
                        percent(share(*time))
                    );
                    clause.push(Part { text, span: Some(*span) });
                }
                let (place, (time, span)) = largest.first()?;
                Some(Reason {
                    kind: WhyKind::Shares,
                    short: format!("{} {}", place.name(), percent(share(*time))),
                    clause,
                    span: *span,
                })
            })
    }

    /// Path time by where it went, with the span that has most of it.
    fn shares(&self, path: &[Segment]) -> HashMap<Place, (u64, u32)> {
        let mut by_span: HashMap<u32, u64> = HashMap::new();
        for segment in path {
            *by_span.entry(segment.span).or_default() += segment.end - segment.start;
        }
        let mut shares: HashMap<Place, (u64, u32, u64)> = HashMap::new();
        for (at, time) in by_span {
            let entry = shares.entry(self.place(at)).or_insert((0, at, 0));
            entry.0 += time;
            if (time, u32::MAX - at) > (entry.2, u32::MAX - entry.1) || entry.2 == 0 {
                (entry.1, entry.2) = (at, time);
            }
        }
        shares.into_iter().map(|(place, (time, span, _))| (place, (time, span))).collect()
    }

    fn place(&self, at: u32) -> Place {
        let span = self.span(at);
        let service = span.service().clone();
        match (span.kind, self.other[at as usize], &span.peer) {
            (Kind::Client, NONE, Some(peer)) => Place::Peer(service, peer.clone()),
            (Kind::Client, server, _) if server != NONE => Place::Network(service),
            _ => Place::Inside(service),
        }
    }

    fn repeats(&self, total: u64) -> Option<Reason> {
        let weighs =
            |group: &Group| group.is_repeated() && group.total as f64 >= total as f64 * REPEATED;
        let groups = similar(self.trace, self.tree).into_iter().filter(weighs);
        let group = groups.max_by_key(|group| group.total)?;
        let span = *group.members.first()?;
        let first = self.span(span);
        let (service, operation) = (first.service(), &first.operation);
        let calls = group.members.len();
        Some(Reason {
            kind: WhyKind::Repeats,
            short: format!("{service}: {calls} × {operation}"),
            clause: said(format!("{service} ran {operation} {calls} times"), span),
            span,
        })
    }

    /// A failing call, a pause that was waited for, and the same call again.
    fn waiting(&self, _entry: u32, path: &[Segment], total: u64) -> Option<Reason> {
        let longest = path
            .windows(3)
            .filter(|around| {
                let [before, pause, after] = around else { return false };
                let call = |at: u32| {
                    let parent = self.tree.parent[at as usize];
                    if parent == pause.span { at } else { parent }
                };
                let (first, second) = (call(before.span), call(after.span));
                first != NONE
                    && second != NONE
                    && first != second
                    && self.span(first).failed
                    && self.span(first).operation == self.span(second).operation
            })
            .map(|around| around[1])
            .max_by_key(|pause| pause.end - pause.start)?;
        let share = (longest.end - longest.start) as f64 / total as f64;
        let service = self.span(longest.span).service();
        (share >= RETRY).then(|| Reason {
            kind: WhyKind::Waiting,
            short: format!("{service}: {} waiting to retry", percent(share)),
            clause: said(
                format!("{service} waited {} of the time to try again", percent(share)),
                longest.span,
            ),
            span: longest.span,
        })
    }
}

/// Where time goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A service's own.
    Inside(Arc<str>),
    /// A service's, for somebody who is seen from outside only.
    Peer(Arc<str>, Arc<str>),
    /// A service's, until the other end has it and after it has let go.
    Network(Arc<str>),
}

impl Place {
    const fn service(&self) -> &Arc<str> {
        match self {
            Self::Inside(service) | Self::Peer(service, _) | Self::Network(service) => service,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Inside(service) => service.to_string(),
            Self::Peer(service, peer) => format!("{service} → {peer}"),
            Self::Network(service) => format!("the network behind {service}"),
        }
    }
}

fn largest(
    shares: &HashMap<Place, (u64, u32)>,
    wanted: impl Fn(&Place) -> bool,
) -> Option<(&Place, (u64, u32))> {
    let (place, found) = shares
        .iter()
        .filter(|(place, _)| wanted(place))
        .max_by_key(|(_, (time, span))| (*time, u32::MAX - span))?;
    Some((place, *found))
}

fn said(text: String, span: u32) -> Vec<Part> {
    vec![Part { text, span: Some(span) }]
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// What happened to a connection, as one says it.
fn words(outcome: &str) -> Option<&'static str> {
    Some(match outcome {
        "timeout" => "timed out",
        "connection_reset" => "was reset",
        "connection_closed" => "was closed before the answer",
        "cancelled" => "was given up",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::analysis::{critical_path, pairs};
    use crate::viewer::sample::{Sample, checkout};
    use crate::viewer::span::Kind::{Client, Server};

    /// Kind, short form, clause.
    type Told = Option<(WhyKind, String, String)>;

    fn reasons(sample: Sample) -> (Told, Told) {
        let trace = sample.trace();
        let tree = Tree::of(&trace);
        let root = tree.root().unwrap();
        let path = critical_path(&trace, &tree, root);
        let why = why(&trace, &tree, &pairs(&trace, &tree), root, &path);
        let told = |reason: Reason| {
            let clause = reason.clause.iter().map(|part| part.text.as_str()).collect();
            (reason.kind, reason.short, clause)
        };
        (why.failed.map(told), why.time.map(told))
    }

    fn told(reason: Told) -> (WhyKind, String) {
        let (kind, _, clause) = reason.expect("a reason");
        (kind, clause)
    }

    #[test]
    fn the_deepest_failure_is_the_cause() {
        let (failed, time) = reasons(checkout(1));
        let (kind, short, clause) = failed.expect("it failed");
        assert_eq!(kind, WhyKind::Retried);
        assert_eq!(short, "payments: api.cardpay.example answered 503, also on retry");
        assert_eq!(clause, "api.cardpay.example answered 503 to payments twice");
        assert_eq!(
            told(time),
            (WhyKind::Repeats, "inventory ran SELECT stock 10 times".to_owned())
        );
    }

    #[test]
    fn where_the_time_went_is_told_by_the_first_that_fits() {
        let inside = Sample::new(1)
            .span((1, 0), Server, ("auth", "POST /login"), (0, 100), &[])
            .span((2, 1), Client, ("auth", "GET x"), (10, 18), &[("server.address", "redis")]);
        let (failed, time) = reasons(inside);
        assert_eq!(failed, None);
        assert_eq!(told(time), (WhyKind::Inside, "92% of the time went by inside auth".to_owned()));

        let peer = Sample::new(1).span((1, 0), Server, ("shop", "GET /"), (0, 100), &[]).span(
            (2, 1),
            Client,
            ("shop", "SELECT"),
            (0, 60),
            &[("db.system.name", "mysql")],
        );
        assert_eq!(
            told(reasons(peer).1),
            (WhyKind::Peer, "shop waited for mysql 60% of the time".to_owned())
        );

        let network = Sample::new(1)
            .span((1, 0), Server, ("a", "GET /"), (0, 100), &[])
            .span((2, 1), Client, ("a", "GET"), (30, 100), &[])
            .span((3, 2), Server, ("b", "GET"), (60, 90), &[]);
        assert_eq!(told(reasons(network).1).0, WhyKind::Network);

        let error = [("error.type", "timeout")];
        let waiting = Sample::new(1)
            .span((1, 0), Server, ("a", "GET /"), (0, 100), &[])
            .span((2, 1), Client, ("a", "Charge"), (0, 32), &error)
            .span((3, 2), Server, ("b", "Charge"), (0, 32), &error)
            .span((4, 1), Client, ("a", "Charge"), (68, 100), &[])
            .span((5, 4), Server, ("b", "Charge"), (68, 100), &[]);
        // b's own 64% would come first, were it not two spans of 32%: it does.
        assert_eq!(told(reasons(waiting).1).0, WhyKind::Inside);
    }

    #[test]
    fn transport_errors_are_said_in_words() {
        let error = [("error.type", "timeout"), ("server.address", "billing.example")];
        let sample = Sample::new(1)
            .span((1, 0), Server, ("edge", "GET /"), (0, 3000), &[("error.type", "504")])
            .span((2, 1), Client, ("edge", "GET"), (1, 2999), &error);
        let (kind, short, clause) = reasons(sample).0.expect("it failed");
        assert_eq!(kind, WhyKind::TimedOut);
        assert_eq!(short, "edge: billing.example timed out");
        assert_eq!(clause, "edge's call to billing.example timed out");
    }
}
