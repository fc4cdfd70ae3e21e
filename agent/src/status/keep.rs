//! `--store PATH` in the child: opened while it still may, filled while it runs.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::served::{SETTLED, Served, now};
use crate::viewer::Disk;

/// Time between two saves.
const SAVE: Duration = Duration::from_secs(1);

/// The file of `--store`: its owner's only, and no link that somebody else laid.
pub(super) fn store_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Brings back what the file has, as much as fits, and from now on keeps what settles.
pub(super) fn keep(disk: Disk, served: &Arc<Served>) -> io::Result<()> {
    let viewer = served.viewer();
    let slots = disk.slots().map_err(io::Error::other)?;
    viewer.store().restore_slots(slots);
    let most = viewer.store().limits().bytes as u64;
    for request in disk.newest(most).map_err(io::Error::other)? {
        viewer.store().take(request, now());
    }
    // They are no news, and in the file already.
    viewer.store().tick(now() + SETTLED);
    viewer.set_disk(disk);
    let served = served.clone();
    thread::Builder::new().name("spanwire-store".to_owned()).spawn(move || {
        loop {
            thread::sleep(SAVE);
            served.viewer().save(now());
        }
    })?;
    Ok(())
}
