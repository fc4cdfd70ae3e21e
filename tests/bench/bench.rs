//! The bench itself: rounds of each mode without and with the agent, and passes in which its programs are counted.
//!
//! A round runs the load without the agent, with it, and without it again: the first and the last are the same thing,
//! so that their difference is the noise of this machine now (A/A), for every figure and in the same rounds. Every
//! other round goes the other way, so that what drifts falls on both sides. The load's programs stay the same
//! throughout; the agent is a new process each time. No result may be left out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::agent::Hooks;

use crate::bpf::{self, Measuring, Runs};
use crate::cpu::Places;
use crate::modes::{Compares, Load, Measure, Mode, Order, Sample, Sort, Speaks};
use crate::sink::Sink;
use crate::statistics::{Comparison, Round};
use crate::watched::{Dress, Use, Watched};

/// The delay planted in calls, ns: it must be found.
pub(crate) const PLANTED: u32 = 300;

/// What the agent's own process needs for a span: measured where two agents are compared.
const OF_AGENT: Measure = Measure { name: "agent CPU a span", sort: Sort::Cpu };

/// How long a load runs before it counts: a new agent has to meet its connections and processes.
const WARM_UP: Duration = Duration::from_millis(300);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one run of a load.
    pub(crate) time: Duration,
    /// Whether one more agent is watched for longer, beside loads that ask for it.
    pub(crate) lasting: bool,
}

impl Plan {
    pub(crate) const FULL: Self = Self { rounds: 7, time: Duration::from_secs(2), lasting: true };
    pub(crate) const QUICK: Self = Self { rounds: 3, time: Duration::from_secs(1), lasting: false };
}

/// What every mode is given.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) places: Places,
    /// Whether work on one of them slows the other.
    pub(crate) is_shared: bool,
    pub(crate) hooks: Hooks,
    pub(crate) sink: Sink,
}

/// What a mode gave.
pub(crate) struct Outcome {
    pub(crate) mode: &'static Mode,
    pub(crate) compared: Vec<(Measure, Comparison)>,
    /// Which part of what was measured counts, of each run where that is not all of it.
    pub(crate) alone: Vec<f64>,
    /// The agents, one for each round.
    pub(crate) agents: Vec<Use>,
    /// Exchanges there were to be seen while each of them ran, if that is known.
    pub(crate) expected: Vec<f64>,
    /// How long one more ran, and what it used.
    pub(crate) lasting: Option<(Duration, Use)>,
    /// What the agent's programs did for one unit, for each part of the load.
    pub(crate) programs: Vec<Programs>,
}

/// What the agent's programs did in a pass of its own.
pub(crate) struct Programs {
    /// Without the rules of runtimes.
    pub(crate) without_rules: bool,
    /// The kind of calls, where the load has several.
    pub(crate) part: Option<&'static str>,
    pub(crate) units: f64,
    pub(crate) runs: BTreeMap<String, Runs>,
}

/// A run beside an agent.
struct Ran {
    sample: Sample,
    used: Use,
    /// Exchanges there were to be seen, if that is known.
    expected: Option<f64>,
}

/// The arms of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    Without,
    Planted,
    With,
    Again,
}

