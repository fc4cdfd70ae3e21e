//! What goes through the pipe to the child: one message after the other, each a tag, its length and its bytes.
//!
//! One way only. Spans are OTLP's protobuf, as they are exported and as `--otlp-in` takes them; everything else is rare,
//! and JSON. The child believes no length beyond [`LONGEST`].
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Snapshot;
use crate::viewer::Host;

/// Longest message, bytes. A thousand spans are a megabyte.
const LONGEST: u32 = 64 << 20;

const START: u8 = b'T';
const SNAPSHOT: u8 = b'N';
const HOST: u8 = b'H';
const SPANS: u8 = b'S';

/// What the child must know before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    /// Who shows it may ask.
    pub(super) token: String,
    /// A port for spans of SDKs.
    pub(super) otlp_in: Option<u16>,
    /// MiB of traces that are kept in memory.
    pub(super) memory: Option<u32>,
}

/// What the child is told.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// First: who may ask, and what else there is to do.
    Start(Start),
    /// The newest numbers.
    Snapshot(Snapshot),
    /// Who the agent is.
    Host(Host),
    /// Finished spans: an export request of OTLP, as protobuf.
    Spans(Vec<u8>),
}

impl Message {
    /// Writes it.
    ///
    /// # Errors
    /// What `out` says; or it is too long.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (tag, bytes) = match self {
            Self::Start(start) => (START, Cow::Owned(serde_json::to_vec(start)?)),
            Self::Snapshot(snapshot) => (SNAPSHOT, Cow::Owned(serde_json::to_vec(snapshot)?)),
            Self::Host(host) => (HOST, Cow::Owned(serde_json::to_vec(host)?)),
            Self::Spans(spans) => (SPANS, Cow::Borrowed(spans.as_slice())),
        };
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("a message is too long"))?;
        let mut head = [tag, 0, 0, 0, 0];
        head[1..].copy_from_slice(&length.to_le_bytes());
        out.write_all(&head)?;
        out.write_all(&bytes)
    }

    /// Reads the next one; `None` at the end.
    ///
    /// # Errors
    /// What `from` says; or it is no message.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 5];
        match from.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [tag, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes)?;
        Ok(Some(match tag {
            START => Self::Start(json(&bytes)?),
            SNAPSHOT => Self::Snapshot(json(&bytes)?),
            HOST => Self::Host(json(&bytes)?),
            SPANS => Self::Spans(bytes),
            _ => return Err(io::Error::other("a message is of no known kind")),
        }))
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{batch, sample};

    #[test]
    fn messages_there_and_back() {
        let spans = [sample::outgoing(&sample::service("shop"), "spanwire.http", 3).into()];
        let messages = [
            Message::Start(Start { token: "abc".to_owned(), otlp_in: Some(4318), memory: None }),
            Message::Snapshot(Snapshot::default()),
            Message::Host(Host::new("web1".to_owned(), 7, Vec::new())),
            Message::Spans(batch::request(&spans)),
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            message.write(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        for message in messages {
            assert_eq!(Message::read(&mut rest).unwrap(), Some(message));
        }
        assert_eq!(Message::read(&mut rest).unwrap(), None);
    }

    #[test]
    fn what_is_none_is_refused() {
        for bytes in [&b"X\0\0\0\0"[..], b"T\xff\xff\xff\xff", b"T\x05\0\0\0\"a"] {
            assert!(Message::read(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
