//! What differs between the requests in a box and the rest: where their extra time is, and what they have in common.

mod extra;
mod facts;
mod interval;

use std::sync::Arc;

pub(crate) use self::extra::Extra;
use super::requests::Request;
use crate::viewer::store::Trace;

/// Fewer selected requests than this tell nothing.
pub(crate) const LEAST: usize = 20;
/// Above so many requests a uniform sample is looked at.
pub(crate) const MOST: usize = 20_000;
/// Facts that are told.
const TOLD: usize = 8;
/// Facts that hold in so much the same requests are one.
const ALIKE: f64 = 0.95;

/// Something that selected requests have in common.
#[derive(Debug)]
pub(crate) struct Fact {
    /// As a term of the search language, where it is one.
    pub(crate) term: Option<String>,
    pub(crate) text: String,
    /// Shares of the selected and of the rest that have it.
    pub(crate) selected: f64,
    pub(crate) rest: f64,
    /// The difference is at least this, with 95% confidence for all facts together.
    pub(crate) bound: f64,
    /// Facts that hold in the same requests.
    pub(crate) also: Vec<String>,
}

/// All that differs.
#[derive(Debug)]
pub(crate) struct Differences {
    pub(crate) selected: usize,
    pub(crate) rest: usize,
    /// Difference of the mean durations, ns.
    pub(crate) slower: f64,
    /// Its parts, the largest first; they add up to it.
    pub(crate) extra: Vec<Extra>,
    pub(crate) facts: Vec<Fact>,
    /// Facts that were tested.
    pub(crate) tested: usize,
    pub(crate) sampled: bool,
}

/// A request with its trace.
pub(crate) type Found = (Arc<Trace>, Request);

/// Compares `selected` with `rest`.
pub(crate) fn differs(mut selected: Vec<Found>, mut rest: Vec<Found>) -> Differences {
    let (count, rest_count) = (selected.len(), rest.len());
    let sampled = count + rest_count > MOST;
    if sampled {
        let every = (count + rest_count).div_ceil(MOST);
        thin(&mut selected, every);
        thin(&mut rest, every);
    }
    let (slower, extra) = extra::extra(&selected, &rest);
    let (facts, tested) = if count < LEAST { (Vec::new(), 0) } else { certain(&selected, &rest) };
    Differences { selected: count, rest: rest_count, slower, extra, facts, tested, sampled }
}

/// Every n-th in the order of ids, which are random.
fn thin(found: &mut Vec<Found>, every: usize) {
    found.sort_unstable_by_key(|(trace, _)| trace.id);
    let mut at = 0;
    found.retain(|_| {
        at += 1;
        at % every == 0
    });
}

/// Facts whose difference is certain, and how many were tested.
fn certain(selected: &[Found], rest: &[Found]) -> (Vec<Fact>, usize) {
    let candidates = facts::facts(selected, rest);
    let tested = candidates.len();
    let z = interval::bonferroni(tested);
    let mut certain: Vec<(f64, facts::Candidate)> = candidates
        .into_iter()
        .filter_map(|fact| {
            let bound = interval::difference_at_least(
                (fact.selected, selected.len()),
                (fact.rest, rest.len()),
                z,
            );
            (bound > 0.0).then_some((bound, fact))
        })
        .collect();
    certain.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.text.cmp(&y.text)));
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let mut told: Vec<(Fact, Vec<u32>)> = Vec::new();
    let mut cuts: Vec<String> = Vec::new();
    for (bound, fact) in certain {
        if let Some(cut) = fact.cut_of {
            if cuts.contains(&cut) {
                continue;
            }
            cuts.push(cut);
        }
        let same = told.iter().position(|(_, holds)| jaccard(holds, &fact.holds) >= ALIKE);
        match same {
            Some(at) => told[at].0.also.push(fact.text),
            None if told.len() < TOLD => {
                let (selected, rest) =
                    (share(fact.selected, selected.len()), share(fact.rest, rest.len()));
                let (term, text) = (fact.term, fact.text);
                let told_fact = Fact { term, text, selected, rest, bound, also: Vec::new() };
                told.push((told_fact, fact.holds));
            }
            None => {}
        }
    }
    (told.into_iter().map(|(fact, _)| fact).collect(), tested)
}

/// How much two sorted lists have in common.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::analysis::requests::request;
    use crate::viewer::sample::{MS, Sample};
    use crate::viewer::search::Match;
    use crate::viewer::span::Kind::{Client, Server};

    /// A request that takes longer when the customer is a wholesaler, since it then asks more often.
    fn made(id: u64) -> Found {
        let wholesale = id.is_multiple_of(5);
        let calls = if wholesale { 8 } else { 1 + id % 2 };
        let tier = if wholesale { "wholesale" } else { "retail" };
        let order = format!("o-{id}");
        let mut sample = Sample::new(id.into()).span(
            (1, 0),
            Server,
            ("shop", "POST /orders"),
            (0, 20 + calls * 10 + id % 3),
            &[
                ("user.tier", tier),
                ("order.id", &order),
                ("weekday", if id.is_multiple_of(2) { "even" } else { "odd" }),
            ],
        );
        for call in 0..calls {
            let query = [("db.system.name", "mysql")];
            let times = (10 + call * 10, 20 + call * 10);
            sample = sample.span((10 + call, 1), Client, ("shop", "SELECT"), times, &query);
        }
        let trace = sample.trace();
        let request = request(&trace, &Match::Trace).unwrap();
        (trace, request)
    }

    #[test]
    fn the_planted_cause_is_found_and_nothing_else() {
        let all: Vec<Found> = (1..=400).map(made).collect();
        let (selected, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, request)| request.duration > 60 * MS);
        let found = differs(selected, rest);
        assert_eq!((found.selected, found.rest, found.sampled), (80, 320, false));
        let sum: f64 = found.extra.iter().map(|extra| extra.time).sum();
        assert!((sum - found.slower).abs() < 1.0, "{sum} {}", found.slower);
        assert_eq!(found.extra[0].peer.as_deref(), Some("mysql"));
        let texts: Vec<_> = found.facts.iter().map(|fact| fact.text.as_str()).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        let fact = &found.facts[0];
        let mut both = fact.also.clone();
        both.push(fact.text.clone());
        both.sort();
        assert_eq!(both, ["shop calls mysql SELECT ≥ 8", "user.tier = wholesale"]);
        assert_eq!((fact.selected, fact.rest), (1.0, 0.0));
        assert!(fact.bound > 0.8 && fact.bound < 1.0);
        assert!(found.tested >= 4);
    }

    #[test]
    fn too_few_tell_nothing() {
        let mut all: Vec<Found> = (1..=60).map(made).collect();
        let rest = all.split_off(LEAST - 1);
        assert!(differs(all, rest).facts.is_empty());
        assert!(differs(Vec::new(), Vec::new()).extra.is_empty());
    }

    #[test]
    fn jaccard_is_what_two_share() {
        assert!((jaccard(&[1, 2, 3, 4], &[2, 3, 4, 5]) - 0.6).abs() < 1e-9);
        assert!(jaccard(&[], &[1]).abs() < 1e-9);
    }
}