impl Bench {
    /// Measures one mode.
    pub(crate) fn measure(&self, mode: &'static Mode) -> anyhow::Result<Outcome> {
        let mut load = (mode.start)(self).context("starting what it needs")?;
        let load = load.as_mut();
        let mut measures = load.measures().to_vec();
        if mode.compares == Compares::Viewer {
            measures.push(OF_AGENT);
        }
        let plants = measures.iter().any(|measure| measure.sort == Sort::Call);
        run(load, WARM_UP, 0)?;
        let mut outcome = Outcome {
            mode,
            compared: Vec::new(),
            alone: Vec::new(),
            agents: Vec::new(),
            expected: Vec::new(),
            lasting: None,
            programs: Vec::new(),
        };
        let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); measures.len()];
        for number in 0..self.plan.rounds {
            let mut order = vec![Arm::Without, Arm::With, Arm::Again];
            if plants {
                order.insert(1, Arm::Planted);
            }
            if number % 2 == 1 {
                order.reverse();
            }
            let mut samples = BTreeMap::new();
            for arm in order {
                let sample = match arm {
                    // Nothing to compare: only the agent itself is of interest.
                    Arm::Without | Arm::Again if measures.is_empty() => continue,
                    Arm::Without | Arm::Again => match mode.compares.without() {
                        None => run(load, self.plan.time, 0)?,
                        Some(dress) => self.with_agent(mode, load, dress)?.sample,
                    },
                    Arm::Planted => run(load, self.plan.time, PLANTED)?,
                    Arm::With => {
                        let dress = mode.compares.with();
                        let Ran { sample, used, expected } = self.with_agent(mode, load, dress)?;
                        outcome.agents.push(used);
                        outcome.expected.extend(expected);
                        sample
                    }
                };
                outcome.alone.extend(sample.alone);
                samples.insert(arm as u8, sample);
            }
            for (at, (measure, rounds)) in measures.iter().zip(&mut rounds).enumerate() {
                rounds.push(round(&samples, at, measure.sort)?);
            }
        }
        outcome.compared =
            measures.into_iter().zip(rounds.iter().map(|rounds| Comparison::of(rounds))).collect();
        if let Some(time) = load.lasts().filter(|_| self.plan.lasting) {
            let ran = self.with_agent_for(time, mode, load, Dress::Plain)?;
            outcome.lasting = Some((time, ran.used));
        }
        if mode.compares == Compares::Rules {
            self.count_programs(load, Dress::NoRules, &mut outcome)?;
        }
        // Between two agents the difference is none of the programs'.
        if mode.compares.without().is_none() {
            self.count_programs(load, mode.compares.with(), &mut outcome)?;
        }
        Ok(outcome)
    }

    fn with_agent(&self, mode: &Mode, load: &mut dyn Load, dress: Dress) -> anyhow::Result<Ran> {
        self.with_agent_for(self.plan.time, mode, load, dress)
    }

    fn with_agent_for(
        &self,
        time: Duration,
        mode: &Mode,
        load: &mut dyn Load,
        dress: Dress,
    ) -> anyhow::Result<Ran> {
        let mut agent = Watched::start(&self.sink.endpoint(), self.hooks, dress)?;
        let warm = run(load, WARM_UP, 0)?;
        agent.load_begins()?;
        let mut sample = run(load, time, 0)?;
        agent.load_ends()?;
        let used = agent.stop()?;
        let mut expected = None;
        if let Speaks::Each(exchanges) = mode.speaks {
            expected = Some((warm.units + sample.units) * exchanges);
            if mode.compares == Compares::Viewer {
                sample.values.push(used.own / (sample.units * exchanges).max(1.0));
            }
        }
        Ok(Ran { sample, used, expected })
    }

    /// Counts the agent's programs, each part of the load alone.
    fn count_programs(
        &self,
        load: &mut dyn Load,
        dress: Dress,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let parts: Vec<_> = match load.parts() {
            [] => vec![None],
            parts => parts.iter().map(|part| Some(*part)).collect(),
        };
        let agent = Watched::start(&self.sink.endpoint(), self.hooks, dress)?;
        let without_rules = dress == Dress::NoRules;
        let measuring = Measuring::start()?;
        for part in parts {
            let order = |time| Order { time, planted: 0, part };
            load.run(&order(WARM_UP))?;
            let before = bpf::programs(agent.pid())?;
            let sample = load.run(&order(self.plan.time))?;
            let after = bpf::programs(agent.pid())?;
            let runs = bpf::since(&before, &after);
            outcome.programs.push(Programs { without_rules, part, units: sample.units, runs });
        }
        drop(measuring);
        agent.stop()?;
        Ok(())
    }
}

fn run(load: &mut dyn Load, time: Duration, planted: u32) -> anyhow::Result<Sample> {
    let measures = load.measures().len();
    let sample = load.run(&Order { time, planted, part: None })?;
    ensure!(sample.values.len() == measures, "{} values of {measures}", sample.values.len());
    Ok(sample)
}

/// One measure of one round.
fn round(samples: &BTreeMap<u8, Sample>, at: usize, sort: Sort) -> anyhow::Result<Round> {
    let value = |arm: Arm| samples.get(&(arm as u8)).map(|sample| sample.values[at]);
    let both = value(Arm::Without).zip(value(Arm::Again)).zip(value(Arm::With));
    let ((without, again), with) = both.context("a round without one of its arms")?;
    let planted = value(Arm::Planted).filter(|_| sort == Sort::Call);
    Ok(Round { without, with, again, planted })
}
