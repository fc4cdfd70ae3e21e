//! What CI holds the agent to, run as tests: nothing is lost at the rate that was promised.
//!
//! Times are not judged here: a CI machine is no place to measure them. Instructions are counted by `cargo xtask
//! bench --instructions`.

use std::time::Duration;

use anyhow::ensure;
use tests::agent::Hooks;
use tests::outcome::TestResult;
use tests::runner::Suite;

use crate::cpu::{self, Places};
use crate::modes::web::{Nginx, at_rate};
use crate::roles::yardstick::Yardstick;
use crate::sink::Sink;
use crate::statistics::{Comparison, Round, midmean, midmean_of_alone, quantile};
use crate::watched::{Dress, Watched};

/// Exchanges a second that must not lose anything: both ends of half as many requests.
const EXCHANGES: f64 = 20_000.0;

/// For so long.
const TIME: Duration = Duration::from_secs(8);

/// The tests of this binary.
pub(crate) fn suite() -> Suite {
    let mut suite = Suite::default();
    suite.test("bench::medians_and_noise", statistics);
    suite.test("bench::a_slow_cpu_is_told", yardstick);
    suite.test("bench::nothing_is_lost_at_20_000_exchanges_a_second", nothing_lost);
    suite
}

fn nothing_lost() -> TestResult {
    let places = Places::choose()?;
    let nginx = Nginx::start(places.servers)?;
    let sink = cpu::on(places.clients, Sink::start)?;
    let mut client = cpu::on(places.clients, || nginx.client(32))?;
    let mut agent = Watched::start(&sink.endpoint(), Hooks::Auto, Dress::Plain)?;
    agent.load_begins()?;
    let sample = at_rate(&mut client, TIME, EXCHANGES / 2.0, nginx.pid())?;
    agent.load_ends()?;
    let used = agent.stop()?;
    println!("{used:?}");
    let there = 2.0 * sample.units;
    ensure!(used.events_lost() == 0.0, "{} of {} events lost", used.events_lost(), used.events());
    ensure!(used.spans_lost() == 0.0, "{} of {} spans lost", used.spans_lost(), used.spans());
    // Others may speak on this host meanwhile, so there may be more.
    ensure!(used.exchanges() >= there, "{} of {there} exchanges were seen", used.exchanges());
    ensure!(used.spans() >= there, "{} spans of {there} exchanges", used.spans());
    Ok(())
}

fn yardstick() -> TestResult {
    let mut yardstick = Yardstick::new(Duration::ZERO);
    let fastest = (0..100).map(|_| yardstick.take()).min().unwrap_or_default();
    ensure!(yardstick.alone(fastest), "{fastest:?} is among the fastest");
    ensure!(!yardstick.alone(fastest * 6 / 5), "a CPU is slower by a fifth, and nobody notices");
    ensure!(Yardstick::of_nothing().alone(fastest * 2), "nothing was to be told");
    Ok(())
}

fn statistics() -> TestResult {
    ensure!(quantile(&[3.0, 1.0, 2.0], 0.5) == 2.0 && quantile(&[1.0, 2.0], 0.25) == 1.25);
    ensure!(quantile(&[], 0.5) == 0.0 && midmean(&[]) == 0.0);
    ensure!(midmean(&[2.0, 1000.0, 1.0, 3.0]) == 2.5, "an interrupted block counts");
    let beside_others = [(9.0, false), (2.0, true), (9.0, false), (4.0, true)];
    ensure!(midmean_of_alone(&beside_others, 2) == 3.0, "what was taken in company counts");
    ensure!(midmean_of_alone(&beside_others, 3) == 6.5, "too few count");
    let round = |without, with, again| Round { without, with, again, planted: Some(with) };
    let firm = Comparison::of(&[round(100.0, 150.0, 100.0), round(200.0, 250.0, 200.0)]);
    ensure!(firm.added.median == 50.0 && firm.least == 0.0, "{firm:?}");
    ensure!(firm.planted.is_some_and(|planted| planted.median == 50.0), "{firm:?}");
    let noisy = [round(100.0, 105.0, 110.0), round(110.0, 105.0, 100.0), round(95.0, 99.0, 103.0)];
    let noisy = Comparison::of(&noisy);
    ensure!(noisy.added.median.abs() < noisy.least, "noise was taken for a difference: {noisy:?}");
    Ok(())
}
