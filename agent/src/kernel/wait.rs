//! Waiting for the probes: on a timer while something happens, until the first event while nothing does.
//!
//! Being woken for events as they come costs a busy server far more than the probes do, so both rings are watched
//! edge-triggered: what lies in them already wakes nobody, only a wake-up that the probes force. They do so when we asked
//! (the word in the map `WAKE`) and for what cannot wait. Never waits longer than its timer for anything but an event.
#![forbid(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{Ordering, fence},
    time::Duration,
};

use abi::wake;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::time::Timespec;

use super::{capture::now, load::Probes};

/// Time between two looks at the rings while something happens.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// Time between two looks while nothing does: time goes on in the pipeline, and the sweep for dead unix sockets wants to
/// be called each second.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Looks in a row without an event, after which nothing happens any more: three seconds, longer than anything in the
/// pipeline waits that is to be punctual.
const IDLE_AFTER: u32 = 300;

/// Waits for both rings and for the signal to stop.
pub(super) struct Waiter {
    epoll: OwnedFd,
    /// Looks in a row that found nothing.
    quiet: u32,
    /// How often something woke us before the timer was over.
    pub(super) wakes: u64,
}

impl Waiter {
    /// Watches the rings, and `stop` for being readable.
    pub(super) fn new(probes: &Probes, stop: impl AsFd) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &probes.control, epoll::EventData::new_u64(0), edges)?;
        for ring in probes.data.each() {
            epoll::add(&epoll, ring, epoll::EventData::new_u64(1), edges)?;
        }
        epoll::add(&epoll, stop, epoll::EventData::new_u64(2), epoll::EventFlags::IN)?;
        Ok(Self { epoll, quiet: 0, wakes: 0 })
    }

    /// The rings were drained: whether there was anything.
    pub(super) fn looked(&mut self, found: bool) {
        self.quiet = if found { 0 } else { self.quiet.saturating_add(1) };
    }

    /// Waits until the timer is over, the probes wake us, or `stop` becomes readable; how long the timer was over when we had a CPU, ns.
    pub(super) fn wait(&mut self, probes: &mut Probes) -> u64 {
        let mut every = DRAIN_EVERY;
        if self.quiet < IDLE_AFTER {
            ask(probes, wake::RING_FILLS);
        } else if ask(probes, wake::ANY_EVENT) {
            // An event may have come before the probes could see the question. Whatever comes from here on wakes us.
            fence(Ordering::SeqCst);
            if something_waits(probes) {
                return 0;
            }
            every = IDLE_EVERY;
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(every.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(every.subsec_nanos()),
        };
        let mut woken = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 3];
        let before = now();
        // Interrupted or not: what follows is a look at the rings.
        if epoll::wait(&self.epoll, &mut woken, Some(&timeout)).is_ok_and(|count| count > 0) {
            self.wakes += 1;
        }
        let every = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
        (now() - before).saturating_sub(every)
    }
}

/// Tells the probes what to wake us for; whether they were told.
fn ask(probes: &mut Probes, what: u32) -> bool {
    let told = probes.wake.set(0, what, 0);
    if let Err(error) = &told {
        log::debug!("the probes cannot be told when to wake us: {error}");
    }
    told.is_ok()
}

/// Whether an event lies in a ring.
fn something_waits(probes: &Probes) -> bool {
    let mut rings: Vec<PollFd<'_>> = vec![PollFd::new(&probes.control, PollFlags::IN)];
    rings.extend(probes.data.each().map(|ring| PollFd::new(ring, PollFlags::IN)));
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut rings, Some(&now)).is_ok_and(|ready| ready > 0)
}
