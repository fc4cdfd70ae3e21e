//! The client: so many requests, from so many threads at once, and pings at every service beside them.
//!
//! Each thread keeps its connection for a few requests and then takes a new one, so that servers see both. An answer that is
//! not the right one ends the run: what is scored must have happened.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::graph::{CALL, ping_path};
use crate::namespace::Hosts;
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
    /// The number of the first request.
    pub start: usize,
    /// How many are under way at once.
    clients: usize,
    /// All services. The requests go to the first.
    services: Vec<(&'a str, &'a Target)>,
    /// The number of the next request.
    next: AtomicUsize,
    /// The number of the first request that is not sent any more.
    end: AtomicUsize,
    are_pinged: bool,
    /// Where the client is, on the first of them; `None`: here.
    hosts: Option<&'a Hosts>,
    /// The numbers of the next ping of each.
    pings: Vec<AtomicUsize>,
}

impl<'a> Load<'a> {
    /// Requests from that number on, from so many clients, without an end. Meanwhile all services are pinged in turn, if they are
    /// to be.
    #[must_use]
    pub fn new(
        start: usize,
        clients: usize,
        services: Vec<(&'a str, &'a Target)>,
        are_pinged: bool,
    ) -> Self {
        let pings = services.iter().map(|_| AtomicUsize::new(0)).collect();
        let (next, end) = (AtomicUsize::new(start), AtomicUsize::new(usize::MAX));
        Self { start, clients, services, are_pinged, hosts: None, next, end, pings }
    }

    /// The client stands on the first of these hosts.
    #[must_use]
    pub fn on(self, hosts: Option<&'a Hosts>) -> Self {
        Self { hosts, ..self }
    }

    fn enter(&self) -> anyhow::Result<()> {
        self.hosts.map_or(Ok(()), |hosts| hosts.enter(0))
    }

    /// Numbers before which all requests, and all pings of each service, have been begun.
    #[must_use]
    pub fn begun(&self) -> (usize, Vec<usize>) {
        let pings = self.pings.iter().map(|next| next.load(Ordering::SeqCst)).collect();
        (self.next.load(Ordering::SeqCst).min(self.end.load(Ordering::SeqCst)), pings)
    }

    /// Has it end after so many further requests.
    pub fn end_after(&self, requests: usize) {
        self.end.store(self.next.load(Ordering::SeqCst) + requests, Ordering::SeqCst);
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
        self.enter()?;
        let mut caller = Caller::new(self.services[0].1, KEPT);
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.end.load(Ordering::SeqCst) {
                return Ok(());
            }
            caller.get(&format!("{CALL}{number}"))?;
        }
    }

    fn ping(&self, done: &AtomicBool) -> anyhow::Result<()> {
        self.enter()?;
        let all: Vec<_> = self.services.iter().zip(&self.pings).collect();
        let mut callers: Vec<_> =
            all.iter().map(|((_, target), _)| Caller::new(target, usize::MAX)).collect();
        for at in (0..all.len()).cycle() {
            if done.load(Ordering::Relaxed) || !self.are_pinged {
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
