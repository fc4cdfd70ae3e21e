//! Events of all rings in the order they happened.
//!
//! Each look reads the rings one after the other, and says up to when everything is out: younger data waits for the next
//! look, because older may still lie in a ring that was read before.
//!
//! The data rings are read before the control ring, because whatever announces a connection is written before its data. What
//! the control ring tells of an end waits until everything is out that was written before it, and one look longer: a probe
//! stamps its event some time before it writes it. Nothing else of the control ring waits; and where the control ring is not read
//! to its end, younger data waits for that ([`announced`]).
#![forbid(unsafe_code)]

use std::mem;

use crate::input::Input;

/// An event with its stamp, ns of `CLOCK_MONOTONIC`.
pub(super) type Stamped = (u64, Input);

/// By how much a stamp may be older than one that was written before it, ns: a probe that was interrupted between the two.
const SKEW: u64 = 1_000_000;

/// What is in the place of one that was handed on.
const TAKEN: Input = Input::Lost { data: 0, control: 0 };

/// Puts looks at the rings into order.
#[derive(Default)]
pub(super) struct Order {
    /// Ends that wait.
    ends: Vec<Stamped>,
    /// Up to when everything was out at the look before.
    before: u64,
    /// The data's times, and where in its list it is: to sort these is less to move than the data.
    sorted: Vec<(u64, usize)>,
}

impl Order {
    /// Hands on what one look has found, of `data` what is not younger than `up_to`, the time up to which everything is out.
    pub(super) fn look(
        &mut self,
        data: &mut Vec<Stamped>,
        control: &mut Vec<Stamped>,
        up_to: u64,
        each: impl FnMut(Input),
    ) {
        self.hold_back(control);
        self.before = up_to;
        // Rings keep the order of their reservations, which is not quite that of the stamps in them.
        self.sorted.clear();
        self.sorted.extend(data.iter().enumerate().map(|(place, (time, _))| (*time, place)));
        self.sorted.sort();
        control.sort_by_key(|(time, _)| *time);
        let out = self.sorted.partition_point(|(time, _)| *time <= up_to);
        let taken = self.sorted[..out]
            .iter()
            .map(|(time, place)| (*time, mem::replace(&mut data[*place].1, TAKEN)));
        merge(taken, control.drain(..), each);
        data.retain(|(time, _)| *time > up_to);
    }

    /// Hands on what is held back: nothing more will be read.
    pub(super) fn finish(&mut self, data: &mut Vec<Stamped>, each: impl FnMut(Input)) {
        data.sort_by_key(|(time, _)| *time);
        merge(data.drain(..), self.ends.drain(..), each);
    }

    fn hold_back(&mut self, control: &mut Vec<Stamped>) {
        let before = self.before;
        let due: Vec<Stamped> = self.ends.extract_if(.., |(time, _)| *time <= before).collect();
        self.ends.extend(control.extract_if(.., |(time, input)| *time > before && is_end(input)));
        control.extend(due);
    }
}

/// Up to when no data comes before what announces it, where more is left in the control ring than was read of it.
pub(super) fn announced(control: &[Stamped]) -> u64 {
    control.last().map_or(0, |(time, _)| time.saturating_sub(SKEW))
}

/// Hands on both in the order of their times; what is of the same time, control first.
fn merge(
    data: impl Iterator<Item = Stamped>,
    control: impl Iterator<Item = Stamped>,
    mut each: impl FnMut(Input),
) {
    let mut control = control.peekable();
    for (at, input) in data {
        while let Some((_, earlier)) = control.next_if(|(time, _)| *time <= at) {
            each(earlier);
        }
        each(input);
    }
    control.for_each(|(_, input)| each(input));
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

    /// What comes out of several looks, as `o1 d1 c1`: data, control, and up to when everything was out.
    fn told(looks: Vec<(Vec<Stamped>, Vec<Stamped>, u64)>) -> String {
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
        let mut waiting = Vec::new();
        for (data, mut control, up_to) in looks {
            waiting.extend(data);
            order.look(&mut waiting, &mut control, up_to, &mut tell);
        }
        order.finish(&mut waiting, &mut tell);
        told.join(" ")
    }

    #[test]
    fn two_rings_are_put_into_one_order() {
        let first = (vec![data(1, 10), data(1, 30), data(2, 20)], vec![opened(1, 9)], 40);
        assert_eq!(told(vec![first]), "o1 d1 d2 d1");
    }

    #[test]
    fn data_waits_for_older_that_is_still_in_another_ring() {
        let first = (vec![data(1, 10), data(1, 30)], vec![], 20);
        let second = (vec![data(2, 25)], vec![], 50);
        assert_eq!(told(vec![first, second]), "d1 d2 d1");
    }

    #[test]
    fn data_waits_for_what_announces_it() {
        let control = vec![opened(1, 9), opened(2, 5_000_000)];
        let up_to = announced(&control);
        assert!((9..5_000_000).contains(&up_to));
        assert_eq!(announced(&[]), 0);
        let first = (vec![data(1, 10), data(3, 5_000_020)], control, up_to);
        let second = (vec![], vec![opened(3, 5_000_010)], 9_000_000);
        assert_eq!(told(vec![first, second]), "o1 d1 o2 o3 d3");
    }

    #[test]
    fn what_is_left_of_two_rings_at_the_end_is_put_into_one_order_too() {
        let first = (vec![data(1, 10), data(1, 40), data(2, 30)], vec![], 20);
        assert_eq!(told(vec![first]), "d1 d2 d1");
    }

    #[test]
    fn an_end_waits_for_data_that_was_written_before_it() {
        let first = (vec![data(1, 10)], vec![opened(1, 9), closed(1, 30)], 25);
        let second = (vec![data(1, 20)], vec![], 50);
        let third = (vec![data(2, 60)], vec![], 70);
        assert_eq!(told(vec![first, second, third]), "o1 d1 d1 c1 d2");
    }

    #[test]
    fn an_end_waits_longer_where_data_was_left_in_a_ring() {
        let first = (vec![data(1, 10)], vec![closed(1, 30)], 10);
        let second = (vec![data(1, 15)], vec![], 15);
        let third = (vec![data(1, 20)], vec![], 60);
        assert_eq!(told(vec![first, second, third]), "d1 d1 d1 c1");
    }

    #[test]
    fn an_end_that_is_older_than_the_look_before_does_not_wait() {
        let first = (vec![data(1, 10)], vec![opened(1, 9)], 35);
        let second = (vec![data(2, 40)], vec![closed(1, 30)], 50);
        assert_eq!(told(vec![first, second]), "o1 d1 c1 d2");
    }

    #[test]
    fn what_waits_comes_at_the_end() {
        let looks = vec![(vec![data(1, 20)], vec![closed(1, 30)], 10)];
        assert_eq!(told(looks), "d1 c1");
    }
}
