//! Finds processes with a runtime that is known, and tells the probes of them: on a thread of its own, because to look into a
//! program's file takes longer than events may wait.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use abi::runtime::{GoGrpc, GoHttp2, GoProcess, Rule};
use aya::{
    Ebpf,
    maps::{Array, HashMap as KernelMap, MapData},
};
use zerocopy::IntoBytes as _;

use super::{
    Rules,
    go::{Examiner, Found, Record, Refusal},
    python,
    traps::Whose,
    wanted::{Process, Standings, Uses, Wanted},
};
use crate::{
    status::{Counters, Meaning},
    trace::Need,
};

/// When a process is looked at again: its runtime has to be up, and what is read of it may be changed in the middle. Ms.
const LOOKS: [u64; 4] = [20, 100, 500, 2000];
/// When one that runs Python is, until it has a queue of pools: ms.
const LATER: u64 = 5000;

/// The kernel's maps of what runtimes are like.
pub(crate) struct Maps {
    /// Those of Go.
    pub(crate) go: GoMaps,
    /// Those of Python's pools.
    pub(crate) python: python::Maps,
    /// The probes that can be put into programs.
    pub(crate) probes: Weak<Mutex<Ebpf>>,
}

/// Those of Go, and the number that is for all.
pub(crate) struct GoMaps {
    /// By process: the words of a [`GoProcess`].
    pub(crate) processes: KernelMap<MapData, u32, [u64; GoProcess::WORDS]>,
    /// How often a process was told of.
    pub(crate) round: Array<MapData, u32>,
    /// By process and address; 1, or 2 for those that are exempt.
    pub(crate) receivers: KernelMap<MapData, [u64; 2], u64>,
    /// By process: the words of a [`GoGrpc`].
    pub(crate) grpc: KernelMap<MapData, u32, [u64; GoGrpc::WORDS]>,
    /// By process: the words of a [`GoHttp2`].
    pub(crate) http2: KernelMap<MapData, u32, [u64; GoHttp2::WORDS]>,
}

enum Message {
    /// A process has begun a program.
    Began(u32),
    /// It has talked for the first time.
    Talks(u32),
    /// Something more must be known of it.
    Needs(u32, Need),
    /// It has ended.
    Gone(u32),
}

/// What is known of processes with a runtime, shared with who watches their tasks.
pub(super) type Records = Arc<Mutex<HashMap<u32, Record>>>;

/// The thread that looks at processes. It ends when this is dropped.
pub struct Attacher {
    messages: Sender<Message>,
    records: Records,
    standings: Standings,
    /// Processes that are known to talk.
    talkers: HashSet<u32>,
}

impl Attacher {
    /// Starts it, for the processes that are there and those to come.
    pub(crate) fn start(maps: Maps, rules: Rules) -> Self {
        let (messages, inbox) = mpsc::channel();
        let records = Records::default();
        let standings = Standings::default();
        let pools = python::Told::new(maps.python);
        let wanted = Wanted::new(maps.probes, Arc::clone(&standings), Some(pools), rules);
        let thread = Thread {
            maps: maps.go,
            wanted,
            rules,
            examiner: Examiner::default(),
            python: python::Examiner::default(),
            records: Arc::clone(&records),
            told: HashMap::new(),
            due: BTreeMap::new(),
        };
        let started =
            std::thread::Builder::new().name("runtimes".into()).spawn(move || thread.run(&inbox));
        if let Err(error) = started {
            log::warn!("goroutines are not looked at: {error}");
        }
        Self { messages, records, standings, talkers: HashSet::new() }
    }

    /// A process has begun a program.
    pub(crate) fn began(&mut self, pid: u32) {
        self.talkers.remove(&pid);
        let _ = self.messages.send(Message::Began(pid));
    }

    /// A process has a connection.
    pub(crate) fn talks(&mut self, pid: u32) {
        if self.talkers.insert(pid) {
            let _ = self.messages.send(Message::Talks(pid));
        }
    }

    /// Something more must be known of a process. Told once, until it has ended or begun another program.
    pub(crate) fn needs(&self, pid: u32, need: Need) {
        let _ = self.messages.send(Message::Needs(pid, need));
    }

