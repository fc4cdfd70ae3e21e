//! The processes that are known, and the service of each: looked up for every request, decided once for a process.
//!
//! The instance is the leader's: the topmost ancestor with the same program and the same name (nginx's master,
//! gunicorn's arbiter), so that a service with eight workers is one instance. Bounded: processes that ended go after a
//! while, then those not asked for the longest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::hash::Map;
use crate::input::Nanos;
use crate::service::environment::Environment;
use crate::service::{ProcessFacts, Service, naming};

/// Processes remembered. A big host runs a few thousand; one is some KiB.
const KEPT: usize = 16_384;
/// How long a process that ended is remembered, ns: its last requests are reported after its end.
const AFTERLIFE: u64 = 30_000_000_000;
/// Generations that a leader is looked for.
const ANCESTORS: usize = 16;

/// A process.
#[derive(Debug)]
struct Process {
    facts: Arc<ProcessFacts>,
    /// Its service, once asked for.
    service: Option<Arc<Service>>,
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

    /// What a process is. The same again changes nothing; anything else is another program, and another service.
    pub(crate) fn process(&mut self, facts: ProcessFacts) {
        let pid = facts.pid;
        if let Some(known) = self.processes.get_mut(&pid)
            && is_same(&known.facts, &facts)
        {
            known.gone = None;
            return;
        }
        self.forget(pid);
        if self.processes.len() >= KEPT
            && let Some(oldest) = self.order.first_key_value().map(|(_, pid)| *pid)
        {
            self.forget(oldest);
        }
        let used = self.next;
        self.next += 1;
        self.order.insert(used, pid);
        self.processes
            .insert(pid, Process { facts: Arc::new(facts), service: None, gone: None, used });
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
        let leader = self.leader(pid)?;
        let host = &self.host;
        let leading = self.processes.get_mut(&leader)?;
        let facts = &leading.facts;
        let service =
            Arc::clone(leading.service.get_or_insert_with(|| Arc::new(Service::of(facts, host))));
        self.processes.get_mut(&pid)?.service = Some(Arc::clone(&service));
        Some(service)
    }

    /// The service of a process, `unknown_service` when nothing is known of it.
    pub(crate) fn of(&mut self, pid: u32) -> Arc<Service> {
        self.known(pid).unwrap_or_else(|| Arc::new(Service::unknown(pid, &self.host)))
    }

    /// The process that stands for all of its kind. `None` when nothing is known to be said of `pid`.
    fn leader(&self, pid: u32) -> Option<u32> {
        let mut leader = pid;
        for _ in 0..ANCESTORS {
            let facts = &self.processes.get(&leader)?.facts;
            let parent = self.processes.get(&facts.parent).filter(|parent| {
                parent.gone.is_none()
                    && parent.facts.start_ticks <= facts.start_ticks
                    && facts.parent != leader
            });
            match parent {
                // A child that was gone before it could be looked at is what its parent is.
                Some(parent) if is_blank(facts) || is_kin(&parent.facts, facts) => {
                    leader = facts.parent;
                }
                _ if is_blank(facts) => return None,
                _ => break,
            }
        }
        Some(leader)
    }

