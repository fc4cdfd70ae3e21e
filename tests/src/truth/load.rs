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

/// Sends the requests of these numbers to `first` from `clients` threads, and meanwhile pings all of `services` in turn.
/// Gives how many pings each of them got.
///
/// # Errors
/// When an answer is not the right one.
pub fn send(
    first: &Target,
    requests: Range<usize>,
    clients: usize,
    services: &[(&str, &Target)],
) -> anyhow::Result<Vec<usize>> {
    let next = AtomicUsize::new(requests.start);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pinger = scope.spawn(|| ping(services, &done));
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut caller = Caller::new(first, KEPT);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= requests.end {
                            return anyhow::Ok(());
                        }
                        caller.get(&format!("{CALL}{number}"))?;
                    }
                })
            })
            .collect();
        let sent =
            clients.into_iter().try_for_each(|client| client.join().expect("no client panics"));
        done.store(true, Ordering::Relaxed);
        let pinged = pinger.join().expect("the pinger does not panic");
        sent?;
        pinged
    })
}

fn ping(services: &[(&str, &Target)], done: &AtomicBool) -> anyhow::Result<Vec<usize>> {
    let mut callers: Vec<_> =
        services.iter().map(|(_, target)| Caller::new(target, usize::MAX)).collect();
    let mut sent = vec![0; services.len()];
    for at in (0..services.len()).cycle() {
        if done.load(Ordering::Relaxed) {
            break;
        }
        callers[at].get(&ping_path(services[at].0, sent[at]))?;
        sent[at] += 1;
        wait::pace(PING_PERIOD);
    }
    Ok(sent)
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
