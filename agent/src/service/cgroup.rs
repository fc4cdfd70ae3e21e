//! What a process's control groups say of where it runs: its container, its pod, its systemd unit.
//!
//! Pure functions of the lines of `/proc/PID/cgroup` (cgroups(7)): version 1 has a line for each controller and one of
//! systemd's own (`1:name=systemd:/…`), version 2 one line (`0::/…`), and a hybrid host has both. A path says what the
//! container engine or systemd put into it; what it does not say is not guessed.

/// Containers' own units run these; what is below them is the containers'.
const ENGINES: [&str; 11] = [
    "containerd",
    "crio",
    "docker",
    "k3s",
    "k3s-agent",
    "kubelet",
    "nomad",
    "podman",
    "rke2-agent",
    "rke2-server",
    "snap.docker.dockerd",
];
/// Digits of a container's id: SHA-256's size in hex, in Docker, containerd, CRI-O and Podman alike.
const CONTAINER_ID: usize = 64;

/// The id of the innermost container. `None` for the engine's own helper beside it (`crio-conmon-ID.scope`).
pub(super) fn container(cgroup: &[String]) -> Option<&str> {
    paths(cgroup).find_map(|path| path.rsplit('/').find_map(container_of))
}

/// The uid of the Kubernetes pod: `kubepods-burstable-podUID.slice`, or `podUID` with the cgroupfs driver.
pub(super) fn pod_uid(cgroup: &[String]) -> Option<String> {
    paths(cgroup).find_map(|path| path.rsplit('/').find_map(pod_of))
}

/// The systemd service, without `.service` and with its escapes undone. `None` in sessions, scopes and containers'
/// engines.
pub(super) fn service_unit(cgroup: &[String]) -> Option<String> {
    let unit = systemd_path(cgroup)?.rsplit('/').find(|part| is_unit(part))?;
    let name = unescaped(unit.strip_suffix(".service")?);
    // A user's manager holds sessions, and an engine's unit containers.
    let holds_others = name.starts_with("user@") || ENGINES.contains(&name.as_str());
    (!holds_others && !name.is_empty()).then_some(name)
}

/// The path that systemd manages: of version 2, else of its own hierarchy.
pub(super) fn systemd_path(cgroup: &[String]) -> Option<&str> {
    let of = |controllers: &str| {
        cgroup.iter().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (found, path) = rest.split_once(':')?;
            (found == controllers && path.len() > 1).then_some(path)
        })
    };
    of("").or_else(|| of("name=systemd"))
}

