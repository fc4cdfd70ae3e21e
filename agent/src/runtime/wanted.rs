//! Which of a program's probes are wanted: some at once, others from the moment on when the process is seen to do what they are for.
//! Until then they cost nobody anything, and what they would have told is absent.
//!
//! What waits, and what could not be had, is kept here as well: an operator is told of each process.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, Weak},
};

use abi::runtime::Rule;
use aya::Ebpf;

use super::{
    attach::lock,
    go::Program,
    traps::{Place, Trap, Traps},
};
use crate::trace::Spoken;

/// Processes of which it is told how their probes stand: as many as the kernel half knows.
const TOLD: usize = 1024;

/// How a rule's probes stand in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// They are in.
    In,
    /// They wait until it serves HTTP/2 in the clear,
    WaitForServer,
    /// or calls somebody so.
    WaitForClient,
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
            Self::Refused => "refused by the kernel",
        }
    }
}

/// How many probes of a rule stand how, by process.
pub(crate) type Standings = Arc<Mutex<BTreeMap<u32, BTreeMap<(&'static str, Standing), u64>>>>;

/// The probes of all processes.
pub(super) struct Wanted {
    traps: Traps,
    /// What each was seen to speak: bits of [`Spoken`].
    spoken: HashMap<u32, u8>,
    /// Where probes can be put into the programs that they run.
    programs: HashMap<u32, (Program, Vec<Place>)>,
    standings: Standings,
}

impl Wanted {
    pub(super) fn new(probes: Weak<Mutex<Ebpf>>, standings: Standings) -> Self {
        Self {
            traps: Traps::of(probes),
            spoken: HashMap::new(),
            programs: HashMap::new(),
            standings,
        }
    }

    /// The process runs a program with these places.
    pub(super) fn found(&mut self, pid: u32, program: Program, places: &[Place]) {
        if places.is_empty() {
            return;
        }
        self.programs.insert(pid, (program, places.to_vec()));
        self.put(pid);
    }

    /// The process was seen to speak HTTP/2 in the clear.
    pub(super) fn spoke(&mut self, pid: u32, spoken: Spoken) {
        *self.spoken.entry(pid).or_default() |= spoken as u8;
        self.put(pid);
    }

    /// It does not run its program any more.
    pub(super) fn forget(&mut self, pid: u32) {
        self.spoken.remove(&pid);
        if self.programs.remove(&pid).is_some() {
            self.traps.forget(pid);
            lock(&self.standings).remove(&pid);
        }
    }

    /// Puts in what is wanted by now.
    fn put(&mut self, pid: u32) {
        let Some((program, places)) = self.programs.get(&pid) else { return };
        let spoken = self.spoken.get(&pid).copied().unwrap_or(0);
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
            let standing = match waits_for(trap, spoken, has_grpc) {
                Some(waits) => {
                    log::debug!("process {pid}: {} is {}", trap.program(), waits.words());
                    waits
                }
                None => match self.traps.put(pid, *program, trap, &offsets) {
                    Ok(()) => {
                        log::debug!("process {pid}: {} is in", trap.program());
                        Standing::In
                    }
                    Err(why) => {
                        log::warn!("process {pid}: {} are off, {why}", trap.feature());
                        Standing::Refused
                    }
                },
            };
            *standings.entry((trap.rule().name(), standing)).or_default() += offsets.len() as u64;
        }
        let mut told = lock(&self.standings);
        if told.len() < TOLD || told.contains_key(&pid) {
            told.insert(pid, standings);
        }
    }
}

/// What a probe still waits for in a process that has spoken this, with or without a client of grpc-go in it.
const fn waits_for(trap: Trap, spoken: u8, has_grpc: bool) -> Option<Standing> {
    let called = if has_grpc {
        Spoken::Called as u8
    } else {
        Spoken::Called as u8 | Spoken::CalledMaybeByGrpc as u8
    };
    match trap {
        Trap::GrpcNewStream | Trap::GrpcHandleStream => None,
        // Functions of its own server only: whoever else serves HTTP/2 does not come by.
        Trap::Http2RunHandler if spoken & Spoken::Served as u8 == 0 => {
            Some(Standing::WaitForServer)
        }
        Trap::Http2WriteHeaders if spoken & called == 0 => Some(Standing::WaitForClient),
        Trap::Http2RunHandler | Trap::Http2WriteHeaders => None,
    }
}

/// Rules of which probes wait in a process that has spoken nothing yet.
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

    /// Standings of a process with all probes (none of which can be put in here) after it has spoken this.
    fn standing(spoken: &[Spoken], traps: &[Trap]) -> Vec<(&'static str, Standing)> {
        let standings = Standings::default();
        let mut wanted = Wanted::new(Weak::new(), Arc::clone(&standings));
        let places: Vec<Place> =
            traps.iter().map(|trap| Place { trap: *trap, offset: 0 }).collect();
        for each in spoken {
            wanted.spoke(7, *each);
        }
        wanted.found(7, Program::default(), &places);
        let told = lock(&standings).get(&7).cloned().unwrap_or_default();
        wanted.forget(7);
        assert!(lock(&standings).is_empty());
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
        assert_eq!(standing(&[Spoken::Served], &http2), [(name, client), (name, off)]);
        assert_eq!(standing(&[Spoken::Called], &http2), [(name, server), (name, off)]);
        assert_eq!(standing(&[Spoken::CalledMaybeByGrpc], &http2), [(name, server), (name, off)]);
        assert_eq!(standing(&[Spoken::Called, Spoken::Served], &http2), [(name, off)]);
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
            standing(&[Spoken::CalledMaybeByGrpc], &both),
            [(grpc, Standing::Refused), (http2, Standing::WaitForClient)]
        );
        assert_eq!(
            standing(&[Spoken::Called], &both),
            [(grpc, Standing::Refused), (http2, Standing::Refused)]
        );
    }
}
