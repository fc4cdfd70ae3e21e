//! How this process shares the CPUs with the applications it watches: by short turns.
//!
//! The scheduler lets a running thread finish its turn, of some milliseconds, while others wait; an application that answers in
//! microseconds sees that in its latencies. Only at the moment when somebody wakes it looks whether that one may replace who runs, and who has
//! had a little more than its share may not (EEVDF, Linux 6.6): neither a longer slice nor a smaller share of ours helps an application that
//! answers again and again. What helps is to stop: the thread that reads the rings offers its CPU to others every twentieth of a millisecond.
//!
//! Among many threads that never sleep it would not have a CPU again in time then, and the rings would overflow. So when it waits
//! too long, or does not keep up, it goes first for a while: it has a CPU whenever it wants one, still in short turns, and sleeps between
//! them so that others have theirs. It uses no more of the CPUs by that than it needs.
//!
//! Where it may not go first it takes turns as long as everybody's. Our other threads, and this one while it has little to do, ask for a longer
//! slice than others have, who then replace them at once in most cases, and are not replaced by them (`PREEMPT_SHORT`, Linux 6.12).
#![allow(
    unsafe_code,
    reason = "no wrapper knows that a thread that is not real-time can have a slice"
)]

use std::{cell::Cell, io, mem, thread, time::Duration};

use rustix::process::getpriority_process;
use rustix::time::{ClockId, clock_gettime};

use crate::input::Nanos;

/// The slice of our threads: longer than threads have that ask for none, 2.8 ms with eight CPUs or more and less with fewer
/// (kernel/sched/fair.c, Linux 6.12). Older kernels take no notice of any.
const LONG: Duration = Duration::from_millis(4);
/// That of the thread that reads the rings, while it has much to do. Who offers its CPU forgoes the rest of its slice (Linux 6.18): with 1.4 ms it
/// was passed over so often that rings overflowed; with 0.1 ms it replaces applications at once that it could have waited for.
const SLICE: Duration = Duration::from_micros(400);
/// The same when it goes first: the shortest that the kernel gives.
const SHORT: Duration = Duration::from_micros(100);
/// How nice it is while it has little to do: about a third of the others' share. In short turns it replaced processes that had just begun,
/// to look at them: they took a third longer, and most of them say nothing. Who says something waits for an answer, which is early enough.
const NICE: i32 = 5;
/// How nice it is when it goes first: its share is that of 87 others.
const FIRST: i32 = -20;
/// Time that it computes without offering its CPU, ns: so long an application may wait for it at each step of an answer.
const TURN: u64 = 50_000;
/// The same when it goes first: twice as long as others have the CPU then.
const FIRST_TURN: u64 = 100_000;
/// The same while it has little to do: a look at a process that has just begun takes less. Whose looks take longer has much to do.
const MUCH: u64 = 500_000;
/// A turn is longer by this part of the time that it is behind: going first it has half of a CPU at first, and most of one when it is 40 ms
/// behind.
const LATER: u64 = 64;
/// How long a look may take, ns, until it is behind: a quarter of what the rings have room for on a busy host. A host with time left needs no
/// more, and longer turns would be what applications see in their 99th percentile; where none is left, it would have to go first all the time.
const IN_TIME: u64 = 20_000_000;
/// How long others have the CPU when it goes first; the kernel adds up to 50 µs as it likes.
const PAUSE: Duration = Duration::from_micros(50);
/// Time that it waits for a CPU in one look, ns, before it goes first: an eighth of what the rings have room for on a busy host,
const PATIENCE: u64 = 10_000_000;
/// if that is more than so many times what it had one for. With less it only shares it.
const CROWDED: u64 = 4;
/// How long it goes first at least, ns.
const PRESSED: u64 = 100_000_000;
/// How long it must have had little to do, ns, before it is seen as one that has.
const CALM: u64 = 300_000_000;
/// Steps between two readings of the clock: some tens of µs.
const STEPS: u32 = 8;
/// Steps of [`Offers`] between two offers: as much.
const STEPS_OF_AN_OFFER: u32 = 32;

/// Lets others go first from here on: the calling thread, and those that it starts.
pub(crate) fn let_others_go_first() {
    if let Err(error) = ask(LONG, usual(), true) {
        log::debug!("the kernel gives no longer slice: {error}");
    }
}

/// Offers the CPU to whoever waits for it, between two longer steps. [`Offers`] does so between many short ones.
pub(crate) fn offer() {
    thread::yield_now();
}

/// Offers the CPU now and then in the middle of what takes longer.
#[derive(Default)]
pub(crate) struct Offers {
    /// Steps since the last time.
    steps: u32,
}

impl Offers {
    /// A step of at most a µs or two is done.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        if self.steps >= STEPS_OF_AN_OFFER {
            self.steps = 0;
            offer();
        }
    }
}

/// How the thread that reads the rings is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// After others: a turn is enough for a look.
    Nice,
    /// In short turns.
    Short,
    /// In short turns that come at once.
    First,
}

