//! All connections of this host, by their generation numbers.
//!
//! The only door into this stage: every kernel event about a connection goes through [`Connections`], and reports
//! come out in the order in which they became certain. It reads no clock: time is what the events and ticks say.
//! Never holds more than [`Limits`] allow, whatever comes; what is forgotten for that is counted.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, VecDeque};

use abi::{
    Closed, DataHeader, Opened, ProcessEvent, TcpState,
    insert::{BOUNDARIES, Boundary, Inserted},
};

use super::event::Event;
use super::inserted::Insertions;
use super::loss::{Loss, Losses};
use super::tracker::{Out, Tracker};
use crate::exchange::Report;
use crate::hash::{Map, Set};
use crate::input::{ConnId, Nanos};

/// What the table may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections tracked at a time; the least recently used is forgotten first.
    pub connections: usize,
    /// Bytes held for all of them together, beside a fixed amount (some 700 bytes) for each.
    pub held: usize,
}

impl Default for Limits {
    /// 200,000 connections (a large proxy) and 256 MiB, which thousands of half-read heads do not reach.
    fn default() -> Self {
        Self { connections: 200_000, held: 256 << 20 }
    }
}

/// How many connections that are over are remembered, so that their late data is known to be late: what can be in
/// the data ring while they linger.
const REMEMBERED: usize = 4096;

/// The table. One call for each kernel event, in the order of their arrival; a [`Connections::tick`] every 10 to
/// 100 ms; [`Connections::finish`] at the end.
#[derive(Debug, Default)]
pub struct Connections {
    limits: Limits,
    trackers: Map<ConnId, Slot>,
    /// When which connection wants to be looked at. Entries that were overtaken are skipped.
    deadlines: BinaryHeap<Reverse<(Nanos, ConnId)>>,
    /// Connections by the process that used them last.
    users: Map<u32, Set<ConnId>>,
    /// The hand of the clock that finds whom to forget: every connection once, and some that are gone.
    hand: VecDeque<ConnId>,
    /// The connections that ended last, and the same in the order of their ends.
    over: Set<ConnId>,
    over_order: VecDeque<ConnId>,
    /// Sum of [`Slot::held`].
    held: usize,
    losses: Losses,
    /// What was put into calls that are told of next.
    insertions: Insertions,
    /// Connections of which it is asked where their next request begins, and what was said last.
    asked: Map<ConnId, Option<u64>>,
    /// Of those, the ones of which something was seen since they were looked at; some more than once.
    stirred: Vec<ConnId>,
    /// What the last tick has found of them.
    boundaries: Vec<(ConnId, u64)>,
    /// Events that the kernel took for the start of a request, by [`abi::Direction`].
    told: [u64; 2],
    /// Connections that a reader took.
    read: u64,
}

#[derive(Debug)]
struct Slot {
    tracker: Tracker,
    /// The earliest of its entries in the deadlines.
    scheduled: Option<Nanos>,
    /// Used since the hand passed last.
    used: bool,
    /// What it held when last asked.
    held: usize,
}

impl Connections {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A connection was announced. May come after its first data.
    pub fn opened(&mut self, event: &Opened, out: &mut Vec<Report>) {
        let id = ConnId(event.connection);
        self.with(id, event.tgid, Nanos(event.header.time), out, |tracker, _| {
            tracker.opened(event);
        });
    }

    /// Bytes moved; `payload` is exactly the header's `head + tail` bytes.
    pub fn data(&mut self, header: &DataHeader, payload: &[u8], out: &mut Vec<Report>) {
        match self.insertions.with(header, payload) {
            Some((header, payload)) => self.moved(&header, &payload, out),
            None => self.moved(header, payload, out),
        }
    }

    /// Bytes were put into a request whose call is told of next.
    pub fn inserted(&mut self, event: &Inserted) {
        self.insertions.note(event);
    }

