//! Probes inside programs (uprobes): put into a program's file where its runtime's folder says, as long as a process runs it.
//!
//! Each costs whoever comes by a trap into the kernel, so there are none but where nothing else tells. They go with the probes: when
//! those are dropped, or this process ends, the kernel takes them out.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::{Mutex, PoisonError, Weak},
};

use abi::runtime::Rule;
use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeLinkId, UProbeScope},
    },
};
use rustix::process::configure_performance_counters;

use super::gauge::{self, Limit};

/// A file as it is now: device, inode, time of change in ns, and where its text is, if that may differ.
pub(super) type Program = (u64, u64, i64, u64);

/// Who meets a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    /// Those that have this file in memory:
    pub(super) program: Program,
    /// only this process of them, if there is one. A file that strangers share, such as a module of an interpreter, has its probes in each
    /// process by itself, so that one that would meet them too often takes them from nobody else.
    pub(super) process: Option<u32>,
}

/// Kinds of probes, in programs or processes, at a time.
const PROGRAMS: usize = 768;
/// Processes that have probes of their own at a time. The kernel takes those of a process out one after the other, and waits 110 ms for
/// each (measured on 6.18): two thirds of a second for Python's six. With these the agent has ended after ten.
const PROCESSES: usize = 16;
/// Probes of one kind in one program: more returns than that has no function.
const PLACES: usize = 256;

/// A probe that can be put into programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trap {
    /// Where `(*http2Client).NewStream` of grpc-go returns.
    GrpcNewStream,
    /// Where its `(*Server).handleStream` begins.
    GrpcHandleStream,
    /// Where `(*clientStream).encodeAndWriteHeaders` of the HTTP/2 of `net/http` begins.
    Http2WriteHeaders,
    /// Where its `(*serverConn).runHandler` does.
    Http2RunHandler,
    /// Where `runtime.newproc1` of Go returns.
    GoNewproc,
    /// Where a program's own functions send to channels,
    GoSend,
    /// where they receive from them,
    GoReceive,
    /// and where they have.
    GoReceived,
    /// Where `put` of Python's `_queue.SimpleQueue` begins,
    PythonPut,
    /// its `get` and `get_nowait` do,
    PythonGet,
    /// and these return.
    PythonGot,
}

impl Trap {
    /// All.
    pub(crate) const ALL: [Self; 11] = [
        Self::GrpcNewStream,
        Self::GrpcHandleStream,
        Self::Http2WriteHeaders,
        Self::Http2RunHandler,
        Self::GoNewproc,
        Self::GoSend,
        Self::GoReceive,
        Self::GoReceived,
        Self::PythonPut,
        Self::PythonGet,
        Self::PythonGot,
    ];

    /// The name of its program in the object.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::GrpcNewStream => "grpc_new_stream",
            Self::GrpcHandleStream => "grpc_handle_stream",
            Self::Http2WriteHeaders => "http2_write_headers",
            Self::Http2RunHandler => "http2_run_handler",
            Self::GoNewproc => "go_newproc",
            Self::GoSend => "go_send",
            Self::GoReceive => "go_receive",
            Self::GoReceived => "go_received",
            Self::PythonPut => "python_put",
            Self::PythonGet => "python_get",
            Self::PythonGot => "python_got",
        }
    }

    /// The rule that it belongs to.
    pub(crate) const fn rule(self) -> Rule {
        match self {
            Self::GrpcNewStream | Self::GrpcHandleStream => Rule::GoGrpc,
            Self::Http2WriteHeaders | Self::Http2RunHandler => Rule::GoHttp2,
            Self::GoNewproc => Rule::GoNewproc,
            Self::GoSend | Self::GoReceive | Self::GoReceived => Rule::GoChannel,
            Self::PythonPut | Self::PythonGet | Self::PythonGot => Rule::PythonPool,
        }
    }

    /// How often it may be met, if it could be so often that it would be felt.
    pub(super) const fn limit(self) -> Option<Limit> {
        match self {
            Self::GoNewproc => Some(gauge::TASKS),
            Self::PythonPut | Self::PythonGet | Self::PythonGot => Some(gauge::USES),
            Self::GrpcNewStream
            | Self::GrpcHandleStream
            | Self::Http2WriteHeaders
            | Self::Http2RunHandler
            | Self::GoSend
            | Self::GoReceive
            | Self::GoReceived => None,
        }
    }

    /// What is off where the kernel refuses it.
    pub(crate) const fn feature(self) -> &'static str {
        match self {
            Self::GrpcNewStream => "parents of calls by grpc-go",
            Self::GrpcHandleStream => "parents of what servers of grpc-go call",
            Self::Http2WriteHeaders => "parents of calls over HTTP/2 by net/http",
            Self::Http2RunHandler => "parents of what servers of HTTP/2 in net/http call",
            Self::GoNewproc => "parents through goroutines that make no call",
            Self::GoSend | Self::GoReceive | Self::GoReceived => "parents through channels",
            Self::PythonPut | Self::PythonGet | Self::PythonGot => {
                "parents of calls by Python's thread pools"
            }
        }
    }
}

