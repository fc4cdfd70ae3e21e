//! Counting length-prefixed messages in the DATA of one direction of a stream (gRPC over HTTP/2, "Message Framing").
//!
//! A message is five octets (compressed flag, length) and as many octets as they say; frames mean nothing to it. When
//! the five octets were not to be had, nothing is known of what follows.
#![forbid(unsafe_code)]

use crate::protocols::Body;

/// Octets before a message.
const PREFIX: usize = 5;

/// The messages of one direction so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages {
    complete: u64,
    /// The prefix that is being read.
    prefix: [u8; PREFIX],
    have: usize,
    /// Octets to come of the message.
    left: u64,
    is_lost: bool,
}

impl Messages {
    /// How many there were; `None` when that is not known. A message that was cut short is none.
    pub(super) const fn count(&self) -> Option<u64> {
        if self.is_lost { None } else { Some(self.complete) }
    }

    /// Whether all octets so far are whole messages.
    pub(super) const fn are_whole(&self) -> bool {
        !self.is_lost && self.left == 0 && self.have == 0
    }

    /// Nothing of them is known from here on.
    pub(super) const fn lose(&mut self) {
        self.is_lost = true;
    }

    /// Reads on.
    pub(super) fn read(&mut self, body: Body<'_>) {
        let mut rest = match body {
            Body::Bytes(bytes) => bytes,
            Body::Skip(n) | Body::Gap(n) | Body::Hidden(n) => {
                if n > self.left {
                    self.lose();
                } else if n > 0 {
                    self.take(n);
                }
                return;
            }
        };
        while !rest.is_empty() && !self.is_lost {
            if self.left > 0 {
                let used = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                self.take(used as u64);
                rest = &rest[used..];
                continue;
            }
            let used = rest.len().min(PREFIX - self.have);
            self.prefix[self.have..self.have + used].copy_from_slice(&rest[..used]);
            self.have += used;
            rest = &rest[used..];
            if self.have == PREFIX {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let [flag, length @ ..] = self.prefix;
        self.have = 0;
        self.left = u64::from(u32::from_be_bytes(length));
        // Nothing but 0 and 1 is defined; gRPC-Web's trailers (0x80) are none of ours.
        self.is_lost = flag > 1;
        self.complete += u64::from(self.left == 0);
    }

    const fn take(&mut self, n: u64) {
        self.left -= n;
        if self.left == 0 {
            self.complete += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_across_frames_and_skips() {
        let mut messages = Messages::default();
        messages.read(Body::Bytes(b"\0\0\0\0\x03ab"));
        assert_eq!(messages.count(), Some(0));
        messages.read(Body::Bytes(b"c\0\0\0\0\0\x01\0\0"));
        assert_eq!(messages.count(), Some(2));
        messages.read(Body::Bytes(b"\x01\0\0"));
        messages.read(Body::Skip(255));
        assert_eq!(messages.count(), Some(3));
        messages.read(Body::Skip(1));
        assert_eq!(messages.count(), None);
    }

    #[test]
    fn what_is_no_prefix_counts_nothing() {
        let mut messages = Messages::default();
        messages.read(Body::Bytes(b"<html>"));
        assert_eq!(messages.count(), None);
    }
}
