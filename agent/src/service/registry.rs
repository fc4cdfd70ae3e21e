//! The processes that are known, and the service of each: looked up for every request, decided once for a process.
//!
//! The instance is the leader's: the topmost ancestor with the same program and the same name (nginx's master,
//! gunicorn's arbiter), so that a service with eight workers is one instance. A title that a process writes over its
//! arguments later changes nothing; only exec does. Bounded: processes that ended go after a while, then those not asked
//! for the longest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::hash::Map;
use crate::input::Nanos;
use crate::selection::{Selection, Subject, Verdict};
use crate::service::{ProcessFacts, Service, cgroup, naming, sdk, threads};

/// Processes remembered. A big host runs a few thousand; one is some KiB.
const KEPT: usize = 16_384;
/// How many count as the last asked for.
const RECENT: u64 = 64;
/// How long a process that ended is remembered, ns: its last requests are reported after its end.
const AFTERLIFE: u64 = 30_000_000_000;
/// Generations that a leader is looked for.
const ANCESTORS: usize = 16;
/// Services remembered of one leader: pools of a PHP-FPM. Beyond it each worker has a copy of its own.
const LED: usize = 256;

/// A process.
#[derive(Debug)]
struct Process {
    facts: Arc<ProcessFacts>,
    /// The same process as it was seen later: what it is, if it is told to have begun another program.
    later: Option<Box<ProcessFacts>>,
    /// Its service, once asked for.
    service: Option<Arc<Service>>,
    /// The services whose instances it leads: one, and more for a master that serves several.
    leads: Vec<Arc<Service>>,
    /// What the operator's rules say of it, once asked for.
    verdict: Option<Verdict>,
    /// Its command line loads an OpenTelemetry SDK.
    loads_sdk: bool,
    /// Each of its requests has a thread of its own: see [`threads`].
    serves_by_threads: bool,
    /// When it may be forgotten.
    gone: Option<Nanos>,
    /// Its place in the order of use.
    used: u64,
}

/// All known processes of the host.
#[derive(Debug)]
pub(crate) struct Services {
    host: String,
    processes: Map<u32, Process>,
    /// Pids by last use.
    order: BTreeMap<u64, u32>,
    next: u64,
    /// Processes that ended, with the time at which they may be forgotten.
    dead: VecDeque<(Nanos, u32)>,
}

impl Services {
    /// Nobody is known yet on the host of that name.
    pub(crate) fn new(host: String) -> Self {
        Self {
            host,
            processes: Map::default(),
            order: BTreeMap::new(),
            next: 0,
            dead: VecDeque::new(),
        }
    }

    /// What a process is; whether it is another one than was known by this pid. If it is the same, that it looks
    /// different is kept for [`Self::began`].
    pub(crate) fn process(&mut self, facts: ProcessFacts) -> bool {
        if let Some(known) = self.processes.get_mut(&facts.pid)
            && known.facts.start_ticks == facts.start_ticks
            && known.facts.exe == facts.exe
        {
            known.gone = None;
            known.later = (*known.facts != facts).then(|| Box::new(facts));
            return false;
        }
        self.insert(facts);
        true
    }

    /// A process began another program: what was said of it last is what it is now.
    pub(crate) fn began(&mut self, pid: u32) {
        if let Some(later) = self.processes.get_mut(&pid).and_then(|known| known.later.take()) {
            self.insert(*later);
        }
    }

    fn insert(&mut self, facts: ProcessFacts) {
        let pid = facts.pid;
        self.forget(pid);
        if self.processes.len() >= KEPT
            && let Some(oldest) = self.order.first_key_value().map(|(_, pid)| *pid)
        {
            self.forget(oldest);
        }
        let used = self.next;
        self.next += 1;
        self.order.insert(used, pid);
        let process = Process {
            loads_sdk: sdk::is_loaded(&facts),
            serves_by_threads: threads::serve(&facts),
            facts: Arc::new(facts),
            later: None,
            service: None,
            leads: Vec::new(),
            verdict: None,
            gone: None,
            used,
        };
        self.processes.insert(pid, process);
    }

    /// A process ended.
    pub(crate) fn gone(&mut self, pid: u32, now: Nanos) {
        if let Some(process) = self.processes.get_mut(&pid)
            && process.gone.is_none()
        {
            let forget = now.plus(AFTERLIFE);
            process.gone = Some(forget);
            self.dead.push_back((forget, pid));
        }
    }

    /// Forgets processes that ended long ago.
    pub(crate) fn tick(&mut self, now: Nanos) {
        while let Some((at, pid)) = self.dead.pop_front_if(|(at, _)| *at <= now) {
            // Not if the pid is another process's by now.
            if self.processes.get(&pid).is_some_and(|process| process.gone == Some(at)) {
                self.forget(pid);
            }
        }
    }

    /// The service of a process, if anything is known of the process.
    pub(crate) fn known(&mut self, pid: u32) -> Option<Arc<Service>> {
        self.touch(pid);
        let process = self.processes.get(&pid)?;
        if let Some(service) = &process.service {
            return Some(Arc::clone(service));
        }
        let subject = self.subject(pid)?;
        let leader = self.leader(subject)?;
        let unit = self.unit(leader);
        let process = Arc::clone(&self.processes.get(&subject)?.facts);
        let leading = self.processes.get_mut(&leader)?;
        let service = Service::of(&process, &leading.facts, unit.as_deref(), &self.host);
        let same = leading.leads.iter().find(|led| led.instance_id == service.instance_id);
        let service = match same {
            Some(led) => Arc::clone(led),
            None => {
                let led = Arc::new(service);
                if leading.leads.len() < LED {
                    leading.leads.push(Arc::clone(&led));
                }
                led
            }
        };
        self.processes.get_mut(&pid)?.service = Some(Arc::clone(&service));
        Some(service)
    }

