//! Clocks of hosts, as the traces around a trace tell them: a list's times and a waterfall's are moved by the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::Viewer;
use crate::viewer::analysis::{Clock, ToldClocks, has_hosts, moved};
use crate::viewer::store::Trace;

/// Traces around one tell of its hosts' clocks: at least so long before and after it, ns. Clocks drift, and are set.
const AROUND: u64 = 600_000_000_000;
/// And no more than so many of them.
const MOST_AROUND: usize = 5_000;

/// What is known of clocks, learned where it is asked for: for each ten minutes, from the thirty around them.
#[derive(Default)]
pub(super) struct KnownClocks {
    told: HashMap<u64, ToldClocks>,
}

impl KnownClocks {
    /// The clocks in this trace that differ from its first span's.
    pub(super) fn of(&mut self, viewer: &Viewer, trace: &Trace) -> Vec<Clock> {
        if !has_hosts(trace) {
            return Vec::new();
        }
        let part = trace.start / AROUND;
        let told = self.told.entry(part).or_insert_with(|| {
            let begin = part * AROUND;
            let (from, to) = (begin.saturating_sub(AROUND), begin.saturating_add(2 * AROUND));
            let mut told = ToldClocks::default();
            for trace in viewer.store().between(from, to).traces.iter().take(MOST_AROUND) {
                told.learn(trace);
            }
            told
        });
        told.clocks(trace)
    }

    /// The trace by its first span's clock; `None` where that changes nothing.
    pub(super) fn corrected(&mut self, viewer: &Viewer, trace: &Trace) -> Option<Arc<Trace>> {
        let clocks = self.of(viewer, trace);
        let moves = clocks.iter().any(|clock| clock.ahead.is_some());
        moves.then(|| Arc::new(moved(trace, &clocks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use crate::viewer::sample::{BEGIN, MS, Sample};
    use crate::viewer::span::Kind::{Client, Server};
    use crate::viewer::store::Limits;

    /// A second host's clock, 500 ms ahead, makes its own request look as if it came after the answer.
    #[test]
    fn a_list_has_the_times_of_the_waterfall() {
        let viewer = Viewer::new(Limits::default());
        let sample = Sample::new(1)
            .span((1, 0), Server, ("front@web-01", "GET /"), (0, 100), &[])
            .span((2, 1), Client, ("front@web-01", "GET"), (10, 90), &[])
            .span((3, 2), Server, ("shop@web-02", "GET /"), (520, 580), &[]);
        viewer.store().take(sample::request(sample.spans), BEGIN);
        viewer.store().tick(BEGIN + 5_000 * MS);
        let ask = |path: &str, asked: &str| {
            viewer.answer(path, asked, BEGIN + 5_000 * MS).unwrap().unwrap()
        };
        let list = ask("/view/traces", "q=service%3Dshop");
        let row = &list["rows"][0];
        assert_eq!(row["at"], (BEGIN + 20 * MS).to_string(), "{row}");
        let shares = row["shares"].as_array().unwrap();
        let shop = shares.iter().find(|share| share[0] == "shop").unwrap();
        assert_eq!(shop[1], 60 * MS, "{row}");
        let trace = ask("/view/trace/1", "");
        assert_eq!(trace["columns"]["start"], serde_json::json!([0.0, 10_000.0, 20_000.0]));
    }
}
