//! Bytes that the kernel half has put into a request on its way: the call that sent it does not hold them, and its peer reads them.
//!
//! They are put into what is told of the call, so that every position behind them is the wire's. What stands in them is none of the
//! application's: a header line that says nothing.

use std::collections::VecDeque;

use abi::{DataHeader, Direction, insert::Inserted};

use crate::{hash::Map, input::ConnId};

/// Most connections on which something waits for its calls,
const MOST: usize = 16_384;
/// and most that does on each: what was put in is told at once, and calls a moment later.
const MOST_OF_EACH: usize = 1_024;

/// What waits for its call.
#[derive(Debug, Default)]
pub(super) struct Insertions {
    waiting: Map<ConnId, VecDeque<Inserted>>,
}

impl Insertions {
    /// Bytes were put into a call that comes next.
    pub(super) fn note(&mut self, event: &Inserted) {
        if self.waiting.len() >= MOST {
            self.waiting.clear();
        }
        let waiting = self.waiting.entry(ConnId(event.connection)).or_default();
        // A call that failed is made again.
        waiting.retain(|before| before.position != event.position);
        if waiting.len() >= MOST_OF_EACH {
            waiting.pop_front();
        }
        waiting.push_back(*event);
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: ConnId) {
        self.waiting.remove(&connection);
    }

    /// The call with what was put into it, if that was: its header and its payload.
    pub(super) fn with(
        &mut self,
        header: &DataHeader,
        payload: &[u8],
    ) -> Option<(DataHeader, Vec<u8>)> {
        if self.waiting.is_empty() || header.direction != Direction::Sent as u8 {
            return None;
        }
        let waiting = self.waiting.get_mut(&ConnId(header.connection))?;
        let at = waiting.iter().position(|inserted| inserted.position == header.position)?;
        // The calls of those before it were lost.
        let inserted = waiting.drain(..=at).next_back()?;
        if waiting.is_empty() {
            self.waiting.remove(&ConnId(header.connection));
        }
        let mut header = *header;
        header.len = header.len.saturating_add(inserted.len);
        let (at, len) = (inserted.at as usize, inserted.len as usize);
        let mut payload = payload.to_vec();
        if at <= header.head as usize && at <= payload.len() {
            payload.splice(at..at, nothing(len));
            header.head += inserted.len;
        }
        Some((header, payload))
    }
}

/// A header line of that length, with its end.
fn nothing(len: usize) -> Vec<u8> {
    const NAME: &[u8] = b"x-inserted: ";
    const END: &[u8] = b"\r\n";
    let fill = len.saturating_sub(NAME.len() + END.len());
    [NAME, &vec![b'-'; fill], END].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Inserted = Inserted {
        header: abi::ControlHeader { time: 0, kind: 9, reserved: 0 },
        connection: 7,
        position: 100,
        at: 16,
        len: 70,
    };

    fn call(position: u64, head: u32) -> DataHeader {
        DataHeader { connection: 7, position, len: 40, head, tail: 4, ..DataHeader::default() }
    }

    #[test]
    fn the_call_has_what_its_peer_reads() {
        let mut insertions = Insertions::default();
        insertions.note(&AT);
        let payload = b"GET / HTTP/1.1\r\nHost: x\r\n\r\ntail";
        let (header, with) = insertions.with(&call(100, 27), payload).unwrap();
        assert_eq!((header.len, header.head, header.tail), (110, 97, 4));
        assert_eq!(with.len(), payload.len() + 70);
        let mut fields = [httparse::EMPTY_HEADER; 4];
        let mut request = httparse::Request::new(&mut fields);
        assert!(request.parse(&with).unwrap().is_complete());
        let names: Vec<&str> = request.headers.iter().map(|field| field.name).collect();
        assert_eq!(names, ["x-inserted", "Host"]);
        // Once.
        assert_eq!(insertions.with(&call(100, 27), payload), None);
    }

    /// Calls are told of some time after what was put into them.
    #[test]
    fn several_wait_for_their_calls() {
        let mut insertions = Insertions::default();
        for position in [100, 300, 500, 500] {
            insertions.note(&Inserted { position, ..AT });
        }
        assert!(insertions.with(&call(100, 0), b"tail").is_some());
        // The one at 300 was lost.
        assert!(insertions.with(&call(500, 0), b"tail").is_some());
        assert!(insertions.waiting.is_empty());
    }

    #[test]
    fn only_the_call_at_that_position_has_it() {
        let mut insertions = Insertions::default();
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        insertions.note(&AT);
        let received = DataHeader { direction: Direction::Received as u8, ..call(100, 0) };
        assert_eq!(insertions.with(&received, b"tail"), None, "what is read has it in it");
        assert_eq!(insertions.with(&call(90, 0), b"tail"), None);
        insertions.forget(ConnId(7));
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        // Bytes that could not be read are as many as there were.
        insertions.note(&AT);
        let (header, with) = insertions.with(&call(100, 0), b"tail").unwrap();
        assert_eq!((header.len, header.head, with.as_slice()), (110, 0, &b"tail"[..]));
    }
}
