//! System calls timed in blocks: what one costs, for each kind of call.
//!
//! Kinds take turns, a block each, so that whatever changes on the machine changes all of them. A block is some calls in a
//! row; a kind's figure is the mean of the middle half of its blocks. Turns are spaced so that the agent keeps up: a ring
//! that is full would make the calls cheaper than they are. The time between is spent spinning, or the CPU would be asleep
//! when the next turn begins.
//!
//! The first call of a block waits for memory that others have used meanwhile, much longer than it takes, with the agent
//! and without. It has a figure of its own: what calls in a row cost, and what a call costs that comes alone, are two things.
//!
//! Arguments: kinds, and `firsts` where those are wanted. Orders: `go MILLISECONDS PLANTED-NANOSECONDS KIND|all`. Answers: calls
//! made of all kinds, then for each kind asked for ns a call of writing and, where there is one, of reading; then
//! the same of first calls.

mod kinds;

use std::time::Duration;

use anyhow::Context as _;
use tests::wait;

use self::kinds::{Calls, Kind};
use super::spin::{Spin, turn};
use crate::statistics::midmean;

/// Calls of a block.
const BLOCK: usize = 16;

/// Time between the beginnings of two turns. 16 requests and answers with both ends in a turn are 32 exchanges as the
/// agent counts, 10,000 a second: half of what it must never lose.
const TURN: Duration = Duration::from_micros(3200);

/// Asks for first calls.
const FIRSTS: &str = "firsts";

pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    let firsts = arguments.iter().any(|name| name == FIRSTS);
    super::obey(|order| {
        let ["go", millis, planted, which] = order else {
            anyhow::bail!("unknown order {order:?}")
        };
        // Made anew each time: an agent that starts between two orders sees connections as they mostly are, made
        // in its time.
        let mut kinds = arguments
            .iter()
            .filter(|name| *name != FIRSTS && (*which == "all" || which == name))
            .map(|name| Kind::new(name).with_context(|| name.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let turns = match planted.parse()? {
            0 => 0,
            // Calibrated anew each time: the CPU may be faster or slower by now.
            nanos => Spin::calibrate().turns(Duration::from_nanos(nanos)),
        };
        run(&mut kinds, Duration::from_millis(millis.parse()?), turns, firsts)
    })
}

#[derive(Default)]
struct Blocks {
    write: Vec<Calls>,
    read: Vec<Calls>,
}

impl Blocks {
    fn means(&self, of: fn(&Calls) -> f64) -> impl Iterator<Item = f64> {
        let both = [&self.write, &self.read].into_iter().filter(|blocks| !blocks.is_empty());
        both.map(move |blocks| midmean(&blocks.iter().map(of).collect::<Vec<_>>()))
    }
}

fn run(kinds: &mut [Kind], time: Duration, planted: u32, firsts: bool) -> anyhow::Result<Vec<f64>> {
    let mut measured: Vec<Blocks> = kinds.iter().map(|_| Blocks::default()).collect();
    let mut calls: usize = kinds.iter().map(|kind| kind.calls() * kind.blocks_before()).sum();
    let began = wait::now();
    let mut next = began;
    while began.elapsed() < time {
        for (kind, blocks) in kinds.iter_mut().zip(&mut measured) {
            let took = kind.block(&mut || {
                if planted > 0 {
                    turn(planted);
                }
            })?;
            calls += kind.calls();
            blocks.write.push(took.write);
            blocks.read.extend(took.read);
        }
        next += TURN;
        while wait::now() < next {
            std::hint::spin_loop();
        }
    }
    let mut answer = vec![calls as f64];
    answer.extend(measured.iter().flat_map(|blocks| blocks.means(|calls| calls.others)));
    if firsts {
        answer.extend(measured.iter().flat_map(|blocks| blocks.means(|calls| calls.first)));
    }
    Ok(answer)
}
