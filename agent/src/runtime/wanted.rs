//! Which of a program's probes are wanted: some at once, others from the moment on when something must be known of the process that they
//! tell. Until then they cost nobody anything, and what they would have told is absent. Some are only wanted while they would be met seldom.
//!
//! What waits, and what could not be had, is kept here as well: an operator is told of each process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use abi::runtime::{PythonProcess, Rule};
use aya::Ebpf;

use super::{
    Rules,
    attach::lock,
    gauge::{self, Gauge},
    memory::Memory,
    python,
    traps::{Place, Trap, Traps, Whose},
};
use crate::trace::Need;

/// Processes of which it is told how their probes stand: as many as the kernel half knows.
const TOLD: usize = 1024;

/// How a rule's probes stand in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// They are in.
    In,
    /// They wait until it serves HTTP/2 in the clear,
    WaitForServer,
    /// calls somebody so,
    WaitForClient,
    /// or makes a call of which only they would tell for whom.
    WaitForCall,
    /// It starts too many tasks, or has not started few for long enough.
    Busy,
    /// It uses its queues too much, or did a while ago.
    QueuesBusy,
    /// As many processes as can have probes of their own have them.
    Crowded,
    /// The kernel has refused them.
    Refused,
}

impl Standing {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::WaitForServer => "waiting until it serves clear HTTP/2",
            Self::WaitForClient => "waiting until it calls over clear HTTP/2",
            Self::WaitForCall => "waiting for a call that needs it",
            Self::Busy => "out while many goroutines are started",
            Self::QueuesBusy => "out while its queues are used much",
            Self::Crowded => "out while too many other processes have theirs",
            Self::Refused => "refused by the kernel",
        }
    }
}

/// How many probes of a rule stand how, by process.
pub(crate) type Standings = Arc<Mutex<BTreeMap<u32, BTreeMap<(&'static str, Standing), u64>>>>;

/// A process whose program can have probes.
pub(super) struct Process {
    /// Who has the probes that are put into it.
    pub(super) whose: Whose,
    /// Where the file is that they are put into.
    pub(super) file: String,
    pub(super) places: Vec<Place>,
    /// How it is known how often those are met that may not be met often.
    pub(super) uses: Uses,
}

/// Who counts that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Uses {
    /// The process itself: the goroutines that it has started, at this address.
    Started(u64),
    /// The probes, which are told this of the process as long as all of them are in.
    OfQueues(PythonProcess),
}

/// The probes of all processes.
pub(super) struct Wanted {
    traps: Traps,
    /// What must be known of each: bits of [`Need`].
    needs: HashMap<u32, u8>,
    processes: HashMap<u32, Process>,
    /// Those that cannot have probes before others are rid of theirs.
    crowded: BTreeSet<u32>,
    /// Of those whose probes may not be met often, from when these are wanted on.
    gauges: HashMap<Whose, Gauge>,
    /// When these are looked at next, ms.
    next: u64,
    standings: Standings,
    /// The probes of Python's pools, which must be told when all are in.
    pools: Option<python::Told>,
    rules: Rules,
}

impl Wanted {
    pub(super) fn new(
        probes: Weak<Mutex<Ebpf>>,
        standings: Standings,
        pools: Option<python::Told>,
        rules: Rules,
    ) -> Self {
        Self {
            traps: Traps::of(probes),
            needs: HashMap::new(),
            processes: HashMap::new(),
            crowded: BTreeSet::new(),
            gauges: HashMap::new(),
            next: 0,
            standings,
            pools,
            rules,
        }
    }

    /// A process was examined.
    pub(super) fn found(&mut self, pid: u32, process: Process) {
        if process.places.is_empty() {
            return;
        }
        self.processes.insert(pid, process);
        self.put(pid);
    }

    /// Whether it was found that a process's program can have probes.
    pub(super) fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Something must be known of a process.
    pub(super) fn needs(&mut self, pid: u32, need: Need) {
        *self.needs.entry(pid).or_default() |= need as u8;
        self.put(pid);
    }

