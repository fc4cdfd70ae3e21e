//! A data event, checked: what the streams may believe of a [`DataHeader`].
//!
//! Everything later relies on the numbers agreeing with each other, so an event that contradicts itself ends here.
#![forbid(unsafe_code)]

use abi::{DataHeader, Direction, NoData, data_flag};

use super::loss::Loss;
use crate::input::{Nanos, Runtime, Task, Waits};

/// One completed socket call. `head` and `tail` bytes of payload travel beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Which way the bytes went.
    pub(super) direction: Direction,
    /// Position of the first byte.
    pub(super) position: u64,
    /// Bytes moved; `position + len` does not overflow.
    pub(super) len: u64,
    /// Payload bytes from the start; `head + tail <= len`.
    pub(super) head: u64,
    /// Payload bytes from the end.
    pub(super) tail: u64,
    /// Why the middle is missing; `None` when it was left out on purpose.
    pub(super) lost: Option<Loss>,
    /// When the first byte moved.
    pub(super) began: Nanos,
    /// When the last byte had moved.
    pub(super) ended: Nanos,
    /// Who made the call.
    pub(super) task: Task,
    /// Sent: span id this task was serving, if known.
    pub(super) serving: Option<u64>,
    /// Sent: how long the task was on a CPU since it read the request that `serving` names, ns.
    pub(super) on_cpu: Option<u64>,
    /// Sent: what a runtime says of that.
    pub(super) runtime: Runtime,
    /// Received: how the thread waits for it.
    pub(super) thread_waits: Waits,
    /// The peer has ended its direction.
    pub(super) end: bool,
    /// The kernel took its first byte for the first of a request.
    pub(super) request: bool,
    /// Calls before this one were not reported, on purpose.
    pub(super) after_silence: bool,
}

impl Event {
    /// Reads a header that comes with `payload` bytes; `Err` when the two cannot both be true.
    pub(super) fn decode(header: &DataHeader, payload: usize) -> Result<Self, Loss> {
        let direction = Direction::from_abi(header.direction).ok_or(Loss::Malformed)?;
        let reason = NoData::from_abi(header.no_data).ok_or(Loss::Malformed)?;
        let (len, head, tail) =
            (u64::from(header.len), u64::from(header.head), u64::from(header.tail));
        if head + tail > len || head + tail != payload as u64 {
            return Err(Loss::Malformed);
        }
        header.position.checked_add(len).ok_or(Loss::Malformed)?;
        let sent = direction == Direction::Sent;
        Ok(Self {
            direction,
            position: header.position,
            len,
            head,
            tail,
            lost: Loss::of(reason),
            began: Nanos(header.time.saturating_sub(u64::from(header.began_before))),
            ended: Nanos(header.time),
            task: Task { pid: header.tgid, tid: header.tid },
            serving: (sent && header.serving != 0).then_some(header.serving),
            on_cpu: (sent && header.on_cpu != 0).then(|| u64::from(header.on_cpu) * 1000),
            runtime: if sent { Runtime::of(header) } else { Runtime::NotAsked },
            thread_waits: if sent { Waits::Otherwise } else { Waits::of(header.flags) },
            end: header.flags & data_flag::END != 0 && len == 0,
            request: header.flags & data_flag::REQUEST != 0,
            after_silence: header.flags & data_flag::AFTER_SILENCE != 0,
        })
    }

    /// Position after the last byte.
    pub(super) const fn stop(&self) -> u64 {
        self.position + self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> DataHeader {
        DataHeader { len: 100, head: 10, tail: 5, position: 7, time: 50, ..DataHeader::default() }
    }

    #[test]
    fn events_that_contradict_themselves_are_refused() {
        assert!(Event::decode(&header(), 15).is_ok());
        assert!(Event::decode(&header(), 14).is_err());
        assert!(Event::decode(&DataHeader { len: 14, ..header() }, 15).is_err());
        assert!(Event::decode(&DataHeader { direction: 2, ..header() }, 15).is_err());
        assert!(Event::decode(&DataHeader { no_data: 6, ..header() }, 15).is_err());
        let far = DataHeader { position: u64::MAX - 50, ..header() };
        assert!(Event::decode(&far, 15).is_err());
        let sum = DataHeader { head: u32::MAX, tail: u32::MAX, len: u32::MAX, ..header() };
        assert!(Event::decode(&sum, 15).is_err());
    }

    #[test]
    fn the_first_byte_may_be_older_than_the_event() {
        let event = Event::decode(&DataHeader { began_before: 20, ..header() }, 15).unwrap();
        assert_eq!((event.began, event.ended), (Nanos(30), Nanos(50)));
        let event = Event::decode(&DataHeader { began_before: 60, ..header() }, 15).unwrap();
        assert_eq!(event.began, Nanos(0));
    }

    #[test]
    fn each_flag_counts_only_in_its_direction() {
        let flags = data_flag::THREAD_WAITS;
        let sent = DataHeader { flags, serving: 9, on_cpu: 3, ..header() };
        let received = DataHeader { direction: 1, ..sent };
        let sent = Event::decode(&sent, 15).unwrap();
        assert_eq!(
            (sent.serving, sent.on_cpu, sent.thread_waits),
            (Some(9), Some(3000), Waits::Otherwise)
        );
        let received = Event::decode(&received, 15).unwrap();
        let Event { serving, on_cpu, thread_waits, .. } = received;
        assert_eq!((serving, on_cpu, thread_waits), (None, None, Waits::Alone));
    }
}
