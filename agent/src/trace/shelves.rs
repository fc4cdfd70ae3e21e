//! Things that come and go, each at a place that is its own until it goes: a [`Slab`] in pieces.
//!
//! One piece of memory for all of them would be copied whenever it is too small, which with tens of thousands takes longer than anything
//! else that is done at one go, and would never become smaller. Must never move what lies in it.

use slab::Slab;

/// Things of one shelf.
const EACH: usize = 256;

/// The shelves.
#[derive(Debug)]
pub(in crate::trace) struct Shelves<T> {
    shelves: Vec<Slab<T>>,
    /// Those that are not full; what comes next lies on the last of them.
    with_room: Vec<usize>,
    /// One that was empty, and is kept for what comes.
    spare: usize,
}

impl<T> Default for Shelves<T> {
    fn default() -> Self {
        Self { shelves: Vec::new(), with_room: Vec::new(), spare: 0 }
    }
}

impl<T> Shelves<T> {
    /// Takes something in, and says where it lies.
    pub(in crate::trace) fn insert(&mut self, thing: T) -> usize {
        let number = self.with_room.last().copied().unwrap_or_else(|| {
            self.shelves.push(Slab::new());
            self.with_room.push(self.shelves.len() - 1);
            self.shelves.len() - 1
        });
        let shelf = &mut self.shelves[number];
        if shelf.capacity() == 0 {
            shelf.reserve_exact(EACH);
        }
        let place = shelf.insert(thing);
        if shelf.len() == EACH {
            self.with_room.pop();
        }
        number * EACH + place
    }

    /// What lies there.
    pub(in crate::trace) fn get(&self, place: usize) -> Option<&T> {
        self.shelves.get(place / EACH)?.get(place % EACH)
    }

    /// Likewise, to be changed.
    pub(in crate::trace) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.shelves.get_mut(place / EACH)?.get_mut(place % EACH)
    }

    /// Takes out what lies there. Of empty shelves all but one give their memory back.
    pub(in crate::trace) fn remove(&mut self, place: usize) -> Option<T> {
        let number = place / EACH;
        let shelf = self.shelves.get_mut(number)?;
        let thing = shelf.try_remove(place % EACH)?;
        if shelf.len() == EACH - 1 {
            self.with_room.push(number);
        }
        if shelf.is_empty() {
            let before = std::mem::replace(&mut self.spare, number);
            if before != number && self.shelves[before].is_empty() {
                self.shelves[before] = Slab::new();
            }
        }
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_in_stays_where_it_is_until_it_is_taken_out() {
        let mut shelves = Shelves::default();
        let places: Vec<usize> = (0..3 * EACH).map(|i| shelves.insert(i)).collect();
        for (i, place) in places.iter().enumerate() {
            assert_eq!(shelves.get(*place), Some(&i));
        }
        for (i, place) in places.iter().enumerate().filter(|(i, _)| i % 3 != 0) {
            assert_eq!(shelves.remove(*place), Some(i));
            assert_eq!(shelves.get(*place), None);
            assert_eq!(shelves.remove(*place), None);
        }
        let again: Vec<usize> = (0..2 * EACH).map(|i| shelves.insert(1000 + i)).collect();
        assert_eq!(shelves.shelves.len(), 3, "what was free is used again");
        for (i, place) in places.iter().enumerate().filter(|(i, _)| i % 3 == 0) {
            assert_eq!(shelves.get(*place), Some(&i));
        }
        for (i, place) in again.iter().enumerate() {
            assert_eq!(shelves.get_mut(*place), Some(&mut (1000 + i)));
        }
    }

    #[test]
    fn of_empty_shelves_all_but_one_give_their_memory_back() {
        let mut shelves = Shelves::default();
        let places: Vec<usize> = (0..2 * EACH + 1).map(|i| shelves.insert(i)).collect();
        for place in places {
            shelves.remove(place);
        }
        let held = shelves.shelves.iter().filter(|shelf| shelf.capacity() > 0).count();
        assert_eq!(held, 1);
        let place = shelves.insert(7);
        assert_eq!(shelves.get(place), Some(&7));
    }

    #[test]
    fn what_comes_and_goes_alone_needs_no_new_memory() {
        let mut shelves = Shelves::default();
        let first = shelves.insert(1);
        shelves.remove(first);
        assert_eq!(shelves.shelves[0].capacity(), EACH);
        assert_eq!(shelves.insert(2), first);
    }
}
