//! An exchange that is open: what has been seen of it, until it is told.
#![forbid(unsafe_code)]

use super::head::{AnswerHead, Collected, RequestHead};
use crate::exchange::{
    Asked, ExchangeId, Failure, Finished, Header, Http, OnCpu, Report, Role, Sizes, Started,
    Version,
};
use crate::input::{Nanos, Task};
use crate::protocols::{Outlet, Piece, grpc, http2};

/// The media type of server-sent events.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// One request and what has come back for it.
#[derive(Debug)]
pub(super) struct Open {
    /// Its name.
    pub(super) id: ExchangeId,
    role: Role,
    http: Http,
    bytes: Sizes,
    /// What its request holds, bytes.
    pub(super) held: usize,
    /// When the last byte of either direction moved.
    last: Nanos,
    /// The request is complete, or cannot be followed any more.
    pub(super) request_done: bool,
    /// It asked for `100 (Continue)` and has got none.
    pub(super) waits_for_continue: bool,
    /// When the last byte of the final answer moved.
    pub(super) answered: Option<Nanos>,
    first_answer: Option<Nanos>,
    answered_by: Option<Task>,
    on_cpu: Option<OnCpu>,
    /// An answer was seen before it that may have been its own, or it was kept over a hole in the answers: its
    /// pairing holds only if it is answered before the next request begins.
    pub(super) unproven: bool,
}

impl Open {
    /// A request whose head is complete: reports it.
    pub(super) fn start(
        head: &Collected,
        request: RequestHead,
        bytes: u64,
        at: Nanos,
        role: Role,
        out: &mut Outlet<'_>,
    ) -> Self {
        let id = ExchangeId { conn: out.conn.id, position: head.position };
        out.reports.push(Report::Started(Started {
            id,
            stream: None,
            role,
            conn: out.conn.clone(),
            at: head.began,
            task: head.task,
            serving: head.serving,
            runtime: head.runtime,
            thread_waits: head.thread_waits,
            connected_in: None,
            told: head.told,
            asked: Asked::of(&request.method, &request.target, request.user_agent().as_deref()),
            propagation: request.propagation,
        }));
        let http = Http {
            method: Some(request.method),
            target: Some(request.target),
            version: Version::http1(request.minor),
            request_headers: request.kept,
            ..Http::default()
        };
        let kept = http.request_headers.iter();
        let headers: usize = kept.map(|(name, value)| name.len() + value.len() + 48).sum();
        let line = [&http.method, &http.target];
        let line: usize = line.into_iter().flatten().map(String::len).sum();
        Self {
            id,
            role,
            held: size_of::<Self>() + line + headers,
            http,
            bytes: Sizes { request: bytes, response: 0 },
            last: at,
            request_done: false,
            waits_for_continue: request.expects,
            answered: None,
            first_answer: None,
            answered_by: None,
            on_cpu: None,
            unproven: false,
        }
    }

    /// Its method.
    pub(super) fn method(&self) -> &str {
        self.http.method.as_deref().unwrap_or_default()
    }

    /// When its last byte moved so far.
    pub(super) const fn last(&self) -> Nanos {
        self.last
    }

    /// Whether the head of its final answer has been seen.
    pub(super) const fn has_status(&self) -> bool {
        self.http.status.is_some()
    }

    /// Bytes of the request moved.
    pub(super) fn request_moved(&mut self, bytes: u64, at: Nanos) {
        self.bytes.request = self.bytes.request.saturating_add(bytes);
        self.last = self.last.max(at);
    }

    /// The first `bytes` of this, which belong to its answer, moved.
    pub(super) fn answer_moved(&mut self, bytes: u64, piece: &Piece<'_>) {
        self.bytes.response = self.bytes.response.saturating_add(bytes);
        self.last = self.last.max(piece.ended);
        if bytes > 0 {
            let on_cpu = piece.serving.zip(piece.on_cpu);
            self.on_cpu = on_cpu.map(|(since, nanos)| OnCpu { since, nanos });
        }
    }

    /// The request is complete; `body` is its length if known.
    pub(super) const fn request_complete(&mut self, body: Option<u64>) {
        self.request_done = true;
        self.http.request_body = body;
    }

