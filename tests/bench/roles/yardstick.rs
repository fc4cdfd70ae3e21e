//! How fast this CPU is now: the same piece of work, timed again and again.
//!
//! A virtual CPU is often one of two threads of a core. While the other one works for somebody else, everything here takes up
//! to twice as long, for milliseconds or for minutes, and neither steal time nor load averages tell of it. Work that
//! keeps all units of a core busy tells it within microseconds: seen on AMD's, 2.19 µs alone and 2.3 to 4.4 in company,
//! while a chain of instructions that need one another takes the same in both.
//!
//! It works in registers alone. Nothing that an agent leaves in caches, maps or programs can change it, so that what was taken beside a
//! slow one may be left out, with an agent and without, and no cost of the agent's is left out with it. Only where the agent itself may
//! be the company, on the other thread of the core, nothing may: [`is_shared`] tells.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::wait;

use crate::cpu::{self, Places};

/// Turns: 2 µs.
const TURNS: u64 = 2000;

/// How much slower than the fastest is still alone: the clock's steps, and what starting to count costs.
const ALONE: f64 = 1.03;

/// The yardstick, and the fastest it has been since it was made.
///
/// Made anew for each run: a CPU's clock rate changes in minutes, its company in less.
pub(crate) struct Yardstick {
    fastest: Duration,
    /// Whether it tells anything.
    tells: bool,
}

impl Yardstick {
    /// Looks for so long how fast it can be.
    pub(crate) fn new(time: Duration) -> Self {
        let mut yardstick = Self { fastest: Duration::MAX, tells: true };
        let began = wait::now();
        while began.elapsed() < time {
            yardstick.take();
        }
        yardstick
    }

    /// One by which the CPU is always ours alone.
    pub(crate) const fn of_nothing() -> Self {
        Self { fastest: Duration::MAX, tells: false }
    }

    /// How long it takes now.
    pub(crate) fn take(&mut self) -> Duration {
        let began = wait::now();
        work();
        let took = began.elapsed();
        self.fastest = self.fastest.min(took);
        took
    }

    /// Whether the CPU was ours alone when it took so long.
    pub(crate) fn alone(&self, took: Duration) -> bool {
        !self.tells || took.as_secs_f64() <= self.fastest.as_secs_f64() * ALONE
    }
}

/// How much slower it is at least when the core's other thread is always busy: 1.35 to 2 times have been seen.
const IN_COMPANY: f64 = 1.15;

/// How long [`is_shared`] looks, and how often. What others do there meanwhile comes and goes.
const LOOK: Duration = Duration::from_millis(30);
const LOOKS: usize = 5;

/// Whether work on one of our two CPUs slows the other: they are threads of one core.
pub(crate) fn is_shared(places: Places) -> anyhow::Result<bool> {
    let fastest = || cpu::on(places.servers, || Ok(Yardstick::new(LOOK).fastest));
    let beside_work = || {
        let is_over = AtomicBool::new(false);
        let until_then = || {
            while !is_over.load(Ordering::Relaxed) {
                work();
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| cpu::on(places.clients, until_then));
            let fastest = fastest();
            is_over.store(true, Ordering::Relaxed);
            busy.join().map_err(|_| anyhow::anyhow!("the work panicked"))??;
            fastest
        })
    };
    if places.servers == places.clients {
        return Ok(false);
    }
    let (mut idle, mut busy) = (Duration::MAX, Duration::MAX);
    for _ in 0..LOOKS {
        idle = idle.min(fastest()?);
        busy = busy.min(beside_work()?);
    }
    Ok(busy.as_secs_f64() > idle.as_secs_f64() * IN_COMPANY)
}

/// Six chains that need nothing of one another.
#[inline(never)]
fn work() {
    let [mut a, mut b, mut c, mut d, mut e, mut f] = black_box([1_u64, 2, 3, 4, 5, 6]);
    for turn in 0..TURNS {
        a = a.rotate_left(5).wrapping_add(turn);
        b ^= b << 1 ^ turn;
        c = c.wrapping_sub(c >> 7);
        d = d.rotate_left(9) ^ turn;
        e = e.wrapping_add(e >> 3);
        f = (f ^ turn).wrapping_add(turn);
    }
    black_box([a, b, c, d, e, f]);
}
