//! Giving up everything a process can give up, before it listens: the one place of this folder with `unsafe`.
//!
//! Called first thing in the child's `main`, while the process has one thread and has opened nothing. What was asked
//! of the kernel is read back from /proc; a process that is not harmless must not serve.

use std::fs;
use std::io;

use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

/// `nobody` and `nogroup`, everywhere since the kernel's overflow ids are this.
const NOBODY: u32 = 65_534;

/// Makes this process one that owns nothing and may nothing, but for what `keep` opens while it still can.
///
/// # Errors
/// What `keep` says; or the kernel refused a step, or says afterwards that it did not happen.
pub(super) fn become_unprivileged<T>(keep: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        // The ids are per thread in the kernel.
        return Err(io::Error::other("privileges can only be dropped before the first thread"));
    }
    close_inherited()?;
    std::env::set_current_dir("/")?;
    let kept = keep()?;
    let was_root = geteuid().is_root();
    if was_root {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
    }
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    // Other processes of `nobody` must not read the token in our memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    verify(&fs::read_to_string("/proc/self/status")?, was_root)?;
    Ok(kept)
}

/// Reads back what the kernel says of us.
fn verify(status: &str, was_root: bool) -> io::Result<()> {
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.map(|l| l.split_whitespace().collect::<Vec<_>>()).unwrap_or_default()
    };
    let nothing = |name| field(name).iter().all(|set| set.bytes().all(|b| b == b'0'));
    let nobody = NOBODY.to_string();
    let harmless = field("NoNewPrivs") == ["1"]
        && field("CapEff").len() == 1
        && ["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().all(nothing)
        && (!was_root
            || (field("Uid") == [nobody.as_str(); 4]
                && field("Gid") == [nobody.as_str(); 4]
                && field("Groups").is_empty()));
    if harmless {
        Ok(())
    } else {
        Err(io::Error::other("privileges are still there after dropping"))
    }
}

/// Closes every descriptor but the standard three: whatever our parent, or its parent, left open.
fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|n| n.parse::<i32>().ok()).filter(|&fd| fd > 2) {
            inherited.push(fd);
        }
    }
    // One of them was the directory itself, closed by now; nothing has been opened since.
    for fd in inherited {
        if fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok() {
            // SAFETY: the process has one thread and, by this function's place at its beginning, owns no descriptor
            // above 2: closing it takes nothing from anybody.
            unsafe { rustix::io::close(fd) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::verify;

    const GOOD: &str = "Uid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nGroups:\t \n\
        NoNewPrivs:\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n";

    #[test]
    fn what_is_left_over_is_noticed() {
        assert!(verify(GOOD, true).is_ok());
        for (from, to) in [
            ("65534\nGid", "0\nGid"),
            ("Groups:\t ", "Groups:\t0 "),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapEff:\t00", "CapEff:\t01"),
            ("CapAmb:\t00", "CapAmb:\t01"),
        ] {
            assert!(GOOD.contains(from));
            assert!(verify(&GOOD.replace(from, to), true).is_err(), "{to}");
        }
        assert!(verify("", false).is_err());
        assert!(verify(&GOOD.replace("65534", "1000"), false).is_ok());
    }
}
