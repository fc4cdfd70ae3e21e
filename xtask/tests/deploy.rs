//! What lies in `deploy/` against what will read it: Kubernetes' own types, and systemd's rules as far as they are ours.
//!
//! A key that Kubernetes does not know is silently ignored by it, so a typo shows nowhere else: each object is read into
//! its type and written again, and must not have lost anything.

#![allow(clippy::unwrap_used, reason = "what is not as it should be is to fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file, as JSON.
fn documents(text: &str) -> Vec<Value> {
    let mut events = Parser::new_from_str(text);
    let mut documents = Vec::new();
    while let Some(event) = events.next() {
        if let (Event::DocumentStart(_), _) = event.unwrap() {
            let first = next(&mut events);
            documents.push(value(&first, &mut events));
        }
    }
    documents
}

fn next<'a>(events: &mut Parser<'a, StrInput<'a>>) -> Event<'a> {
    events.next().unwrap().unwrap().0
}

fn value<'a>(event: &Event<'a>, events: &mut Parser<'a, StrInput<'a>>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()))
        }
        Event::Scalar(text, ..) => Value::String(text.to_string()),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match next(events) {
                    Event::SequenceEnd => return Value::Array(list),
                    event => list.push(value(&event, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                match next(events) {
                    Event::MappingEnd => return Value::Object(map),
                    Event::Scalar(key, ..) => {
                        let event = next(events);
                        let before = map.insert(key.to_string(), value(&event, events));
                        assert_eq!(before, None, "{key} twice");
                    }
                    other => panic!("{other:?} is no key"),
                }
            }
        }
        other => panic!("{other:?}"),
    }
}

/// Reads an object into its type and compares what is written from that.
fn round<T: DeserializeOwned + Serialize>(object: &Value) -> T {
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&typed).unwrap(), object, "a key that Kubernetes ignores");
    typed
}

fn daemonset() -> DaemonSet {
    let documents = documents(&read("daemonset.yaml"));
    let mut found = None;
    for object in &documents {
        match object["kind"].as_str().unwrap() {
            "Namespace" => drop(round::<Namespace>(object)),
            "ConfigMap" => drop(round::<ConfigMap>(object)),
            "ServiceAccount" => drop(round::<ServiceAccount>(object)),
            "DaemonSet" => found = Some(round::<DaemonSet>(object)),
            other => panic!("nobody looks at {other}"),
        }
    }
    assert_eq!(documents.len(), 4);
    found.unwrap()
}

/// Capabilities of the systemd unit, without `CAP_`.
fn of_unit() -> BTreeSet<String> {
    let unit = read("spanwire.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split(' ').map(|one| one.strip_prefix("CAP_").unwrap().to_owned()).collect()
}

#[test]
fn kubernetes_reads_all_that_the_manifest_says() {
    let spec = daemonset().spec.unwrap();
    let pod = spec.template.spec.unwrap();
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    assert_eq!(spec.selector.match_labels.unwrap(), labels);
    let [container] = pod.containers.as_slice() else { panic!("one container") };
    // Each mount has its volume, and each volume its mount.
    let mounts: BTreeSet<_> =
        container.volume_mounts.iter().flatten().map(|mount| mount.name.clone()).collect();
    let volumes: BTreeSet<_> = pod.volumes.iter().flatten().map(|one| one.name.clone()).collect();
    assert_eq!(mounts, volumes);
    // An empty directory is everybody's to write; the agent refuses to trust such a one, so it must make its own below.
    let run = container.volume_mounts.iter().flatten().find(|mount| mount.name == "run").unwrap();
    assert_eq!(run.mount_path, "/run");
    assert_eq!(pod.host_pid, Some(true));
    let limits = container.resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert!(limits.contains_key("memory"));
    assert!(container.liveness_probe.is_some() && container.startup_probe.is_some());
}

#[test]
fn both_name_the_same_capabilities_and_say_what_each_is_for() {
    let pod = daemonset().spec.unwrap().template.spec.unwrap();
    let context = pod.containers[0].security_context.clone().unwrap();
    assert_eq!(context.privileged, None);
    assert_eq!(context.allow_privilege_escalation, Some(false));
    assert_eq!(context.read_only_root_filesystem, Some(true));
    let capabilities = context.capabilities.unwrap();
    assert_eq!(capabilities.drop.unwrap(), ["ALL"]);
    let of_manifest: BTreeSet<String> = capabilities.add.unwrap().into_iter().collect();
    assert_eq!(of_manifest, of_unit());
    let (unit, manifest) = (read("spanwire.service"), read("daemonset.yaml"));
    let docker = read("Dockerfile");
    for name in of_unit() {
        let explained = |line: &str| {
            let words = line.strip_prefix(&format!("#   CAP_{name}"));
            words.is_some_and(|words| words.trim().len() > 10)
        };
        assert!(unit.lines().any(explained), "{name} in the unit");
        let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| *line == format!("- {name}")).unwrap();
        assert!(lines[at - 1].starts_with("# "), "{name} in the manifest");
        assert!(docker.contains(&format!("--cap-add={name}")), "{name} in the Dockerfile");
    }
}

#[test]
fn the_unit_has_no_key_twice_and_none_that_systemd_does_not_know() {
    let Some(analyze) = installed("systemd-analyze") else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spanwire.service");
    // The binary need not be installed where this runs.
    fs::write(&path, read("spanwire.service").replace("/usr/bin/spanwire", "/bin/true")).unwrap();
    let said = std::process::Command::new(analyze)
        .args(["verify", "--man=no"])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("spanwire.service")).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
