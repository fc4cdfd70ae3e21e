//! An exchange: one request and its answer, as the bytes of one connection's one end told it.
//!
//! This is what protocols hand on to `trace`. It says what was seen and when, in the protocol's own words; it knows
//! nothing of spans, services or parents.

use std::sync::Arc;

use crate::conn::Connection;
use crate::input::{ConnId, Nanos, Runtime, Task, Waits};

/// Names a request: its connection's end and the position of its first byte there. The span id is a pure function
/// of it ([`abi::id::span`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId {
    /// The connection's end it was seen at.
    pub conn: ConnId,
    /// Position of the request's first byte (sent by a client, received by a server).
    pub position: u64,
}

/// Which part a process plays: decided by who sends the request, never by ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sent the request.
    Client,
    /// It received the request.
    Server,
}

/// What a protocol reports while it reads a connection.
#[derive(Clone, Debug)]
pub enum Report {
    /// A request's head is complete: contexts can be resolved from here on.
    Started(Started),
    /// The exchange is over: answered and complete, or known never to be.
    Finished(Box<Finished>),
}

/// A request whose head has been read.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its name.
    pub id: ExchangeId,
    /// HTTP/2: the number of its stream.
    pub stream: Option<u32>,
    /// Our part in it.
    pub role: Role,
    /// The connection's end.
    pub conn: Arc<Connection>,
    /// When its first byte moved.
    pub at: Nanos,
    /// Who moved it.
    pub task: Task,
    /// Clients: span id of the request this task was serving when it sent, as the kernel saw it. A candidate.
    pub serving: Option<u64>,
    /// Clients: what the process's runtime says of that.
    pub runtime: Runtime,
    /// Servers: the socket was blocking and in no epoll set when the request was read.
    pub thread_waits: Waits,
    /// Clients: it is the first request of a connection that took so long to be made, ns.
    pub connected_in: Option<u64>,
    /// The kernel took this for a request, too. Only to count those it saw that never were started.
    pub told: bool,
    /// Context headers of the request, as they came.
    pub propagation: Propagation,
    /// What it asks for.
    pub asked: Asked,
}

/// What a request asks for, as far as that matters before its end: to show it while it is open, and to know health
/// checks from work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its method as sent, case kept; empty where it is not known.
    pub method: String,
    /// Its target as sent, or the beginning of it; empty where it is not known.
    pub target: String,
    /// Who asks, in its own words (`User-Agent`), or the beginning of them.
    pub user_agent: Option<String>,
}

impl Asked {
    /// Most bytes kept of a target or a `User-Agent`: enough for people and for rules, and a bound for what is kept of a
    /// request as long as it is open.
    const KEPT: usize = 256;

    /// What is kept of these.
    #[must_use]
    pub fn of(method: &str, target: &str, user_agent: Option<&str>) -> Self {
        let kept = |text: &str| text[..text.floor_char_boundary(Self::KEPT)].to_owned();
        Self { method: method.to_owned(), target: kept(target), user_agent: user_agent.map(kept) }
    }
}

/// The context headers of a request, unparsed; several of a kind are kept apart because that decides their validity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// Values of `traceparent`.
    pub traceparent: Vec<Vec<u8>>,
    /// Values of `tracestate`, in order.
    pub tracestate: Vec<Vec<u8>>,
}

/// An exchange at its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its name, as in its [`Started`].
    pub id: ExchangeId,
    /// When the answer's last byte moved. Without a complete answer: when that became certain, by the kernel's own
    /// time of the reset, the close or the exit; when the end was not seen, the last byte that was. Never the time
    /// at which we noticed.
    pub end: Nanos,
    /// When the answer's first byte moved, if one did.
    pub first_answer: Option<Nanos>,
    /// Servers: who wrote the answer's first byte.
    pub answered_by: Option<Task>,
    /// Servers: how long the thread that read the request and wrote the end of the answer was on a CPU in between, as the
    /// kernel saw it.
    pub on_cpu: Option<OnCpu>,
    /// Bytes of request and answer on the wire, heads and framing included.
    pub bytes: Sizes,
    /// Why there is no complete answer.
    pub failure: Option<Failure>,
    /// What was said.
    pub call: Call,
}

/// A thread's time on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnCpu {
    /// Span id of the request since which it was counted.
    pub since: u64,
    /// How long, ns.
    pub nanos: u64,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The request's.
    pub request: u64,
    /// The answer's.
    pub response: u64,
}

/// Why an exchange has no complete answer. The text form is the span's `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The peer reset the connection.
    ConnectionReset,
    /// The connection ended before the answer was complete.
    ConnectionClosed,
    /// The kernel gave up waiting for the peer.
    Timeout,
    /// Our own process closed the connection, or ended, before the answer came.
    Cancelled,
    /// One peer ended this exchange alone, with this HTTP/2 error code (RFC 9113 §7). A client that gives up is CANCEL,
    /// what a server did not act on is REFUSED_STREAM.
    StreamReset(u32),
    /// Bytes needed to see the end were lost by us: the exchange may well have succeeded.
    Unseen,
}

/// What was said, by protocol.
#[derive(Clone, Debug)]
pub enum Call {
    /// HTTP, of any version.
    Http(Http),
    /// gRPC, whatever carried it.
    Rpc(Rpc),
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// Of HTTP/1 with this minor version (RFC 9112 §2.3).
    #[must_use]
    pub const fn http1(minor: u8) -> Self {
        if minor == 0 { Self::Http10 } else { Self::Http11 }
    }

    /// As `network.protocol.version` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// A header that spans need: its name in lower case, its value as it came.
pub type Header = (&'static str, Vec<u8>);

/// An HTTP exchange. Header values are bytes as they came; only headers that spans need are kept. `None` is what the
/// message does not have, or what is not known because its header table is older than us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// As sent, case kept.
    pub method: Option<String>,
    /// Request target as sent (RFC 9112 §3.2), lossily decoded; HTTP/2: `:path`.
    pub target: Option<String>,
    /// HTTP/2: `:scheme`.
    pub scheme: Option<String>,
    /// HTTP/2: `:authority`, of CONNECT all there is of a target.
    pub authority: Option<String>,
    /// Version of the request.
    pub version: Version,
    /// Version of the answer.
    pub response_version: Option<Version>,
    /// The final status code.
    pub status: Option<u16>,
    /// Kept request headers, in order.
    pub request_headers: Vec<Header>,
    /// Kept response headers, likewise.
    pub response_headers: Vec<Header>,
    /// Body bytes as sent, framing not counted; `None` when not known.
    pub request_body: Option<u64>,
    /// Likewise of the answer.
    pub response_body: Option<u64>,
}

/// A gRPC call. `None` is what was not said or is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rpc {
    /// Fully qualified: `package.Service/Method`.
    pub method: Option<String>,
    /// Whom it was meant for: `:authority` or `Host`.
    pub authority: Option<String>,
    /// Status of HTTP: where it is not 200, no gRPC server has answered.
    pub http_status: Option<u16>,
    /// `grpc-status`.
    pub status: Option<u32>,
    /// `grpc-message`, decoded.
    pub message: Option<String>,
    /// `grpc-timeout`, ns.
    pub timeout: Option<u64>,
    /// Messages of the client, if they could be counted.
    pub request_messages: Option<u64>,
    /// Messages of the server, likewise.
    pub response_messages: Option<u64>,
}