    /// The service of a process, `unknown_service` when nothing is known of it.
    pub(crate) fn of(&mut self, pid: u32) -> Arc<Service> {
        self.known(pid).unwrap_or_else(|| Arc::new(Service::unknown(pid, &self.host)))
    }

    /// What a process's service is called, if that was ever asked.
    pub(crate) fn name(&self, pid: u32) -> Option<&str> {
        Some(&self.processes.get(&pid)?.service.as_ref()?.name)
    }

    /// What the rules say of all requests of a process. Asked for every request, decided once.
    pub(crate) fn verdict(&mut self, pid: u32, selection: &Selection) -> Verdict {
        if selection.rules().is_empty() {
            return Verdict::Traced(None);
        }
        if let Some(verdict) = self.processes.get(&pid).and_then(|process| process.verdict) {
            return verdict;
        }
        let verdict = self.ask(pid, |subject| selection.of_process(subject));
        if let Some(process) = self.processes.get_mut(&pid) {
            process.verdict = Some(verdict);
        }
        verdict
    }

    /// What the rules say of one request of a process to that port.
    pub(crate) fn of_request(
        &mut self,
        pid: u32,
        port: Option<u16>,
        selection: &Selection,
    ) -> Verdict {
        self.ask(pid, |subject| selection.of_request(subject, port))
    }

    /// The processes that are known.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.keys().copied().collect()
    }

    /// The rules are others now.
    pub(crate) fn forget_verdicts(&mut self) {
        for process in self.processes.values_mut() {
            process.verdict = None;
        }
    }

    /// Whether a process's command line loads an OpenTelemetry SDK.
    pub(crate) fn loads_sdk(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.loads_sdk)
    }

    /// Whether a process is known to serve each request with a thread, though its sockets do not block.
    pub(crate) fn serves_by_threads(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.serves_by_threads)
    }

    /// Whether a process's variables tell an SDK to export to a server with this port.
    pub(crate) fn is_told_to_export_to(&self, pid: u32, port: u16) -> bool {
        self.processes
            .get(&pid)
            .is_some_and(|process| sdk::is_told_to_export_to(&process.facts, port))
    }

    fn ask(&mut self, pid: u32, decide: impl Fn(&Subject<'_>) -> Verdict) -> Verdict {
        let service = self.of(pid);
        let unknown = ProcessFacts::default();
        let facts = self.processes.get(&pid).map_or(&unknown, |process| &*process.facts);
        let unit = cgroup::service_unit(&facts.cgroup);
        decide(&Subject {
            executable: naming::executable(facts),
            service: &service.name,
            unit: unit.as_deref(),
            container: cgroup::container(&facts.cgroup),
            container_name: &facts.container_name,
            labels: &facts.labels,
        })
    }

    /// The process that says what `pid` is: itself, or where it says nothing the nearest ancestor that does. `None`
    /// when nothing is known to be said.
    fn subject(&self, pid: u32) -> Option<u32> {
        let mut subject = pid;
        for _ in 0..ANCESTORS {
            let facts = &self.processes.get(&subject)?.facts;
            // A child that was gone before it could be looked at is what its parent is.
            let blank = is_blank(facts);
            if !blank && !naming::is_worker(facts) {
                break;
            }
            match self.parent(subject) {
                Some(parent) if blank || naming::is_kin(parent, facts) => subject = parent.pid,
                _ if blank => return None,
                _ => break,
            }
        }
        Some(subject)
    }

    /// The process that stands for all of its kind.
    fn leader(&self, subject: u32) -> Option<u32> {
        let mut leader = subject;
        for _ in 0..ANCESTORS {
            let facts = &self.processes.get(&leader)?.facts;
            match self.parent(leader) {
                Some(parent) if naming::is_kin(parent, facts) => leader = parent.pid,
                _ => break,
            }
        }
        Some(leader)
    }

    /// The systemd unit that a process leads: as systemd started it, or below what only starts others (a shell).
    fn unit(&self, leader: u32) -> Option<String> {
        let unit = cgroup::service_unit(&self.processes.get(&leader)?.facts.cgroup)?;
        let mut above = leader;
        for _ in 0..ANCESTORS {
            if self.processes.get(&above)?.facts.leads_unit {
                return Some(unit);
            }
            let parent = self.parent(above).filter(|parent| {
                naming::is_wrapper(parent)
                    && cgroup::service_unit(&parent.cgroup).as_deref() == Some(unit.as_str())
            })?;
            above = parent.pid;
        }
        None
    }

    /// The parent, if it is known to be that and alive.
    fn parent(&self, pid: u32) -> Option<&ProcessFacts> {
        let facts = &self.processes.get(&pid)?.facts;
        let parent = self.processes.get(&facts.parent)?;
        let is_parent = parent.gone.is_none()
            && parent.facts.start_ticks <= facts.start_ticks
            && facts.parent != pid;
        is_parent.then_some(&*parent.facts)
    }

    /// It was asked for. Who is among the last asked for already keeps its place: far more are remembered than those.
    fn touch(&mut self, pid: u32) {
        if let Some(process) = self.processes.get_mut(&pid)
            && self.next - process.used > RECENT
        {
            self.order.remove(&process.used);
            process.used = self.next;
            self.order.insert(self.next, pid);
            self.next += 1;
        }
    }

    fn forget(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.order.remove(&process.used);
        }
    }
}

/// Nothing that names it could be read.
fn is_blank(facts: &ProcessFacts) -> bool {
    facts.exe.is_empty() && facts.arguments.is_empty() && facts.otel.is_empty()
}

#[cfg(test)]
mod tests;
