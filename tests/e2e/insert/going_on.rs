//! Connections that are taken up in the middle: after a request whose length its head does not tell, and such as are older than the agent.

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tests::agent::{Agent, Hooks};
use tests::namespace::{ADDRESSES, Hosts};
use tests::outcome::TestResult;
use tests::process::Program;
use tests::programs::python;
use tests::wait::Deadline;

use super::{Ground, are_spans, inserted_at, named, need, python_path, recorded_on};

/// After a request whose length its head does not tell, contexts are put into those that come once it was read to its end.
pub(super) fn connections_go_on() -> TestResult {
    let ground = Ground::start()?;
    let without = ground.ask(&ground.case("goes_on")?, None)?;
    let mut agent = named(Hooks::Auto, &python_path()?).start()?;
    need(&agent)?;
    let with = ground.ask(&ground.case("goes_on")?, Some(&mut agent))?;
    ensure!(without.told == with.told, "{without:#?}\nwith\n{with:#?}");
    ensure!(without.arrived == with.arrived, "{without:#?}\nwith\n{with:#?}");
    let stopped = agent.stop()?;
    let found = stopped.counters.value("kernel.insert_found")?;
    ensure!(found == 4, "{found} of 4 connections were found again");
    // Three of the four odd requests, and of the simple ones on each connection those that came after that.
    let inserted = with.inserted.len();
    ensure!(inserted >= 3 + 4, "{inserted} requests were given one");
    println!("{inserted} of 84");
    are_spans(&with.inserted, &stopped, "01")
}

/// A connection that was there before the agent is taken in if it does not block, and given contexts once it is certain where its
/// requests begin.
pub(super) fn older_connections() -> TestResult {
    let ground = Ground::start()?;
    let ask = |start: &dyn Fn() -> anyhow::Result<Option<Agent>>| {
        let mut client = ground.wait(&ground.case("older")?)?;
        ground.begin(&client, None)?;
        client.wait_line("under way", Deadline::seconds(20))?;
        let agent = start()?;
        client.signal(Signal::USR1)?;
        anyhow::Ok((ground.came(&mut client)?, agent))
    };
    let (without, _) = ask(&|| Ok(None))?;
    let path = python_path()?;
    let (with, agent) = ask(&|| {
        let agent = named(Hooks::Auto, &path).start()?;
        need(&agent)?;
        Ok(Some(agent))
    })?;
    ensure!(without.told == with.told, "{without:#?}\nwith\n{with:#?}");
    ensure!(without.arrived == with.arrived, "{without:#?}\nwith\n{with:#?}");
    let stopped = agent.context("there is one")?.stop()?;
    let count = |name: &str| stopped.counters.value(&format!("kernel.insert_{name}"));
    // Others of this host may be named as well.
    ensure!(count("older")? >= 1 && count("found")? >= 1, "none was taken in, or found");
    let inserted = with.inserted.len();
    // Two exchanges are needed to be certain; and the connection that blocks is none of them.
    ensure!((1..=18).contains(&inserted), "{inserted} of 20 requests were given one");
    println!("{inserted} of 20");
    are_spans(&with.inserted, &stopped, "01")
}

/// Those of another network namespace are as good.
pub(super) fn older_connections_elsewhere() -> TestResult {
    let hosts = Hosts::start()?;
    let (_server, recorder) = recorded_on(&hosts)?;
    let mut case = python::script("insertions.py")?;
    case.args([ADDRESSES[1], "8080", "older"]);
    let mut client = Program::start("client", &mut hosts.on(0, &case)?)?;
    client.wait_line("under way", Deadline::seconds(20))?;
    let agent =
        named(Hooks::Auto, &python_path()?).environment("SPANWIRE_HEADERS_TO", "all").start()?;
    need(&agent)?;
    client.signal(Signal::USR1)?;
    ensure!(client.wait_end(Deadline::seconds(20))?.success());
    let inserted = inserted_at(&recorder)?;
    let older = agent.stop()?.counters.value("kernel.insert_older")?;
    ensure!(older >= 1, "none was taken in");
    ensure!((1..=18).contains(&inserted), "{inserted} of 20 requests were given one");
    Ok(())
}
