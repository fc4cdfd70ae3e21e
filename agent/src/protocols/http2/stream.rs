//! One stream: an exchange that is open, what has been seen of it, and how it is told.
//!
//! An answer may be seen before its request (two threads of a client). Such a stream is not told before the request is
//! there, and never if that does not come.
#![forbid(unsafe_code)]

use super::content::Content;
use super::frame::FrameHeader;
use super::framer::Mark;
use super::head::Head;
use crate::exchange::{
    Asked, Call, ExchangeId, Failure, Finished, Header, Http, Report, Role, Sizes, Started, Version,
};
use crate::input::{Nanos, Task, Waits};
use crate::protocols::{Body, Outlet, grpc};
use crate::text::lossy;

/// Which part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Request = 0,
    Answer = 1,
}

/// A request and what has come back for it.
#[derive(Debug)]
pub(super) struct Stream {
    /// The request, once it was seen: its name and when it began.
    asked: Option<(ExchangeId, Nanos)>,
    role: Role,
    http: Http,
    /// Octets of both parts' frames.
    bytes: Sizes,
    /// By [`Part`].
    content: [Content; 2],
    /// When the last octet of either part moved.
    last: Nanos,
    request_done: bool,
    /// Something of its request's head is not known.
    is_partial: bool,
    /// The requests' framing was lost before its end: what its client did then is not known.
    is_doubtful: bool,
    answer: Answer,
    /// It is over, for this reason, since then; told once the request is there.
    over: Option<(Option<Failure>, Nanos)>,
    /// Octets of what is kept of it.
    kept: usize,
}

/// What has come back.
#[derive(Debug, Default)]
struct Answer {
    /// When its first octet moved, and who moved it.
    first: Option<(Nanos, Task)>,
    /// Its final head has been seen.
    has_head: bool,
    has_trailers: bool,
    trailers: Vec<Header>,
    /// Something of its head or trailers is not known.
    is_partial: bool,
}

impl Answer {
    /// Whether it is known how the call went. What is not known for gRPC may be gRPC, with its status in the trailers.
    fn says_how(&self, call: &Call) -> bool {
        match call {
            Call::Http(http) => http.status.is_some() && !(self.has_trailers && grpc::may_be(http)),
            Call::Rpc(rpc) => rpc.status.is_some(),
        }
    }
}

/// An exchange that HTTP/1 began and HTTP/2 answers (h2c by Upgrade, RFC 7540 §3.2).
#[derive(Debug)]
pub(in crate::protocols) struct Upgraded {
    pub(in crate::protocols) id: ExchangeId,
    pub(in crate::protocols) role: Role,
    /// When its last octet moved so far.
    pub(in crate::protocols) last: Nanos,
    pub(in crate::protocols) http: Http,
    pub(in crate::protocols) bytes: Sizes,
}

impl Stream {
    /// A stream of which nothing has been seen.
    pub(super) fn new(role: Role) -> Self {
        Self {
            asked: None,
            role,
            http: Http::default(),
            bytes: Sizes::default(),
            content: Default::default(),
            last: Nanos(0),
            request_done: false,
            is_partial: false,
            is_doubtful: false,
            answer: Answer::default(),
            over: None,
            kept: 0,
        }
    }

    /// Stream 1 of an upgraded connection: its request is complete.
    pub(super) fn upgraded(exchange: Upgraded) -> Self {
        let Upgraded { id, role, last, http, bytes } = exchange;
        let body = http.request_body;
        let mut stream = Self { asked: Some((id, last)), http, bytes, last, ..Self::new(role) };
        stream.kept = fields_held(&stream.http.request_headers)
            + stream.http.target.as_ref().map_or(0, String::len);
        stream.content[0] = Content::of(body);
        stream.request_done = true;
        stream
    }

    /// When its request began; `None` while that has not been seen.
    pub(super) fn began(&self) -> Option<Nanos> {
        self.asked.map(|(_, at)| at)
    }

    /// When its last octet moved so far.
    pub(super) const fn last(&self) -> Nanos {
        self.last
    }

