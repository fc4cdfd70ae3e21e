//! The client: so many requests, from so many threads at once, and pings at every service beside them.
//!
//! Each thread keeps its connection for a few requests and then takes a new one, so that servers see both. An answer that is
//! not the right one ends the run: what is scored must have happened.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::graph::{CALL, ping_path};
use crate::peer::{Answer, Connection, Target};
use crate::wait;

/// What every service answers.
pub const ANSWER: &[u8] = b"ok\n";

/// Requests that a client sends on one connection.
const KEPT: usize = 5;

/// How long the pinger rests between two pings.
const PING_PERIOD: Duration = Duration::from_millis(4);

/// The requests and pings of one load, and how far it has come.
pub struct Load<'a> {
    /// Whom the requests are sent to.
    pub first: &'a Target,
    /// Their numbers.
    pub requests: Range<usize>,
    /// How many are under way at once.
    pub clients: usize,
    /// Everybody who is pinged meanwhile, in turn.
    pub pinged: Vec<(&'a str, &'a Target)>,
    /// The number of the next request, and those of the next pings.
    pub next: (AtomicUsize, Vec<AtomicUsize>),
}

impl Load<'_> {
    /// Numbers before which all requests, and all pings of each service, have been begun.
    pub fn begun(&self) -> (usize, Vec<usize>) {
        let pings = self.next.1.iter().map(|next| next.load(Ordering::SeqCst));
        (self.next.0.load(Ordering::SeqCst).min(self.requests.end), pings.collect())
    }

    /// Sends it all, until the last answer.
    ///
    /// # Errors
    /// When an answer is not the right one.
    pub fn send(&self) -> anyhow::Result<()> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let pinger = scope.spawn(|| self.ping(&done));
            let clients: Vec<_> =
                (0..self.clients).map(|_| scope.spawn(|| self.send_requests())).collect();
            let sent =
                clients.into_iter().try_for_each(|client| client.join().expect("no client panics"));
            done.store(true, Ordering::Relaxed);
            let pinged = pinger.join().expect("the pinger does not panic");
            sent.and(pinged)
        })
    }

    fn send_requests(&self) -> anyhow::Result<()> {
        let mut caller = Caller::new(self.first, KEPT);
        loop {
            let number = self.next.0.fetch_add(1, Ordering::SeqCst);
            if number >= self.requests.end {
                return Ok(());
            }
            caller.get(&format!("{CALL}{number}"))?;
        }
    }

    fn ping(&self, done: &AtomicBool) -> anyhow::Result<()> {
        let all: Vec<_> = self.pinged.iter().zip(&self.next.1).collect();
        let mut callers: Vec<_> =
            all.iter().map(|((_, target), _)| Caller::new(target, usize::MAX)).collect();
        for at in (0..all.len()).cycle() {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let ((service, _), next) = all[at];
            callers[at].get(&ping_path(service, next.fetch_add(1, Ordering::SeqCst)))?;
            wait::pace(PING_PERIOD);
        }
        Ok(())
    }
}

/// Asks one server again and again.
struct Caller<'a> {
    target: &'a Target,
    /// Requests on one connection.
    kept: usize,
    open: Option<(Connection, usize)>,
}

impl<'a> Caller<'a> {
    fn new(target: &'a Target, kept: usize) -> Self {
        Self { target, kept, open: None }
    }

    fn get(&mut self, path: &str) -> anyhow::Result<()> {
        let (mut connection, used) = match self.open.take() {
            Some(open) => open,
            None => (Connection::open(self.target)?, 0),
        };
        let answer = connection.get(path).with_context(|| path.to_owned())?;
        ensure!(answer.status == 200 && answer.body == ANSWER, "{path}: {answer:?}");
        if used + 1 < self.kept && !closes(&answer) {
            self.open = Some((connection, used + 1));
        }
        Ok(())
    }
}

/// The server will close the connection behind this answer.
fn closes(answer: &Answer) -> bool {
    let is_close = |(key, value): &(String, String)| {
        key == "connection" && value.eq_ignore_ascii_case("close")
    };
    answer.headers.iter().any(is_close)
}
