//! gRPC calls in the words of the semantic conventions (1.44, RPC spans and gRPC, release candidate).
//!
//! A span is named by its fully qualified method. A server that does not know the method (UNIMPLEMENTED) says so: then
//! anyone may have made it up, and it is `_OTHER`.
//!
//! Where no `grpc-status` came, the client's library makes one up by the rules of gRPC over HTTP/2, and so does this:
//! from the stream's error code, or from a status of HTTP that is not 200. A status that can be either is absent.
//!
//! Own attributes: `spanwire.rpc.request.messages` and `spanwire.rpc.response.messages` (int, messages of each side
//! where they could be counted), `spanwire.rpc.timeout_ns` (int, the client's `grpc-timeout`), and those of `http.rs`.

use opentelemetry_proto::tonic::trace::v1::{Status, status::StatusCode};

use crate::conn::Connection;
use crate::exchange::{Failure, Finished, Role, Rpc};
use crate::input::Nanos;
use crate::trace::described::{Name, Said};
use crate::trace::ends::{peer, server_address};
use crate::trace::failure::error_type;
use crate::trace::span_writer::SpanWriter;

/// Instrumentation scope of these spans.
pub(in crate::trace) const SCOPE: &str = "spanwire.grpc";

/// `rpc.system.name`, and the name of a span without a method.
const SYSTEM: &str = "grpc";

/// A client's timer fires so much before its timeout has passed since the request was seen, ns: what it takes to write one.
const EARLY: u64 = 10_000_000;

/// Describes one end of a call that began at `at`: writes its attributes.
pub(in crate::trace) fn describe(
    rpc: &Rpc,
    finished: &Finished,
    role: Role,
    conn: &Connection,
    at: Nanos,
    out: &mut SpanWriter,
) -> Said {
    let code = code(rpc, finished, at);
    out.text("rpc.system.name", SYSTEM);
    let name = method(rpc, role, code, out);
    let socket = match role {
        Role::Client => &conn.remote,
        Role::Server => &conn.local,
    };
    server_address(rpc.authority.as_deref(), None, socket, out);
    peer(conn, out);
    for (key, count) in [
        ("spanwire.rpc.request.messages", rpc.request_messages),
        ("spanwire.rpc.response.messages", rpc.response_messages),
        ("spanwire.rpc.timeout_ns", rpc.timeout),
    ] {
        if let Some(count) = count {
            out.number(key, count);
        }
    }
    let status = outcome(rpc, finished.failure, role, code, out);
    Said { name, path: None, status }
}

/// The method, and with it the name.
fn method(rpc: &Rpc, role: Role, code: Option<Code>, out: &mut SpanWriter) -> Name {
    let Some(method) = &rpc.method else { return Name::Fixed(SYSTEM) };
    if role == Role::Server && code == Some(UNIMPLEMENTED) {
        out.text("rpc.method", "_OTHER");
        out.text("rpc.method_original", method);
        return Name::Fixed(SYSTEM);
    }
    Name::Written(out.text("rpc.method", method))
}

/// Status, `error.type` and the span's status (gRPC, "Status").
fn outcome(
    rpc: &Rpc,
    failure: Option<Failure>,
    role: Role,
    code: Option<Code>,
    out: &mut SpanWriter,
) -> Option<Status> {
    if failure == Some(Failure::Unseen) {
        out.truth("spanwire.incomplete", true);
    }
    let error = match code {
        Some(code) => {
            out.text("rpc.response.status_code", code.name());
            code.is_error(role).then(|| code.name())
        }
        None => failure.and_then(error_type),
    }?;
    out.text("error.type", error);
    let message = rpc.message.clone().unwrap_or_default();
    Some(Status { code: StatusCode::Error.into(), message })
}

/// A status code of gRPC.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Code(u32);

const CANCELLED: Code = Code(1);
const UNKNOWN: Code = Code(2);
const DEADLINE_EXCEEDED: Code = Code(4);
const PERMISSION_DENIED: Code = Code(7);
const RESOURCE_EXHAUSTED: Code = Code(8);
const UNIMPLEMENTED: Code = Code(12);
const INTERNAL: Code = Code(13);
const UNAVAILABLE: Code = Code(14);
const DATA_LOSS: Code = Code(15);
const UNAUTHENTICATED: Code = Code(16);

impl Code {
    /// As `rpc.response.status_code` has it. Clients take codes that are not defined for UNKNOWN.
    const fn name(self) -> &'static str {
        match self.0 {
            0 => "OK",
            1 => "CANCELLED",
            3 => "INVALID_ARGUMENT",
            4 => "DEADLINE_EXCEEDED",
            5 => "NOT_FOUND",
            6 => "ALREADY_EXISTS",
            7 => "PERMISSION_DENIED",
            8 => "RESOURCE_EXHAUSTED",
            9 => "FAILED_PRECONDITION",
            10 => "ABORTED",
            11 => "OUT_OF_RANGE",
            12 => "UNIMPLEMENTED",
            13 => "INTERNAL",
            14 => "UNAVAILABLE",
            15 => "DATA_LOSS",
            16 => "UNAUTHENTICATED",
            _ => "UNKNOWN",
        }
    }

    /// Whether it is an error of the client or of the server.
    fn is_error(self, role: Role) -> bool {
        match role {
            Role::Client => self != Self(0),
            Role::Server => {
                let own =
                    [UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS];
                own.contains(&self) || self.0 > UNAUTHENTICATED.0
            }
        }
    }
}

/// The call's status: what was sent, or what follows from what was sent instead.
fn code(rpc: &Rpc, finished: &Finished, at: Nanos) -> Option<Code> {
    if let Some(code) = rpc.status {
        return Some(Code(code));
    }
    match (finished.failure, rpc.http_status) {
        (Some(Failure::StreamReset(code)), _) => {
            let passed = finished.end.since(at).saturating_add(EARLY);
            let is_late = rpc.timeout.is_some_and(|timeout| passed >= timeout);
            Some(of_reset(code, is_late))
        }
        (None, Some(status)) => of_http(status),
        _ => None,
    }
}

/// gRPC over HTTP/2, "Errors": a stream's error code. A client whose deadline has passed resets with CANCEL, too.
const fn of_reset(code: u32, is_late: bool) -> Code {
    match code {
        0x7 => UNAVAILABLE,
        0x8 if is_late => DEADLINE_EXCEEDED,
        0x8 => CANCELLED,
        0xb => RESOURCE_EXHAUSTED,
        0xc => PERMISSION_DENIED,
        _ => INTERNAL,
    }
}

/// gRPC, "HTTP to gRPC Status Code Mapping"; for answers that have no `grpc-status`. 200 says nothing here: gRPC-Web has
/// its status where it is not read.
const fn of_http(status: u16) -> Option<Code> {
    Some(match status {
        200 => return None,
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    })
}

#[cfg(test)]
mod tests;
