//! Probes in programs: that there are none where nothing is known to need them, that users are told, and that they go where they would
//! be met too often.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use tests::agent::{self, Setup};
use tests::outcome::TestResult;
use tests::process;
use tests::programs::goroutines::{Build, Load, downstream};
use tests::runner::Suite;
use tests::wait::{self, Deadline};

use super::truth::{REQUESTS, SERVICE, Truth, Way, collect, way};
use super::watching;

pub(super) fn add(suite: &mut Suite) {
    suite.test("goroutines::probes::none_before_they_are_needed", none_before_they_are_needed);
    suite.test("goroutines::probes::of_makers_while_there_are_few", of_makers);
}

/// A server and client of `net/http` has its functions for HTTP/2, and speaks HTTP/1: `ps`, `doctor --live` and the counters say that
/// its probes wait, and of none that it is in.
fn none_before_they_are_needed() -> TestResult {
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
    let too = "go-newproc when calls need it";
    ensure!(line.is_some_and(|line| line.contains(waits) && line.contains(too)), "{ps}");

    let rows = [
        format!("{SERVICE}[{pid}] go-http2, waiting until it serves clear HTTP/2"),
        format!("{SERVICE}[{pid}] go-http2, waiting until it calls over clear HTTP/2"),
        format!("{SERVICE}[{pid}] go-newproc, waiting for a call that needs it"),
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

/// Requests of a way whose calls are made by goroutines that one has started which makes none. A few may be written before anybody waits
/// for that.
const SILENT: Way = way("silent", 2, 900);
/// How many, and how long between two: far from too many goroutines.
const FEW: usize = 50;
const APART: Duration = Duration::from_millis(40);

/// A goroutine that makes no call is seen when it is started: from the first call on that needs it, and until too many are started.
fn of_makers() -> TestResult {
    let called = downstream("called")?;
    let server = Build::PLAIN.server(SERVICE, called.port())?;
    let mut agent = watching(Setup::default(), &server)?;
    let ask = |first| Load { way: SILENT.name, concurrency: 1, count: 1, first }.send(&server);
    let probe = format!("process {}: go_newproc is", server.program.pid());

    ask(19_999)?;
    agent.wait_line(&format!("{probe} in"), Deadline::seconds(10))?;
    for number in 0..FEW {
        ask(number)?;
        wait::pace(APART);
    }

    // Until it is out: the line of it is not the one from before it was in.
    let out = format!("{probe} out while many goroutines are started");
    let many =
        |agent: &agent::Agent| agent.lines().iter().filter(|line| line.contains(&out)).count();
    let before = many(&agent);
    let mut first = REQUESTS;
    let deadline = Deadline::seconds(20);
    while many(&agent) == before {
        ensure!(!deadline.is_past(), "it is still in");
        Load { way: "fanout", concurrency: 32, count: REQUESTS, first }.send(&server)?;
        first += REQUESTS;
    }

    let spans = collect(agent, FEW * SILENT.calls)?;
    let row = Truth::of(&spans).row_of(&SILENT, 0, FEW);
    let least = FEW * SILENT.calls * SILENT.exact / 1000;
    ensure!(row.exact >= least && row.wrong + row.missing == 0, "{row}");
    Ok(())
}
