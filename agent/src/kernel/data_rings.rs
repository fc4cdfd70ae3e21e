//! The data rings: one for each CPU, so that CPUs do not wait for each other to write an event.
//!
//! The probes find them in an array by the number of their CPU; on a host with more CPUs than that has places, some share one.
//! All rings are read together; what comes out is in no order but that of each ring.

use abi::DATA_RINGS;
use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf, ring_buf::RingBufItem};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;

/// The smallest ring a CPU has, bytes: some dozens of the longest events.
const LEAST: u32 = 512 << 10;

/// How many rings there are, and how large each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    rings: u32,
    /// Bytes of each; a power of two.
    pub(super) bytes: u32,
}

impl Sizes {
    /// For so many CPUs, of so many bytes together where that is enough. Both the number and the size of rings are powers of two.
    pub(super) fn of(together: u32, cpus: u32) -> Self {
        let rings = cpus.clamp(1, DATA_RINGS as u32).next_power_of_two();
        // Who asks for less than the least in all, for a test, has it.
        let bytes = (together / rings).max(LEAST.min(together));
        Self { rings, bytes }
    }
}

/// The rings that hold what moved.
pub struct DataRings {
    rings: Vec<RingBuf<MapData>>,
    /// What each holds.
    bytes: u64,
    /// The array in which the probes find them.
    _places: ArrayOfMaps<MapData, RingBuf<MapData>>,
}

impl DataRings {
    /// Makes the rings and puts them into their places.
    pub(super) fn create(sizes: Sizes, places: Map) -> Result<Self, MapError> {
        let mut places = ArrayOfMaps::<_, RingBuf<MapData>>::try_from(places)?;
        let mut rings = Vec::new();
        for ring in 0..sizes.rings {
            let kind =
                aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, sizes.bytes, 0);
            let map = Map::RingBuf(MapData::create(kind, "DATA_OF_CPU", None)?);
            let map = RingBuf::try_from(map)?;
            // A place more would cost every start some milliseconds: the kernel waits at each for programs that may still use
            // what was there.
            places.set(ring, &map, 0)?;
            rings.push(map);
        }
        Ok(Self { rings, bytes: u64::from(sizes.bytes), _places: places })
    }

    /// Each ring, to be waited for.
    pub(super) fn each(&self) -> impl Iterator<Item = &RingBuf<MapData>> {
        self.rings.iter()
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.rings.len()
    }

    /// How many bytes each of them holds.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands on what is in the rings, each ring's in its order, at most so many of each. `take` says when an event happened.
    pub(super) fn drain(
        &mut self,
        now: u64,
        most_of_each: usize,
        mut take: impl FnMut(RingBufItem<'_>) -> u64,
    ) -> Drained {
        let mut drained = Drained { up_to: now, most: 0 };
        for ring in &mut self.rings {
            let (mut last, mut bytes) = (0, 0);
            let mut left = most_of_each;
            while left > 0
                && let Some(item) = ring.next()
            {
                bytes += item.len() as u64;
                last = take(item);
                left -= 1;
            }
            if left == 0 {
                drained.up_to = drained.up_to.min(last);
            }
            drained.most = drained.most.max(bytes);
        }
        drained
    }
}

/// What one draining of the rings says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// The time up to which everything is out: now, or, of a ring that holds more, the time of the last that was taken.
    pub(super) up_to: u64,
    /// Bytes that came out of one ring, the one with the most.
    pub(super) most: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_share_what_there_is_and_are_never_too_small() {
        let of = |together, cpus| {
            let sizes = Sizes::of(together, cpus);
            (sizes.rings, sizes.bytes)
        };
        assert_eq!(of(8 << 20, 1), (1, 8 << 20));
        assert_eq!(of(8 << 20, 2), (2, 4 << 20));
        assert_eq!(of(8 << 20, 6), (8, 1 << 20));
        assert_eq!(of(8 << 20, 48), (64, 512 << 10));
        assert_eq!(of(8 << 20, 500), (64, 512 << 10));
        assert_eq!(of(64 << 10, 2), (2, 64 << 10));
    }
}