    /// A process has ended.
    pub(crate) fn gone(&mut self, pid: u32) {
        self.talkers.remove(&pid);
        let _ = self.messages.send(Message::Gone(pid));
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    /// Says how many probes of which rules are in each process, or wait, or were refused. `name` tells what its service is called.
    pub(crate) fn count<'a>(&self, counters: &mut Counters, name: impl Fn(u32) -> &'a str) {
        for (pid, standings) in &*lock(&self.standings) {
            for ((rule, standing), probes) in standings {
                let row = format!("{}[{pid}] {rule}, {}", name(*pid), standing.words());
                counters.add("probes_in_programs", row, Meaning::Level, *probes);
            }
        }
    }
}

struct Thread {
    maps: GoMaps,
    wanted: Wanted,
    rules: Rules,
    examiner: Examiner,
    python: python::Examiner,
    records: Records,
    /// What the receivers' map holds of each process.
    told: HashMap<u32, Vec<u64>>,
    /// Processes to be looked at (again): when (ms since the start), which look it is.
    due: BTreeMap<(u64, u32), usize>,
}

impl Thread {
    fn run(mut self, inbox: &Receiver<Message>) {
        let clock = Clock::start();
        for pid in processes() {
            self.due.insert((0, pid), 0);
        }
        loop {
            // One after the other, so that those that have just begun need not wait for all that were there.
            let now = clock.now();
            if let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
                let ((_, pid), look) = entry.remove_entry();
                self.look(pid, look, now);
            }
            self.wanted.look(clock.now());
            let wait =
                self.due.first_key_value().map_or(Duration::from_secs(3600), |((at, _), _)| {
                    Duration::from_millis(at - now.min(*at))
                });
            match inbox.recv_timeout(wait.min(self.wanted.rests())) {
                Ok(Message::Began(pid)) => {
                    self.forget(pid);
                    self.due.insert((clock.now() + LOOKS[0], pid), 1);
                }
                Ok(Message::Talks(pid)) => {
                    if lock(&self.records).get(&pid).is_none() && !self.wanted.knows(pid) {
                        self.due.retain(|(_, known), _| *known != pid);
                        self.look(pid, 0, clock.now());
                    }
                }
                Ok(Message::Needs(pid, need)) => self.wanted.needs(pid, need),
                Ok(Message::Gone(pid)) => self.forget(pid),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self, pid: u32, look: usize, now: u64) {
        // Whoever has no socket has no requests, and most that begin, as compilers do, are soon gone: to look into a program
        // costs more than such a one lives.
        if !has_socket(pid) {
            if let Some(later) = LOOKS.get(look) {
                self.due.insert((now + later, pid), look + 1);
            }
            return;
        }
        let born = birth(pid);
        match self.examiner.examine(pid, self.rules) {
            Ok(found) => {
                if let Err(why) =
                    self.tell(pid, &found).and_then(|()| self.tell_of_streams(pid, &found))
                {
                    log::warn!("the goroutines of process {pid} are not followed: {why}");
                    self.forget(pid);
                } else if birth(pid) != born || born.is_none() {
                    // Another process by now: what was found is not true of it.
                    self.forget(pid);
                } else {
                    for (of, source) in &found.layouts {
                        log::debug!("process {pid}: {of} is laid out as {source}");
                    }
                    for (rule, why) in &found.off {
                        log::debug!("process {pid}: {} is off, {why}", rule.name());
                    }
                    let version = found.version;
                    let process = Process {
                        whose: Whose { program: found.program, process: None },
                        file: format!("/proc/{pid}/exe"),
                        places: found.places,
                        uses: Uses::Started(found.process.goidgen),
                    };
                    self.wanted.found(pid, process);
                    log::debug!("process {pid} runs Go {version}");
                }
            }
            Err(Refusal::NotGo) => self.look_for_pools(pid, look, now),
            Err(why) => match LOOKS.get(look) {
                Some(later) => {
                    self.due.insert((now + later, pid), look + 1);
                }
                None => log::warn!("the goroutines of process {pid} are not followed: {why}"),
            },
        }
    }

    /// The same of a process that is no Go program: it may run Python.
    fn look_for_pools(&mut self, pid: u32, look: usize, now: u64) {
        if !self.rules.has(Rule::PythonPool) {
            return;
        }
        let born = birth(pid);
        match self.python.examine(pid) {
            Ok(found) => {
                // From here on the probes ask whose thread it is,
                if let Err(why) = self.next_round() {
                    log::warn!("the pools of process {pid} are not followed: {why}");
                    return;
                }
                // and as soon as all are in they are told of this process.
                let process = Process {
                    whose: Whose { program: found.program, process: Some(pid) },
                    file: found.file,
                    places: found.places,
                    uses: Uses::OfQueues(found.process),
                };
                self.wanted.found(pid, process);
                if birth(pid) != born || born.is_none() {
                    self.forget(pid);
                } else {
                    let version = found.version.map(|version| version.to_string());
                    log::debug!("process {pid} runs Python {}", version.unwrap_or_default());
                }
            }
            Err(python::Refusal::NotPython) => {}
            Err(python::Refusal::NoQueue) => {
                let later = LOOKS.get(look).copied().unwrap_or(LATER);
                self.due.insert((now + later, pid), look + 1);
            }
            Err(why) => match LOOKS.get(look) {
                Some(later) => {
                    self.due.insert((now + later, pid), look + 1);
                }
                None => log::warn!("the pools of process {pid} are not followed: {why}"),
            },
        }
    }

    fn tell(&mut self, pid: u32, found: &Found) -> Result<(), String> {
        let told = self.told.entry(pid).or_default();
        for (start, exempt) in &found.receivers {
            let what = if *exempt { 2 } else { 1 };
            self.maps
                .receivers
                .insert([u64::from(pid), *start], what, 0)
                .map_err(|error| format!("its functions cannot be told: {error}"))?;
            told.push(*start);
        }
        lock(&self.records).insert(pid, found.record);
        let mut words = [0; GoProcess::WORDS];
        words.as_mut_bytes().copy_from_slice(found.process.as_bytes());
        // From here on the probes believe it,
        self.maps
            .processes
            .insert(pid, words, 0)
            .map_err(|error| format!("it cannot be told: {error}"))?;
        self.next_round()
    }

    /// Has connections ask again that know of no runtime.
    fn next_round(&mut self) -> Result<(), String> {
        let round = &mut self.maps.round;
        round
            .get(&0, 0)
            .and_then(|now| round.set(0, now.checked_add(1).unwrap_or(1), 0))
            .map_err(|error| format!("its connections stay unknown: {error}"))
    }

    /// Says where its streams of HTTP/2 are: for the probes in its program, and so that connections are known before these are there.
    fn tell_of_streams(&mut self, pid: u32, found: &Found) -> Result<(), String> {
        let mut told = Ok(());
        if let Some(grpc) = &found.grpc {
            let mut words = [0; GoGrpc::WORDS];
            words.as_mut_bytes().copy_from_slice(grpc.as_bytes());
            told = told.and(self.maps.grpc.insert(pid, words, 0));
        }
        if let Some(http2) = &found.http2 {
            let mut words = [0; GoHttp2::WORDS];
            words.as_mut_bytes().copy_from_slice(http2.as_bytes());
            told = told.and(self.maps.http2.insert(pid, words, 0));
        }
        told.map_err(|error| format!("its streams cannot be told: {error}"))
    }

    fn forget(&mut self, pid: u32) {
        let _ = self.maps.processes.remove(&pid);
        let _ = self.maps.grpc.remove(&pid);
        let _ = self.maps.http2.remove(&pid);
        self.wanted.forget(pid);
        lock(&self.records).remove(&pid);
        self.due.retain(|(_, known), _| *known != pid);
        for start in self.told.remove(&pid).unwrap_or_default() {
            let _ = self.maps.receivers.remove(&[u64::from(pid), start]);
        }
    }
}

pub(super) fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a process began, in the kernel's ticks: field 22 of its `stat`.
fn birth(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether it has a socket of any sort. One that cannot be asked may have.
fn has_socket(pid: u32) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .any(|file| file.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
}

fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Milliseconds since it was started.
struct Clock(rustix::time::Timespec);

impl Clock {
    fn start() -> Self {
        Self(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
    }

    fn now(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanos = (now.tv_sec - self.0.tv_sec) * 1_000_000_000 + now.tv_nsec - self.0.tv_nsec;
        u64::try_from(nanos / 1_000_000).unwrap_or(0)
    }
}