    /// Memory held, bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.kept
    }

    /// Octets of its frames moved.
    pub(super) fn moved(&mut self, part: Part, octets: u64, at: Nanos) {
        let sum = match part {
            Part::Request => &mut self.bytes.request,
            Part::Answer => &mut self.bytes.response,
        };
        *sum = sum.saturating_add(octets);
        self.last = self.last.max(at);
    }

    /// The head of its request: reports it.
    pub(super) fn request(&mut self, number: u32, head: Head, mark: Mark, out: &mut Outlet<'_>) {
        let id = ExchangeId { conn: out.conn.id, position: mark.position };
        self.asked = Some((id, mark.began));
        let user_agent = head.kept.iter().find(|(name, _)| *name == "user-agent");
        let user_agent = user_agent.map(|(_, value)| lossy(value));
        let known = |text: &Option<String>| text.clone().unwrap_or_default();
        let asked = Asked::of(&known(&head.method), &known(&head.path), user_agent.as_deref());
        out.reports.push(Report::Started(Started {
            id,
            stream: Some(number),
            role: self.role,
            conn: out.conn.clone(),
            at: mark.began,
            task: mark.task,
            // The thread that reads or writes a stream is rarely the one that serves it: no rule of threads holds. What a
            // runtime knows of it, it tells by the number; here is only whether it may.
            serving: None,
            runtime: mark.runtime,
            thread_waits: Waits::Otherwise,
            connected_in: None,
            told: mark.told,
            propagation: head.propagation,
            asked,
        }));
        let lengths = [&head.method, &head.path, &head.scheme, &head.authority];
        self.kept +=
            lengths.iter().filter_map(|text| text.as_ref().map(String::len)).sum::<usize>();
        self.kept += fields_held(&head.kept);
        self.is_partial = head.is_partial;
        self.http.method = head.method;
        self.http.target = head.path;
        self.http.scheme = head.scheme;
        self.http.authority = head.authority;
        self.http.version = Version::Http2;
        self.http.request_headers = head.kept;
    }

    /// A header block of its answer (RFC 9113 §8.1): an interim head, the final one, or trailers.
    pub(super) fn answer(&mut self, head: Head, mark: Mark, ends: bool) {
        // Trailers have no status. A head whose status is not known may be an interim one: then the next one has one.
        let is_head = head.status.is_some() || !self.answer.has_head && head.is_partial;
        if !is_head {
            self.kept += fields_held(&head.kept);
            self.answer.has_trailers = true;
            self.answer.is_partial |= head.is_partial;
            self.answer.trailers.extend(head.kept);
            return;
        }
        if head.status.is_some_and(|status| status < 200) {
            return;
        }
        self.answer.has_head = true;
        self.answer.first = Some((mark.began, mark.task));
        self.kept += fields_held(&head.kept);
        self.http.response_version = Some(Version::Http2);
        self.http.status = head.status;
        self.answer.is_partial = head.is_partial;
        self.http.response_headers = head.kept;
        if !ends {
            // Trailers-Only is an answer that ends with its head: elsewhere a status in the head says nothing yet.
            self.http.response_headers.retain(|(name, _)| !name.starts_with("grpc-"));
        }
    }

    /// A part of a DATA frame (§6.1).
    pub(super) fn data(&mut self, part: Part, header: FrameHeader, offset: u64, body: Body<'_>) {
        self.content[part as usize].read(header, offset, body);
    }

    /// Frames of the requests' direction may be missing from here on.
    pub(super) const fn lose_request(&mut self) {
        if !self.request_done {
            self.content[0].lose();
            self.is_doubtful = true;
        }
    }

    /// The request is complete.
    pub(super) const fn request_complete(&mut self) {
        self.request_done = true;
    }

    /// It is over: complete, or failed. Only the first end counts.
    pub(super) fn end(&mut self, failure: Option<Failure>, at: Nanos) {
        self.over.get_or_insert((failure, at));
    }

    /// Whether it is over and can be told.
    pub(super) const fn is_told(&self) -> bool {
        self.over.is_some() && self.asked.is_some()
    }

    /// The end of the answer has not been seen, or what came before it.
    pub(super) fn unseen(mut self, out: &mut Outlet<'_>) {
        let last = self.last;
        self.over = Some((Some(Failure::Unseen), last));
        self.tell(out);
    }

    /// The connection ended at `at`, for that reason.
    pub(super) fn ended(mut self, failure: Failure, at: Nanos, out: &mut Outlet<'_>) {
        let failure = match failure {
            _ if self.is_doubtful => Failure::Unseen,
            // A server's caller does not care who closed: there was no answer.
            Failure::Cancelled if self.role == Role::Server => Failure::ConnectionClosed,
            other => other,
        };
        let at = if failure == Failure::Unseen { self.last } else { self.last.max(at) };
        self.end(Some(failure), at);
        self.tell(out);
    }

    /// Whether it is gRPC by its looks, where its fields do not say what it is.
    fn is_framed(&self) -> bool {
        let [request, answer] = &self.content;
        self.is_partial
            && self.request_done
            && self.http.method.as_deref() == Some("POST")
            && request.messages().count().is_some_and(|count| count > 0)
            && request.messages().are_whole()
            && answer.messages().are_whole()
            && self.answer.has_trailers
    }

    /// Reports it, if its request was seen.
    pub(super) fn tell(self, out: &mut Outlet<'_>) {
        let (Some((id, _)), Some((failure, end))) = (self.asked, self.over) else { return };
        let answered = failure.is_none();
        let is_framed = self.is_framed();
        let [request, response] = &self.content;
        let mut http = self.http;
        // A part that was not seen to its end has no length.
        let octets = |content: &Content, whole: bool| content.octets().filter(|_| whole);
        http.request_body = octets(request, self.request_done);
        http.response_body = octets(response, answered);
        let count = |content: &Content, whole: bool| content.messages().count().filter(|_| whole);
        let messages = [count(request, self.request_done), count(response, answered)];
        let call = grpc::call(http, &self.answer.trailers, messages, is_framed);
        let failure = match failure {
            // Complete, or nearly so; but whether it went well is in what was not seen.
            None if self.answer.is_partial && !self.answer.says_how(&call) => Some(Failure::Unseen),
            failure => failure,
        };
        out.reports.push(Report::Finished(Box::new(Finished {
            id,
            end,
            first_answer: self.answer.first.map(|(at, _)| at),
            on_cpu: None,
            answered_by: self
                .answer
                .first
                .filter(|_| self.role == Role::Server)
                .map(|(_, task)| task),
            bytes: self.bytes,
            failure,
            call,
        })));
    }
}

fn fields_held(fields: &[Header]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + 48).sum()
}
