//! The truth, in small: a few runtimes at 1 and at 32 clients. Nothing may be wrong, ever, and where a thread serves one
//! request at a time everything must be there. `cargo xtask truth` runs all of it.

use anyhow::{Context as _, ensure};
use tests::outcome::TestResult;
use tests::runner::Suite;
use tests::truth::cases::Case;
use tests::truth::run::Stage;
use tests::truth::table;

/// The cases that every change is measured by.
const CASES: [&str; 3] = ["python-threads", "python-asyncio", "node"];

/// Clients at once, and how many requests they send.
const LOADS: [(usize, usize); 2] = [(1, 30), (32, 100)];

/// Calls of each service: fewer than in the whole table, for time.
const FAN_OUT: usize = 2;

pub(crate) fn add(suite: &mut Suite) {
    for name in CASES {
        suite.test(format!("truth::never_wrong[{name}]"), move || never_wrong(name));
    }
}

fn never_wrong(name: &str) -> TestResult {
    let case = Case::named(name).with_context(|| format!("no case {name}"))?;
    let mut stage = Stage::set(case, FAN_OUT)?;
    for (clients, requests) in LOADS {
        let outcome = stage.run(requests, clients)?;
        let scores = outcome.scores;
        println!("{}", table::line(case, clients, &scores));
        ensure!(scores.wrong() == 0, "{} wrong:\n{}", scores.wrong(), scores.told.join("\n"));
        outcome.counters.nothing_lost()?;
        ensure!(scores.missing() == 0, "{} of {} are missing", scores.missing(), scores.sent());
        let (exact, floor) = (scores.inside.percent_exact(), case.promise.floor());
        ensure!(
            exact >= floor,
            "{exact:.2} % of the calls inside services have their parent, not {floor} %: {}",
            outcome.counters.why()
        );
    }
    Ok(())
}
