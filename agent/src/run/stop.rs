//! SIGTERM and SIGINT: one byte in a socket pair, so that waiting for events also waits for them.

use std::{
    cell::Cell,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};

/// Readable once the agent is to stop.
pub(super) struct Stop {
    end: UnixStream,
    requested: Cell<bool>,
}

impl Stop {
    pub(super) fn on_signals() -> io::Result<Self> {
        let (end, written) = UnixStream::pair()?;
        end.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            pipe::register(signal, written.try_clone()?)?;
        }
        Ok(Self { end, requested: Cell::new(false) })
    }

    pub(super) fn requested(&self) -> bool {
        if !self.requested.get() && matches!((&self.end).read(&mut [0]), Ok(1..)) {
            self.requested.set(true);
        }
        self.requested.get()
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