    /// It is asked where a connection's next request begins, or not any more.
    pub fn boundary(&mut self, event: &Boundary) {
        let id = ConnId(event.connection);
        if event.known != 0 {
            self.asked.remove(&id);
        } else if self.asked.len() < BOUNDARIES {
            self.asked.insert(id, None);
            self.stirred.push(id);
        }
    }

    /// The answers to that, as far as the last tick made them certain and they were not given before: all that was sent and received
    /// there has been read to the end of a message.
    pub fn boundaries(&mut self) -> Vec<(ConnId, u64)> {
        std::mem::take(&mut self.boundaries)
    }

    fn find_boundaries(&mut self) {
        self.boundaries.clear();
        for id in self.stirred.drain(..) {
            let rests = self.trackers.get(&id).and_then(|slot| slot.tracker.rests());
            if let Some(position) = rests
                && let Some(said) = self.asked.get_mut(&id)
                && said.replace(position) != rests
            {
                self.boundaries.push((id, position));
            }
        }
    }

    fn moved(&mut self, header: &DataHeader, payload: &[u8], out: &mut Vec<Report>) {
        let id = ConnId(header.connection);
        let event = Event::decode(header, payload.len());
        if let Ok(event) = &event {
            self.told[event.direction as usize] += u64::from(event.request);
        }
        match event {
            Err(loss) => self.losses.add(loss, 1),
            Ok(_) if self.over.contains(&id) => self.losses.add(Loss::Late, 1),
            Ok(event) => self.with(id, event.task.pid, event.ended, out, |tracker, out| {
                tracker.data(&event, payload, out);
            }),
        }
    }

    /// A TCP connection changed its state.
    pub fn tcp_state(&mut self, event: &TcpState) {
        self.note(ConnId(event.connection), |tracker| tracker.tcp_state(event));
    }

    /// The kernel destroyed a connection. Its exchanges end when late data has had its time.
    pub fn closed(&mut self, event: &Closed) {
        self.insertions.forget(ConnId(event.connection));
        self.note(ConnId(event.connection), |tracker| tracker.closed(Nanos(event.header.time)));
    }

    /// Unix sockets that the sweep did not find any more.
    pub fn unix_gone(&mut self, gone: &[ConnId]) {
        for id in gone {
            self.note(*id, Tracker::swept);
        }
    }

    /// A process ended: so do the connections that it used last, unless another uses them soon.
    pub fn process_exit(&mut self, event: &ProcessEvent) {
        let Some(ids) = self.users.get(&event.tgid) else { return };
        for id in ids.iter().copied().collect::<Vec<_>>() {
            self.note(id, |tracker| tracker.process_ended(Nanos(event.header.time)));
        }
    }

    /// Time went on: what has waited or lingered long enough is reported.
    pub fn tick(&mut self, now: Nanos, out: &mut Vec<Report>) {
        while let Some(&Reverse((due, id))) = self.deadlines.peek()
            && due <= now
        {
            self.deadlines.pop();
            let Some(slot) = self.trackers.get_mut(&id) else { continue };
            slot.scheduled = None;
            if slot.tracker.expire(now, Out { reports: out, losses: &mut self.losses }) {
                self.remove(id);
                self.remember(id);
            } else {
                self.settle(id);
            }
        }
        self.find_boundaries();
    }

    /// Nothing more will come: every connection is ended as far as it is known.
    pub fn finish(&mut self, out: &mut Vec<Report>) {
        self.tick(Nanos(u64::MAX), out);
        let mut left: Vec<ConnId> = self.trackers.keys().copied().collect();
        left.sort_unstable();
        for id in left {
            self.forget(id, out);
        }
    }

    /// What was lost so far.
    #[must_use]
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// How many requests the kernel told of, by [`abi::Direction`]: those whose event was not lost.
    #[must_use]
    pub const fn told(&self) -> [u64; 2] {
        self.told
    }