/// Where one is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) trap: Trap,
    /// Of an instruction's first byte, in the file.
    pub(crate) offset: u64,
}

/// Those that are there.
pub(super) struct Traps {
    probes: Weak<Mutex<Ebpf>>,
    programs: HashMap<(Whose, Trap), Set>,
}

/// All of one kind in one program, or in one process.
#[derive(Default)]
struct Set {
    processes: HashSet<u32>,
    links: Vec<UProbeLinkId>,
}

impl Traps {
    pub(super) fn of(probes: Weak<Mutex<Ebpf>>) -> Self {
        Self { probes, programs: HashMap::new() }
    }

    /// Whether those can have probes: it is not one more process that would have its own.
    pub(super) fn has_room(&self, whose: Whose) -> bool {
        let with = |process| self.programs.keys().any(|(known, _)| known.process == Some(process));
        let processes = || {
            let of_their_own = self.programs.keys().filter_map(|(known, _)| known.process);
            of_their_own.collect::<HashSet<u32>>().len()
        };
        whose.process.is_none_or(|process| with(process) || processes() < PROCESSES)
    }

    /// The process is one of those, and the file is there: puts those of one kind into it, unless they are in.
    pub(super) fn put(
        &mut self,
        pid: u32,
        (whose, file): (Whose, &str),
        trap: Trap,
        offsets: &[u64],
    ) -> Result<(), String> {
        if let Some(set) = self.programs.get_mut(&(whose, trap)) {
            set.processes.insert(pid);
            return Ok(());
        }
        if self.programs.len() >= PROGRAMS || offsets.len() > PLACES {
            return Err("there are too many".to_owned());
        }
        let probes = self.probes.upgrade().ok_or("the probes are off")?;
        let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set = Set { processes: HashSet::from([pid]), links: Vec::new() };
        for offset in offsets {
            match attach(&mut probes, trap, *offset, (whose, file)) {
                Ok(link) => set.links.push(link),
                Err(why) => {
                    // All or none: some calls with a parent and others without would only confuse.
                    set.take_out(&mut probes, trap);
                    return Err(why);
                }
            }
        }
        self.programs.insert((whose, trap), set);
        Ok(())
    }

    /// Takes those of one kind out.
    pub(super) fn take_out(&mut self, whose: Whose, trap: Trap) {
        let Some(set) = self.programs.remove(&(whose, trap)) else { return };
        let Some(probes) = self.probes.upgrade() else { return };
        set.take_out(&mut probes.lock().unwrap_or_else(PoisonError::into_inner), trap);
    }

    /// A process does not run its program any more: takes out what nobody runs.
    pub(super) fn forget(&mut self, pid: u32) {
        let unused: Vec<_> = self
            .programs
            .extract_if(|_, set| set.processes.remove(&pid) && set.processes.is_empty())
            .collect();
        if unused.is_empty() {
            return;
        }
        let Some(probes) = self.probes.upgrade() else { return };
        let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
        for ((_, trap), set) in unused {
            set.take_out(&mut probes, trap);
        }
    }
}

impl Set {
    fn take_out(self, probes: &mut Ebpf, trap: Trap) {
        let Ok(probe) = probe(probes, trap) else { return };
        for link in self.links {
            let _ = probe.detach(link);
        }
    }
}

fn attach(
    probes: &mut Ebpf,
    trap: Trap,
    offset: u64,
    (whose, file): (Whose, &str),
) -> Result<UProbeLinkId, String> {
    let one = whose.process.and_then(NonZeroU32::new);
    let scope = one.map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    let link = probe(probes, trap)?.attach(offset, file, scope).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{}: {error}{}", trap.program(), cause.unwrap_or_default())
    })?;
    if one.is_some() {
        // What is for one process is an event of its first thread, switched with it. Of those that this thread has made, none has
        // to count: their programs run all the same, and what does not count costs a switch a third (measured on 6.18).
        let _ = configure_performance_counters(false);
    }
    Ok(link)
}

fn probe(probes: &mut Ebpf, trap: Trap) -> Result<&mut UProbe, String> {
    let probe = probes.program_mut(trap.program()).and_then(|probe| probe.try_into().ok());
    probe.ok_or_else(|| format!("there is no {}", trap.program()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_processes_have_probes_of_their_own() {
        let of = |process| Whose { process, ..Whose::default() };
        let mut traps = Traps::of(Weak::new());
        for process in 0..PROCESSES as u32 {
            assert!(traps.has_room(of(Some(process))));
            for trap in [Trap::PythonPut, Trap::PythonGet] {
                traps.programs.insert((of(Some(process)), trap), Set::default());
            }
        }
        assert!(traps.has_room(of(Some(0))), "it has some");
        assert!(!traps.has_room(of(Some(99))));
        assert!(traps.has_room(of(None)), "a program's are for all who run it");
        traps.take_out(of(Some(7)), Trap::PythonPut);
        assert!(!traps.has_room(of(Some(99))), "not all of them are out");
        traps.take_out(of(Some(7)), Trap::PythonGet);
        assert!(traps.has_room(of(Some(99))));
    }
}
