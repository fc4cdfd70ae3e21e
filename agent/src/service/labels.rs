//! What a container is labelled with, for rules of selection: as its engine has written it down on this host.
//!
//! | engine | file | what of it |
//! |---|---|---|
//! | Docker | `config.v2.json` beside the container | its labels |
//! | CRI-O | `config.json` of its OCI bundle, and of its pod's | labels of the container and of the pod, annotations |
//! | podman, containerd | `config.json` of its OCI bundle | annotations |
//!
//! The kubelet's own labels have the same keys (`io.kubernetes.pod.namespace`, …) whatever engine there is. A pod's other
//! labels are known of CRI-O only: containerd keeps them in a database of its own, and no API server is asked. Nothing here is
//! believed to be short, or to be anything but text.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::container::text;

/// Most labels kept of a container, and most bytes of all of them: each of its processes has a copy.
const MOST: usize = 64;
const MOST_BYTES: usize = 4096;
/// Folders of containerd's bundles: its own, and that of k3s. Below are name spaces: the kubelet's, and those of whoever
/// types `ctr` or `nerdctl`.
const CONTAINERD: [&str; 2] = [
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
];
const NAME_SPACES: [&str; 2] = ["k8s.io", "default"];
/// Annotations of containerd's, and the kubelet's labels that say the same.
const KUBELET: [(&str, &str); 4] = [
    ("io.kubernetes.cri.container-name", "io.kubernetes.container.name"),
    ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
    ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
    ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
];
/// CRI-O's annotations: labels as a JSON object, and the id of the pod's own container.
const CRIO_LABELS: &str = "io.kubernetes.cri-o.Labels";
const CRIO_POD: &str = "io.kubernetes.cri-o.SandboxID";

/// Labels by key.
pub(super) type Labels = Vec<(String, String)>;

/// The labels of the container `id`, sorted; `root` is the host's root folder.
pub(super) fn of_container(root: &Path, id: &str) -> Labels {
    let found = docker(root, id)
        .or_else(|| bundle_of_storage(root, id).map(|annotations| crio(root, annotations)))
        .or_else(|| containerd(root, id));
    bounded(found.unwrap_or_default())
}

/// The part of Docker's file that is read.
#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Config")]
    config: DockerConfig,
}

/// Likewise.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

fn docker(root: &Path, id: &str) -> Option<BTreeMap<String, String>> {
    let text = text(root, &format!("var/lib/docker/containers/{id}/config.v2.json"))?;
    let read: Docker = serde_json::from_str(&text).ok()?;
    read.config.labels
}

/// The part that is read of an OCI runtime's configuration (runtime-spec, "Annotations").
#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

fn annotations(root: &Path, path: &str) -> Option<BTreeMap<String, String>> {
    let read: Bundle = serde_json::from_str(&text(root, path)?).ok()?;
    read.annotations
}

/// As CRI-O and podman have it.
fn bundle_of_storage(root: &Path, id: &str) -> Option<BTreeMap<String, String>> {
    annotations(
        root,
        &format!("run/containers/storage/overlay-containers/{id}/userdata/config.json"),
    )
}

/// With the labels that CRI-O hides in its annotations: the container's own beat the pod's.
fn crio(root: &Path, mut annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pod = annotations.get(CRIO_POD).filter(|id| is_id(id));
    let mut labels = pod
        .and_then(|pod| bundle_of_storage(root, pod)?.remove(CRIO_LABELS))
        .and_then(|text| object(&text))
        .unwrap_or_default();
    labels.extend(annotations.get(CRIO_LABELS).and_then(|text| object(text)).unwrap_or_default());
    // What is left of these says how the engine runs it, at length.
    annotations.retain(|key, _| !key.starts_with("io.kubernetes.cri-o."));
    annotations.extend(labels);
    annotations
}

fn containerd(root: &Path, id: &str) -> Option<BTreeMap<String, String>> {
    let mut places = CONTAINERD.iter().flat_map(|folder| NAME_SPACES.map(|name| (folder, name)));
    let mut found = places.find_map(|(folder, name)| {
        annotations(root, &format!("{folder}/{name}/{id}/config.json"))
    })?;
    for (annotation, label) in KUBELET {
        if let Some(value) = found.remove(annotation) {
            found.insert(label.to_owned(), value);
        }
    }
    Some(found)
}

fn object(text: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(text).ok()
}

