//! System calls timed in blocks: what one costs, for each kind of call.
//!
//! Kinds take turns, a block each, so that whatever changes on the machine changes all of them. A block is some calls
//! between two readings of the clock; a kind's figure is the mean of the middle half of its blocks. Turns are spaced
//! so that the agent keeps up: a ring that is full would make the calls cheaper than they are. The time between is
//! spent spinning, or the CPU would be asleep when the next turn begins.
//!
//! Arguments: kinds. Orders: `go MILLISECONDS PLANTED-NANOSECONDS KIND|all`. Answers: calls made of all kinds, then for
//! each kind asked for ns a call of writing and, where there is one, of reading.

mod kinds;

use std::time::Duration;

use anyhow::Context as _;
use tests::wait;

use self::kinds::Kind;
use super::spin::{Spin, turn};
use crate::statistics::midmean;

/// Calls of a block.
const BLOCK: usize = 16;

/// Time between the beginnings of two turns. 16 requests and answers with both ends in a turn are 32 exchanges as the
/// agent counts, 10,000 a second: half of what it must never lose.
const TURN: Duration = Duration::from_micros(3200);

pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    super::obey(|order| {
        let ["go", millis, planted, which] = order else {
            anyhow::bail!("unknown order {order:?}")
        };
        // Made anew each time: an agent that starts between two orders sees connections as they mostly are, made
        // in its time.
        let mut kinds = arguments
            .iter()
            .filter(|name| *which == "all" || which == name)
            .map(|name| Kind::new(name).with_context(|| name.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let turns = match planted.parse()? {
            0 => 0,
            // Calibrated anew each time: the CPU may be faster or slower by now.
            nanos => Spin::calibrate().turns(Duration::from_nanos(nanos)),
        };
        run(&mut kinds, Duration::from_millis(millis.parse()?), turns)
    })
}

#[derive(Default)]
struct Blocks {
    write: Vec<f64>,
    read: Vec<f64>,
}

fn run(kinds: &mut [Kind], time: Duration, planted: u32) -> anyhow::Result<Vec<f64>> {
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
    for blocks in &measured {
        answer.push(midmean(&blocks.write));
        if !blocks.read.is_empty() {
            answer.push(midmean(&blocks.read));
        }
    }
    Ok(answer)
}
