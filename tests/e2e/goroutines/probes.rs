//! Probes in programs: that there are none where nothing is known to need them, and that users are told.

use std::process::Command;

use anyhow::ensure;
use tests::agent::{self, Setup};
use tests::outcome::TestResult;
use tests::process;
use tests::programs::goroutines::{Build, Load, downstream};
use tests::runner::Suite;
use tests::wait::{self, Deadline};

use super::truth::{REQUESTS, SERVICE};
use super::watching;

pub(super) fn add(suite: &mut Suite) {
    suite.test("goroutines::probes::none_before_there_is_http2", none_before_there_is_http2);
}

/// A server and client of `net/http` has its functions for HTTP/2, and speaks HTTP/1: `ps`, `doctor --live` and the counters say that
/// its probes wait, and of none that it is in.
fn none_before_there_is_http2() -> TestResult {
    let called = downstream("called")?;
    let server = Build::PLAIN.server(SERVICE, called.port())?;
    let pid = server.program.pid();
    let agent = watching(Setup::default(), &server)?;
    Load { way: "handler", concurrency: 4, count: REQUESTS, first: 0 }.send(&server)?;

    let says = |arguments: &[&str]| -> anyhow::Result<String> {
        let told = process::output(Command::new(agent::binary()?).args(arguments))?;
        Ok(String::from_utf8(told)?)
    };
    let ps = says(&["ps"])?;
    let line = ps
        .lines()
        .find(|line| line.trim_start().starts_with(&format!("{pid} ")) && line.contains("Go "));
    let waits = "go-http2 from its first HTTP/2 in the clear on";
    ensure!(line.is_some_and(|line| line.contains(waits)), "{ps}");

    let rows = [
        format!("{SERVICE}[{pid}] go-http2, waiting until it serves clear HTTP/2"),
        format!("{SERVICE}[{pid}] go-http2, waiting until it calls over clear HTTP/2"),
    ];
    let shown = || {
        let live = says(&["doctor", "--live"]).ok()?;
        rows.iter().all(|row| live.contains(row)).then_some(())
    };
    wait::until("what doctor --live says of its probes", Deadline::seconds(10), shown)?;

    let counters = agent.stop()?.counters.0;
    let of_it: Vec<_> = counters
        .iter()
        .filter(|(name, _)| name.starts_with(&format!("probes_in_programs.{SERVICE}[{pid}]")))
        .collect();
    ensure!(of_it.len() == rows.len(), "{of_it:?}");
    ensure!(of_it.iter().all(|(name, _)| name.contains("waiting")), "{of_it:?}");
    Ok(())
}
