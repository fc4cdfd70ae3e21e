//! Where a request's time went: the first of a few explanations that weighs enough.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Part, Reason, Teller, WhyKind, said};
use crate::viewer::analysis::path::Segment;
use crate::viewer::analysis::similar::{Group, similar};
use crate::viewer::analysis::tree::NONE;
use crate::viewer::span::Kind;

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

impl Teller<'_> {
    /// The first that fits; `None` for a request that took no time.
    pub(super) fn time(&self, path: &[Segment]) -> Option<Reason> {
        let shares = self.shares(path)?;
        self.repeats(shares.total)
            .or_else(|| shares.inside())
            .or_else(|| shares.peer())
            .or_else(|| self.waiting(path, shares.total))
            .or_else(|| shares.network())
            .or_else(|| shares.largest())
    }

    /// The critical path by where its time went; `None` for one without any.
    fn shares(&self, path: &[Segment]) -> Option<Shares> {
        let mut by_span: HashMap<u32, u64> = HashMap::new();
        for segment in path {
            *by_span.entry(segment.span).or_default() += segment.end - segment.start;
        }
        let mut by_place: HashMap<Place, Share> = HashMap::new();
        for (at, time) in by_span {
            let share = by_place.entry(self.place(at)).or_default();
            share.time += time;
            share.spans.push((time, at));
        }
        let mut all: Vec<(Place, Share)> = by_place.into_iter().collect();
        all.sort_unstable_by(|(a, x), (b, y)| y.time.cmp(&x.time).then_with(|| a.cmp(b)));
        let total = all.iter().map(|(_, share)| share.time).sum();
        (total > 0).then_some(Shares { all, total })
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
    fn waiting(&self, path: &[Segment], total: u64) -> Option<Reason> {
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

/// A part of the path.
#[derive(Default)]
struct Share {
    /// ns.
    time: u64,
    /// Whose: each with its part.
    spans: Vec<(u64, u32)>,
}

impl Share {
    /// The span that has most of it.
    fn span(&self) -> u32 {
        self.spans.iter().max_by_key(|(time, at)| (*time, u32::MAX - at)).map_or(0, |(_, at)| *at)
    }
}

/// All parts of the path, the largest first.
struct Shares {
    all: Vec<(Place, Share)>,
    /// ns; not 0.
    total: u64,
}

impl Shares {
    fn of(&self, time: u64) -> f64 {
        time as f64 / self.total as f64
    }

    /// One service's own time.
    fn inside(&self) -> Option<Reason> {
        let (place, share) =
            self.all.iter().find(|(place, _)| matches!(place, Place::Inside(_)))?;
        let percent = percent(self.of(share.time));
        let service = place.service();
        (self.of(share.time) >= INSIDE).then(|| Reason {
            kind: WhyKind::Inside,
            short: format!("{service}: {percent} inside the process"),
            clause: said(format!("{percent} of the time went by inside {service}"), share.span()),
            span: share.span(),
        })
    }

    /// Waiting for one who is seen from outside only.
    fn peer(&self) -> Option<Reason> {
        let (service, peer, share) = self.all.iter().find_map(|(place, share)| match place {
            Place::Peer(service, peer) => Some((service, peer, share)),
            _ => None,
        })?;
        let percent = percent(self.of(share.time));
        (self.of(share.time) >= PEER).then(|| Reason {
            kind: WhyKind::Peer,
            short: format!("{service}: {percent} waiting for {peer}"),
            clause: said(
                format!("{service} waited for {peer} {percent} of the time"),
                share.span(),
            ),
            span: share.span(),
        })
    }

    /// Between the two ends of all requests.
    fn network(&self) -> Option<Reason> {
        let of_network = || self.all.iter().filter(|(place, _)| matches!(place, Place::Network(_)));
        let time = of_network().map(|(_, share)| share.time).sum();
        let (_, largest) = of_network().next()?;
        let percent = percent(self.of(time));
        let text = format!("{percent} of the time requests were on their way or in a queue");
        (self.of(time) >= NETWORK).then(|| Reason {
            kind: WhyKind::Network,
            short: format!("{percent} between the ends of calls"),
            clause: said(text, largest.span()),
            span: largest.span(),
        })
    }

    /// Nothing stands out: the three largest.
    fn largest(&self) -> Option<Reason> {
        let told = |(place, share): &(Place, Share)| {
            format!("{} {}", place.name(), percent(self.of(share.time)))
        };
        let mut clause = vec![Part { text: "the time went to ".to_owned(), span: None }];
        for (at, share) in self.all.iter().take(3).enumerate() {
            let text = format!("{}{}", if at == 0 { "" } else { ", " }, told(share));
            clause.push(Part { text, span: Some(share.1.span()) });
        }
        let first = self.all.first()?;
        let span = first.1.span();
        Some(Reason { kind: WhyKind::Shares, short: told(first), clause, span })
    }
}

/// Where time goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}
