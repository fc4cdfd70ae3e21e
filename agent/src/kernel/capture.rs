//! Draining the rings: on a timer, or when woken, in the order things happened.

use std::time::Duration;

use abi::Counter;
use rustix::event::{PollFd, PollFlags, poll};

use super::{decode, load::Probes};
use crate::input::{Input, Nanos};

/// Time between two looks at the rings when nothing wakes us: waking for each event costs a busy server far more than
/// the probes do.
pub const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// Events taken before they are handed on: bounds memory when the rings are full.
const BATCH: usize = 8192;

/// Reads both rings.
pub struct Capture {
    probes: Probes,
    control: Vec<(u64, Input)>,
    data: Vec<(u64, Input)>,
    lost: [u64; 2],
    /// Events no probe writes: 0 unless kernel and agent are of different builds.
    pub malformed: u64,
}

impl Capture {
    /// Reads from these probes.
    #[must_use]
    pub fn new(probes: Probes) -> Self {
        Self { probes, control: Vec::new(), data: Vec::new(), lost: [0; 2], malformed: 0 }
    }

    /// The probes it reads from.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Waits until the timer is over, a ring wakes us, or `stop` becomes readable.
    pub fn wait(&self, stop: impl std::os::fd::AsFd) {
        let mut fds = [
            PollFd::new(&self.probes.control, PollFlags::IN),
            PollFd::new(&self.probes.data, PollFlags::IN),
            PollFd::new(&stop, PollFlags::IN),
        ];
        let timeout =
            rustix::time::Timespec { tv_sec: 0, tv_nsec: i64::from(DRAIN_EVERY.subsec_nanos()) };
        // No single event wakes us while we wait; but a ring that holds something already when we come here is readable,
        // so under steady load we look more often than the timer says.
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// Hands on what has happened since, in order of time; whether there may be more.
    pub fn drain(&mut self, mut each: impl FnMut(Input)) -> bool {
        // Data first: whatever announces a connection was written before its data, so it is in the control ring by now.
        while self.data.len() < BATCH
            && let Some(item) = self.probes.data.next()
        {
            match decode::data(&item) {
                Ok(input) => self.data.push((time(&input), input)),
                Err(_) => self.malformed += 1,
            }
        }
        while self.control.len() < BATCH
            && let Some(item) = self.probes.control.next()
        {
            match decode::control(&item) {
                Ok(input) => self.control.push((time(&input), input)),
                Err(_) => self.malformed += 1,
            }
        }
        let more = self.data.len() == BATCH || self.control.len() == BATCH;
        // Rings keep the order of their reservations, which is not quite that of the stamps in them.
        self.control.sort_by_key(|(time, _)| *time);
        let mut control = self.control.drain(..).peekable();
        for (at, input) in self.data.drain(..) {
            while let Some((_, earlier)) = control.next_if(|(time, _)| *time <= at) {
                each(earlier);
            }
            each(input);
        }
        control.for_each(|(_, input)| each(input));
        more
    }

    /// Events lost since this was last asked; `None` if there were none.
    pub fn lost(&mut self) -> Option<Input> {
        let now = [
            self.probes.counter(Counter::DataRingFull),
            self.probes.counter(Counter::ControlRingFull),
        ];
        let [data, control] = [now[0] - self.lost[0], now[1] - self.lost[1]];
        self.lost = now;
        (data + control > 0).then_some(Input::Lost { data, control })
    }
}

fn time(input: &Input) -> u64 {
    match input {
        Input::Opened(event) => event.header.time,
        Input::Closed(event) => event.header.time,
        Input::TcpState(event) => event.header.time,
        Input::Exec(event) | Input::Exit(event) => event.header.time,
        Input::Revoked(event) => event.header.time,
        Input::Data(header, _) => header.time,
        Input::Tick { now: Nanos(now), .. } => *now,
        Input::Process(_) | Input::UnixGone(_) | Input::Lost { .. } => 0,
    }
}