    fn touch(&mut self, pid: u32) {
        if let Some(process) = self.processes.get_mut(&pid) {
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

/// The same process, running the same program in the same way.
fn is_same(one: &ProcessFacts, two: &ProcessFacts) -> bool {
    one.start_ticks == two.start_ticks && one.exe == two.exe && one.arguments == two.arguments
}

/// Nothing that names it could be read.
fn is_blank(facts: &ProcessFacts) -> bool {
    facts.exe.is_empty() && facts.arguments.is_empty() && facts.otel.is_empty()
}

/// Same program, same name.
fn is_kin(one: &ProcessFacts, two: &ProcessFacts) -> bool {
    let name = |facts| naming::name(facts, &Environment::of(facts));
    one.exe == two.exe && name(one) == name(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pid: u32, parent: u32, exe: &str, arguments: &[&str]) -> ProcessFacts {
        ProcessFacts {
            pid,
            parent,
            start_ticks: u64::from(pid),
            exe: exe.into(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            directory: "/".into(),
            ..ProcessFacts::default()
        }
    }

    fn services(all: Vec<ProcessFacts>) -> Services {
        let mut services = Services::new("web1".into());
        for facts in all {
            services.process(facts);
        }
        services
    }

    #[test]
    fn workers_are_their_masters_instance() {
        let gunicorn = ["python3", "/usr/bin/gunicorn", "shop:app"];
        let mut services = services(vec![
            facts(2, 1, "/usr/bin/bash", &["bash"]),
            facts(10, 2, "/usr/sbin/nginx", &["nginx: master process nginx"]),
            facts(11, 10, "/usr/sbin/nginx", &["nginx: worker process"]),
            facts(20, 2, "/usr/bin/python3", &gunicorn),
            facts(21, 20, "/usr/bin/python3", &gunicorn),
            facts(22, 20, "/usr/bin/python3", &gunicorn),
            facts(23, 20, "/usr/bin/python3", &["python3", "report.py"]),
        ]);
        let pid = |services: &mut Services, pid| services.known(pid).unwrap().pid;
        assert_eq!(pid(&mut services, 11), 10);
        assert_eq!(pid(&mut services, 10), 10);
        assert_eq!(pid(&mut services, 22), 20);
        assert_eq!(pid(&mut services, 21), 20);
        assert_eq!(pid(&mut services, 23), 23);
        assert!(Arc::ptr_eq(&services.known(21).unwrap(), &services.known(22).unwrap()));
        assert_eq!(services.known(22).unwrap().name, "shop");
    }

    #[test]
    fn a_name_changes_by_exec_only() {
        let mut services = services(vec![facts(5, 1, "/usr/bin/bash", &["bash", "start.sh"])]);
        let before = services.known(5).unwrap();
        services.process(facts(5, 1, "/usr/bin/bash", &["bash", "start.sh"]));
        assert!(Arc::ptr_eq(&before, &services.known(5).unwrap()));
        services.process(facts(5, 1, "/usr/bin/billing", &["billing"]));
        assert_eq!(services.known(5).unwrap().name, "billing");
    }

    #[test]
    fn a_child_too_quick_to_be_read_is_its_parent() {
        let mut services =
            services(vec![facts(5, 1, "/usr/bin/billing", &["billing"]), facts(6, 5, "", &[])]);
        assert_eq!(services.known(6).unwrap().name, "billing");
        services.process(facts(8, 7, "", &[]));
        assert!(services.known(8).is_none());
        assert!(!services.of(8).is_known());
        assert!(!services.of(99).is_known());
    }

    #[test]
    fn loops_and_reused_pids_lead_nowhere() {
        let mut older = facts(5, 6, "/x", &["x"]);
        older.start_ticks = 1;
        let mut younger = facts(6, 5, "/x", &["x"]);
        younger.start_ticks = 9;
        let mut services = services(vec![older, younger, facts(7, 7, "/x", &["x"])]);
        assert_eq!(services.known(5).unwrap().pid, 5);
        assert_eq!(services.known(6).unwrap().pid, 5);
        assert_eq!(services.known(7).unwrap().pid, 7);
    }

    #[test]
    fn the_dead_are_remembered_for_a_while() {
        let mut services = services(vec![facts(5, 1, "/usr/bin/billing", &["billing"])]);
        services.gone(5, Nanos(1));
        services.tick(Nanos(AFTERLIFE));
        assert!(services.known(5).is_some());
        services.gone(5, Nanos(2));
        services.tick(Nanos(AFTERLIFE + 1));
        assert!(services.known(5).is_none());
        assert!(services.order.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_used_stays() {
        let mut services = services(vec![facts(1, 0, "/usr/bin/billing", &["billing"])]);
        for pid in 2..40_000 {
            services.process(facts(pid, 0, "/usr/bin/other", &["other"]));
            if pid % 1000 == 0 {
                assert!(services.known(1).is_some());
            }
        }
        assert_eq!(services.processes.len(), KEPT);
        assert_eq!(services.order.len(), KEPT);
    }
}
