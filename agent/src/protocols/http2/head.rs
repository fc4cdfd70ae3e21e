//! What is taken of a header block: pseudo-header fields, context, and the fields that spans need (privacy, memory).
#![forbid(unsafe_code)]

use super::hpack::Field;
use crate::exchange::{Header, Propagation};
use crate::text::lossy;

/// Most octets kept of one block's fields; what does not fit is absent. As much as of an HTTP/1 head.
pub(super) const HEAD_MAX: usize = 16 * 1024;
/// Most context headers kept: more than one makes them invalid.
const CONTEXTS: usize = 32;

/// Fields that spans need, of requests and of answers.
const KEPT: [&str; 10] = [
    "host",
    "user-agent",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "content-type",
    "grpc-timeout",
    "grpc-status",
    "grpc-message",
];

/// A header block's fields, as far as they are known and wanted.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) scheme: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) kept: Vec<Header>,
    pub(super) propagation: Propagation,
    /// One of a request's pseudo-header fields is in it.
    pub(super) is_request: bool,
    /// Fields are missing, or a name is unknown, or the value of one that is wanted.
    pub(super) is_partial: bool,
    /// Octets kept.
    held: usize,
}

impl Head {
    /// Of a block of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self { is_partial: true, ..Self::default() }
    }

    /// Takes a field.
    pub(super) fn add(&mut self, field: Field<'_>) {
        let Some(name) = field.name else {
            self.is_partial = true;
            return;
        };
        self.is_request |= matches!(name, b":method" | b":path" | b":scheme" | b":authority");
        let kept = KEPT.iter().find(|kept| kept.as_bytes() == name);
        let is_other = || name.starts_with(b":") || matches!(name, b"traceparent" | b"tracestate");
        if kept.is_none() && !is_other() {
            return;
        }
        let Some(value) = field.value else {
            self.is_partial = true;
            return;
        };
        if self.held + value.len() > HEAD_MAX {
            self.is_partial = true;
            return;
        }
        self.held += value.len();
        let text = || Some(lossy(value).into_owned());
        match name {
            // A second one makes the message malformed (RFC 9113 §8.3).
            b":method" if self.method.is_none() => self.method = text(),
            b":path" if self.path.is_none() => self.path = text(),
            b":scheme" if self.scheme.is_none() => self.scheme = text(),
            b":authority" if self.authority.is_none() => self.authority = text(),
            b":status" if self.status.is_none() => self.status = status(value),
            b"traceparent" => push(&mut self.propagation.traceparent, value),
            b"tracestate" => push(&mut self.propagation.tracestate, value),
            _ => {
                if let Some(name) = kept
                    && self.kept.len() < CONTEXTS
                {
                    self.kept.push((name, value.to_vec()));
                }
            }
        }
    }
}

fn push(values: &mut Vec<Vec<u8>>, value: &[u8]) {
    if values.len() < CONTEXTS {
        values.push(value.to_vec());
    }
}

/// Three digits (RFC 9110 §15).
fn status(value: &[u8]) -> Option<u16> {
    let digits = value.len() == 3 && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}