    /// It does not run its program any more.
    pub(super) fn forget(&mut self, pid: u32) {
        self.needs.remove(&pid);
        self.crowded.remove(&pid);
        if let Some(gone) = self.processes.remove(&pid) {
            if let (Some(pools), Uses::OfQueues(_)) = (&mut self.pools, gone.uses) {
                pools.forget(pid);
                log::debug!("process {pid} is forgotten");
            }
            self.traps.forget(pid);
            lock(&self.standings).remove(&pid);
            if !self.processes.values().any(|process| process.whose == gone.whose) {
                self.gauges.remove(&gone.whose);
            }
            self.put_next();
        }
    }

    /// One that waits for room has its turn.
    fn put_next(&mut self) {
        if let Some(pid) = self.crowded.pop_first() {
            self.put(pid);
        }
    }

    /// How long nothing has to be looked at.
    pub(super) fn rests(&self) -> Duration {
        if self.gauges.is_empty() { Duration::MAX } else { Duration::from_millis(gauge::PERIOD) }
    }

    /// Looks how often probes are met, `now` in ms.
    pub(super) fn look(&mut self, now: u64) {
        if now < self.next || self.gauges.is_empty() {
            return;
        }
        self.next = now + gauge::PERIOD;
        let mut changed = Vec::new();
        for (whose, gauge) in &mut self.gauges {
            let count = |pid: u32| {
                let count = match self.processes.get(&pid)?.uses {
                    Uses::Started(at) => Memory::of(pid).ok()?.word(at)?,
                    Uses::OfQueues(_) => self.pools.as_ref()?.uses(pid)?,
                };
                Some((pid, count))
            };
            let counts = those(&self.processes, *whose).into_iter().filter_map(count).collect();
            if gauge.look(now, counts) {
                changed.push((*whose, gauge.is_low()));
            }
        }
        for (whose, is_low) in changed {
            let of_it = those(&self.processes, whose);
            if !is_low {
                self.take_out(whose, &of_it);
            }
            of_it.into_iter().for_each(|pid| self.put(pid));
            self.put_next();
        }
    }

    /// Takes those out that may not be met often, for a while.
    fn take_out(&mut self, whose: Whose, processes: &[u32]) {
        for pid in processes {
            if let Some(Uses::OfQueues(process)) = self.processes.get(pid).map(|it| it.uses)
                && let Some(pools) = &mut self.pools
                && let Err(why) = pools.out(*pid, process)
            {
                log::warn!("the pools of process {pid} are not followed: {why}");
            }
        }
        limited().for_each(|trap| self.traps.take_out(whose, trap));
    }

