//! What a process holds in the kernel's BPF tables, read without BPF tools.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// `BPF_PROG_GET_FD_BY_ID` of `enum bpf_cmd`.
const PROG_GET_FD_BY_ID: libc::c_long = 13;

/// Ids of the BPF programs that a process holds, by a descriptor of the program or of a link to it.
///
/// # Errors
/// When the process is gone.
pub fn programs_of(pid: u32) -> anyhow::Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        ids.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok()),
        );
    }
    Ok(ids)
}

/// Whether the kernel still has a program of that id.
///
/// # Errors
/// When the kernel will not say.
pub fn has_program(id: u32) -> anyhow::Result<bool> {
    // `union bpf_attr` for this command: the id, then two words that are 0 here.
    let attributes = [id, 0, 0];
    // SAFETY: the command reads `size` bytes at the pointer, which `attributes` has and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_GET_FD_BY_ID,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    let error = std::io::Error::last_os_error();
    if fd >= 0 {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        drop(unsafe {
            <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(
                i32::try_from(fd).expect("descriptors are ints"),
            )
        });
        return Ok(true);
    }
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(false) } else { Err(error.into()) }
}

/// Everything that is pinned below `/sys/fs/bpf`.
#[must_use]
pub fn pinned() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("/sys/fs/bpf")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}
