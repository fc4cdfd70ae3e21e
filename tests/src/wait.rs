//! Waiting with a deadline: the only place of the tests that reads a clock or sleeps.
//!
//! A test waits for a thing to become true, never for time to pass.

use std::time::{Duration, Instant};

/// How often a condition without an event of its own is looked at.
const PERIOD: Duration = Duration::from_millis(5);

/// A moment after which waiting is over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So far from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(now() + time)
    }

    /// So many seconds from now.
    #[must_use]
    pub fn seconds(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// What is left, zero when it is past.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// Whether it is past.
    #[must_use]
    pub fn is_past(self) -> bool {
        self.left().is_zero()
    }
}

/// The monotonic clock.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the tests' own outer edge")]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, as spans have them.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the tests' own outer edge")]
pub fn wall_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.map_or(0, |time| time.as_nanos())).unwrap_or(u64::MAX)
}

/// Rests, as a load does between two requests. Never to be used to wait for something.
pub fn pace(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until `condition` gives something, or fails at the deadline saying `what` was waited for.
///
/// # Errors
/// At the deadline.
pub fn until<T>(
    what: &str,
    deadline: Deadline,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        anyhow::ensure!(!deadline.is_past(), "waited in vain for {what}");
        std::thread::sleep(PERIOD.min(deadline.left()));
    }
}
