//! The clocks, read in one place.
//!
//! Wall-clock time is told as what the monotonic clock must be given to become it. Both clocks are slewed alike, so that differs only
//! when somebody sets the clock: two requests must never be told apart by how long it took us to read them.

use std::mem;

use rustix::time::{ClockId, clock_gettime};

use crate::input::{Input, Nanos};

/// Time between two ticks of the pipeline, ns: every look at the rings has one. What is due must not pile up:
/// a step of a tick is done without a pause, and on a host without an idle CPU that is how long somebody waits for us.
const EVERY: u64 = 5_000_000;

/// Steps of one tick.
const MOST_STEPS: u64 = 256;

/// How far apart a clock that nobody has set may seem, ns: what the kernel rounds away when it reads the two.
const ROUNDED: i64 = 100;

/// How often the two clocks are read at first, of which the quickest reading counts: at any other somebody may have had our CPU.
const READINGS: u32 = 16;

/// Tells the pipeline that time goes on.
pub(super) struct Clock {
    last: Nanos,
    /// Wall-clock time minus monotonic time, ns.
    offset: i64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let first = (0..READINGS).map(|_| Reading::take()).min_by_key(Reading::took);
        Self { last: Nanos::default(), offset: first.map_or(0, |reading| reading.middle()) }
    }

    /// A tick, when one is due.
    pub(super) fn tick(&mut self) -> Option<Tick> {
        let now = self.read();
        if now.since(self.last) < EVERY {
            return None;
        }
        let last = mem::replace(&mut self.last, now);
        Some(Tick { last, now, wall_offset: self.offset })
    }

    /// The wall clock, ns since 1970.
    pub(super) fn wall(&self) -> u64 {
        u64::try_from(nanos(ClockId::Monotonic) + self.offset).unwrap_or(0)
    }

    /// A tick now.
    pub(super) fn now(&mut self) -> Input {
        let now = self.read();
        Input::Tick { now, wall_offset: self.offset }
    }

    fn read(&mut self) -> Nanos {
        let reading = Reading::take();
        self.offset = reading.offset(self.offset);
        Nanos(u64::try_from(reading.after).unwrap_or(0))
    }
}

/// Time has gone on.
pub(super) struct Tick {
    last: Nanos,
    pub(super) now: Nanos,
    wall_offset: i64,
}

impl Tick {
    /// In so many steps, at least one: what is due is done with each, and others can have the CPU in between.
    pub(super) fn steps(&self, count: u64) -> impl Iterator<Item = Input> {
        let (count, took) = (count.clamp(1, MOST_STEPS), self.now.since(self.last));
        let (last, wall_offset) = (self.last, self.wall_offset);
        (1..=count).map(move |step| Input::Tick {
            now: last.plus(took / count * step + took % count * step / count),
            wall_offset,
        })
    }
}

/// The wall clock, and the monotonic one before and after it.
struct Reading {
    before: i64,
    wall: i64,
    after: i64,
}

impl Reading {
    fn take() -> Self {
        let before = nanos(ClockId::Monotonic);
        let wall = nanos(ClockId::Realtime);
        Self { before, wall, after: nanos(ClockId::Monotonic) }
    }

    fn took(&self) -> i64 {
        self.after - self.before
    }

    fn middle(&self) -> i64 {
        self.wall - self.before - self.took() / 2
    }

    /// The offset that is known, as long as it can be this reading's.
    fn offset(&self, known: i64) -> i64 {
        let possible = self.wall - self.after - ROUNDED..=self.wall - self.before + ROUNDED;
        if possible.contains(&known) { known } else { self.middle() }
    }
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::{Input, MOST_STEPS, Nanos, Reading, Tick};

    #[test]
    fn a_slow_reading_tells_nothing_new() {
        let slow = Reading { before: 1_000, wall: 1_001_000, after: 9_000 };
        assert_eq!(slow.offset(999_900), 999_900);
        assert_eq!(slow.offset(992_050), 992_050);
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        let set = Reading { before: 1_000, wall: 5_001_020, after: 1_040 };
        assert_eq!(set.offset(1_000_000), 5_000_000);
    }

    #[test]
    fn a_tick_goes_on_in_steps_to_its_own_time() {
        let steps = |last, now, count| -> Vec<u64> {
            let tick = Tick { last: Nanos(last), now: Nanos(now), wall_offset: 5 };
            tick.steps(count)
                .map(|step| match step {
                    Input::Tick { now, wall_offset: 5 } => now.0,
                    other => panic!("{other:?}"),
                })
                .collect()
        };
        assert_eq!(steps(100, 110, 0), [110]);
        assert_eq!(steps(100, 110, 4), [102, 105, 107, 110]);
        assert_eq!(steps(0, u64::MAX, 3).last(), Some(&u64::MAX));
        assert_eq!(steps(7, 7, 2), [7, 7]);
        assert_eq!(steps(0, 1_000_000, u64::MAX).len() as u64, MOST_STEPS);
    }
}
