//! Draining the rings, in the order things happened.

use std::{io, mem, os::fd::AsFd};

use abi::Counter;
use rustix::time::{ClockId, clock_gettime};

use super::{
    counters,
    data_rings::Drained,
    decode,
    left_out::Changes,
    load::Probes,
    order::{Order, Stamped, announced},
    wait::Waiter,
    wire::Sampling,
};
use crate::input::{Input, Nanos};

/// Events taken before they are handed on: bounds memory when the rings are full.
const BATCH: usize = 8192;
/// Most looks until nothing happens between the counters and the rings: a busy host never rests.
const LAST_LOOKS: u32 = 10;

/// What one reading of the rings says.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// There may be more in them.
    pub more: bool,
    /// When one of them is half full if it goes on like that, ns from now.
    pub half_full_in: u64,
}

/// Reads both rings.
pub struct Capture {
    probes: Probes,
    waiter: Waiter,
    control: Vec<Stamped>,
    /// What is not handed on yet: some of it may be younger than what lies in another ring.
    data: Vec<Stamped>,
    order: Order,
    lost: [u64; 2],
    /// When they were read last, ns of `CLOCK_MONOTONIC`,
    read_at: u64,
    /// and up to when everything was out.
    up_to: u64,
    /// Events no probe writes: 0 unless kernel and agent are of different builds.
    pub malformed: u64,
    /// How often the rings were looked at.
    pub looks: u64,
    /// The kernel's counters at the end, once it has come.
    last_counters: Option<Vec<(Counter, &'static str, u64)>>,
}

impl Capture {
    /// Reads from these probes, until `stop` becomes readable.
    ///
    /// # Errors
    ///
    /// When the rings cannot be watched.
    pub fn new(probes: Probes, stop: impl AsFd) -> io::Result<Self> {
        let waiter = Waiter::new(&probes, stop)?;
        Ok(Self {
            probes,
            waiter,
            control: Vec::new(),
            data: Vec::new(),
            order: Order::default(),
            lost: [0; 2],
            read_at: now(),
            up_to: 0,
            malformed: 0,
            looks: 0,
            last_counters: None,
        })
    }

    /// Has contexts of a process's requests go by the wire no more, or again.
    pub fn quiet(&mut self, pid: u32, quiet: bool) {
        let done = if quiet {
            self.probes.quiet.insert(pid, 1, 0)
        } else {
            self.probes.quiet.remove(&pid)
        };
        if let Err(error) = done {
            log::debug!("process {pid} is not left alone on the wire: {error}");
        }
    }

    /// Hands on the last that happened, and takes the counters that belong to it: what the probes see from here on is no
    /// part of the capture.
    pub fn finish(&mut self, mut each: impl FnMut(Input)) {
        for _ in 0..LAST_LOOKS {
            let before = counters::snapshot(&self.probes);
            while self.read(|| ()).more {
                self.hand_on(&mut each);
            }
            self.hand_on(&mut each);
            self.last_counters = Some(before);
            if self.last_counters.as_ref() == Some(&counters::snapshot(&self.probes)) {
                break;
            }
        }
        self.order.finish(&mut self.data, each);
    }

    /// The kernel's counters: now, or as they were at the end.
    #[must_use]
    pub fn counters(&self) -> Vec<(Counter, &'static str, u64)> {
        self.last_counters.clone().unwrap_or_else(|| counters::snapshot(&self.probes))
    }

    /// How often the kernel passed over our programs.
    #[must_use]
    pub fn recursion_misses(&self) -> u64 {
        counters::recursion_misses(&self.probes)
    }

    /// How often something woke us before it was time for the next look.
    #[must_use]
    pub const fn wakes(&self) -> u64 {
        self.waiter.wakes
    }

    /// Waits until it is time for the next look, or for the end; how late that is, ns.
    pub fn wait(&mut self) -> u64 {
        self.waiter.wait(&mut self.probes)
    }