    /// The head of the final answer.
    pub(super) fn final_answer(&mut self, head: &Collected, answer: AnswerHead) {
        self.http.response_version = Some(Version::http1(answer.line.minor));
        self.http.status = Some(answer.line.status);
        self.http.response_headers = answer.kept;
        self.first_answer = Some(head.began);
        self.answered_by = (self.role == Role::Server).then_some(head.task);
    }

    /// Whether its client asked to go on in HTTP/2 (RFC 7540 §3.2).
    pub(super) fn asks_for_http2(&self) -> bool {
        asks_for_http2(&self.http.request_headers)
    }

    /// It goes on in HTTP/2, as stream 1: that is the version both ends have agreed on.
    pub(super) fn upgraded(self) -> http2::Upgraded {
        let Self { id, role, http, bytes, last, .. } = self;
        http2::Upgraded { id, role, http: Http { version: Version::Http2, ..http }, bytes, last }
    }

    /// The final answer is complete; `body` is its length if known.
    pub(super) const fn answer_complete(&mut self, body: Option<u64>, at: Nanos) {
        self.answered = Some(at);
        self.http.response_body = body;
    }

    /// Told as far as it is known: complete, or with its end unseen when not even a status is known.
    pub(super) fn unseen(self, out: &mut Outlet<'_>) {
        let failure = if self.has_status() { None } else { Some(Failure::Unseen) };
        self.finish(failure, Nanos(0), out);
    }

    /// Told as it ended at `at`: answered, or failed for that reason.
    pub(super) fn ended(mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        if self.answered.is_some() {
            return self.finish(None, at, out);
        }
        let failure = match failure {
            _ if self.unproven => Failure::Unseen,
            Failure::ConnectionClosed | Failure::Cancelled if self.is_event_stream() => {
                self.answered = Some(self.last.max(at));
                return self.finish(None, at, out);
            }
            // A server's caller does not care who closed: there was no answer.
            Failure::Cancelled if self.role == Role::Server => Failure::ConnectionClosed,
            other => other,
        };
        self.finish(Some(failure), at, out);
    }

    /// The tunnel that it became has closed at `at`. A tunnel has no end but that.
    pub(super) fn tunnel_closed(mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        let failure = match failure {
            Failure::ConnectionClosed | Failure::Cancelled => None,
            Failure::ConnectionReset
            | Failure::Timeout
            | Failure::StreamReset(_)
            | Failure::Unseen => Some(failure),
        };
        self.answered = None;
        self.on_cpu = None;
        if failure.is_none() {
            self.answered = Some(self.last.max(at));
        }
        self.finish(failure, at, out);
    }

    /// Whether its answer is a stream of events, which goes on until somebody closes it (WHATWG HTML, server-sent events).
    pub(super) fn is_event_stream(&self) -> bool {
        let kind = |value: &[u8]| {
            value.get(..EVENT_STREAM.len()).is_some_and(|v| v.eq_ignore_ascii_case(EVENT_STREAM))
        };
        let mut headers = self.http.response_headers.iter();
        headers.any(|(name, value)| *name == "content-type" && kind(value))
    }

    /// Reports it. The end is the last byte of the answer; without one, when it failed; unseen, the last byte seen.
    fn finish(self, failure: Option<Failure>, at: Nanos, out: &mut Outlet<'_>) {
        let end = match (self.answered, failure) {
            (Some(answered), _) => answered,
            (None, None | Some(Failure::Unseen)) => self.last,
            (None, Some(_)) => self.last.max(at),
        };
        out.reports.push(Report::Finished(Box::new(Finished {
            id: self.id,
            end,
            first_answer: self.first_answer,
            answered_by: self.answered_by,
            on_cpu: self.on_cpu.filter(|_| self.role == Role::Server && self.answered.is_some()),
            bytes: self.bytes,
            failure,
            // What gRPC-Web says in its body is not read.
            call: grpc::call(self.http, &[], [None; 2], false),
        })));
    }
}

/// Whether a head's `Upgrade` names HTTP/2 in the clear (RFC 7540 §3.2).
pub(super) fn asks_for_http2(headers: &[Header]) -> bool {
    let named = |value: &[u8]| {
        value.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"h2c"))
    };
    headers.iter().any(|(name, value)| *name == "upgrade" && named(value))
}