impl Manner {
    /// How long a turn is when the look has taken so long, both ns.
    const fn turn(self, took: u64) -> u64 {
        match self {
            Self::Nice => MUCH,
            Self::Short => TURN + took.saturating_sub(IN_TIME) / LATER,
            Self::First => FIRST_TURN + took / LATER,
        }
    }
}

/// What the thread that reads the rings has done for others, and for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stops {
    /// How often it has stopped for others in the middle of something.
    pub(crate) pauses: u64,
    /// How often it began to go first.
    pub(crate) went_first: u64,
}

/// The turns of the thread that reads the rings.
pub(crate) struct Turns {
    /// How nice it is otherwise.
    usual: i32,
    /// It may go first, and come back from there.
    may_go_first: bool,
    manner: Cell<Manner>,
    /// Steps since the clock was read.
    steps: Cell<u32>,
    /// When this look began,
    look: Cell<Nanos>,
    /// and when this turn.
    turn: Cell<Nanos>,
    /// How long it had a CPU in this look, ns,
    ran: Cell<u64>,
    /// and how long it waited for one.
    waited: Cell<u64>,
    /// When the rings are half full, as far as that can be told.
    until: Cell<Nanos>,
    /// When there was last much to do,
    busy: Cell<Nanos>,
    /// and when it last had to go first.
    pressed: Cell<Nanos>,
    stops: Cell<Stops>,
}

impl Turns {
    /// Of the calling thread. Who starts us nice wants us to be, whatever happens.
    pub(crate) fn new() -> Self {
        let usual = usual();
        let may_go_first = usual <= 0
            && ask(SHORT, FIRST, false).and_then(|()| ask(LONG, usual.max(NICE), false)).is_ok();
        if !may_go_first {
            log::info!(
                "the thread that reads the rings may not go first: applications may wait longer (it takes CAP_SYS_NICE or LimitNICE=-20, and no niceness)"
            );
        }
        Self::with(usual, may_go_first)
    }

    const fn with(usual: i32, may_go_first: bool) -> Self {
        Self {
            usual,
            may_go_first,
            manner: Cell::new(Manner::Nice),
            steps: Cell::new(0),
            look: Cell::new(Nanos(0)),
            turn: Cell::new(Nanos(0)),
            ran: Cell::new(0),
            waited: Cell::new(0),
            until: Cell::new(Nanos(u64::MAX)),
            busy: Cell::new(Nanos(0)),
            pressed: Cell::new(Nanos(0)),
            stops: Cell::new(Stops { pauses: 0, went_first: 0 }),
        }
    }

    /// What it has done so far.
    pub(crate) fn stops(&self) -> Stops {
        self.stops.get()
    }

    /// A look at the rings begins, so much later than it should, ns.
    pub(crate) fn look(&self, late: u64) {
        let now = now();
        match self.manner.get() {
            Manner::First if now.since(self.pressed.get()) > PRESSED => self.be(Manner::Short),
            Manner::Short if now.since(self.busy.get()) > CALM => self.be(Manner::Nice),
            _ => {}
        }
        self.look.set(now);
        self.turn.set(now);
        self.ran.set(0);
        self.waited.set(late);
        self.judge(now);
    }

    /// The rings were read. They are half full then, ns from now, if it goes on like that; at once when there is more in them.
    pub(crate) fn read(&self, half_full_in: u64, more: bool) {
        let now = now();
        self.until.set(if more { now } else { now.plus(half_full_in) });
        self.judge(now);
    }

    /// A small step is done.
    pub(crate) fn step(&self) {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps >= STEPS {
            self.pause();
        }
    }

    /// A longer step is done. If it was the last of this turn, others have theirs now.
    pub(crate) fn pause(&self) {
        self.steps.set(0);
        if !self.may_go_first {
            return;
        }
        let end = now();
        let ran = end.since(self.turn.get());
        if ran < self.manner.get().turn(end.since(self.look.get())) {
            return;
        }
        self.ran.set(self.ran.get() + ran);
        if self.ran.get() >= MUCH {
            self.busy.set(end);
        }
        match self.manner.get() {
            Manner::Nice => {
                self.be(Manner::Short);
                offer();
            }
            Manner::Short => offer(),
            Manner::First => thread::sleep(PAUSE),
        }
        let stops = self.stops.get();
        self.stops.set(Stops { pauses: stops.pauses + 1, ..stops });
        let now = now();
        self.turn.set(now);
        self.waited.set(self.waited.get() + now.since(end));
        self.judge(now);
    }

    fn judge(&self, now: Nanos) {
        if self.is_pressed(now) {
            self.pressed.set(now);
            if self.may_go_first && self.manner.get() != Manner::First {
                self.be(Manner::First);
                let stops = self.stops.get();
                self.stops.set(Stops { went_first: stops.went_first + 1, ..stops });
            }
        }
    }

    /// Whether it waits too long, or does not keep up.
    const fn is_pressed(&self, now: Nanos) -> bool {
        let waited = self.waited.get();
        now.0 >= self.until.get().0 || waited > PATIENCE && waited > CROWDED * self.ran.get()
    }

