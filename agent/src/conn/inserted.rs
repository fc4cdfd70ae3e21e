//! Bytes that the kernel half has put into a request on its way: the call that sent it does not hold them, and its peer reads them.
//!
//! They are put into what is told of the call, so that every position behind them is the wire's. What stands in them is none of the
//! application's: a header line that says nothing.

use abi::{DataHeader, Direction, insert::Inserted};

use crate::{hash::Map, input::ConnId};

/// Most that wait for their calls. Each waits for the one call that is under way on its connection.
const MOST: usize = 16_384;

/// What waits for its call.
#[derive(Debug, Default)]
pub(super) struct Insertions {
    waiting: Map<ConnId, Inserted>,
}

impl Insertions {
    /// Bytes were put into a call that comes next.
    pub(super) fn note(&mut self, event: &Inserted) {
        if self.waiting.len() >= MOST {
            self.waiting.clear();
        }
        // A call that failed is made again.
        self.waiting.insert(ConnId(event.connection), *event);
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
        let inserted = self.waiting.remove(&ConnId(header.connection))?;
        if inserted.position != header.position {
            return None;
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

    #[test]
    fn only_the_call_at_that_position_has_it() {
        let mut insertions = Insertions::default();
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        insertions.note(&AT);
        let received = DataHeader { direction: Direction::Received as u8, ..call(100, 0) };
        assert_eq!(insertions.with(&received, b"tail"), None, "what is read has it in it");
        assert_eq!(insertions.with(&call(90, 0), b"tail"), None);
        insertions.note(&AT);
        insertions.forget(ConnId(7));
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        // Bytes that could not be read are as many as there were.
        insertions.note(&AT);
        let (header, with) = insertions.with(&call(100, 0), b"tail").unwrap();
        assert_eq!((header.len, header.head, with.as_slice()), (110, 0, &b"tail"[..]));
    }
}
