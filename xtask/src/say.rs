//! What xtask says while it works: one line when a long step begins, one when it ends with how long it took.
//!
//! Everything goes to stderr: stdout belongs to the programs that xtask runs.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Announces a step, runs it, and says how long it took. A failed step is reported by whoever ends up with its error.
pub(crate) fn step<T>(what: impl Display, run: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("» {what} …");
    let started = now();
    let done = run()?;
    eprintln!("  done in {}", seconds(started.elapsed()));
    Ok(done)
}

/// A remark that needs no answer.
pub(crate) fn note(what: impl Display) {
    eprintln!("  {what}");
}

/// The end of the road: what went wrong and (every error here ends with it) what to do; then why, from the nearest
/// cause to the first.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// `0.4 s`, `61 s`, `3 min 05 s`.
pub(crate) fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    match whole {
        0..10 => format!("{:.1} s", took.as_secs_f64()),
        10..120 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// The clock for saying how long things took.
#[allow(
    clippy::disallowed_methods,
    reason = "xtask is no stage of the agent: it times its own steps"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        assert_eq!(seconds(Duration::from_millis(440)), "0.4 s");
        assert_eq!(seconds(Duration::from_millis(61_900)), "61 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}
