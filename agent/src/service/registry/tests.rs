//! Whose service a process is, over its life and its family.

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
fn one_that_was_looked_at_while_it_began_is_what_it_is_then() {
    // Begun by a program that was just begun itself: when that is told, there is no environment yet.
    let shop = facts(5, 1, "/usr/bin/server", &["server", "80"]);
    let mut services = services(vec![shop.clone()]);
    services.began(5);
    let otel = vec![("OTEL_SERVICE_NAME".to_owned(), "shop".to_owned())];
    services.process(ProcessFacts { otel, ..shop });
    services.began(5);
    assert_eq!(services.known(5).unwrap().name, "shop");
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
        facts(30, 1, python, &["[celeryd: celery@web1:MainProcess] -active- (worker -A billing)"]),
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
        leading(within("edge", facts(10, 1, "/usr/sbin/nginx", &["nginx: master process nginx"]))),
        within("edge", facts(11, 10, "/usr/sbin/nginx", &["nginx: worker process"])),
        leading(within("inner", facts(15, 1, "/usr/sbin/nginx", &["nginx: master process nginx"]))),
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
