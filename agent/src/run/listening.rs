//! Who listens on this host when tracing begins: what the page shows before the first request has come.
//!
//! Looked at once. Only programs' names are told, never their arguments: those may hold secrets.

use std::collections::{BTreeMap, HashMap};

use procfs::net::TcpState;
use procfs::process::{FDTarget, all_processes};

use crate::service::{Reader, Services};
use crate::viewer::Listening;

/// Most that are told: a page has room for a few dozen.
const MOST: usize = 100;
/// Generations that a service's leader is looked for in.
const ANCESTORS: usize = 8;

/// Services that listen on TCP ports of this network namespace, by name. What cannot be read is left out.
pub(super) fn listening(host: &str, own: &[u32]) -> Vec<Listening> {
    let mut ports: HashMap<u64, u16> = HashMap::new();
    for entry in procfs::net::tcp().into_iter().chain(procfs::net::tcp6()).flatten() {
        if entry.state == TcpState::Listen {
            ports.insert(entry.inode, entry.local_address.port());
        }
    }
    let mut reader = Reader::default();
    let mut services = Services::new(host.to_owned());
    let mut found: BTreeMap<String, Listening> = BTreeMap::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let Ok(pid) = u32::try_from(process.pid) else { continue };
        let Ok(descriptors) = process.fd() else { continue };
        if own.contains(&pid) {
            continue;
        }
        let listens = descriptors.flatten().filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => ports.get(&inode).copied(),
            _ => None,
        });
        let listens: Vec<u16> = listens.collect();
        if listens.is_empty() {
            continue;
        }
        let mut next = pid;
        let mut program = String::new();
        for _ in 0..ANCESTORS {
            let Some(facts) = reader.read(next) else { break };
            if next == pid {
                program = facts.exe.rsplit('/').next().unwrap_or_default().to_owned();
            }
            next = facts.parent;
            services.process(facts);
            if next <= 1 {
                break;
            }
        }
        let name = services.of(pid).name.clone();
        if found.len() >= MOST && !found.contains_key(&name) {
            continue;
        }
        let service = found.entry(name.clone()).or_insert_with(|| Listening {
            service: name,
            program,
            ports: Vec::new(),
        });
        service.ports.extend(listens);
        service.ports.sort_unstable();
        service.ports.dedup();
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ours =
            |own: &[u32]| listening("web1", own).into_iter().find(|l| l.ports.contains(&port));
        let found = ours(&[]).expect("this test listens");
        assert!(found.program.starts_with("spanwire-"), "{found:?}");
        assert!(!found.service.is_empty());
        assert_eq!(ours(&[std::process::id()]), None);
    }
}
