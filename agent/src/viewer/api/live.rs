//! What a page is told while it is open: new traces as they settle, a sample of them where there are too many.

use serde_json::{Value, json};

use super::traces::row;
use super::{Asked, Refused, Viewer};
use crate::viewer::analysis::{Request, request};
use crate::viewer::search::Query;
use crate::viewer::store::Trace;

/// Rows in one update. There are two updates a second.
const ROWS: usize = 10;

/// One page that listens.
pub(crate) struct Live {
    query: Query,
    seen: u64,
}

impl Live {
    /// From now on, or from the number that the page had last.
    pub(crate) fn new(viewer: &Viewer, asked: &str, now: u64) -> Result<Self, Refused> {
        let asked = Asked::new(asked, now);
        let query = asked.query(viewer)?;
        let seen = asked.number("after").unwrap_or_else(|| viewer.store().since(u64::MAX).1);
        Ok(Self { query, seen })
    }

    /// What has come since; `None` for nothing.
    pub(crate) fn next(&mut self, viewer: &Viewer) -> Option<Value> {
        let (new, seen) = viewer.store().since(self.seen);
        self.seen = seen;
        let mut found: Vec<(std::sync::Arc<Trace>, Request)> = new
            .into_iter()
            .filter_map(|trace| {
                let request = request(&trace, &self.query.ask(&trace))?;
                Some((trace, request))
            })
            .collect();
        if found.is_empty() {
            return None;
        }
        let count = found.len();
        // Failing ones, then slow ones, then any: ids are random.
        found.sort_by_key(|(trace, _)| (!trace.summary().failed, !trace.is_slow, trace.id));
        found.truncate(ROWS);
        found.sort_by_key(|(_, request)| u64::MAX - request.start);
        let open = viewer.open();
        let rows: Vec<Value> =
            found.iter().map(|(trace, request)| row(trace, *request, &open)).collect();
        Some(json!({ "rows": rows, "count": count, "newest": seen }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::batch;
    use crate::viewer::sample::{BEGIN, MS, Sample, checkout};
    use crate::viewer::span::Kind::Server;
    use crate::viewer::store::Limits;

    #[test]
    fn failing_ones_come_first_and_all_are_counted() {
        let viewer = Viewer::new(Limits::default());
        let mut live = Live::new(&viewer, "", BEGIN).unwrap();
        assert!(live.next(&viewer).is_none());
        for id in 1..=40 {
            let ok = Sample::new(id).span((1, 0), Server, ("a", "GET /"), (0, 5), &[]);
            viewer.store().take(batch::request(ok.spans), BEGIN);
        }
        viewer.store().take(batch::request(checkout(99).spans), BEGIN);
        assert!(live.next(&viewer).is_none(), "nothing has settled");
        viewer.store().tick(BEGIN + 2_000 * MS);
        let told = live.next(&viewer).unwrap();
        assert_eq!(told["count"], 41);
        let rows = told["rows"].as_array().unwrap();
        assert_eq!(rows.len(), ROWS);
        assert_eq!(rows.iter().filter(|row| row["failed"] == true).count(), 1);
        assert!(live.next(&viewer).is_none());
        let mut other = Live::new(&viewer, "q=service%3Dpayments&after=0", BEGIN).unwrap();
        assert_eq!(other.next(&viewer).unwrap()["count"], 1);
        assert!(Live::new(&viewer, "q=%28", BEGIN).is_err());
    }
}