    fn be(&self, manner: Manner) {
        self.manner.set(manner);
        let (slice, nice) = match manner {
            Manner::Nice => (LONG, self.usual.max(NICE)),
            Manner::Short => (SLICE, self.usual),
            Manner::First => (SHORT, FIRST),
        };
        if let Err(error) = ask(slice, nice, false) {
            log::debug!("the kernel does not schedule the thread as {manner:?}: {error}");
        }
    }
}

impl Drop for Turns {
    /// What is left to do is done as by anybody.
    fn drop(&mut self) {
        if self.may_go_first
            && let Err(error) = ask(LONG, self.usual, false)
        {
            log::debug!("the kernel does not schedule the thread as before: {error}");
        }
    }
}

fn usual() -> i32 {
    getpriority_process(None).unwrap_or(0)
}

/// `CLOCK_MONOTONIC`
fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    Nanos(u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0))
}

/// Asks for a slice and a niceness for the calling thread, as it is otherwise: an ordinary one; and for those that it starts, or not.
fn ask(slice: Duration, nice: i32, for_all: bool) -> io::Result<()> {
    /// `SCHED_FLAG_RESET_ON_FORK`. Who has set it may not take it back (sched_setattr(2)).
    const FOR_THIS_ONE: u64 = 1;
    // SAFETY: a structure of integers, for each of which 0 is a value.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    wanted.sched_policy = libc::SCHED_OTHER.unsigned_abs();
    wanted.sched_flags = if for_all { 0 } else { FOR_THIS_ONE };
    wanted.sched_nice = nice;
    wanted.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(0);
    // SAFETY: the kernel reads `size` bytes of the structure, which lives until the call is over.
    let failed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_pressed_when_others_have_the_cpus_not_when_it_shares_one() {
        let turns = Turns::with(0, false);
        turns.ran.set(PATIENCE / CROWDED - 1);
        turns.waited.set(PATIENCE);
        assert!(!turns.is_pressed(Nanos(1)), "it has not waited long");
        turns.waited.set(PATIENCE + 1);
        assert!(turns.is_pressed(Nanos(1)));
        turns.ran.set(PATIENCE);
        assert!(!turns.is_pressed(Nanos(1)), "it had its share");
    }

    #[test]
    fn it_is_pressed_when_the_rings_are_half_full() {
        let turns = Turns::with(0, false);
        turns.read(u64::MAX, false);
        assert!(!turns.is_pressed(now()));
        turns.read(1_000_000_000, false);
        let soon = now();
        assert!(!turns.is_pressed(soon));
        assert!(turns.is_pressed(soon.plus(1_000_000_000)));
        turns.read(1_000_000_000, true);
        assert!(turns.is_pressed(now()), "there is more");
    }

    #[test]
    fn a_look_that_comes_late_has_waited() {
        let turns = Turns::with(0, false);
        turns.look(PATIENCE + 1);
        assert_ne!(turns.pressed.get(), Nanos(0));
    }

    #[test]
    fn turns_are_longer_only_when_it_is_behind() {
        assert_eq!(Manner::Short.turn(0), TURN);
        assert_eq!(Manner::Short.turn(IN_TIME), TURN);
        assert_eq!(Manner::Short.turn(IN_TIME + 64_000_000), TURN + 1_000_000);
        assert!(Manner::First.turn(IN_TIME) > Manner::Short.turn(IN_TIME), "who goes first is");
    }

    /// The kernel is asked, and may refuse: nobody minds here.
    #[test]
    fn its_manner_is_that_of_what_it_has_to_do() {
        let turns = Turns::with(0, true);
        let ago = |nanos| Nanos(now().0 - nanos);
        turns.look(0);
        turns.pause();
        assert_eq!(turns.manner.get(), Manner::Nice, "it has just begun");
        turns.turn.set(ago(MUCH));
        turns.pause();
        assert_eq!(turns.manner.get(), Manner::Short, "it has much to do");
        turns.look(PATIENCE + 1);
        assert_eq!(turns.manner.get(), Manner::First, "it came late");
        turns.look(0);
        assert_eq!(turns.manner.get(), Manner::First, "for a while");
        turns.pressed.set(ago(PRESSED + 1));
        turns.look(0);
        assert_eq!(turns.manner.get(), Manner::Short, "nobody is in its way");
        turns.turn.set(ago(TURN));
        turns.pause();
        turns.busy.set(ago(CALM + 1));
        turns.look(0);
        assert_eq!(turns.manner.get(), Manner::Nice, "short looks are not much to do");
        assert_eq!(turns.stops(), Stops { pauses: 2, went_first: 1 });
    }

    #[test]
    fn who_may_not_go_first_takes_turns_like_others() {
        let turns = Turns::with(0, false);
        turns.look(PATIENCE + 1);
        turns.turn.set(Nanos(0));
        turns.pause();
        assert_eq!((turns.manner.get(), turns.ran.get()), (Manner::Nice, 0));
        assert_eq!(turns.stops(), Stops::default());
    }
}
