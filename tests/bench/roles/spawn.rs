//! Short-lived processes at a constant rate: each is started, ends at once, and is waited for.
//!
//! Orders: `go MILLISECONDS MILLISECONDS-BETWEEN`. Answers: how many, and the median time each took, ns.

use std::process::Command;
use std::time::Duration;

use tests::wait;

use crate::statistics::quantile;

pub(crate) fn play() -> anyhow::Result<()> {
    super::obey(|order| {
        let ["go", millis, between] = order else { anyhow::bail!("unknown order {order:?}") };
        let (time, between) = (millis.parse::<u64>()?, between.parse::<u64>()?);
        let began = wait::now();
        let mut took = Vec::new();
        for number in 0..time / between {
            let due = began + Duration::from_millis(number * between);
            std::thread::sleep(due.saturating_duration_since(wait::now()));
            let started = wait::now();
            anyhow::ensure!(Command::new("/bin/true").status()?.success(), "/bin/true failed");
            took.push(started.elapsed().as_nanos() as f64);
        }
        Ok(vec![took.len() as f64, quantile(&took, 0.5)])
    })
}
