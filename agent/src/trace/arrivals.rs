//! Things in the order of their arrival, of which any may leave at any time.
//!
//! Each knows its neighbours, so that it costs a few instructions to come and to go, however many there are; a tree by arrival number took a
//! fiftieth of all that is done for a request. Must never move what has arrived: it is found by its place.

use std::num::NonZeroUsize;

use crate::trace::shelves::Shelves;

/// Where something is among the [`Arrivals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Place(NonZeroUsize);

impl Place {
    const fn of(shelf: usize) -> Self {
        Self(NonZeroUsize::MIN.saturating_add(shelf))
    }

    const fn shelf(self) -> usize {
        self.0.get() - 1
    }
}

/// One that is there.
#[derive(Debug)]
struct Arrival<T> {
    thing: T,
    before: Option<Place>,
    after: Option<Place>,
}

/// Those that are there.
#[derive(Debug)]
pub(in crate::trace) struct Arrivals<T> {
    shelves: Shelves<Arrival<T>>,
    first: Option<Place>,
    last: Option<Place>,
    len: usize,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self { shelves: Shelves::default(), first: None, last: None, len: 0 }
    }
}

impl<T> Arrivals<T> {
    /// How many there are.
    pub(in crate::trace) const fn len(&self) -> usize {
        self.len
    }

    /// Takes in one, as the last.
    pub(in crate::trace) fn come(&mut self, thing: T) -> Place {
        let before = self.last;
        let place = Place::of(self.shelves.insert(Arrival { thing, before, after: None }));
        match self.at(before) {
            Some(before) => before.after = Some(place),
            None => self.first = Some(place),
        }
        self.last = Some(place);
        self.len += 1;
        place
    }

    /// Takes out the one there.
    pub(in crate::trace) fn go(&mut self, place: Place) -> Option<T> {
        let Arrival { thing, before, after } = self.shelves.remove(place.shelf())?;
        match self.at(before) {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        match self.at(after) {
            Some(after) => after.before = before,
            None => self.last = before,
        }
        self.len -= 1;
        Some(thing)
    }

    /// The one that came first.
    pub(in crate::trace) fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    /// All, in the order of their arrival.
    pub(in crate::trace) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let arrival = self.shelves.get(next?.shelf())?;
            next = arrival.after;
            Some(&arrival.thing)
        })
    }

    fn at(&mut self, place: Option<Place>) -> Option<&mut Arrival<T>> {
        self.shelves.get_mut(place?.shelf())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// They are as a plain list would be, whoever leaves.
        #[test]
        fn they_are_in_the_order_of_their_arrival(
            steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..600)
        ) {
            let mut arrivals = Arrivals::default();
            let mut expected: Vec<(usize, Place)> = Vec::new();
            for (number, (comes, which)) in steps.into_iter().enumerate() {
                if comes || expected.is_empty() {
                    expected.push((number, arrivals.come(number)));
                } else {
                    let (thing, place) = expected.remove(which.index(expected.len()));
                    prop_assert_eq!(arrivals.go(place), Some(thing));
                    prop_assert_eq!(arrivals.go(place), None, "it has left");
                }
                prop_assert_eq!(arrivals.len(), expected.len());
                prop_assert_eq!(arrivals.first(), expected.first().map(|(thing, _)| thing));
                prop_assert!(arrivals.iter().eq(expected.iter().map(|(thing, _)| thing)));
            }
        }
    }
}
