//! The clocks, read in one place.

use rustix::time::{ClockId, clock_gettime};

use crate::input::{Input, Nanos};

/// Time between two ticks of the pipeline, ns: every look at the rings has one. What is due at a tick is done without a pause,
/// and on a host without an idle CPU that is how long somebody waits for us: it must not pile up.
const EVERY: u64 = 5_000_000;

/// Tells the pipeline that time goes on.
#[derive(Default)]
pub(super) struct Clock {
    last: Nanos,
}

impl Clock {
    /// A tick, when one is due.
    pub(super) fn tick(&mut self) -> Option<(Nanos, Input)> {
        let (now, input) = self.now();
        if now.since(self.last) < EVERY {
            return None;
        }
        self.last = now;
        Some((now, input))
    }

    /// The wall clock, ns since 1970.
    #[allow(clippy::unused_self, reason = "reading a clock is this type's duty")]
    pub(super) fn wall(&self) -> u64 {
        u64::try_from(nanos(ClockId::Realtime)).unwrap_or(0)
    }

    /// A tick now.
    #[allow(clippy::unused_self, reason = "reading a clock is this type's duty")]
    pub(super) fn now(&self) -> (Nanos, Input) {
        let monotonic = nanos(ClockId::Monotonic);
        let now = Nanos(u64::try_from(monotonic).unwrap_or(0));
        (now, Input::Tick { now, wall_offset: nanos(ClockId::Realtime) - monotonic })
    }
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
