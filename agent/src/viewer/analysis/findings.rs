//! What is known to be wrong in a range of time: the reasons of many traces, put together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::why::{Reason, WhyKind};
use crate::viewer::store::Trace;

/// Findings that are told.
const TOLD: usize = 3;
/// What happened less often is no finding.
const LEAST: u32 = 3;

/// Something that many traces have.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) kind: WhyKind,
    pub(crate) title: String,
    pub(crate) detail: String,
    /// A query that shows these traces.
    pub(crate) query: String,
    pub(crate) traces: u32,
}

struct Seen<'a> {
    traces: u32,
    first: u64,
    example: &'a Reason,
    trace: &'a Trace,
}

/// The three most frequent ones, each of another kind or another service. Failures come first.
pub(crate) fn findings(traces: &[Arc<Trace>]) -> Vec<Finding> {
    let mut seen: HashMap<(WhyKind, &str, &str), Seen<'_>> = HashMap::new();
    for trace in traces {
        let why = &trace.summary().why;
        let repeats = why.time.as_ref().filter(|reason| reason.kind == WhyKind::Repeats);
        for reason in why.failed.iter().chain(repeats) {
            let span = &trace.spans[reason.span as usize];
            let peer = span.peer.as_deref().unwrap_or(&span.operation);
            let entry = seen.entry((reason.kind, span.service(), peer)).or_insert(Seen {
                traces: 0,
                first: u64::MAX,
                example: reason,
                trace,
            });
            entry.traces += 1;
            entry.first = entry.first.min(trace.start);
        }
    }
    let mut all: Vec<_> = seen.into_iter().filter(|(_, seen)| seen.traces >= LEAST).collect();
    all.sort_unstable_by(|((kind, service, peer), a), ((other, s, p), b)| {
        let is_failure = |kind: WhyKind| kind != WhyKind::Repeats;
        let order = (is_failure(*other), b.traces).cmp(&(is_failure(*kind), a.traces));
        order.then((service, peer).cmp(&(s, p)))
    });
    let mut told_of = HashSet::new();
    all.retain(|((kind, service, _), _)| told_of.insert((*kind, *service)));
    // A second kind is worth more than a second service.
    let kinds_before = |at: usize| all[..at].iter().filter(|(key, _)| key.0 == all[at].0.0).count();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|at| kinds_before(*at));
    order.truncate(TOLD);
    order.sort_unstable();
    order.into_iter().map(|at| told(all[at].0.0, &all[at].1)).collect()
}

fn told(kind: WhyKind, seen: &Seen<'_>) -> Finding {
    let span = &seen.trace.spans[seen.example.span as usize];
    let service = span.service();
    let title = match kind {
        WhyKind::Retried => format!("{service} fails and is retried"),
        WhyKind::TimedOut => format!("{service} runs into time-outs"),
        WhyKind::Repeats => format!("{service} repeats one query"),
        _ => format!("{service} fails"),
    };
    let clause: String = seen.example.clause.iter().map(|part| part.text.as_str()).collect();
    let detail = format!("{} requests: {clause}", seen.traces);
    let quoted = |text: &str| {
        if text.contains([' ', '"', '{', '(']) { format!("{text:?}") } else { text.to_owned() }
    };
    let query = match kind {
        WhyKind::Repeats => {
            format!("service={} name={} similar>=10", quoted(service), quoted(&span.operation))
        }
        _ => match span.outcome(&seen.trace.dictionary) {
            Some(_) => {
                format!("service={} name={} error=*", quoted(service), quoted(&span.operation))
            }
            None => format!("service={} error=*", quoted(service)),
        },
    };
    Finding { kind, title, detail, query, traces: seen.traces }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::checkout;
    use crate::viewer::search::{parse, read};

    #[test]
    fn what_many_traces_have_is_told_with_a_query_that_finds_them() {
        let traces: Vec<_> = (1..=4).map(|id| checkout(id).trace()).collect();
        let found = findings(&traces);
        let titles: Vec<_> = found.iter().map(|finding| finding.title.as_str()).collect();
        assert_eq!(titles, ["payments fails and is retried", "inventory repeats one query"]);
        assert!(found[1].detail.starts_with("4 requests: inventory ran SELECT stock 10 times"));
        for finding in &found {
            assert_eq!(finding.traces, 4);
            let query = read(&parse(&finding.query).unwrap(), &[]).unwrap();
            assert!(traces.iter().all(|trace| query.ask(trace).is_match()), "{}", finding.query);
        }
        assert!(findings(&traces[..2]).is_empty());
    }
}
