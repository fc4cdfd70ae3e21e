//! Events of both rings in the order they happened.
//!
//! The data ring is read before the control ring, because whatever announces a connection is written before its data. So
//! what the control ring tells of an end may be younger than data that nobody has read yet and that belongs before it.
//! Such an end is held back for one more look: all that was written before it is read then. Nothing else waits here.
#![forbid(unsafe_code)]

use crate::input::Input;

/// An event with its stamp, ns of `CLOCK_MONOTONIC`.
pub(super) type Stamped = (u64, Input);

/// Puts looks at the rings into order.
#[derive(Default)]
pub(super) struct Order {
    /// Ends that wait for the next look.
    ends: Vec<Stamped>,
}

impl Order {
    /// Hands on what one look has found. `is_whole` says that the data ring was read to its end.
    pub(super) fn look(
        &mut self,
        data: &mut Vec<Stamped>,
        control: &mut Vec<Stamped>,
        is_whole: bool,
        mut each: impl FnMut(Input),
    ) {
        self.hold_back(data, control, is_whole);
        // Rings keep the order of their reservations, which is not quite that of the stamps in them.
        control.sort_by_key(|(time, _)| *time);
        let mut control = control.drain(..).peekable();
        for (at, input) in data.drain(..) {
            while let Some((_, earlier)) = control.next_if(|(time, _)| *time <= at) {
                each(earlier);
            }
            each(input);
        }
        control.for_each(|(_, input)| each(input));
    }

    /// Hands on what is held back: nothing more will be read.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Input)) {
        self.ends.drain(..).for_each(|(_, input)| each(input));
    }

    fn hold_back(&mut self, data: &[Stamped], control: &mut Vec<Stamped>, is_whole: bool) {
        // What was written before the last data that was read is read, too.
        let read_up_to = data.iter().map(|(time, _)| *time).max().unwrap_or(0);
        let waited = std::mem::take(&mut self.ends);
        self.ends =
            control.extract_if(.., |(time, input)| *time > read_up_to && is_end(input)).collect();
        let (due, early): (Vec<_>, Vec<_>) =
            waited.into_iter().partition(|(time, _)| is_whole || *time <= read_up_to);
        control.extend(due);
        self.ends.extend(early);
    }
}

/// Whether nothing more is to come from somebody.
fn is_end(input: &Input) -> bool {
    matches!(input, Input::Closed(_) | Input::TcpState(_) | Input::Exit(_))
}

#[cfg(test)]
mod tests {
    use abi::{Closed, DataHeader, Opened};

    use super::*;

    fn data(connection: u64, time: u64) -> Stamped {
        (time, Input::Data(DataHeader { connection, time, ..DataHeader::default() }, [].into()))
    }

    fn opened(connection: u64, time: u64) -> Stamped {
        (time, Input::Opened(Opened { connection, ..Opened::default() }))
    }

    fn closed(connection: u64, time: u64) -> Stamped {
        (time, Input::Closed(Closed { connection, ..Closed::default() }))
    }

    /// What comes out of several looks, as `o1 d1 c1`.
    fn told(looks: Vec<(Vec<Stamped>, Vec<Stamped>, bool)>) -> String {
        let mut order = Order::default();
        let mut told = Vec::new();
        let mut tell = |input: Input| {
            told.push(match input {
                Input::Opened(event) => format!("o{}", event.connection),
                Input::Closed(event) => format!("c{}", event.connection),
                Input::Data(header, _) => format!("d{}", header.connection),
                other => format!("{other:?}"),
            });
        };
        for (mut data, mut control, is_whole) in looks {
            order.look(&mut data, &mut control, is_whole, &mut tell);
        }
        order.finish(&mut tell);
        told.join(" ")
    }

    #[test]
    fn an_end_waits_for_data_that_was_written_before_it() {
        let first = (vec![data(1, 10)], vec![opened(1, 9), closed(1, 30)], true);
        let second = (vec![data(1, 20)], vec![], true);
        assert_eq!(told(vec![first, second]), "o1 d1 d1 c1");
    }

    #[test]
    fn an_end_with_data_behind_it_does_not_wait() {
        let first = (vec![data(1, 10), data(2, 40)], vec![opened(1, 9), closed(1, 30)], true);
        assert_eq!(told(vec![first]), "o1 d1 c1 d2");
    }

    #[test]
    fn an_end_waits_longer_where_data_was_left_in_the_ring() {
        let first = (vec![data(1, 10)], vec![closed(1, 30)], false);
        let second = (vec![data(1, 15)], vec![], false);
        let third = (vec![data(1, 20)], vec![], true);
        assert_eq!(told(vec![first, second, third]), "d1 d1 d1 c1");
    }

    #[test]
    fn an_end_without_anything_behind_it_comes_at_the_next_look() {
        let looks = vec![(vec![], vec![closed(1, 30)], true), (vec![], vec![opened(2, 40)], true)];
        assert_eq!(told(looks), "c1 o2");
        assert_eq!(
            told(vec![(vec![], vec![closed(1, 30)], true)]),
            "c1",
            "at the latest at the end"
        );
    }
}
