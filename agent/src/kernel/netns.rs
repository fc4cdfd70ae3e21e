//! Network namespaces: doing something in one, and what the kernel calls it.
//!
//! A thread that has gone into another namespace is never used again: each visit has one of its own.
#![allow(unsafe_code, reason = "no wrapper knows the option SO_NETNS_COOKIE")]

use std::{
    collections::HashMap,
    fs, io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// `SO_NETNS_COOKIE` (5.14).
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Does something in the namespace of that file.
///
/// # Errors
///
/// When the namespace cannot be entered, or what that gives.
pub(super) fn within<T: Send>(
    file: &Path,
    action: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let namespace = fs::File::open(file)?;
    thread::scope(|scope| {
        let visit = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            action()
        });
        visit.join().unwrap_or_else(|_| Err(io::Error::other("the visit was broken off")))
    })
}

/// The cookie of the namespace of that file, by which some programs know it.
///
/// # Errors
///
/// When it cannot be entered, or the kernel has no cookies.
pub fn cookie(file: &Path) -> io::Result<u64> {
    within(file, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut cookie = 0u64;
        let mut len = libc::socklen_t::try_from(size_of_val(&cookie)).unwrap_or(0);
        // SAFETY: the kernel writes at most `len` bytes to the number, and both outlive the call.
        let failed = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_NETNS_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut len,
            )
        };
        if failed == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
    })
}

/// A file of each namespace that a process lives in.
pub(super) fn all() -> Vec<PathBuf> {
    let mut found = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let file = process.path().join("ns/net");
        if let Ok(name) = fs::read_link(&file) {
            found.entry(name).or_insert(file);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_among_all() {
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        assert!(all().iter().any(|file| fs::read_link(file).is_ok_and(|name| name == ours)));
    }
}
