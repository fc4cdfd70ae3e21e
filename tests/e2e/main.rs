//! End-to-end tests: unmodified programs on one side, what arrives at an OTLP backend on the other.
//!
//! Needs root and the built agent (`SPANWIRE_BIN`, else the one in the target folder). See `tests::runner` for how a
//! test runs and how it says that it cannot.

mod harness;
mod programs;

use std::process::ExitCode;

use tests::runner::Suite;

fn main() -> ExitCode {
    let mut suite = Suite::default();
    harness::add(&mut suite);
    programs::add(&mut suite);
    suite.main()
}
