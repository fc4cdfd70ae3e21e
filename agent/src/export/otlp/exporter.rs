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

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::codegen::Bytes;

use super::backlog::{Backlog, Held, Shared};
use super::config::{Config, Protocol};
use super::counts::{Counts, Totals, add};
use super::grpc::Grpc;
use super::http::Http;
use super::queue::Queue;
use super::retry::{Backoff, BackoffTimes, Outcome};
use super::spool::{Spool, SpoolError};
use super::{Limits, TlsError};
use crate::export::EncodedSpan;

/// Why an exporter cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS files or client.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder for the spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No thread or no runtime.
    #[error("the exporter's thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// How long the thread may need after the deadline of a shutdown: to count, and to write what is left to the spool.
const GRACE: Duration = Duration::from_millis(250);
/// See [`GRACE`]: 64 MiB of spans are packed and written within this.
const GRACE_WITH_SPOOL: Duration = Duration::from_secs(5);

/// Sends spans over OTLP from a thread of its own.
#[derive(Debug)]
pub struct Exporter {
    shared: Arc<Shared>,
    /// The moment by which the thread must end, once there is one.
    stop: watch::Sender<Option<Instant>>,
    /// Closed by the thread when it has ended.
    ended: mpsc::Receiver<()>,
    grace: Duration,
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
        let spool = config.spool.as_ref().map(Spool::open).transpose()?;
        let grace = if spool.is_some() { GRACE_WITH_SPOOL } else { GRACE };
        let (stop, stopped) = watch::channel(None);
        let (on_end, ended) = mpsc::channel();
        let sender = Sender {
            backlog: Backlog::new(shared.clone(), spool),
            transport,
            stopped,
            limits: config.limits,
            timeout: config.timeout,
            backoff: config.backoff,
            json: config.protocol == Protocol::HttpJson,
            destination: config.destination(),
            troubled: false,
        };
        thread::Builder::new().name("spanwire-export".to_owned()).spawn(move || {
            runtime.block_on(sender.run());
            // A name lookup that hangs in its own thread must not hold up the end.
            runtime.shutdown_background();
            drop(on_end);
        })?;
        Ok(Self { shared, stop, ended, grace })
    }

    /// Hands spans over; never waits for the network. What does not fit is dropped and counted.
    pub fn offer(&self, spans: Vec<EncodedSpan>) {
        add(&self.shared.counts.offered, spans.len() as u64);
        let dropped = self.shared.queue.offer(spans);
        add(&self.shared.counts.dropped_queue_full, dropped as u64);
    }

    /// What became of all spans so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.counts.totals()
    }

    /// Sends what waits, for no longer than `within`, then ends the thread. What was not accepted by then goes into the
    /// spool, or is counted as dropped.
    #[must_use = "the totals say what was lost"]
    pub fn shutdown(self, within: Duration) -> Totals {
        self.stop.send_replace(Some(Instant::now() + within));
        // A thread stuck in the kernel is left behind.
        let _ = self.ended.recv_timeout(within + self.grace);
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
    backlog: Backlog,
    transport: Transport,
    stopped: watch::Receiver<Option<Instant>>,
    limits: Limits,
    timeout: Duration,
    backoff: BackoffTimes,
    json: bool,
    /// For the log: nobody finds out what is wrong with a server that is not named.
    destination: String,
    /// The last attempt failed: said once in the log, not once per attempt.
    troubled: bool,
}