    /// Puts in what is wanted by now.
    fn put(&mut self, pid: u32) {
        let Some(Process { whose, file, places, uses }) = self.processes.get(&pid) else { return };
        let needs = self.needs.get(&pid).copied().unwrap_or(0);
        let has_grpc = places.iter().any(|place| place.trap == Trap::GrpcNewStream);
        let mut standings: BTreeMap<_, u64> = BTreeMap::new();
        for trap in Trap::ALL {
            let offsets: Vec<u64> = places
                .iter()
                .filter(|place| place.trap == trap)
                .map(|place| place.offset)
                .collect();
            if offsets.is_empty() {
                continue;
            }
            let mut waits = waits_for(trap, needs, has_grpc);
            if let (None, Some(limit)) = (waits, trap.limit())
                && self.rules.limits(trap.rule())
            {
                let gauge = self.gauges.entry(*whose).or_insert_with(|| Gauge::of(limit));
                waits = (!gauge.is_low()).then_some(match uses {
                    Uses::Started(_) => Standing::Busy,
                    Uses::OfQueues(_) => Standing::QueuesBusy,
                });
            }
            if waits.is_none() && !self.traps.has_room(*whose) {
                waits = Some(Standing::Crowded);
            }
            let standing = match waits {
                Some(waits) => waits,
                None => match self.traps.put(pid, (*whose, file), trap, &offsets) {
                    Ok(()) => Standing::In,
                    Err(why) => {
                        log::warn!("process {pid}: {} are off, {why}", trap.feature());
                        Standing::Refused
                    }
                },
            };
            log::debug!("process {pid}: {} is {}", trap.program(), standing.words());
            *standings.entry((trap.rule().name(), standing)).or_default() += offsets.len() as u64;
        }
        if let (Some(pools), Uses::OfQueues(process)) = (&mut self.pools, *uses) {
            let is_in = standings.keys().all(|(_, standing)| *standing == Standing::In);
            let told = if is_in { pools.begin(pid, process) } else { pools.out(pid, process) };
            if let Err(why) = &told {
                log::warn!("the pools of process {pid} are not followed: {why}");
            }
            if told.is_err() || standings.keys().any(|(_, standing)| *standing == Standing::Refused)
            {
                // Some of them tell nothing without the others.
                let probes = standings.values().sum();
                standings =
                    BTreeMap::from([((Rule::PythonPool.name(), Standing::Refused), probes)]);
                pools.forget(pid);
                limited().for_each(|trap| self.traps.take_out(*whose, trap));
            }
        }
        if standings.keys().any(|(_, standing)| *standing == Standing::Crowded) {
            self.crowded.insert(pid);
        }
        let mut told = lock(&self.standings);
        if told.len() < TOLD || told.contains_key(&pid) {
            told.insert(pid, standings);
        }
    }
}

/// Probes that may not be met often.
fn limited() -> impl Iterator<Item = Trap> {
    Trap::ALL.into_iter().filter(|trap| trap.limit().is_some())
}

/// Those processes, as far as they are known.
fn those(processes: &HashMap<u32, Process>, whose: Whose) -> Vec<u32> {
    if whose.process.is_some() {
        return whose.process.into_iter().collect();
    }
    let of_it = processes.iter().filter(|(_, process)| process.whose == whose);
    of_it.map(|(pid, _)| *pid).collect()
}

/// What a probe still waits for in a process of which this must be known, with or without a client of grpc-go in it.
const fn waits_for(trap: Trap, needs: u8, has_grpc: bool) -> Option<Standing> {
    let client = if has_grpc {
        Need::ClientStreams as u8
    } else {
        Need::ClientStreams as u8 | Need::MaybeClientStreams as u8
    };
    let (need, standing) = match trap {
        Trap::GrpcNewStream
        | Trap::GrpcHandleStream
        | Trap::GoSend
        | Trap::GoReceive
        | Trap::GoReceived => return None,
        // Functions of its own server only: whoever else serves HTTP/2 does not come by.
        Trap::Http2RunHandler => (Need::ServerStreams as u8, Standing::WaitForServer),
        Trap::Http2WriteHeaders => (client, Standing::WaitForClient),
        Trap::GoNewproc => (Need::Makers as u8, Standing::WaitForCall),
        // How much the queue is used nobody knows before they are in.
        Trap::PythonPut | Trap::PythonGet | Trap::PythonGot => {
            (Need::Queues as u8, Standing::WaitForCall)
        }
    };
    if needs & need == 0 { Some(standing) } else { None }
}

