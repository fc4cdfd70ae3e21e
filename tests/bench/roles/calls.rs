//! System calls timed in blocks: what one costs, for each kind of call.
//!
//! Kinds take turns, a block each, so that whatever changes on the machine changes all of them. A block is some calls in a
//! row; a kind's figure is the mean of the middle half of its blocks. Turns are spaced so that the agent keeps up: a ring
//! that is full would make the calls cheaper than they are. The time between is spent spinning, or the CPU would be asleep
//! when the next turn begins.
//!
//! A block counts when the CPU was ours alone right before and behind it, as a [yardstick](super::yardstick) says that no agent
//! can touch. The time between two turns is spent taking it; a turn that is due waits for a quiet moment, but not long, and
//! a run goes on until enough of its blocks count. Where that takes too long, all of them do.
//!
//! The first call of a block waits for memory that others have used meanwhile, much longer than it takes, with the agent
//! and without. It has a figure of its own: what calls in a row cost, and what a call costs that comes alone, are two things.
//!
//! Arguments: kinds, `firsts` where those are wanted, and `everything` where all blocks are to count. Orders: `go MILLISECONDS PLANTED-NANOSECONDS KIND|all`. Answers: calls
//! made of all kinds, which part of the blocks counts, then for each kind asked for ns a call of writing and, where there is one, of reading; then
//! the same of first calls.

mod kinds;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tests::wait;

use self::kinds::{Calls, Kind};
use super::spin::{Spin, turn};
use super::yardstick::Yardstick;
use crate::statistics::midmean_of_alone;

/// Calls of a block.
const BLOCK: usize = 16;

/// Time between the beginnings of two turns. 16 requests and answers with both ends in a turn are 32 exchanges as the
/// agent counts, 10,000 a second: half of what it must never lose.
const TURN: Duration = Duration::from_micros(3200);

/// Fewer blocks say less than all of them do, disturbed as they are.
const ENOUGH: usize = 30;

/// How many times as long as was asked for a run may take until it has enough.
const PATIENCE: u32 = 5;

/// Asks for first calls.
pub(crate) const FIRSTS: &str = "firsts";

/// Has all blocks count.
pub(crate) const EVERYTHING: &str = "everything";

pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    let has = |word: &str| arguments.iter().any(|name| name == word);
    let (firsts, everything) = (has(FIRSTS), has(EVERYTHING));
    super::obey(|order| {
        let ["go", millis, planted, which] = order else {
            anyhow::bail!("unknown order {order:?}")
        };
        // Made anew each time: an agent that starts between two orders sees connections as they mostly are, made
        // in its time.
        let mut kinds = arguments
            .iter()
            .filter(|name| ![FIRSTS, EVERYTHING].contains(&name.as_str()))
            .filter(|name| *which == "all" || which == name)
            .map(|name| Kind::new(name).with_context(|| name.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let turns = match planted.parse()? {
            0 => 0,
            // Calibrated anew each time: the CPU may be faster or slower by now.
            nanos => Spin::calibrate().turns(Duration::from_nanos(nanos)),
        };
        let yardstick = if everything { Yardstick::of_nothing() } else { Yardstick::new(TURN) };
        run(&mut kinds, yardstick, Duration::from_millis(millis.parse()?), turns, firsts)
    })
}

#[derive(Default)]
struct Blocks {
    write: Vec<Calls>,
    read: Vec<Calls>,
    /// How many blocks seemed to count when they were made.
    alone: usize,
}

impl Blocks {
    fn both(&self) -> impl Iterator<Item = &Vec<Calls>> {
        [&self.write, &self.read].into_iter().filter(|blocks| !blocks.is_empty())
    }
}

fn figure(blocks: &[Calls], yardstick: &Yardstick, of: fn(&Calls) -> f64) -> f64 {
    let values = blocks.iter().map(|calls| (of(calls), yardstick.alone(calls.beside)));
    midmean_of_alone(&values.collect::<Vec<_>>(), ENOUGH)
}

fn run(
    kinds: &mut [Kind],
    mut yardstick: Yardstick,
    time: Duration,
    planted: u32,
    firsts: bool,
) -> anyhow::Result<Vec<f64>> {
    let mut measured: Vec<Blocks> = kinds.iter().map(|_| Blocks::default()).collect();
    let mut calls: usize = kinds.iter().map(|kind| kind.calls() * kind.blocks_before()).sum();
    let began = wait::now();
    let mut next = began;
    loop {
        let elapsed = began.elapsed();
        let fewest = measured.iter().map(|blocks| blocks.alone).min().unwrap_or(0);
        if elapsed >= time && (fewest >= ENOUGH || elapsed >= time * PATIENCE) {
            break;
        }
        for (kind, blocks) in kinds.iter_mut().zip(&mut measured) {
            let took = kind.block(&mut yardstick, &mut || {
                if planted > 0 {
                    turn(planted);
                }
            })?;
            calls += kind.calls();
            blocks.alone += usize::from(yardstick.alone(took.write.beside));
            blocks.write.push(took.write);
            blocks.read.extend(took.read);
        }
        next += TURN;
        while wait::now() < next {
            yardstick.take();
        }
        next = wait_for_quiet(&mut yardstick, next);
    }
    let all = || measured.iter().flat_map(Blocks::both);
    let blocks: usize = all().map(Vec::len).sum();
    let alone = all().flatten().filter(|calls| yardstick.alone(calls.beside)).count();
    let mut answer = vec![calls as f64, alone as f64 / blocks.max(1) as f64];
    answer.extend(all().map(|blocks| figure(blocks, &yardstick, |calls| calls.others)));
    if firsts {
        answer.extend(all().map(|blocks| figure(blocks, &yardstick, |calls| calls.first)));
    }
    Ok(answer)
}

/// Until the CPU is ours alone, at most for a turn. Answers when the turn begins.
fn wait_for_quiet(yardstick: &mut Yardstick, due: Instant) -> Instant {
    loop {
        let took = yardstick.take();
        let now = wait::now();
        if yardstick.alone(took) || now > due + TURN {
            return now;
        }
    }
}
