//! A delay of known length without a look at the clock, to be planted where delays are measured.

use std::hint::black_box;
use std::time::Duration;

use tests::wait;

/// Turns in one go of the calibration: some 20 µs, so short that most goes are interrupted by nobody.
const TURNS: u32 = 20_000;

/// Goes. On a busy machine a CPU may be somebody else's for several milliseconds at a time.
const GOES: u32 = 2000;

/// How fast this CPU turns.
pub(super) struct Spin {
    turns_per_nano: f64,
}

impl Spin {
    /// Looks how fast. The fastest of several goes is the one nobody interrupted.
    pub(super) fn calibrate() -> Self {
        let took = (0..GOES).map(|_| {
            let began = wait::now();
            turn(TURNS);
            began.elapsed()
        });
        let took = took.min().unwrap_or_default().as_nanos().max(1) as f64;
        Self { turns_per_nano: f64::from(TURNS) / took }
    }

    /// Turns that take so long.
    pub(super) fn turns(&self, time: Duration) -> u32 {
        (time.as_nanos() as f64 * self.turns_per_nano) as u32
    }
}

/// Turns so often: each needs the one before, so that they cannot overlap, and no two can be made one.
///
/// In registers alone: what goes through memory takes some CPUs less time in a long loop than in a short one (seen on Intel's: 300 ns
/// took 410 to 440). And at the end it waits for the last one: what comes behind would begin
/// before, even if it is a system call (seen on AMD's: 300 ns in front of a write took 216).
#[inline(never)]
pub(super) fn turn(turns: u32) {
    let mut value = black_box(1_u64);
    for _ in 0..turns {
        value = (value ^ value >> 32).wrapping_mul(6_364_136_223_846_793_005);
    }
    black_box(value);
    // SAFETY: every x86-64 CPU has this instruction, and it does nothing but wait.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
}