    /// Takes out of the rings what has happened since, to be handed on. `step` is called for each event.
    pub fn read(&mut self, mut step: impl FnMut()) -> Reading {
        let most_of_each = (BATCH / self.probes.data.len()).max(1);
        let now = now();
        let before = self.data.len();
        // Data first: whatever announces a connection was written before its data, so it is in the control ring by now (and
        // where that is not read to its end, data waits).
        let (data, malformed) = (&mut self.data, &mut self.malformed);
        let Drained { up_to, most } = self.probes.data.drain(now, most_of_each, |item| {
            step();
            match decode::data(&item) {
                Ok(input) => {
                    let at = time(&input);
                    data.push((at, input));
                    at
                }
                Err(_) => {
                    *malformed += 1;
                    0
                }
            }
        });
        while self.control.len() < BATCH
            && let Some(item) = self.probes.control.next()
        {
            match decode::control(&item) {
                Ok(input) => self.control.push((time(&input), input)),
                Err(_) => self.malformed += 1,
            }
        }
        let control_left = self.control.len() == BATCH;
        self.up_to = if control_left { announced(&self.control).min(up_to) } else { up_to };
        self.looks += 1;
        self.waiter.looked(self.data.len() > before || !self.control.is_empty());
        let since = now - mem::replace(&mut self.read_at, now);
        Reading {
            more: up_to < now || control_left,
            half_full_in: half_full_in(self.probes.data.bytes(), most, since),
        }
    }

    /// Hands on what was read, in order of time.
    pub fn hand_on(&mut self, mut each: impl FnMut(Input)) {
        self.order.look(&mut self.data, &mut self.control, self.up_to, &mut each);
    }

    /// The sockets into whose requests contexts are put, until somebody takes them.
    pub const fn enrolment(&mut self) -> Option<crate::kernel::insert::Enrolment> {
        self.probes.enrolment.take()
    }

    /// Other processes are left out from now on.
    pub fn leave_out(&mut self, changes: &Changes) {
        self.probes.left_out.change(changes);
    }

    /// Traces are sampled like that from now on, in the kernel too.
    pub fn sample(&mut self, sampling: Sampling) {
        self.probes.sample(sampling);
    }

    /// Connections that the rule of this number has left out so far.
    #[must_use]
    pub fn left_out(&self, rule: usize) -> u64 {
        self.probes.left_out.connections(rule)
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

/// In what time a ring of so many bytes is half full, in which `taken` came `within` that time.
fn half_full_in(bytes: u64, taken: u64, within: u64) -> u64 {
    (bytes / 2).saturating_mul(within).checked_div(taken).unwrap_or(u64::MAX)
}

/// `CLOCK_MONOTONIC`, as the probes stamp by it, ns.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

fn time(input: &Input) -> u64 {
    match input {
        Input::Opened(event) => event.header.time,
        Input::Closed(event) => event.header.time,
        Input::TcpState(event) => event.header.time,
        Input::Exec(event) | Input::Exit(event) => event.header.time,
        Input::Revoked(event) => event.header.time,
        Input::Worker(event) => event.header.time,
        Input::StreamCall(event) => event.header.time,
        Input::CallerFound(event) => event.header.time,
        Input::TaskEnded(event) => event.header.time,
        Input::Retransmitted(event) => event.header.time,
        Input::Carried(event) => event.header.time,
        Input::Inserted(event) => event.header.time,
        Input::Boundary(event) => event.header.time,
        Input::Data(header, _) => header.time,
        Input::Tick { now: Nanos(now), .. } => *now,
        Input::Process(_) | Input::UnixGone(_) | Input::TasksEnded(_) | Input::Lost { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::half_full_in;

    #[test]
    fn rings_fill_as_fast_as_before() {
        assert_eq!(half_full_in(8_000_000, 400_000, 10_000_000), 100_000_000);
        assert_eq!(half_full_in(8_000_000, 0, 10_000_000), u64::MAX);
        assert_eq!(half_full_in(8_000_000, 8_000_000, 0), 0);
    }
}
