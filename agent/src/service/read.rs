//! Reads what a live process is from /proc: the only file here that does so. Its answer is recorded and never asked
//! for again.
//!
//! A process may end or begin another program while it is read: whatever cannot be read is empty, and a process that
//! is not the same at the end is none. Keeps no more than it must: of the environment only `OTEL_*`, and the names of
//! variables that load an OpenTelemetry SDK.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::service::environment::Environment;
use crate::service::labels::{self, Labels};
use crate::service::{ProcessFacts, cgroup, container, sdk};

/// Where the control groups are: version 2, and version 1 or a hybrid host, where systemd has a hierarchy of its own.
const HIERARCHIES: [&str; 3] =
    ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
/// Most bytes of a command line (the kernel has 128 KiB for one argument, and more for all).
const COMMAND_LINE: u64 = 256 * 1024;
/// Most bytes of an environment.
const ENVIRONMENT: u64 = 1024 * 1024;
/// Most bytes of the small files.
const SMALL: u64 = 64 * 1024;

/// Containers that are remembered; beyond it the memory starts anew.
const CONTAINERS: usize = 4096;

/// Reads processes, and remembers what many of them have in common: a build in a container starts thousands.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Containers by their ids.
    containers: HashMap<String, Container>,
}

/// What is known of a container.
#[derive(Clone, Debug, Default)]
struct Container {
    name: String,
    labels: Labels,
}

impl Reader {
    /// The facts of a live process; `None` when there is none of that pid (any more).
    pub(crate) fn read(&mut self, pid: u32) -> Option<ProcessFacts> {
        let mut facts = read_without_container(pid)?;
        if let Some(id) = cgroup::container(&facts.cgroup) {
            let container = match self.containers.get(id) {
                Some(container) => container.clone(),
                // One that has nothing is cheap to ask again; it may only be in the making.
                None => {
                    let container = container(&facts, id);
                    if !container.name.is_empty() || !container.labels.is_empty() {
                        if self.containers.len() >= CONTAINERS {
                            self.containers.clear();
                        }
                        self.containers.insert(id.to_owned(), container.clone());
                    }
                    container
                }
            };
            facts.container_name = container.name;
            facts.labels = container.labels;
        }
        facts.labels.extend(Environment::of(&facts).attributes);
        Some(facts)
    }
}

