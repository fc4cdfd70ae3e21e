//! Both streams of one connection on their own, without anyone who reads them: for tests, fuzzing and tools that look
//! at a recording.
#![forbid(unsafe_code)]

use abi::{DataHeader, Direction};

use super::event::Event;
use super::loss::{Loss, Losses};
use super::order::Order;
use super::stream::Sink;
use crate::input::Nanos;
use crate::protocols::{Kept, Piece};

/// Orders the data events of one connection, each with its payload: the pieces in the order in which a reader gets
/// them, where the directions ended, and what was lost. `told` are the positions of the next sent and received byte,
/// if they were announced.
#[must_use]
pub fn reassemble<'a>(
    told: Option<(u64, u64)>,
    events: impl IntoIterator<Item = (&'a DataHeader, &'a [u8])>,
) -> Reassembled {
    let mut order = Order::default();
    let mut done = Reassembled::default();
    if let Some((sent, received)) = told {
        order.tell(sent, received);
    }
    for (header, payload) in events {
        match Event::decode(header, payload.len()) {
            Ok(event) => order.place(&event, payload, &mut done),
            Err(loss) => done.losses.add(loss, 1),
        }
    }
    order.flush(&mut done);
    done
}

/// What [`reassemble`] gives.
#[derive(Debug, Default)]
pub struct Reassembled {
    /// The pieces of both directions.
    pub pieces: Vec<Kept>,
    /// The directions that ended, and when.
    pub ended: Vec<(Direction, Nanos)>,
    /// What was lost.
    pub losses: Losses,
}

impl Sink for Reassembled {
    fn piece(&mut self, piece: Piece<'_>) {
        self.pieces.push(Kept::of(piece));
    }

    fn finished(&mut self, direction: Direction, at: Nanos) {
        self.ended.push((direction, at));
    }

    fn lose(&mut self, loss: Loss, amount: u64) {
        self.losses.add(loss, amount);
    }
}
