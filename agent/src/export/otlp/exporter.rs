//! The exporter: its handle for the capture side, and the thread that sends.
//!
//! One batch is in flight at a time and is held until the server decides; only the deadline of a shutdown takes it
//! away. This is an outer edge: it has a runtime and a clock, which no stage before it has.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::codegen::Bytes;

use super::config::{Config, Protocol};
use super::counts::{Counts, Totals, add};
use super::grpc::Grpc;
use super::http::Http;
use super::queue::Queue;
use super::retry::{Backoff, BackoffTimes, Outcome};
use super::{Limits, TlsError};
use crate::export::{FinishedSpan, batch, json};

/// Why an exporter cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS files or client.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread or no runtime.
    #[error("the exporter's thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// Sends spans over OTLP from a thread of its own.
#[derive(Debug)]
pub struct Exporter {
    shared: Arc<Shared>,
    /// The moment by which the thread must end, once there is one.
    stop: watch::Sender<Option<Instant>>,
    /// Closed by the thread when it has ended.
    ended: mpsc::Receiver<()>,
}

#[derive(Debug)]
pub(super) struct Shared {
    queue: Queue,
    counts: Counts,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// TLS files that cannot be used; no thread to be had.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let shared =
            Arc::new(Shared { queue: Queue::new(config.limits), counts: Counts::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let transport = {
            // hyper's client wants to be born inside the runtime it will live in.
            let _inside = runtime.enter();
            match config.protocol {
                Protocol::Grpc => Transport::Grpc(Box::new(Grpc::new(config)?)),
                Protocol::HttpProtobuf | Protocol::HttpJson => Transport::Http(Http::new(config)?),
            }
        };
        let (stop, stopped) = watch::channel(None);
        let (on_end, ended) = mpsc::channel();
        let sender = Sender {
            shared: shared.clone(),
            transport,
            stopped,
            limits: config.limits,
            timeout: config.timeout,
            backoff: config.backoff,
            json: config.protocol == Protocol::HttpJson,
            troubled: false,
        };
        thread::Builder::new().name("spanwire-export".to_owned()).spawn(move || {
            runtime.block_on(sender.run());
            // A name lookup that hangs in its own thread must not hold up the end.
            runtime.shutdown_background();
            drop(on_end);
        })?;
        Ok(Self { shared, stop, ended })
    }

    /// Hands spans over; never waits for the network. What does not fit is dropped and counted.
    pub fn offer(&self, spans: Vec<FinishedSpan>) {
        add(&self.shared.counts.offered, spans.len() as u64);
        let dropped = self.shared.queue.offer(spans);
        add(&self.shared.counts.dropped_queue_full, dropped as u64);
    }

    /// What became of all spans so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.counts.totals()
    }

    /// Sends what waits, for no longer than `within`, then ends the thread. What was not accepted by then is counted
    /// as dropped.
    #[must_use = "the totals say what was lost"]
    pub fn shutdown(self, within: Duration) -> Totals {
        self.stop.send_replace(Some(Instant::now() + within));
        // The grace is for the thread to count; a thread stuck in the kernel is left behind.
        let _ = self.ended.recv_timeout(within + Duration::from_millis(250));
        self.totals()
    }
}

#[cfg(test)]
impl Exporter {
    pub(super) const fn shared_for_test(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.send_if_modified(|at| {
            let first = at.is_none();
            at.get_or_insert_with(Instant::now);
            first
        });
    }
}

enum Transport {
    Grpc(Box<Grpc>),
    Http(Http),
}

/// The thread's side.
struct Sender {
    shared: Arc<Shared>,
    transport: Transport,
    stopped: watch::Receiver<Option<Instant>>,
    limits: Limits,
    timeout: Duration,
    backoff: BackoffTimes,
    json: bool,
    /// The last attempt failed: said once in the log, not once per attempt.
    troubled: bool,
}