    /// How many connections spoke something that a reader knows. The kernel counts all it met: the others are unparsed.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// How many connections are tracked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trackers.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    /// Bytes held for all connections beside the table itself.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Finds or makes a tracker, and lets it see something.
    fn with(
        &mut self,
        id: ConnId,
        pid: u32,
        at: Nanos,
        out: &mut Vec<Report>,
        see: impl FnOnce(&mut Tracker, Out<'_>),
    ) {
        let slot = match self.trackers.entry(id) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(free) => {
                self.users.entry(pid).or_default().insert(id);
                self.hand.push_back(id);
                free.insert(Slot {
                    tracker: Tracker::new(id, pid, at),
                    scheduled: None,
                    used: true,
                    held: 0,
                })
            }
        };
        slot.used = true;
        let before = slot.tracker.pid();
        see(&mut slot.tracker, Out { reports: out, losses: &mut self.losses });
        let after = slot.tracker.pid();
        if before != after {
            unlist(&mut self.users, before, id);
            self.users.entry(after).or_default().insert(id);
        }
        self.settle(id);
        self.make_room(out);
    }

    /// Lets a tracker see something, if there is one.
    fn note(&mut self, id: ConnId, see: impl FnOnce(&mut Tracker)) {
        if let Some(slot) = self.trackers.get_mut(&id) {
            see(&mut slot.tracker);
            self.settle(id);
        }
    }

    /// Writes down what may have changed: when it wants to be looked at, and what it holds.
    fn settle(&mut self, id: ConnId) {
        let Some(slot) = self.trackers.get_mut(&id) else { return };
        if !self.asked.is_empty() && self.asked.contains_key(&id) {
            self.stirred.push(id);
        }
        self.read += u64::from(slot.tracker.tell_read());
        let held = slot.tracker.held();
        self.held = self.held - slot.held + held;
        slot.held = held;
        if let Some(due) = slot.tracker.deadline()
            && slot.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            slot.scheduled = Some(due);
            self.deadlines.push(Reverse((due, id)));
        }
    }

    /// Forgets the least recently used until the limits hold.
    fn make_room(&mut self, out: &mut Vec<Report>) {
        while self.trackers.len() > self.limits.connections || self.held > self.limits.held {
            let Some(id) = self.hand.pop_front() else { return };
            let Some(slot) = self.trackers.get_mut(&id) else { continue };
            if std::mem::take(&mut slot.used) {
                self.hand.push_back(id);
            } else {
                self.losses.add(Loss::Evicted, 1);
                self.forget(id, out);
            }
        }
        if self.hand.len() > 2 * self.trackers.len() + REMEMBERED {
            self.hand.retain(|id| self.trackers.contains_key(id));
        }
    }

    fn forget(&mut self, id: ConnId, out: &mut Vec<Report>) {
        if let Some(slot) = self.trackers.get_mut(&id) {
            slot.tracker.forget(Out { reports: out, losses: &mut self.losses });
            self.remove(id);
        }
    }

    fn remove(&mut self, id: ConnId) {
        self.asked.remove(&id);
        let Some(mut slot) = self.trackers.remove(&id) else { return };
        self.read += u64::from(slot.tracker.tell_read());
        self.held -= slot.held;
        unlist(&mut self.users, slot.tracker.pid(), id);
    }

    /// Late data of a connection that is over must not begin it anew. (One that was evicted may well go on.)
    fn remember(&mut self, id: ConnId) {
        if self.over.insert(id) {
            self.over_order.push_back(id);
        }
        if self.over_order.len() > REMEMBERED
            && let Some(oldest) = self.over_order.pop_front()
        {
            self.over.remove(&oldest);
        }
    }
}

fn unlist(users: &mut Map<u32, Set<ConnId>>, pid: u32, id: ConnId) {
    if let Entry::Occupied(mut listed) = users.entry(pid) {
        listed.get_mut().remove(&id);
        if listed.get().is_empty() {
            listed.remove();
        }
    }
}
