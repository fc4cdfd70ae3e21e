//! The way into the pipe: a bounded queue, and the thread that writes.
//!
//! The child may be slow, or stopped; the agent never waits for it. Of numbers only the newest count. Spans that do not
//! fit are dropped and counted. The thread gathers spans for a moment, so that ten thousand a second cost ten messages.
#![forbid(unsafe_code)]

use std::io::{BufWriter, Write};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::frame::Message;
use super::{Counters, Meaning, Snapshot};
use crate::courtesy;
use crate::export::batch;
use crate::trace::EncodedSpan;
use crate::viewer::Host;

/// Spans that may wait: about 16 MiB, and a second of heavy traffic.
const MOST_SPANS: usize = 16_384;
/// Spans that are not waited on for more.
const ENOUGH_SPANS: usize = 1_000;
/// Spans in one message. The child takes a tenth of a millisecond for it, this side less, and both offer their CPU behind each: in
/// messages of a thousand, applications on the same CPU waited a millisecond and a half.
const SPANS_A_MESSAGE: usize = 32;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_millis(100);

/// The queue's near end.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
    offered: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<EncodedSpan>,
    snapshot: Option<Snapshot>,
    host: Option<Host>,
    /// Nothing more will come, or nobody reads any more.
    over: bool,
}

impl Feed {
    /// Starts the thread that writes into `pipe`.
    pub(super) fn start(pipe: ChildStdin) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("spanwire-status".to_owned())
            .spawn(move || theirs.write(BufWriter::new(pipe)))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn snapshot(&self, snapshot: Snapshot) {
        self.shared.lock().snapshot = Some(snapshot);
        self.shared.news.notify_one();
    }

    pub(super) fn host(&self, host: Host) {
        self.shared.lock().host = Some(host);
        self.shared.news.notify_one();
    }

    /// Takes what fits.
    pub(super) fn spans(&self, mut spans: Vec<EncodedSpan>) {
        let count = spans.len();
        let mut waiting = self.shared.lock();
        let room = if waiting.over { 0 } else { MOST_SPANS - waiting.spans.len().min(MOST_SPANS) };
        let was_empty = waiting.spans.is_empty();
        spans.truncate(room);
        self.shared.offered.fetch_add(count as u64, Relaxed);
        self.shared.dropped.fetch_add((count - spans.len()) as u64, Relaxed);
        waiting.spans.append(&mut spans);
        let is_full = waiting.spans.len() >= ENOUGH_SPANS;
        drop(waiting);
        if was_empty || is_full {
            self.shared.news.notify_one();
        }
    }

    pub(super) fn count(&self, counters: &mut Counters) {
        let shared = &self.shared;
        counters.add("viewer", "spans_offered", Meaning::Event, shared.offered.load(Relaxed));
        counters.add("viewer", "spans_dropped", Meaning::Loss, shared.dropped.load(Relaxed));
    }

    /// No more will come; does not wait.
    pub(super) fn close(&self) {
        self.shared.lock().over = true;
        self.shared.news.notify_one();
    }

    /// Waits for the thread: once nobody reads, it ends.
    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut pipe: impl Write) {
        while let Some(waiting) = self.next() {
            if let Err(error) = send(waiting, &mut pipe) {
                let mut waiting = self.lock();
                if !waiting.over {
                    log::warn!("the viewer is gone: {error}");
                }
                waiting.over = true;
                return;
            }
        }
    }

    /// What is to be written, after a moment in which more may have come; `None` at the end.
    fn next(&self) -> Option<Waiting> {
        let mut waiting = self.lock();
        loop {
            let is_empty = waiting.spans.is_empty();
            if waiting.over && is_empty {
                return None;
            }
            if waiting.snapshot.is_some() || waiting.host.is_some() || !is_empty {
                break;
            }
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |waiting: &mut Waiting| {
            !waiting.over && !waiting.spans.is_empty() && waiting.spans.len() < ENOUGH_SPANS
        };
        let gathered = self.news.wait_timeout_while(waiting, GATHER, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        let over = waiting.over;
        let taken = std::mem::take(&mut *waiting);
        waiting.over = over;
        Some(taken)
    }
}

fn send(waiting: Waiting, pipe: &mut impl Write) -> std::io::Result<()> {
    if let Some(host) = waiting.host {
        Message::Host(host).write(pipe)?;
    }
    for spans in waiting.spans.chunks(SPANS_A_MESSAGE) {
        Message::Spans(batch::request(spans)).write(pipe)?;
        courtesy::offer();
    }
    if let Some(snapshot) = waiting.snapshot {
        Message::Snapshot(snapshot).write(pipe)?;
    }
    pipe.flush()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;

    use super::*;
    use crate::export::sample;

    fn dropped(feed: &Feed) -> u64 {
        feed.shared.dropped.load(Relaxed)
    }

    #[test]
    fn spans_go_in_small_bites_and_all_of_them() {
        let shop = sample::service("shop");
        let spans =
            (1..=1_000).map(|id| sample::outgoing(&shop, "spanwire.http", id).into()).collect();
        let mut pipe = Vec::new();
        send(Waiting { spans, ..Waiting::default() }, &mut pipe).unwrap();
        let mut from = &*pipe;
        let mut ids = Vec::new();
        while let Some(Message::Spans(bytes)) = Message::read(&mut from).unwrap() {
            let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|one| one.scope_spans);
            let bite: Vec<_> = scopes.flat_map(|scope| scope.spans).collect();
            assert!(bite.len() <= 50, "{} spans are no small bite", bite.len());
            ids.extend(bite.into_iter().map(|span| span.span_id));
        }
        let before = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((before, ids.len()), (1_000, 1_000));
    }

    #[test]
    fn nobody_who_reads_stops_nobody() {
        // A child that never reads: the pipe fills, then the queue does.
        let mut child =
            Command::new("sleep").arg("60").stdin(Stdio::piped()).spawn().expect("sleep starts");
        let mut feed = Feed::start(child.stdin.take().unwrap()).unwrap();
        let shop = sample::service("shop");
        let spans: Vec<_> =
            (1..=1_000).map(|id| sample::outgoing(&shop, "spanwire.http", id).into()).collect();
        for _ in 0..60 {
            feed.spans(spans.clone());
        }
        let offered = feed.shared.offered.load(Relaxed);
        assert_eq!(offered, 60_000);
        // What the thread had taken when the pipe was full is one queue's worth at most.
        let least = offered - 2 * MOST_SPANS as u64 - 1_000;
        assert!(dropped(&feed) >= least, "{}", dropped(&feed));
        child.kill().unwrap();
        child.wait().unwrap();
        feed.close();
        feed.join();
        let before = dropped(&feed);
        feed.spans(spans);
        assert_eq!(dropped(&feed), before + 1_000);
    }
}