/// The id of a container, and no path.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As many as are kept.
fn bounded(labels: BTreeMap<String, String>) -> Labels {
    let mut bytes = 0;
    labels
        .into_iter()
        .take(MOST)
        .take_while(|(key, value)| {
            bytes += key.len() + value.len();
            bytes <= MOST_BYTES
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "3f4e1c0b9a8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f";
    const POD: &str = "9f4e1c0b9a8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f";

    /// A host with these files.
    fn host(files: &[(String, &str)]) -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = host.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        host
    }

    fn labels(files: &[(String, &str)]) -> Vec<String> {
        let found = of_container(host(files).path(), ID);
        found.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    fn storage(id: &str) -> String {
        format!("run/containers/storage/overlay-containers/{id}/userdata/config.json")
    }

    #[test]
    fn docker_has_them_beside_the_container() {
        let file = format!("var/lib/docker/containers/{ID}/config.v2.json");
        let text = r#"{"Name":"/web","Config":{"Image":"x","Labels":{"team":"shop","b":""}}}"#;
        assert_eq!(labels(&[(file.clone(), text)]), ["b=", "team=shop"]);
        for text in ["", "{}", r#"{"Config":{"Labels":null}}"#, r#"{"Config":{"Labels":[1]}}"#] {
            assert_eq!(labels(&[(file.clone(), text)]), [""; 0], "{text}");
        }
    }

    #[test]
    fn crio_has_those_of_the_pod_too() {
        let container = format!(
            r#"{{"ociVersion":"1.2.0","process":{{"args":["x"]}},"annotations":{{
            "io.kubernetes.cri-o.SandboxID":"{POD}","io.kubernetes.cri-o.TTY":"false","note":"n",
            "io.kubernetes.cri-o.Labels":"{{\"io.kubernetes.pod.name\":\"shop-0\",\"app\":\"mine\"}}"}}}}"#
        );
        let pod = r#"{"annotations":{"io.kubernetes.cri-o.Labels":
            "{\"app\":\"shop\",\"tier\":\"web\",\"io.kubernetes.pod.name\":\"shop-0\"}"}}"#;
        assert_eq!(
            labels(&[(storage(ID), &container), (storage(POD), pod)]),
            ["app=mine", "io.kubernetes.pod.name=shop-0", "note=n", "tier=web"]
        );
        // A pod that is gone, and one that is somewhere else.
        assert_eq!(labels(&[(storage(ID), &container)])[0], "app=mine");
        let elsewhere = container.replace(POD, "../../../../../etc");
        let outside = ("run/containers/etc/userdata/config.json".to_owned(), pod);
        assert!(!labels(&[(storage(ID), &elsewhere), outside]).contains(&"tier=web".to_owned()));
    }

    #[test]
    fn podman_has_annotations() {
        let text = r#"{"annotations":{"io.container.manager":"libpod","team":"shop"}}"#;
        assert_eq!(labels(&[(storage(ID), text)]), ["io.container.manager=libpod", "team=shop"]);
    }

    #[test]
    fn containerd_says_what_the_kubelet_says() {
        let text = r#"{"annotations":{"io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.container-name":"web","io.kubernetes.cri.sandbox-name":"shop-0",
            "io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.sandbox-uid":"u"}}"#;
        let expected = [
            "io.kubernetes.container.name=web",
            "io.kubernetes.cri.container-type=container",
            "io.kubernetes.pod.name=shop-0",
            "io.kubernetes.pod.namespace=prod",
            "io.kubernetes.pod.uid=u",
        ];
        for (folder, name) in
            [(CONTAINERD[0], "k8s.io"), (CONTAINERD[0], "default"), (CONTAINERD[1], "k8s.io")]
        {
            assert_eq!(labels(&[(format!("{folder}/{name}/{ID}/config.json"), text)]), expected);
        }
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let file = format!("var/lib/docker/containers/{ID}/config.v2.json");
        let many: Vec<String> = (0..1000).map(|n| format!("\"k{n:04}\":\"v\"")).collect();
        let text = format!(r#"{{"Config":{{"Labels":{{{}}}}}}}"#, many.join(","));
        assert_eq!(labels(&[(file.clone(), &text)]).len(), MOST);
        let long =
            format!(r#"{{"Config":{{"Labels":{{"a":"b","c":"{}"}}}}}}"#, "x".repeat(MOST_BYTES));
        assert_eq!(labels(&[(file, &long)]), ["a=b"]);
        assert_eq!(labels(&[]), [""; 0]);
    }
}
