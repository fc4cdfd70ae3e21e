//! Bytes that the kernel half has put into messages on their way: the call that sent one does not hold them, and its peer reads them.
//!
//! They are put into what is told of the call, so that every position behind them is the wire's. What stands in them is none of the
//! application's: a header line, or a field of a header block, that says nothing.

use std::collections::VecDeque;

use abi::{
    DataHeader, Direction,
    insert::{Inserted, NO_FRAME, block},
};

use crate::{hash::Map, input::ConnId};

/// Most connections on which something waits for its calls,
const MOST: usize = 16_384;
/// and most calls of each: what was put in is told at once, and calls a moment later.
const MOST_OF_EACH: usize = 1_024;

/// A call that is shorter is sent as one message: the kernel cuts where seventeen pieces of memory are full, each of them a page at least but
/// for the first.
const ONE_MESSAGE: u64 = 32 * 1024;

/// What waits for its call.
#[derive(Debug, Default)]
pub(super) struct Insertions {
    waiting: Map<ConnId, VecDeque<Call>>,
}

/// A call into which something was put.
#[derive(Debug)]
struct Call {
    /// Position of its first byte.
    position: u64,
    /// Its own bytes; of a long one those of the message that it begins with.
    size: u64,
    /// Where what was told of it ends so far, in its own bytes; 0 while nothing was.
    told: u64,
    /// In the order in which they stand.
    puts: Vec<Inserted>,
}

impl Insertions {
    /// Bytes were put into a call that comes next.
    pub(super) fn note(&mut self, event: &Inserted) {
        if self.waiting.len() >= MOST {
            self.waiting.clear();
        }
        let waiting = self.waiting.entry(ConnId(event.connection)).or_default();
        if let Some(call) = waiting.back_mut()
            && event.len != 0
            && call.position == event.position
            && call.puts.last().is_some_and(|last| last.at < event.at)
        {
            call.puts.push(*event);
            return;
        }
        // A call that failed is made again.
        waiting.retain(|before| before.position != event.position);
        if event.len == 0 {
            if waiting.is_empty() {
                self.waiting.remove(&ConnId(event.connection));
            }
            return;
        }
        if waiting.len() >= MOST_OF_EACH {
            waiting.pop_front();
        }
        let (position, size) = (event.position, u64::from(event.size));
        waiting.push_back(Call { position, size, told: 0, puts: vec![*event] });
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: ConnId) {
        self.waiting.remove(&connection);
    }

    /// A call, or a part of one that is told in several, with what was put into it, if anything was: its header and its payload.
    pub(super) fn with(
        &mut self,
        header: &DataHeader,
        payload: &[u8],
    ) -> Option<(DataHeader, Vec<u8>)> {
        if self.waiting.is_empty() || header.direction != Direction::Sent as u8 {
            return None;
        }
        let connection = ConnId(header.connection);
        let waiting = self.waiting.get_mut(&connection)?;
        let at = waiting.iter().position(|call| call.holds(header.position));
        // Those before it were lost.
        waiting.drain(..at.unwrap_or(0));
        let with = at.and_then(|_| waiting.front_mut()).map(|call| call.with(header, payload));
        if waiting.front().is_some_and(|call| call.is_over(header.position)) {
            waiting.pop_front();
        }
        if waiting.is_empty() {
            self.waiting.remove(&connection);
        }
        with
    }
}

impl Call {
    /// Whether it has its own byte of that position. Behind what is certain, where another call would begin the position was the wire's.
    const fn holds(&self, position: u64) -> bool {
        position >= self.position && position - self.position < self.size || position == self.told
    }

    /// Whether all of it was told, now that something at that position was.
    const fn is_over(&self, position: u64) -> bool {
        let is_told = self.told >= self.position + self.size;
        is_told && (self.size < ONE_MESSAGE || position >= self.told)
    }

    /// A part of it, which begins where it is told to in the call's own bytes.
    fn with(&mut self, header: &DataHeader, payload: &[u8]) -> (DataHeader, Vec<u8>) {
        self.told = header.position + u64::from(header.len);
        let from = header.position - self.position;
        let to = from + u64::from(header.len);
        let mut header = *header;
        let mut payload = payload.to_vec();
        let head = u64::from(header.head);
        let mut here = 0;
        for put in &self.puts {
            raise_length(put, from, &mut payload[..header.head as usize], here);
            let at = u64::from(put.at);
            if at <= from {
                header.position += u64::from(put.len);
            } else if at <= to {
                header.len = header.len.saturating_add(put.len);
                if at - from <= head {
                    let at = (at - from) as usize + here;
                    payload.splice(at..at, nothing(put));
                    header.head += put.len;
                    here += put.len as usize;
                }
            }
        }
        (header, payload)
    }
}

/// Writes the new length of the frame that something was put into, as far as it stands in `bytes`: the call's from its `from`th on, and `here`
/// that were put in.
fn raise_length(put: &Inserted, from: u64, bytes: &mut [u8], here: usize) {
    if put.frame == NO_FRAME {
        return;
    }
    let [_, length @ ..] = put.length.to_be_bytes();
    for (octet, place) in length.into_iter().zip(u64::from(put.frame)..) {
        let place = place.checked_sub(from).and_then(|place| usize::try_from(place).ok());
        if let Some(byte) = place.and_then(|place| bytes.get_mut(place + here)) {
            *byte = octet;
        }
    }
}

