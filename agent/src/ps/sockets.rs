//! Where processes listen, and whether they are connected: from their descriptors and the tables of their network
//! namespaces (proc_pid_net(5)).

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState, UnixNetEntry, UnixState};
use procfs::process::{FDTarget, Process};

/// Most ports shown of a process.
const SHOWN: usize = 6;

/// What a process's sockets are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// TCP ports on which it listens.
    pub(crate) listening: BTreeSet<u16>,
    /// Paths of unix stream sockets on which it listens.
    pub(crate) paths: BTreeSet<String>,
    /// TCP connections.
    pub(crate) connections: usize,
}

impl Ports {
    /// Whether there is anything to trace.
    pub(crate) fn talks(&self) -> bool {
        !self.listening.is_empty() || !self.paths.is_empty() || self.connections > 0
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.listening.iter().map(ToString::to_string);
        let all: Vec<String> = ports.chain(self.paths.iter().cloned()).collect();
        let more = all.len().saturating_sub(SHOWN);
        let mut shown = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(" ");
        if more > 0 {
            shown += &format!(" and {more} more");
        }
        if shown.is_empty() {
            shown = format!("{} connections", self.connections);
        }
        f.write_str(&shown)
    }
}

/// A socket by its inode.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Socket {
    Listens(u16),
    ListensAt(String),
    Connected,
}

/// The tables that were read, by network namespace.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    namespaces: HashMap<PathBuf, HashMap<u64, Socket>>,
}

impl Sockets {
    /// A process's sockets; none of one that is gone by now, `None` when its descriptors may not be read.
    pub(super) fn of(&mut self, pid: u32) -> Option<Ports> {
        let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
        let Some(process) = process else { return Some(Ports::default()) };
        let descriptors = match process.fd() {
            Ok(descriptors) => descriptors,
            Err(ProcError::PermissionDenied(_)) => return None,
            Err(_) => return Some(Ports::default()),
        };
        let inodes: Vec<u64> = descriptors
            .filter_map(|fd| match fd.ok()?.target {
                FDTarget::Socket(inode) => Some(inode),
                _ => None,
            })
            .collect();
        if inodes.is_empty() {
            return Some(Ports::default());
        }
        let namespace = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap_or_default();
        let sockets = self.namespaces.entry(namespace).or_insert_with(|| tables(&process));
        let mut ports = Ports::default();
        for socket in inodes.iter().filter_map(|inode| sockets.get(inode)) {
            match socket {
                Socket::Listens(port) => {
                    ports.listening.insert(*port);
                }
                Socket::ListensAt(path) => {
                    ports.paths.insert(path.clone());
                }
                Socket::Connected => ports.connections += 1,
            }
        }
        Some(ports)
    }
}

/// All sockets of a process's network namespace.
fn tables(process: &Process) -> HashMap<u64, Socket> {
    let tcp = [process.tcp(), process.tcp6()].into_iter().flat_map(Result::unwrap_or_default);
    let unix = process.unix().unwrap_or_default();
    let tcp = tcp.filter_map(|entry| Some((entry.inode, of_tcp(&entry)?)));
    tcp.chain(unix.iter().filter_map(|entry| Some((entry.inode, of_unix(entry)?)))).collect()
}

fn of_tcp(entry: &TcpNetEntry) -> Option<Socket> {
    match entry.state {
        TcpState::Listen => Some(Socket::Listens(entry.local_address.port())),
        TcpState::Established => Some(Socket::Connected),
        _ => None,
    }
}

/// A stream socket with a name that is not connected listens.
fn of_unix(entry: &UnixNetEntry) -> Option<Socket> {
    let listens =
        entry.state == UnixState::UNCONNECTED && i32::from(entry.socket_type) == libc::SOCK_STREAM;
    let path = entry.path.as_ref().filter(|_| listens)?;
    Some(Socket::ListensAt(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_listens_is_found_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let _unix = UnixListener::bind(&path).unwrap();
        let _near = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let ports = Sockets::default().of(std::process::id()).unwrap();
        assert!(ports.listening.contains(&tcp.local_addr().unwrap().port()), "{ports:?}");
        assert!(ports.paths.contains(path.to_str().unwrap()), "{ports:?}");
        assert!(ports.connections >= 1, "{ports:?}");
    }

    #[test]
    fn who_is_gone_has_none() {
        assert_eq!(Sockets::default().of(u32::MAX), Some(Ports::default()));
        assert_eq!(Sockets::default().of(4_194_305), Some(Ports::default()));
    }

    #[test]
    fn ports_are_shown_shortly() {
        let mut ports = Ports { connections: 3, ..Ports::default() };
        assert_eq!(ports.to_string(), "3 connections");
        ports.listening.extend(1..=9);
        assert_eq!(ports.to_string(), "1 2 3 4 5 6 and 3 more");
        assert!(ports.talks() && !Ports::default().talks());
    }
}