impl Sender {
    async fn run(mut self) {
        loop {
            let stopping = self.stopped.borrow().is_some();
            if !stopping && !self.backlog.is_spooled() {
                tokio::select! {
                    () = sleep(self.limits.delay) => {}
                    () = self.backlog.shared.queue.batch_full() => {}
                    _ = self.stopped.wait_for(Option::is_some) => {}
                }
            }
            while let Some(held) = self.backlog.next() {
                let from_disk = held.on_disk;
                if !self.deliver(held).await {
                    return;
                }
                // Between deadlines a half-full batch waits for its time again.
                if !stopping && !from_disk && !self.backlog.shared.queue.is_batch_waiting() {
                    break;
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Holds one batch until the server has decided on it. False: the deadline came first.
    async fn deliver(&mut self, mut held: Held) -> bool {
        let body = match self.body(&held.request) {
            Ok(body) => body,
            Err(error) => {
                log::error!("{} spans cannot be encoded: {error}", held.spans);
                self.backlog.decided(&held);
                add(&self.backlog.shared.counts.refused, held.spans);
                return true;
            }
        };
        let mut backoff = Backoff::new(self.backoff);
        loop {
            let Some(outcome) = self.attempt(body.clone()).await else {
                self.backlog.give_up(&held);
                return false;
            };
            match outcome {
                Outcome::Accepted { rejected, message } => {
                    self.backlog.decided(&held);
                    self.accepted(held.spans, rejected, &message);
                    return true;
                }
                Outcome::Refused(why) => {
                    self.backlog.decided(&held);
                    add(&self.backlog.shared.counts.refused, held.spans);
                    log::warn!(
                        "{} refused {} spans: {}",
                        self.destination,
                        held.spans,
                        printable(&why)
                    );
                    return true;
                }
                Outcome::Later { why, after } => {
                    add(&self.backlog.shared.counts.failed_attempts, 1);
                    if !self.troubled {
                        self.troubled = true;
                        log::warn!(
                            "export to {} failed, trying again: {}",
                            self.destination,
                            printable(&why)
                        );
                    }
                    self.backlog.keep(&mut held);
                    let random = RandomState::new().hash_one(());
                    let wait = after.unwrap_or_else(|| backoff.next(random));
                    if !self.pause(wait, after.is_some()).await {
                        self.backlog.give_up(&held);
                        return false;
                    }
                }
            }
        }
    }

    /// What goes over the wire for a request.
    fn body(&self, request: &Bytes) -> anyhow::Result<Bytes> {
        let encoded = if self.json {
            serde_json::to_vec(&ExportTraceServiceRequest::decode(request.clone())?)?.into()
        } else {
            request.clone()
        };
        Ok(match &self.transport {
            Transport::Grpc(_) => encoded,
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

    /// Waits between attempts; meanwhile the queue may move to disk. A shutdown that begins ends the wait, unless the
    /// server asked for it; one whose deadline lies before the end of the wait returns false at once.
    async fn pause(&mut self, wait: Duration, asked: bool) -> bool {
        let until = Instant::now() + wait;
        let mut stopped = self.stopped.clone();
        let stopping = *stopped.borrow();
        if stopping.is_none() {
            loop {
                let absorbs = self.backlog.absorbs();
                tokio::select! {
                    () = sleep_until(until) => return true,
                    _ = stopped.wait_for(Option::is_some) => break,
                    () = self.backlog.shared.queue.batch_full(), if absorbs => self.backlog.absorb(),
                }
            }
            if !asked {
                return true;
            }
        }
        let at = (*self.stopped.borrow()).unwrap_or(until);
        // What the next run can send is not worth waiting for.
        if until >= at || self.backlog.is_spooled() {
            return false;
        }
        sleep_until(until).await;
        true
    }

    fn accepted(&mut self, count: u64, rejected: i64, message: &str) {
        if std::mem::take(&mut self.troubled) {
            log::info!("export to {} works again", self.destination);
        }
        // A server's number, which may be any.
        let rejected = u64::try_from(rejected).unwrap_or(0).min(count);
        let counts = &self.backlog.shared.counts;
        add(&counts.requests, 1);
        add(&counts.rejected, rejected);
        add(&counts.sent, count - rejected);
        if rejected > 0 {
            let words = printable(message);
            log::warn!("{} rejected {rejected} of {count} spans: {words}", self.destination);
        } else if !message.is_empty() {
            log::warn!("{} took all spans but says: {}", self.destination, printable(message));
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