fn read_without_container(pid: u32) -> Option<ProcessFacts> {
    let root = Path::new("/proc").join(pid.to_string());
    let (comm, parent, start_ticks) = stat(&root)?;
    let link = |name: &str| {
        fs::read_link(root.join(name))
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let environment = bytes(&root.join("environ"), ENVIRONMENT).unwrap_or_default();
    let mut facts = ProcessFacts {
        pid,
        parent,
        start_ticks,
        comm,
        exe: link("exe"),
        arguments: split(&bytes(&root.join("cmdline"), COMMAND_LINE).unwrap_or_default()),
        directory: link("cwd"),
        otel: variables(&environment),
        sdk_variables: sdk_variables(&environment),
        cgroup: String::from_utf8_lossy(&bytes(&root.join("cgroup"), SMALL).unwrap_or_default())
            .lines()
            .map(str::to_owned)
            .collect(),
        container_name: String::new(),
        labels: Vec::new(),
        leads_unit: false,
    };
    facts.leads_unit = leads_unit(&facts);
    // The same pid may be another process by now.
    (stat(&root)?.2 == start_ticks).then_some(facts)
}

/// The container of that id, in which the process is.
fn container(facts: &ProcessFacts, id: &str) -> Container {
    // The host's own files, also when we run in a container.
    let host = Path::new("/proc/1/root");
    Container {
        name: container_name(host, facts, id).unwrap_or_default(),
        labels: labels::of_container(host, id),
    }
}

fn container_name(host: &Path, facts: &ProcessFacts, id: &str) -> Option<String> {
    let inside = format!("/proc/{}/root", facts.pid);
    let in_pod = cgroup::pod_uid(&facts.cgroup).is_some();
    // What makes a container is in its control group before it has its files.
    if in_pod && is_same_folder(host, Path::new(&inside))? {
        return None;
    }
    container::name(host, Path::new(&inside), id, in_pod)
}

fn is_same_folder(one: &Path, two: &Path) -> Option<bool> {
    let (one, two) = (fs::metadata(one).ok()?, fs::metadata(two).ok()?);
    Some((one.dev(), one.ino()) == (two.dev(), two.ino()))
}

/// Whether systemd started this process for its unit: a child of init, and the oldest in the unit's control group. A
/// daemon that was left behind there (by a cron job, by a shell) is younger than what the unit is for.
fn leads_unit(facts: &ProcessFacts) -> bool {
    if facts.parent != 1 || cgroup::service_unit(&facts.cgroup).is_none() {
        return false;
    }
    let Some(path) = cgroup::systemd_path(&facts.cgroup).filter(|path| !path.contains("..")) else {
        return false;
    };
    let members = HIERARCHIES
        .iter()
        .find_map(|root| bytes(&Path::new(&format!("{root}{path}/cgroup.procs")), SMALL));
    members.is_some_and(|members| {
        String::from_utf8_lossy(&members)
            .split_ascii_whitespace()
            .filter(|pid| pid.parse() != Ok(facts.pid))
            .filter_map(|pid| stat(&Path::new("/proc").join(pid)))
            .all(|(_, _, started)| started >= facts.start_ticks)
    })
}

/// Name, parent and start time (`proc_pid_stat(5)`, fields 2, 4 and 22).
fn stat(root: &Path) -> Option<(String, u32, u64)> {
    let bytes = bytes(&root.join("stat"), SMALL)?;
    parse_stat(&String::from_utf8_lossy(&bytes))
}

fn parse_stat(text: &str) -> Option<(String, u32, u64)> {
    // The name may hold blanks and parentheses; nothing after it does.
    let (before, after) = text.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some((comm.to_owned(), parent, start_ticks))
}

/// The `OTEL_*` variables of an environment, and no others.
fn variables(environment: &[u8]) -> Vec<(String, String)> {
    environment
        .split(|byte| *byte == 0)
        .filter(|entry| entry.starts_with(b"OTEL_"))
        .filter_map(|entry| {
            let text = String::from_utf8_lossy(entry);
            let (key, value) = text.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Names of the variables that load an OpenTelemetry SDK, as its Kubernetes operator and its manuals set them.
fn sdk_variables(environment: &[u8]) -> Vec<String> {
    let entries = environment.split(|byte| *byte == 0);
    let names = entries.filter_map(|entry| {
        let (name, value) = entry.split_at(entry.iter().position(|byte| *byte == b'=')?);
        let name = std::str::from_utf8(name).ok().filter(|name| sdk::VARIABLES.contains(name))?;
        sdk::is_named_in(&String::from_utf8_lossy(value)).then(|| name.to_owned())
    });
    names.collect()
}

/// Arguments, each ended by a zero byte. A process that has written a title over them leaves a tail of zeros.
fn split(line: &[u8]) -> Vec<String> {
    let end = line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Vec::new();
    }
    line[..end]
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

fn bytes(path: &(impl AsRef<OsStr> + ?Sized), most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(Path::new(path.as_ref())).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_anything() {
        let tail = "S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200";
        assert_eq!(
            parse_stat(&format!("9 (a) b (c)) {tail}")),
            Some(("a) b (c)".into(), 17, 4711))
        );
        assert_eq!(parse_stat("9 (a S 1"), None);
        assert_eq!(parse_stat("9 (a) S"), None);
    }

    #[test]
    fn only_our_variables_are_taken() {
        let environment =
            b"PATH=/bin\0OTEL_SERVICE_NAME=shop\0PASSWORD=OTEL_X=1\0OTEL_BROKEN\0OTEL_A=b=c\0";
        let expected = [("OTEL_SERVICE_NAME", "shop"), ("OTEL_A", "b=c")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(variables(environment), expected);
    }

    #[test]
    fn of_what_loads_an_sdk_only_the_name_is_kept() {
        let environment =
            b"NODE_OPTIONS=--require /otel-auto-instrumentation-nodejs/autoinstrumentation.js\0\
            PYTHONPATH=/srv/secret\0JAVA_TOOL_OPTIONS=-javaagent:/opentelemetry-javaagent.jar\0\
            X=opentelemetry-javaagent\0BROKEN\0";
        assert_eq!(sdk_variables(environment), ["NODE_OPTIONS", "JAVA_TOOL_OPTIONS"]);
    }

    #[test]
    fn arguments_keep_their_blanks() {
        assert_eq!(split(b"a\0\0b c\0"), ["a", "", "b c"]);
        assert_eq!(split(b"nginx: worker process\0\0\0\0"), ["nginx: worker process"]);
        assert_eq!(split(b""), Vec::<String>::new());
        assert_eq!(split(b"\0\0"), Vec::<String>::new());
    }

    #[test]
    fn this_process_is_read() {
        let facts = Reader::default().read(std::process::id()).unwrap();
        assert_eq!(facts.pid, std::process::id());
        assert_eq!(Path::new(&facts.exe), std::env::current_exe().unwrap());
        assert_eq!(Path::new(&facts.directory), std::env::current_dir().unwrap());
        assert_eq!(facts.arguments, std::env::args().collect::<Vec<_>>());
        assert!(facts.parent > 0 && facts.start_ticks > 0);
        assert!(facts.otel.iter().all(|(key, _)| key.starts_with("OTEL_")));
    }

    #[test]
    fn a_root_is_the_hosts_or_it_is_not() {
        let own = Path::new("/proc/self/root");
        assert_eq!(is_same_folder(own, Path::new("/")), Some(true));
        assert_eq!(is_same_folder(own, Path::new("/proc")), Some(false));
        assert_eq!(is_same_folder(own, Path::new("/nonexistent")), None);
    }

    #[test]
    fn nobody_is_not_read() {
        assert_eq!(Reader::default().read(u32::MAX), None);
    }
}
