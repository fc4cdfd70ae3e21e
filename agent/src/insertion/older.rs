//! Connections that named programs made before the agent came: found by their descriptors, once, when it starts.
//!
//! Only such as would have been taken in when they connected. Each is held for as long as it takes to make it a member, and no longer:
//! who holds a socket delays its end. Must never choose one that was accepted.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{IpAddr, SocketAddr},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::PathBuf,
};

use abi::wire::{Scope, scope_v4, scope_v6};
use procfs::{
    net::TcpState,
    process::{FDTarget, Process},
};
use rustix::{
    fs::fstat,
    net::sockopt::socket_cookie,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::{Verdict, running, verdict};
use crate::{
    kernel::insert::{Enrolment, blocks},
    selection::Pattern,
};

/// Which sockets may be taken in.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// Those of processes of these programs;
    pub programs: &'a [Pattern],
    /// that go to public addresses as well;
    pub anywhere: bool,
    /// in the one network namespace of that number, if there is one.
    pub namespace: Option<u32>,
}

/// Most sockets that are held at once.
const AT_ONCE: usize = 256;

/// Takes them in; how many there were.
pub fn adopt(enrolment: &mut Enrolment, which: Which<'_>) -> usize {
    let mut connected_in: HashMap<u64, HashSet<u64>> = HashMap::new();
    let mut adopted = 0;
    for facts in running(which.programs) {
        if verdict(&facts, which.programs) != Verdict::Named {
            continue;
        }
        let namespace = PathBuf::from(format!("/proc/{}/ns/net", facts.pid));
        let Ok(number) = fs::metadata(&namespace).map(|file| file.ino()) else { continue };
        if which.namespace.is_some_and(|one| u64::from(one) != number) {
            continue;
        }
        let Some(owner) = Owner::of(facts.pid) else { continue };
        let connected =
            connected_in.entry(number).or_insert_with(|| connected(&owner.process, which.anywhere));
        for some in owner.descriptors(connected).chunks(AT_ONCE) {
            match enrolment.adopt(&namespace, &owner.hold(some)) {
                Ok(taken) => adopted += taken,
                Err(error) => log::warn!(
                    "no header is put into requests on connections of process {} that are older: {error}",
                    facts.pid
                ),
            }
        }
    }
    adopted
}

/// A process that has sockets.
struct Owner {
    process: Process,
    descriptor: OwnedFd,
}

impl Owner {
    fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        let process = Process::new(pid).ok()?;
        let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Self { process, descriptor })
    }

    /// Its descriptors of these sockets, with their inodes.
    fn descriptors(&self, sockets: &HashSet<u64>) -> Vec<(i32, u64)> {
        let all = self.process.fd().into_iter().flatten().flatten();
        let of_sockets = all.filter_map(|fd| match fd.target {
            FDTarget::Socket(inode) if sockets.contains(&inode) => Some((fd.fd, inode)),
            _ => None,
        });
        of_sockets.collect()
    }

    /// Those of them that do not block, with their cookies.
    fn hold(&self, descriptors: &[(i32, u64)]) -> Vec<(u64, OwnedFd)> {
        let held = descriptors.iter().filter_map(|(number, inode)| {
            let socket = pidfd_getfd(&self.descriptor, *number, PidfdGetfdFlags::empty()).ok()?;
            // The number may be another file's by now.
            let is_it = fstat(&socket).is_ok_and(|stat| stat.st_ino == *inode);
            let may = is_it && !blocks(&socket);
            may.then(|| Some((socket_cookie(&socket).ok()?, socket))).flatten()
        });
        held.collect()
    }
}

/// Inodes of the TCP sockets of its namespace that were connected from here, and may be written to.
fn connected(process: &Process, anywhere: bool) -> HashSet<u64> {
    let tables = [process.tcp(), process.tcp6()];
    let all: Vec<_> = tables.into_iter().flat_map(Result::unwrap_or_default).collect();
    let listening: HashSet<u16> = all
        .iter()
        .filter(|entry| entry.state == TcpState::Listen)
        .map(|entry| entry.local_address.port())
        .collect();
    all.iter()
        .filter(|entry| entry.state == TcpState::Established)
        .filter(|entry| !listening.contains(&entry.local_address.port()))
        .filter(|entry| anywhere || scope(entry.remote_address) != Scope::Public)
        .map(|entry| entry.inode)
        .collect()
}

/// Where an address is.
fn scope(address: SocketAddr) -> Scope {
    match address.ip().to_canonical() {
        IpAddr::V4(address) => scope_v4(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            scope_v6((bits >> 96) as u32, bits & (u128::MAX >> 32) <= 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn those_that_connected_and_do_not_block_are_chosen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connects = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (blocking, other) = (connects(), connects());
        other.set_nonblocking(true).unwrap();
        let accepted = listener.accept().unwrap().0;
        accepted.set_nonblocking(true).unwrap();
        let owner = Owner::of(std::process::id()).unwrap();
        let held = owner.hold(&owner.descriptors(&connected(&owner.process, false)));
        let cookies: Vec<u64> = held.iter().map(|(cookie, _)| *cookie).collect();
        let has = |socket: &TcpStream| cookies.contains(&socket_cookie(socket).unwrap());
        assert!(has(&other), "{cookies:?}");
        assert!(!has(&blocking) && !has(&accepted), "{cookies:?}");
    }

    #[test]
    fn addresses_have_the_scope_that_the_probes_see() {
        let of = |text: &str| scope(text.parse().unwrap());
        assert_eq!(of("127.0.0.1:1"), Scope::Host);
        assert_eq!(of("[::1]:1"), Scope::Host);
        assert_eq!(of("[::ffff:10.0.0.1]:1"), Scope::Private);
        assert_eq!(of("[fd00::1]:1"), Scope::Private);
        assert_eq!(of("[2001:db8::1]:1"), Scope::Public);
        assert_eq!(of("93.184.216.34:1"), Scope::Public);
    }
}