impl Sender {
    async fn run(mut self) {
        loop {
            let stopping = self.stopped.borrow().is_some();
            if !stopping {
                tokio::select! {
                    () = sleep(self.limits.delay) => {}
                    () = self.shared.queue.batch_full() => {}
                    _ = self.stopped.wait_for(Option::is_some) => {}
                }
            }
            loop {
                let spans = self.shared.queue.take();
                if spans.is_empty() {
                    break;
                }
                if !self.deliver(spans).await {
                    self.give_up();
                    return;
                }
                // Between deadlines a half-full batch waits for its time again.
                if !stopping && !self.shared.queue.is_batch_waiting() {
                    break;
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Holds one batch until the server has decided on it. False: the deadline came first.
    async fn deliver(&mut self, spans: Vec<FinishedSpan>) -> bool {
        let count = spans.len() as u64;
        let body = match self.encode(spans) {
            Ok(body) => body,
            Err(error) => {
                log::error!("{count} spans cannot be encoded: {error}");
                add(&self.shared.counts.refused, count);
                return true;
            }
        };
        let mut backoff = Backoff::new(self.backoff);
        loop {
            let Some(outcome) = self.attempt(body.clone()).await else {
                add(&self.shared.counts.dropped_shutdown, count);
                return false;
            };
            match outcome {
                Outcome::Accepted { rejected, message } => {
                    self.accepted(count, rejected, &message);
                    return true;
                }
                Outcome::Refused(why) => {
                    add(&self.shared.counts.refused, count);
                    log::warn!("the server refused {count} spans: {}", printable(&why));
                    return true;
                }
                Outcome::Later { why, after } => {
                    add(&self.shared.counts.failed_attempts, 1);
                    if !self.troubled {
                        self.troubled = true;
                        log::warn!("export failed, trying again: {}", printable(&why));
                    }
                    let random = RandomState::new().hash_one(());
                    let wait = after.unwrap_or_else(|| backoff.next(random));
                    if !self.pause(wait, after.is_some()).await {
                        add(&self.shared.counts.dropped_shutdown, count);
                        return false;
                    }
                }
            }
        }
    }

    fn encode(&self, spans: Vec<FinishedSpan>) -> serde_json::Result<Bytes> {
        let encoded =
            if self.json { json::body(spans)? } else { batch::request(spans).encode_to_vec() };
        Ok(match &self.transport {
            Transport::Grpc(_) => encoded.into(),
            Transport::Http(http) => http.body(encoded),
        })
    }

    /// One attempt within its time; `None` when the deadline came first.
    async fn attempt(&mut self, body: Bytes) -> Option<Outcome> {
        let mut stopped = self.stopped.clone();
        let sending = async {
            match &mut self.transport {
                Transport::Grpc(grpc) => grpc.send(body).await,
                Transport::Http(http) => http.send(body).await,
            }
        };
        tokio::select! {
            outcome = timeout(self.timeout, sending) => {
                Some(outcome.unwrap_or_else(|_| Outcome::Later {
                    why: format!("no answer within {:?}", self.timeout),
                    after: None,
                }))
            }
            () = deadline(&mut stopped) => None,
        }
    }

    /// Waits between attempts. A shutdown that begins ends the wait, unless the server asked for it; one whose
    /// deadline lies before the end of the wait returns false at once.
    async fn pause(&mut self, wait: Duration, asked: bool) -> bool {
        let until = Instant::now() + wait;
        let stopping = *self.stopped.borrow();
        if stopping.is_none() {
            tokio::select! {
                () = sleep_until(until) => return true,
                _ = self.stopped.wait_for(Option::is_some) => {}
            }
            if !asked {
                return true;
            }
        }
        let at = (*self.stopped.borrow()).unwrap_or(until);
        if until >= at {
            return false;
        }
        sleep_until(until).await;
        true
    }

    fn accepted(&mut self, count: u64, rejected: i64, message: &str) {
        if std::mem::take(&mut self.troubled) {
            log::info!("export works again");
        }
        // A server's number, which may be any.
        let rejected = u64::try_from(rejected).unwrap_or(0).min(count);
        let counts = &self.shared.counts;
        add(&counts.requests, 1);
        add(&counts.rejected, rejected);
        add(&counts.sent, count - rejected);
        if rejected > 0 {
            log::warn!("the server rejected {rejected} of {count} spans: {}", printable(message));
        } else if !message.is_empty() {
            log::warn!("the server took all spans but says: {}", printable(message));
        }
    }

    /// Counts what is still in the queue at the deadline.
    fn give_up(&self) {
        loop {
            let spans = self.shared.queue.take();
            if spans.is_empty() {
                return;
            }
            add(&self.shared.counts.dropped_shutdown, spans.len() as u64);
        }
    }
}

/// Returns at the deadline of the shutdown; never while there is none.
async fn deadline(stopped: &mut watch::Receiver<Option<Instant>>) {
    // An error means that the handle is gone: its drop has set a deadline before.
    let at = stopped.wait_for(Option::is_some).await.ok().and_then(|at| *at);
    if let Some(at) = at {
        sleep_until(at).await;
    }
}

/// A server's words for the log: without control characters, and not long.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