/// Something of that length which says nothing: a header line with its end, or a field of a header block.
fn nothing(put: &Inserted) -> Vec<u8> {
    const NAME: &[u8; 11] = b"x-inserted-";
    let fill = |before: usize| vec![b'-'; (put.len as usize).saturating_sub(before)];
    if put.frame == NO_FRAME {
        let fill = fill(NAME.len() + 4);
        [&NAME[..], b": ", &fill, b"\r\n"].concat()
    } else {
        let fill = fill(NAME.len() + 3);
        [&[block::FORM, NAME.len() as u8], &NAME[..], &[fill.len() as u8], &fill].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::http2::hpack::{Decoder, Field};
    use proptest::prelude::*;

    const AT: Inserted = Inserted {
        header: abi::ControlHeader { time: 0, kind: 9, reserved: 0 },
        connection: 7,
        position: 100,
        size: 40,
        at: 16,
        len: 70,
        frame: NO_FRAME,
        length: 0,
        reserved: 0,
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
        assert_eq!(names, ["x-inserted-", "Host"]);
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
    fn what_was_not_sent_is_in_no_call() {
        let mut insertions = Insertions::default();
        insertions.note(&AT);
        insertions.note(&Inserted { at: 0, len: 0, size: 0, ..AT });
        assert!(insertions.waiting.is_empty());
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        // The second attempt has something else in it.
        insertions.note(&AT);
        insertions.note(&Inserted { at: 0, len: 0, size: 0, ..AT });
        insertions.note(&Inserted { at: 30, ..AT });
        let (header, _) = insertions.with(&call(100, 0), b"tail").unwrap();
        assert_eq!(header.len, 110);
    }

    #[test]
    fn only_the_call_at_that_position_has_it() {
        let mut insertions = Insertions::default();
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        insertions.note(&AT);
        let received = DataHeader { direction: Direction::Received as u8, ..call(100, 0) };
        assert_eq!(insertions.with(&received, b"tail"), None, "what is read has it in it");
        assert_eq!(insertions.with(&call(90, 0), b"tail"), None);
        assert_eq!(insertions.with(&call(140, 0), b"tail"), None);
        insertions.forget(ConnId(7));
        assert_eq!(insertions.with(&call(100, 0), b"tail"), None);
        // Bytes that could not be read are as many as there were.
        insertions.note(&AT);
        let (header, with) = insertions.with(&call(100, 0), b"tail").unwrap();
        assert_eq!((header.len, header.head, with.as_slice()), (110, 0, &b"tail"[..]));
    }

    /// Names of a block's fields, by themselves.
    fn names(block: &[u8]) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        let name = |field: Field<'_>| names.push(field.name.unwrap_or_default().to_vec());
        Decoder::default().block(block, name).unwrap();
        names
    }

    /// A block of that many octets: literals without indexing.
    fn fields(len: usize) -> Vec<u8> {
        let mut block = vec![0x82];
        while block.len() + 4 <= len {
            block.extend([0, 1, b'a', 0]);
        }
        block.resize(len, 0x82);
        block
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        [&length[..], &[kind, 4, 0, 0, 0, 1], payload].concat()
    }

    proptest! {
        /// However a call is told in parts, these are together what its peer reads: frames of the right lengths, with blocks that can be
        /// decoded, one after the other from the call's position on.
        #[test]
        fn parts_of_a_call_have_what_its_peer_reads(
            blocks in prop::collection::vec(1usize..200, 1..4),
            other in 0usize..30,
            more in 0usize..300,
            cuts in prop::collection::vec(1usize..2000, 1..8),
            begins in 0u32..3,
        ) {
            // Another message of the same call follows only where the first is long.
            let other = if more > 0 { ONE_MESSAGE as usize } else { other };
            let mut own = if other > 0 { frame(6, &vec![0; other]) } else { Vec::new() };
            let mut puts = Vec::new();
            for len in &blocks {
                let begin = own.len() as u32;
                own.extend(frame(1, &fields(*len)));
                puts.push((begin, own.len() as u32));
            }
            let size = own.len();
            if more > 0 {
                own.extend(frame(0, &vec![0; more]));
            }
            let wire_len = own.len() + puts.len() * block::LEN;
            let mut insertions = Insertions::default();
            for _ in 0..=begins {
                for (begin, end) in &puts {
                    insertions.note(&Inserted {
                        size: size as u32,
                        at: *end,
                        len: block::LEN as u32,
                        frame: *begin,
                        length: end - begin - 9 + block::LEN as u32,
                        ..AT
                    });
                }
            }
            let (mut at, mut came) = (0, Vec::new());
            for cut in cuts.iter().cycle() {
                let to = (at + cut).min(own.len());
                let header = DataHeader {
                    connection: 7,
                    position: 100 + at as u64,
                    len: (to - at) as u32,
                    head: (to - at) as u32,
                    ..DataHeader::default()
                };
                let (header, bytes) = insertions.with(&header, &own[at..to]).unwrap();
                prop_assert_eq!(header.position, 100 + came.len() as u64);
                prop_assert_eq!((header.len, header.head), (bytes.len() as u32, bytes.len() as u32));
                came.extend(bytes);
                at = to;
                if at == own.len() {
                    break;
                }
            }
            prop_assert_eq!(came.len(), wire_len);
            let next = call(100 + wire_len as u64, 0);
            prop_assert_eq!(insertions.with(&next, b"tail"), None, "the next one is another");
            prop_assert!(insertions.waiting.is_empty());
            let mut rest = &came[..];
            let mut decoded_blocks = 0;
            while !rest.is_empty() {
                let len = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
                if rest[3] == 1 {
                    let names = names(&rest[9..9 + len]);
                    prop_assert_eq!(names.last().unwrap().as_slice(), b"x-inserted-");
                    decoded_blocks += 1;
                }
                rest = &rest[9 + len..];
            }
            prop_assert_eq!(decoded_blocks, blocks.len());
        }
    }
}
