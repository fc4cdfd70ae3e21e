//! What ran in one `cargo xtask test`, step by step, and which steps failed.

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{say, tally::Tally};

/// What ran so far.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    tally: Tally,
    /// The steps with a failure, for the end of the output.
    failed: Vec<String>,
}

impl Sum {
    /// A step that passes or fails as one.
    pub(crate) fn check(&mut self, what: &str, run: impl FnOnce() -> Result<()>) {
        let ended = say::step(format!("checking {what}"), run);
        self.add(what, ended.map_or_else(|error| failed(&error), |()| Tally::PASSED));
    }

    /// A step that counts.
    pub(crate) fn tests(&mut self, what: &str, run: impl FnOnce() -> Result<Tally>) {
        let tally = say::step(what, run).unwrap_or_else(|error| failed(&error));
        say::note(&tally);
        self.add(what, tally);
    }

    /// A step that ended with an error, after which nothing else could follow.
    pub(crate) fn stopped(&mut self, what: &str, error: &anyhow::Error) {
        self.add(what, failed(error));
    }

    pub(crate) fn add(&mut self, what: &str, tally: Tally) {
        if tally.failed > 0 {
            self.failed.push(what.to_owned());
        }
        self.tally += tally;
    }

    /// What another process has summed up.
    pub(crate) fn include(&mut self, other: Self) {
        self.tally += other.tally;
        self.failed.extend(other.failed);
    }

    /// The last line, and the exit code. A filter that no test answers to is a mistake, not a success.
    pub(crate) fn report(&self, filter: Option<&str>) -> ExitCode {
        if self.tally.is_empty() {
            eprintln!(
                "error: no test's name contains {:?}: see `cargo xtask test` for all of them",
                filter.unwrap_or("")
            );
        }
        if !self.failed.is_empty() {
            eprintln!("\nwhat failed, once more:\n{}", self.tally.said);
            eprintln!("  failed: {}", self.failed.join(", "));
        }
        println!("{}", self.tally);
        if self.failed.is_empty() && !self.tally.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &anyhow::Error) -> Tally {
    say::error(error);
    Tally::failed(format_args!("error: {error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_summed_up_is_included() {
        let mut other = Sum::default();
        other.add("its tests", Tally { passed: 3, ..Tally::default() });
        other.add("its check", Tally::failed("it is broken"));
        let told = serde_json::to_string(&other).unwrap();
        let mut sum = Sum::default();
        sum.add("the format", Tally::PASSED);
        sum.include(serde_json::from_str(&told).unwrap());
        assert_eq!(sum.tally.to_string(), "4 passed, 1 failed, 0 skipped");
        assert_eq!(
            (sum.tally.said.as_str(), sum.failed),
            ("it is broken\n", vec!["its check".into()])
        );
    }
}
