//! What a container is called by whoever runs it: for rules of selection, and for services that are all called `server`
//! in a folder called `/app`.
//!
//! Docker writes the name beside the container; a Kubernetes pod is its own host's name, which begins with the workload's.
//! Only read from files: engines are not asked, and need no socket of theirs in our hands. What lies in a container is
//! made by strangers: a link there leads nowhere but into the same container, only plain files are read, and only what
//! can be a host's name is believed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use serde::Deserialize;

/// Most bytes of a file that is read: labels and variables of a container lie in it.
const MOST: u64 = 1024 * 1024;
/// Letters of the suffixes that Kubernetes makes (apimachinery, `rand.SafeEncodeString`): no vowels, no 0, 1 and 3.
const SUFFIX_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Length of a pod's own suffix.
const POD_SUFFIX: usize = 5;
/// Lengths of a replica set's hash.
const SET_SUFFIX: std::ops::RangeInclusive<usize> = 6..=10;

/// The name of the container `id`, which is a pod's if `in_pod`; `root` is the host's root folder, `inside` that of the
/// container.
pub(super) fn name(root: &Path, inside: &Path, id: &str, in_pod: bool) -> Option<String> {
    if in_pod {
        let hostname = text(inside, "etc/hostname")?;
        return workload(Some(hostname.trim()).filter(|name| is_hostname(name))?)
            .map(str::to_owned);
    }
    docker(&text(root, &format!("var/lib/docker/containers/{id}/config.v2.json"))?)
}

/// The part of Docker's file that is read.
#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config")]
    config: Option<DockerConfig>,
}

/// Likewise.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Labels", default)]
    labels: Option<Labels>,
}

/// Labels that name a service.
#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "com.docker.compose.service")]
    compose_service: Option<String>,
    #[serde(rename = "com.docker.swarm.service.name")]
    swarm_service: Option<String>,
}

/// The service of Compose or Swarm, else the container's own name: containers of one service are many.
fn docker(text: &str) -> Option<String> {
    let read: Docker = serde_json::from_str(text).ok()?;
    let labels = read.config.and_then(|config| config.labels);
    let service = labels.and_then(|labels| labels.compose_service.or(labels.swarm_service));
    let name = service.unwrap_or_else(|| read.name.trim_start_matches('/').to_owned());
    (!name.is_empty()).then_some(name)
}

/// The workload of a pod called `shop-7d9f8b6c5d-x2x4z` (Deployment), `shop-x2x4z` (DaemonSet, Job) or `shop-0`
/// (StatefulSet).
fn workload(pod: &str) -> Option<&str> {
    let made = |suffix: &str| suffix.chars().all(|c| SUFFIX_LETTERS.contains(c));
    let (rest, suffix) = pod.rsplit_once('-').unwrap_or((pod, ""));
    let is_ordinal = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
    let name = if suffix.len() == POD_SUFFIX && made(suffix) {
        match rest.rsplit_once('-') {
            Some((name, set)) if SET_SUFFIX.contains(&set.len()) && made(set) => name,
            _ => rest,
        }
    } else if is_ordinal {
        rest
    } else {
        pod
    };
    (!name.is_empty()).then_some(name)
}

/// A label of a DNS name (RFC 1123 §2.1), as pods are called.
fn is_hostname(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| letter(byte) || byte == b'-')
        && text.bytes().next().is_some_and(letter)
}

/// A plain file below `root`, whatever links lead to it; none leads out.
pub(super) fn text(root: &Path, path: &str) -> Option<String> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, root, folder, Mode::empty()).ok()?;
    // A pipe must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, path, flags, Mode::empty(), within).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn docker_by_compose_by_swarm_or_by_name() {
        for (text, expected) in [
            (
                r#"{"Name":"/shop-web-1","Config":{"Labels":{"com.docker.compose.service":"web","x":"y"}}}"#,
                "web",
            ),
            (r#"{"Name":"/a.1.b","Config":{"Labels":{"com.docker.swarm.service.name":"a"}}}"#, "a"),
            (r#"{"ID":"0","Name":"/till","Config":{"Labels":{}}}"#, "till"),
            (r#"{"Name":"/till","Config":{"Labels":null}}"#, "till"),
            (r#"{"Name":"/till"}"#, "till"),
        ] {
            assert_eq!(docker(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "{", "{}", r#"{"Name":""}"#, r#"{"Name":7}"#] {
            assert_eq!(docker(text), None, "{text}");
        }
    }

    #[test]
    fn pods_are_called_after_their_workload() {
        for (pod, expected) in [
            ("shop-7d9f8b6c5d-x2x4z", "shop"),
            ("shop-api-7d9f8b6c5d-x2x4z", "shop-api"),
            ("node-agent-x2x4z", "node-agent"),
            ("shop-db-0", "shop-db"),
            ("shop-db-12", "shop-db"),
            ("shop", "shop"),
            // Five letters that nobody's generator makes.
            ("shop-web", "shop-web"),
            ("shop-cache", "shop-cache"),
            ("shop-7d9f8b6c5d-cache", "shop-7d9f8b6c5d-cache"),
        ] {
            assert_eq!(workload(pod), Some(expected), "{pod}");
        }
        assert_eq!(workload(""), None);
        assert_eq!(workload("-0"), None);
    }

    #[test]
    fn files_are_read_where_they_lie() {
        let host = tempfile::tempdir().unwrap();
        let folder = host.path().join("var/lib/docker/containers/abc");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.v2.json"), r#"{"Name":"/till"}"#).unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::create_dir_all(inside.path().join("etc")).unwrap();
        fs::write(inside.path().join("etc/hostname"), "shop-7d9f8b6c5d-x2x4z\n").unwrap();
        let of = |id, in_pod| name(host.path(), inside.path(), id, in_pod);
        assert_eq!(of("abc", false).as_deref(), Some("till"));
        assert_eq!(of("def", false), None);
        assert_eq!(of("abc", true).as_deref(), Some("shop"));
    }

    #[test]
    fn a_container_cannot_make_us_read_what_is_the_hosts() {
        let host = tempfile::tempdir().unwrap();
        let secret = host.path().join("secret");
        fs::write(&secret, "hunter2").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let etc = inside.path().join("etc");
        fs::create_dir_all(&etc).unwrap();
        let of = || name(host.path(), inside.path(), "abc", true);
        let hostname = etc.join("hostname");
        symlink(&secret, &hostname).unwrap();
        assert_eq!(of(), None);
        // The same link is good where it leads into the container.
        let own = inside.path().join(secret.strip_prefix("/").unwrap());
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(own, "shop-0").unwrap();
        assert_eq!(of().as_deref(), Some("shop"));
        fs::remove_file(&hostname).unwrap();
        rustix::fs::mknodat(CWD, &hostname, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(of(), None);
        fs::remove_file(&hostname).unwrap();
        for text in ["root:x:0:0", "Shop", "a b", "-x", &"x".repeat(64), "a\nb"] {
            fs::write(&hostname, text).unwrap();
            assert_eq!(of(), None, "{text}");
        }
    }
}
