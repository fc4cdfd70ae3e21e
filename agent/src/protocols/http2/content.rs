//! What the DATA of one part of an exchange holds: octets and gRPC messages, without padding (RFC 9113 §6.1).
#![forbid(unsafe_code)]

use super::frame::{FrameHeader, flag};
use super::messages::Messages;
use crate::protocols::Body;

/// The content so far.
#[derive(Debug, Default)]
pub(super) struct Content {
    octets: u64,
    /// How many is not known.
    is_lost: bool,
    messages: Messages,
    /// Octets to come of the frame that is read, padding not counted.
    left: u64,
}

impl Content {
    /// Of a body that was read by HTTP/1, with its length if that is known.
    pub(super) fn of(length: Option<u64>) -> Self {
        Self { octets: length.unwrap_or(0), is_lost: length.is_none(), ..Self::default() }
    }

    /// Its octets, if all of them could be told from padding.
    pub(super) const fn octets(&self) -> Option<u64> {
        if self.is_lost { None } else { Some(self.octets) }
    }

    /// The messages in it.
    pub(super) const fn messages(&self) -> &Messages {
        &self.messages
    }

    /// DATA may be missing from here on.
    pub(super) const fn lose(&mut self) {
        self.is_lost = true;
        self.messages.lose();
    }

    /// A part of a DATA frame, behind `offset` octets of its payload.
    pub(super) fn read(&mut self, header: FrameHeader, offset: u64, body: Body<'_>) {
        let mut body = body;
        if offset == 0 {
            self.left = u64::from(header.length);
        }
        if offset == 0 && header.has(flag::PADDED) {
            match body {
                Body::Bytes([pad, rest @ ..]) => {
                    // The padding is at the end.
                    self.left = self.left.saturating_sub(1 + u64::from(*pad));
                    body = Body::Bytes(rest);
                }
                _ => self.lose(),
            }
        }
        let (body, octets) = first(body, self.left);
        self.left -= octets;
        self.octets = self.octets.saturating_add(octets);
        self.messages.read(body);
    }
}

/// The first `left` octets of a body, and how many those are.
fn first(body: Body<'_>, left: u64) -> (Body<'_>, u64) {
    match body {
        Body::Bytes(bytes) => {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            (Body::Bytes(&bytes[..here]), here as u64)
        }
        Body::Skip(n) => (Body::Skip(n.min(left)), n.min(left)),
        Body::Gap(n) => (Body::Gap(n.min(left)), n.min(left)),
        Body::Hidden(n) => (Body::Hidden(n.min(left)), n.min(left)),
    }
}