/// Rules of which probes wait in a process of which nothing must be known yet.
pub(crate) fn waiting(places: &[Place]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = places
        .iter()
        .filter(|place| waits_for(place.trap, 0, false).is_some())
        .map(|place| place.trap.rule())
        .collect();
    rules.dedup();
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(needs: &[Need], traps: &[Trap], pid: u32) -> Wanted {
        let mut wanted = Wanted::new(Weak::new(), Standings::default(), None, Rules::default());
        for each in needs {
            wanted.needs(pid, *each);
        }
        let places = traps.iter().map(|trap| Place { trap: *trap, offset: 0 }).collect();
        let (whose, uses) = (Whose::default(), Uses::Started(0));
        let process = Process { whose, file: String::new(), places, uses };
        wanted.processes.insert(pid, process);
        wanted.put(pid);
        wanted
    }

    /// Standings of a process with these probes (none of which can be put in here) of which this must be known.
    fn standing(needs: &[Need], traps: &[Trap]) -> Vec<(&'static str, Standing)> {
        let mut wanted = wanted(needs, traps, 7);
        let told = lock(&wanted.standings).get(&7).cloned().unwrap_or_default();
        wanted.forget(7);
        assert!(lock(&wanted.standings).is_empty());
        told.into_keys().collect()
    }

    #[test]
    fn those_of_http2_wait_each_for_its_own() {
        let http2 = [Trap::Http2WriteHeaders, Trap::Http2RunHandler];
        let name = Rule::GoHttp2.name();
        let (server, client) = (Standing::WaitForServer, Standing::WaitForClient);
        assert_eq!(standing(&[], &http2), [(name, server), (name, client)]);
        // Without probes to be put in the kernel refuses what is wanted.
        let off = Standing::Refused;
        assert_eq!(standing(&[Need::ServerStreams], &http2), [(name, client), (name, off)]);
        assert_eq!(standing(&[Need::ClientStreams], &http2), [(name, server), (name, off)]);
        assert_eq!(standing(&[Need::MaybeClientStreams], &http2), [(name, server), (name, off)]);
        assert_eq!(standing(&[Need::ClientStreams, Need::ServerStreams], &http2), [(name, off)]);
    }

    #[test]
    fn those_of_grpc_do_not() {
        let grpc = [Trap::GrpcNewStream, Trap::GrpcHandleStream];
        assert_eq!(standing(&[], &grpc), [(Rule::GoGrpc.name(), Standing::Refused)]);
    }

    #[test]
    fn what_may_be_of_grpc_is_where_there_is_grpc() {
        let both = [Trap::GrpcNewStream, Trap::Http2WriteHeaders];
        let (grpc, http2) = (Rule::GoGrpc.name(), Rule::GoHttp2.name());
        assert_eq!(
            standing(&[Need::MaybeClientStreams], &both),
            [(grpc, Standing::Refused), (http2, Standing::WaitForClient)]
        );
        assert_eq!(
            standing(&[Need::ClientStreams], &both),
            [(grpc, Standing::Refused), (http2, Standing::Refused)]
        );
    }

    #[test]
    fn queues_are_watched_from_a_call_on_that_needs_it() {
        let name = Rule::PythonPool.name();
        let python = [Trap::PythonPut, Trap::PythonGet, Trap::PythonGot];
        assert_eq!(standing(&[], &python), [(name, Standing::WaitForCall)]);
        assert_eq!(standing(&[Need::Makers], &python), [(name, Standing::WaitForCall)]);
        assert_eq!(standing(&[Need::Queues], &python), [(name, Standing::Refused)]);
    }

    #[test]
    fn makers_are_looked_at_where_they_are_few() {
        let name = Rule::GoNewproc.name();
        let newproc = [Trap::GoNewproc];
        assert_eq!(standing(&[], &newproc), [(name, Standing::WaitForCall)]);
        assert_eq!(standing(&[Need::Makers], &newproc), [(name, Standing::Busy)]);

        // In this process, in which a count stands still.
        let (pid, count) = (std::process::id(), Box::new(4711_u64));
        let mut wanted = wanted(&[Need::Makers], &newproc, pid);
        wanted.processes.get_mut(&pid).unwrap().uses = Uses::Started(&raw const *count as u64);
        assert!(wanted.rests() < Duration::from_secs(1));
        for now in (0..2000).step_by(100) {
            wanted.look(now);
        }
        let told = lock(&wanted.standings).get(&pid).cloned().unwrap_or_default();
        assert_eq!(told.into_keys().collect::<Vec<_>>(), [(name, Standing::Refused)]);
        wanted.forget(pid);
        assert_eq!(wanted.rests(), Duration::MAX);
    }
}
