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
use crate::service::{ProcessFacts, Service, cgroup, naming, sdk};

/// Processes remembered. A big host runs a few thousand; one is some KiB.
const KEPT: usize = 16_384;
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
            known.later = (known.facts.arguments != facts.arguments).then(|| Box::new(facts));
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

/// Nothing that names it could be read.
fn is_blank(facts: &ProcessFacts) -> bool {
    facts.exe.is_empty() && facts.arguments.is_empty()
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
        // A title, or another look at what is to come.
        services.process(facts(5, 1, "/usr/bin/bash", &["bash", "stop.sh"]));
        assert!(Arc::ptr_eq(&before, &services.known(5).unwrap()));
        services.began(5);
        assert_eq!(services.known(5).unwrap().name, "stop");
        services.began(5);
        services.process(facts(5, 1, "/usr/bin/billing", &["billing"]));
        assert_eq!(services.known(5).unwrap().name, "billing");
    }

    #[test]
    fn pools_of_one_master_are_services_of_their_own() {
        let fpm = "/usr/sbin/php-fpm8.2";
        let mut services = services(vec![
            facts(10, 1, fpm, &["php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)"]),
            facts(11, 10, fpm, &["php-fpm: pool shop"]),
            facts(12, 10, fpm, &["php-fpm: pool shop"]),
            facts(13, 10, fpm, &["php-fpm: pool blog"]),
            facts(14, 10, fpm, &["php-fpm: pool www"]),
        ]);
        let mut of = |pid| services.known(pid).unwrap();
        let [shop, again, blog, www, master] = [of(11), of(12), of(13), of(14), of(10)];
        let names = [&shop, &blog, &www, &master].map(|service| service.name.as_str());
        assert_eq!(names, ["shop", "blog", "php-fpm", "php-fpm"]);
        assert!(Arc::ptr_eq(&shop, &again) && Arc::ptr_eq(&www, &master));
        assert_eq!([shop.pid, blog.pid], [10, 10]);
        assert_ne!(shop.instance_id, blog.instance_id);
    }

    #[test]
    fn workers_without_a_name_are_what_their_parent_is() {
        let python = "/usr/bin/python3.11";
        let spawned = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)";
        let mut services = services(vec![
            facts(20, 1, python, &["python3", "-m", "uvicorn", "shop.main:app", "--workers", "2"]),
            facts(21, 20, python, &["python3", "-c", spawned, "--multiprocessing-fork"]),
            facts(
                30,
                1,
                python,
                &["[celeryd: celery@web1:MainProcess] -active- (worker -A billing)"],
            ),
            facts(31, 30, python, &["[celeryd: celery@web1:ForkPoolWorker-1]"]),
        ]);
        for (worker, name, leader) in [(21, "shop", 20), (31, "billing", 30)] {
            let service = services.known(worker).unwrap();
            assert_eq!((service.name.as_str(), service.pid), (name, leader));
        }
    }

    #[test]
    fn a_unit_names_what_it_was_made_to_run_and_nothing_else() {
        let within = |unit: &str, facts: ProcessFacts| ProcessFacts {
            cgroup: vec![format!("0::/system.slice/{unit}.service")],
            ..facts
        };
        let leading = |facts| ProcessFacts { leads_unit: true, ..facts };
        let java = "/usr/lib/jvm/bin/java";
        let mut services = services(vec![
            leading(within(
                "edge",
                facts(10, 1, "/usr/sbin/nginx", &["nginx: master process nginx"]),
            )),
            within("edge", facts(11, 10, "/usr/sbin/nginx", &["nginx: worker process"])),
            leading(within(
                "inner",
                facts(15, 1, "/usr/sbin/nginx", &["nginx: master process nginx"]),
            )),
            // A wrapper, and what it started.
            leading(within("till", facts(20, 1, "/usr/bin/dash", &["sh", "/opt/till/run.sh"]))),
            within("till", facts(21, 20, java, &["java", "-jar", "app.jar"])),
            within("till", facts(22, 21, "/usr/bin/convert", &["convert"])),
            // A unit that starts what it is told to, and a daemon that such a thing left behind.
            leading(within("cron", facts(30, 1, "/usr/sbin/cron", &["cron"]))),
            within("cron", facts(31, 30, "/usr/bin/dash", &["sh", "-c", "report"])),
            within("cron", facts(32, 31, "/usr/bin/python3", &["python3", "report.py"])),
            within("cron", facts(33, 1, "/usr/sbin/nginx", &["nginx: master process nginx"])),
            // A unit that is called like what it runs.
            leading(within(
                "gunicorn",
                facts(40, 1, "/usr/bin/python3", &["python3", "/usr/bin/gunicorn", "shop:app"]),
            )),
        ]);
        for (pid, name) in [
            (10, "edge"),
            (11, "edge"),
            (15, "inner"),
            (21, "till"),
            (22, "convert"),
            (30, "cron"),
            (32, "report"),
            (33, "nginx"),
            (40, "shop"),
        ] {
            assert_eq!(services.known(pid).unwrap().name, name, "{pid}");
        }
    }

    #[test]
    fn the_same_program_in_another_container_is_another_instance() {
        let within = |digit: &str, facts: ProcessFacts| ProcessFacts {
            cgroup: vec![format!("0::/docker/{}", digit.repeat(64))],
            ..facts
        };
        let nginx = "/usr/sbin/nginx";
        let mut services = services(vec![
            within("a", facts(10, 1, nginx, &["nginx: master process nginx"])),
            within("b", facts(11, 10, nginx, &["nginx: master process nginx"])),
        ]);
        let [one, two] = [10, 11].map(|pid| services.known(pid).unwrap());
        assert_eq!(one.name, two.name);
        assert_ne!(one.instance_id, two.instance_id);
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

    proptest::proptest! {
        /// Titles, forks and whatever is read again: only another program gives another name.
        #[test]
        fn a_name_never_changes_while_a_program_runs(
            news in proptest::collection::vec((1u32..6, 0u32..6, 0usize..4, 0u8..3), 1..60),
        ) {
            let lines: [&[&str]; 4] = [
                &["python3", "/srv/shop/app.py"],
                &["gunicorn: worker [till]"],
                &["python3", "worker.py"],
                &[],
            ];
            let mut services = Services::new("web1".into());
            let mut named: Map<u32, Arc<Service>> = Map::default();
            for (pid, parent, line, what) in news {
                match what {
                    0 => {
                        services.process(facts(pid, parent, "/usr/bin/python3", lines[line]));
                    }
                    1 => {
                        services.began(pid);
                        named.remove(&pid);
                    }
                    _ => {
                        if let Some(service) = services.known(pid) {
                            let before = named.entry(pid).or_insert_with(|| Arc::clone(&service));
                            proptest::prop_assert!(Arc::ptr_eq(before, &service));
                        }
                    }
                }
            }
        }
    }
}