fn paths(cgroup: &[String]) -> impl Iterator<Item = &str> {
    cgroup.iter().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// A path's part that is a container's: the id alone, or behind the engine's name.
fn container_of(part: &str) -> Option<&str> {
    if part.contains("conmon") {
        return None;
    }
    part.rsplit(|c: char| !c.is_ascii_alphanumeric()).find(|text| {
        text.len() == CONTAINER_ID
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn pod_of(part: &str) -> Option<String> {
    let part = part.split(':').next()?;
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match part.strip_prefix("kubepods") {
        Some(slice) => slice.rsplit_once("-pod")?.1,
        None => part.strip_prefix("pod")?,
    };
    // systemd's names may hold no dash but as a separator.
    let uid = uid.replace('_', "-");
    let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_uid.then_some(uid)
}

fn is_unit(part: &str) -> bool {
    [".service", ".scope"].iter().any(|kind| part.ends_with(kind))
}

/// `\x2d` is a dash (systemd.unit(5), "String escaping for inclusion in unit names").
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = rest.strip_prefix(br"\x").and_then(|digits| digits.get(..2));
        let byte = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4e1c0b9a8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f";
    const POD: &str = "8c1a2b3d-4e5f-6071-8293-a4b5c6d7e8f9";

    fn lines(text: &str) -> Vec<String> {
        let pod = POD.replace('-', "_");
        text.replace("ID", ID)
            .replace("POD_", &pod)
            .replace("POD", POD)
            .lines()
            .map(|line| line.trim().to_owned())
            .collect()
    }

    #[test]
    fn containers_of_every_engine() {
        for text in [
            // Docker: systemd and cgroupfs drivers, on version 2 and 1.
            "0::/system.slice/docker-ID.scope",
            "0::/docker/ID",
            "13:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/containerd.service",
            "11:cpu,cpuacct:/system.slice/docker-ID.scope\n1:name=systemd:/system.slice/docker-ID.scope",
            // The same, seen from a cgroup namespace beside it.
            "0::/../docker-ID.scope",
            // containerd: nerdctl, and Kubernetes with either driver.
            "0::/system.slice/nerdctl-ID.scope",
            "0::/default/ID",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
            "0::/kubepods/besteffort/podPOD/ID",
            "4:devices:/kubepods/burstable/podPOD/ID",
            "0::/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID",
            // CRI-O.
            "0::/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope",
            "0::/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope/container",
            // Podman: with and without root, as a unit of its own.
            "0::/machine.slice/libpod-ID.scope/container",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            "0::/system.slice/shop.service/libpod-payload-ID",
            // A container in a container: the inner one.
            "0::/docker/0000000000000000000000000000000000000000000000000000000000000000/docker/ID",
            // Amazon ECS.
            "0::/ecs/0f1e2d3c4b5a69788796a5b4c3d2e1f0/ID",
        ] {
            assert_eq!(container(&lines(text)), Some(ID), "{text}");
        }
    }

    #[test]
    fn what_is_no_container() {
        for text in [
            "0::/",
            "0::/user.slice/user-0.slice/session-3.scope",
            "0::/system.slice/nginx.service",
            // The engine's helper beside a container runs on the host.
            "0::/machine.slice/libpod-conmon-ID.scope",
            "0::/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope",
            "0::/ID0",
            "garbage",
            "",
        ] {
            assert_eq!(container(&lines(text)), None, "{text}");
        }
        assert_eq!(container(&[format!("0::/docker/{}", ID.to_uppercase())]), None);
    }

    #[test]
    fn pods_by_either_driver() {
        for text in [
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
            "0::/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope",
            "0::/kubepods/besteffort/podPOD/ID",
            "4:devices:/kubepods/podPOD/ID\n0::/",
            "0::/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID",
        ] {
            assert_eq!(pod_uid(&lines(text)).as_deref(), Some(POD), "{text}");
        }
        for text in ["0::/docker/ID", "0::/system.slice/podman.service", "0::/machine.slice/pod"] {
            assert_eq!(pod_uid(&lines(text)), None, "{text}");
        }
        // A static pod's is a hash without dashes.
        let hash = "0123456789abcdef0123456789abcdef";
        assert_eq!(pod_uid(&[format!("0::/kubepods/pod{hash}/{ID}")]).as_deref(), Some(hash));
    }

    #[test]
    fn units_are_named_as_their_operator_types_them() {
        for (text, expected) in [
            ("0::/system.slice/nginx.service", Some("nginx")),
            ("2:cpu:/\n1:name=systemd:/system.slice/shop.service\n0::/", Some("shop")),
            ("1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service", Some("b")),
            ("0::/system.slice/system-worker.slice/worker@1.service", Some("worker@1")),
            (r"0::/system.slice/order\x2dapi.service", Some("order-api")),
            (r"0::/system.slice/odd\x2.service", Some(r"odd\x2")),
            // Delegated: the service divides its own group further.
            ("0::/system.slice/shop.service/workers/3", Some("shop")),
            ("0::/system.slice/shop.service/libpod-payload-ID", Some("shop")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
                Some("shop"),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service", None),
            ("0::/user.slice/user-1000.slice/session-3.scope", None),
            ("0::/system.slice/docker.service/docker/ID", None),
            ("0::/system.slice/docker-ID.scope", None),
            ("0::/init.scope", None),
            ("0::/system.slice/.service", None),
            ("0::/", None),
        ] {
            assert_eq!(service_unit(&lines(text)).as_deref(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in r"[0-9a-f:/.\\x@_-]{0,80}") {
            let cgroup = [line];
            let _ = (container(&cgroup), pod_uid(&cgroup), service_unit(&cgroup));
        }
    }
}
