//! Signals: SIGTERM and SIGINT end the agent, SIGHUP has it read its configuration again, SIGUSR1 takes every probe off
//! the host at once.
//!
//! A flag for each, and one byte in a socket pair, so that waiting for events also waits for them.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    time::Timespec,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
    low_level::pipe,
};

/// What signals have asked for.
pub(super) struct Signals {
    end: UnixStream,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    detach: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        let (end, written) = UnixStream::pair()?;
        end.set_nonblocking(true)?;
        let signals =
            Self { end, stop: Arc::default(), reload: Arc::default(), detach: Arc::default() };
        for (signal, asked) in [
            (SIGTERM, &signals.stop),
            (SIGINT, &signals.stop),
            (SIGHUP, &signals.reload),
            (SIGUSR1, &signals.detach),
        ] {
            // The flag first: whoever is woken by the byte must see it.
            flag::register(signal, Arc::clone(asked))?;
            pipe::register(signal, written.try_clone()?)?;
        }
        Ok(signals)
    }

    /// The agent is to end. Stays so.
    pub(super) fn stop(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// The probes are to go. Stays so.
    pub(super) fn detach(&self) -> bool {
        self.detach.load(SeqCst)
    }

    /// The configuration is to be read again, since this was last asked.
    pub(super) fn reload(&self) -> bool {
        let mut bytes = [0; 64];
        while matches!((&self.end).read(&mut bytes), Ok(1..)) {}
        self.reload.swap(false, SeqCst)
    }

    /// Waits for a signal, no longer than `most`.
    pub(super) fn wait(&self, most: Duration) {
        let timeout = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        // Interrupted or not: whoever waited looks at the flags.
        let _ = poll(&mut [PollFd::new(&self.end, PollFlags::IN)], Some(&timeout));
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    fn raise(signal: Signal) {
        kill_process(getpid(), signal).unwrap();
    }

    #[test]
    fn each_signal_asks_for_its_own_and_wakes_who_waits() {
        let signals = Signals::catch().unwrap();
        assert!(!signals.stop() && !signals.detach() && !signals.reload());
        raise(Signal::HUP);
        signals.wait(Duration::from_secs(10));
        assert!(signals.reload() && !signals.reload(), "asked for once, told once");
        assert!(!signals.stop() && !signals.detach());
        raise(Signal::USR1);
        signals.wait(Duration::from_secs(10));
        assert!(!signals.reload());
        assert!(signals.detach() && signals.detach(), "it stays so");
        raise(Signal::TERM);
        signals.wait(Duration::from_secs(10));
        assert!(signals.stop());
    }
}
