//! What a page is told while it is open: new traces as they settle, a sample of them where there are too many.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::asked::Found;
use super::clocks::KnownClocks;
use super::traces::{known_wrong, rows};
use super::{Asked, Lost, Refused, Viewer};
use crate::viewer::analysis::request;
use crate::viewer::search::Query;
use crate::viewer::store::Trace;

/// Rows in one update. There are two updates a second.
const ROWS: usize = 10;
/// What is known to be wrong in the range, and how clocks differ, is looked at again after so long, ns.
const LOOK: u64 = 5_000_000_000;

/// One page that listens.
pub(crate) struct Live {
    asked: Asked,
    query: Query,
    seen: u64,
    /// Something has come since the last look.
    is_newer: bool,
    looked: u64,
    clocks: KnownClocks,
    findings: Vec<Value>,
    lost: Lost,
}

impl Live {
    /// From now on, or from the number that the page had last.
    pub(crate) fn new(viewer: &Viewer, asked: &str, now: u64) -> Result<Self, Refused> {
        let asked = Asked::new(asked, now);
        let query = asked.query(viewer)?;
        let seen = asked.number("after").unwrap_or_else(|| viewer.store().since(u64::MAX).1);
        let lost = viewer.lost(&asked);
        let clocks = KnownClocks::default();
        let findings = Vec::new();
        Ok(Self { asked, query, seen, is_newer: true, looked: 0, clocks, findings, lost })
    }

    /// What has come since, at `now`, ns since 1970; `None` for nothing.
    pub(crate) fn next(&mut self, viewer: &Viewer, now: u64) -> Option<Value> {
        self.asked.now = now;
        let mut news = json!({});
        self.arrived(viewer, &mut news);
        let lost = viewer.lost(&self.asked);
        if lost != self.lost {
            news["lost"] = json!(lost);
            self.lost = lost;
        }
        if now.saturating_sub(self.looked) >= LOOK {
            self.looked = now;
            self.clocks = KnownClocks::default();
            self.look(viewer, &mut news);
        }
        let is_news = news.as_object().is_some_and(|news| !news.is_empty());
        is_news.then_some(news)
    }

    /// New traces, with the colours of their services.
    fn arrived(&mut self, viewer: &Viewer, news: &mut Value) {
        let (new, seen) = viewer.store().since(self.seen);
        self.seen = seen;
        let mut found: Vec<Found> = new
            .into_iter()
            .filter_map(|trace| {
                let request = request(&trace, &self.query.ask(&trace))?;
                Some((trace, request))
            })
            .collect();
        if found.is_empty() {
            return;
        }
        self.is_newer = true;
        let count = found.len();
        // Failing ones, then slow ones, then any: ids are random.
        found.sort_by_key(|(trace, _)| (!trace.summary().failed, !trace.is_slow, trace.id));
        found.truncate(ROWS);
        found.sort_by_key(|(_, request)| u64::MAX - request.start);
        let slots: BTreeMap<String, usize> = {
            let mut store = viewer.store();
            let shares = found.iter().flat_map(|(trace, _)| &trace.summary().shares);
            shares.map(|share| (share.service.to_string(), store.slot(&share.service))).collect()
        };
        news["rows"] = rows(viewer, &found, &mut self.clocks).into();
        news["slots"] = json!(slots);
        news["count"] = count.into();
        news["newest"] = seen.into();
    }

    /// What is known to be wrong in the range, where that has changed.
    fn look(&mut self, viewer: &Viewer, news: &mut Value) {
        if self.is_newer {
            self.is_newer = false;
            let found = self.asked.found(viewer, self.asked.window());
            let traces: Vec<Arc<Trace>> = found.map_or_else(
                |_| Vec::new(),
                |(_, found)| found.into_iter().map(|(t, _)| t).collect(),
            );
            let findings = known_wrong(&traces);
            if findings != self.findings {
                news["findings"] = findings.clone().into();
                self.findings = findings;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use crate::status::{Counters, Meaning, Snapshot};
    use crate::viewer::sample::{BEGIN, MS, Sample, checkout};
    use crate::viewer::span::Kind::Server;
    use crate::viewer::store::Limits;

    #[test]
    fn failing_ones_come_first_and_all_are_counted() {
        let viewer = Viewer::new(Limits::default());
        let now = BEGIN + 2_000 * MS;
        let mut live = Live::new(&viewer, "", BEGIN).unwrap();
        assert!(live.next(&viewer, now).is_none());
        for id in 1..=40 {
            let ok = Sample::new(id).span((1, 0), Server, ("a", "GET /"), (0, 5), &[]);
            viewer.store().take(sample::request(ok.spans), BEGIN);
        }
        viewer.store().take(sample::request(checkout(99).spans), BEGIN);
        assert!(live.next(&viewer, now).is_none(), "nothing has settled");
        viewer.store().tick(now);
        let told = live.next(&viewer, now).unwrap();
        assert_eq!(told["count"], 41);
        let rows = told["rows"].as_array().unwrap();
        assert_eq!(rows.len(), ROWS);
        assert_eq!(rows.iter().filter(|row| row["failed"] == true).count(), 1);
        assert!(live.next(&viewer, now).is_none());
        let mut other = Live::new(&viewer, "q=service%3Dpayments&after=0", BEGIN).unwrap();
        assert_eq!(other.next(&viewer, now).unwrap()["count"], 1);
        assert!(Live::new(&viewer, "q=%28", BEGIN).is_err());
    }
    #[test]
    fn what_is_wrong_and_what_was_lost_is_told_once() {
        let viewer = Viewer::new(Limits::default());
        let lost = |number: u64, now: u64| {
            let mut counters = Counters::default();
            counters.add("kernel", "data_ring_full", Meaning::Loss, number);
            viewer.set_snapshot(Snapshot { counters, open: Vec::new() }, now);
        };
        let at = |seconds: u64| BEGIN + seconds * 1_000 * MS;
        lost(2, at(0));
        let mut live = Live::new(&viewer, "t=15m", at(1)).unwrap();
        assert_eq!(live.next(&viewer, at(2)), None, "it was lost before it was asked");
        for id in 1..=4 {
            viewer.store().take(sample::request(checkout(id).spans), at(3));
        }
        viewer.store().tick(at(5));
        let rows = live.next(&viewer, at(5)).unwrap();
        assert_eq!((&rows["count"], &rows["findings"]), (&4.into(), &Value::Null), "too soon");
        assert_eq!(rows["slots"].as_object().unwrap().len(), 4);
        lost(5, at(6));
        let told = live.next(&viewer, at(8)).unwrap();
        assert_eq!(told["findings"][0]["title"], "payments fails and is retried");
        assert_eq!(told["lost"], json!({ "kernel data ring full": 5 }));
        assert_eq!(told["rows"], Value::Null);
        assert_eq!(live.next(&viewer, at(14)), None);
    }
}
