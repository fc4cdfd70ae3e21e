//! The spool: batches on disk while the server is away, so that an outage or a restart of ours loses nothing that fits.
//!
//! A file for each batch: a gzip of the protobuf request, whose checksum tells whether it is whole. It appears under its
//! name only when it is. Names tell order, time and spans, so that nothing has to be opened to know what is there.
//! Bounded in bytes and age; the oldest goes first, and what goes is told to be counted. Files hold what spans say, so
//! they are the owner's only (0600, in a folder of 0700). Only the sending thread comes here: a slow disk holds up
//! nobody else.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use rustix::fs::FlockOperation;

use super::pieces;

/// Ending of a batch's file.
const ENDING: &str = ".otlp.gz";
/// Ending of a file that is being written.
const UNFINISHED: &str = ".part";
/// Longest request that is read back: what an OTLP receiver takes at most by default is far below it.
const LONGEST: u64 = 64 << 20;

/// Where and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The folder; it is made if it is not there.
    pub directory: PathBuf,
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// What is older is dropped.
    pub max_age: Duration,
}

impl SpoolConfig {
    /// In that folder, with the usual bounds: 256 MiB are two to three million spans, as they compress; who was away
    /// for a day will hardly look at what is older.
    #[must_use]
    pub const fn in_directory(directory: PathBuf) -> Self {
        Self { directory, max_bytes: 256 << 20, max_age: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Why there is no spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder.
    #[error("the spool {path}: {why}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A batch on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    /// Its place in the order.
    number: u64,
    /// When it was written, seconds of Unix time.
    at: u64,
    /// Spans in it.
    spans: u64,
    /// Size of its file.
    bytes: u64,
}

impl Batch {
    fn file(&self) -> String {
        format!("{:020}-{}-{}{ENDING}", self.number, self.at, self.spans)
    }

    fn of_file(name: &str, bytes: u64) -> Option<Self> {
        let mut parts = name.strip_suffix(ENDING)?.splitn(3, '-').map(str::parse);
        let (number, at, spans) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        Some(Self { number, at, spans, bytes })
    }
}

/// What went without having been sent, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// To make room.
    pub full: u64,
    /// It was too old.
    pub old: u64,
    /// Its file could not be read.
    pub damaged: u64,
}

/// The spool of one agent.
#[derive(Debug)]
pub(super) struct Spool {
    config: SpoolConfig,
    /// Oldest first.
    batches: VecDeque<Batch>,
    bytes: u64,
    next: u64,
    /// The batch that is being sent: it stays, whatever room is needed.
    held: Option<u64>,
    gone: Gone,
    /// Locked while we live: two agents would send each other's batches twice.
    _lock: File,
}

impl Spool {
    /// Opens the folder, with what an earlier run has left there.
    ///
    /// # Errors
    ///
    /// It cannot be made or read, others may write to it, or another agent has it.
    pub(super) fn open(config: &SpoolConfig) -> Result<Self, SpoolError> {
        let path = &config.directory;
        let error = |why: String| SpoolError::Directory { path: path.clone(), why };
        let lock = claim(path).map_err(|why| error(why.to_string()))?;
        let mut batches = Vec::new();
        for entry in fs::read_dir(path).map_err(|why| error(why.to_string()))? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(UNFINISHED) {
                // Of a run that ended while it wrote; nobody counted it as kept.
                let _ = fs::remove_file(entry.path());
            } else if let Some(batch) =
                entry.metadata().ok().and_then(|found| Batch::of_file(name, found.len()))
            {
                batches.push(batch);
            }
        }
        batches.sort_unstable_by_key(|batch| batch.number);
        Ok(Self {
            next: batches.last().map_or(0, |batch| batch.number + 1),
            bytes: batches.iter().map(|batch| batch.bytes).sum(),
            batches: batches.into(),
            held: None,
            gone: Gone::default(),
            config: config.clone(),
            _lock: lock,
        })
    }

    /// Spans in it.
    pub(super) fn spans(&self) -> u64 {
        self.batches.iter().map(|batch| batch.spans).sum()
    }

    /// Whether there is anything to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// What went since this was last asked.
    pub(super) fn gone(&mut self) -> Gone {
        std::mem::take(&mut self.gone)
    }

    /// Keeps a request, as protobuf, with so many spans; `now` in seconds of Unix time. Its number.
    ///
    /// # Errors
    ///
    /// It cannot be written, or is larger than all that may be kept: then nothing is left of it.
    pub(super) fn push(&mut self, request: &[u8], spans: u64, now: u64) -> io::Result<u64> {
        let packed = pieces::gzip(request)?;
        let bytes = packed.len() as u64;
        self.expire(now);
        if bytes > self.config.max_bytes {
            return Err(io::Error::other("one batch is larger than all that may be kept"));
        }
        while self.bytes + bytes > self.config.max_bytes
            && let Some(oldest) = self.batches.iter().position(|b| Some(b.number) != self.held)
        {
            self.gone.full += self.drop_at(oldest);
        }
        if self.bytes + bytes > self.config.max_bytes {
            return Err(io::Error::other("what is being sent leaves no room"));
        }
        let batch = Batch { number: self.next, at: now, spans, bytes };
        self.write(&batch, &packed)?;
        self.next += 1;
        self.bytes += bytes;
        self.batches.push_back(batch);
        Ok(batch.number)
    }

    /// The batch of that number is being sent: it stays until [`Self::sent`].
    pub(super) const fn hold(&mut self, number: u64) {
        self.held = Some(number);
    }

    /// Drops what is too old at `now`, in seconds of Unix time.
    pub(super) fn expire(&mut self, now: u64) {
        let most = self.config.max_age.as_secs();
        while let Some(oldest) = self.batches.iter().position(|b| Some(b.number) != self.held)
            && now.saturating_sub(self.batches[oldest].at) > most
        {
            self.gone.old += self.drop_at(oldest);
        }
    }

    /// The oldest request and its spans. It stays until [`Self::sent`]. What cannot be read goes.
    pub(super) fn oldest(&mut self) -> Option<(Vec<u8>, u64)> {
        while let Some(batch) = self.batches.front().copied() {
            match self.read(&batch) {
                Ok(request) => {
                    self.hold(batch.number);
                    return Some((request, batch.spans));
                }
                Err(error) => {
                    log::warn!("{} of the spool cannot be read: {error}", batch.file());
                    self.gone.damaged += self.drop_at(0);
                }
            }
        }
        None
    }

    /// The server has decided on what was being sent.
    pub(super) fn sent(&mut self) {
        let held = self.held.take();
        if let Some(at) = self.batches.iter().position(|batch| Some(batch.number) == held) {
            self.drop_at(at);
        }
    }

    /// Takes a batch away; its spans.
    fn drop_at(&mut self, at: usize) -> u64 {
        let Some(batch) = self.batches.remove(at) else { return 0 };
        self.bytes -= batch.bytes;
        if let Err(error) = fs::remove_file(self.path(&batch.file())) {
            log::warn!("{} of the spool cannot be removed: {error}", batch.file());
        }
        batch.spans
    }

    fn write(&self, batch: &Batch, packed: &[u8]) -> io::Result<()> {
        let unfinished = self.path(&format!("{}{UNFINISHED}", batch.number));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(packed))
            .and_then(|()| fs::rename(&unfinished, self.path(&batch.file())));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn read(&self, batch: &Batch) -> io::Result<Vec<u8>> {
        let mut request = Vec::new();
        let file = File::open(self.path(&batch.file()))?;
        GzDecoder::new(file).take(LONGEST).read_to_end(&mut request)?;
        Ok(request)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.config.directory.join(name)
    }
}

/// Makes sure that the folder is ours alone, and locks it.
fn claim(path: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::symlink_metadata(path)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "is not a directory that only we can write to",
        ));
    }
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::other("another agent uses it")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(directory: &Path) -> SpoolConfig {
        SpoolConfig {
            directory: directory.join("spool"),
            max_bytes: 1 << 20,
            max_age: Duration::from_secs(100),
        }
    }

    fn files(config: &SpoolConfig) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(&config.directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(ENDING))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn batches_come_back_in_order_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut spool = Spool::open(&config).unwrap();
        spool.push(b"one", 1, 10).unwrap();
        spool.push(b"two", 2, 10).unwrap();
        assert_eq!(spool.oldest(), Some((b"one".to_vec(), 1)));
        drop(spool);
        // What was not decided on is sent again.
        let mut spool = Spool::open(&config).unwrap();
        assert_eq!(spool.spans(), 3);
        assert_eq!(spool.oldest(), Some((b"one".to_vec(), 1)));
        spool.push(b"three", 4, 10).unwrap();
        spool.sent();
        assert_eq!(spool.oldest(), Some((b"two".to_vec(), 2)));
        spool.sent();
        spool.sent();
        assert_eq!(spool.oldest(), Some((b"three".to_vec(), 4)));
        spool.sent();
        assert!(spool.is_empty() && spool.oldest().is_none());
        assert_eq!(files(&config), Vec::<PathBuf>::new());
        assert_eq!(spool.gone(), Gone::default());
    }

    #[test]
    fn files_are_the_owners_only() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut spool = Spool::open(&config).unwrap();
        spool.push(b"one", 1, 10).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&config.directory), 0o700);
        assert_eq!(mode(&files(&config)[0]), 0o600);
    }

    #[test]
    fn a_folder_that_others_write_to_is_refused_and_so_is_one_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let first = Spool::open(&config).unwrap();
        let error = Spool::open(&config).unwrap_err().to_string();
        assert!(error.contains("another agent"), "{error}");
        drop(first);
        fs::set_permissions(&config.directory, fs::Permissions::from_mode(0o777)).unwrap();
        let error = Spool::open(&config).unwrap_err().to_string();
        assert!(error.contains("only we can write"), "{error}");
    }

    #[test]
    fn the_oldest_makes_room_but_not_what_is_being_sent() {
        let directory = tempfile::tempdir().unwrap();
        // Noise does not compress: each batch is a little more than 1,000 bytes.
        let noise = |seed: u64| -> Vec<u8> {
            (0..125).flat_map(|n| abi::id::span([seed, 7], n, n).to_le_bytes()).collect()
        };
        let mut config = config(directory.path());
        config.max_bytes = 3_500;
        let mut spool = Spool::open(&config).unwrap();
        for n in 0..3 {
            spool.push(&noise(n), 10 + n, 10).unwrap();
        }
        assert_eq!(spool.oldest(), Some((noise(0), 10)));
        spool.push(&noise(3), 13, 10).unwrap();
        assert_eq!(spool.gone(), Gone { full: 11, ..Gone::default() });
        spool.sent();
        assert_eq!(spool.oldest(), Some((noise(2), 12)));
        let sizes: u64 = files(&config).iter().map(|f| fs::metadata(f).unwrap().len()).sum();
        assert!(sizes <= config.max_bytes && sizes == spool.bytes);
        // One larger than everything takes nothing with it.
        assert!(spool.push(&(0..4).flat_map(noise).collect::<Vec<u8>>(), 5, 10).is_err());
        assert_eq!((spool.gone().full, spool.spans()), (0, 12 + 13));
    }

    #[test]
    fn what_is_old_goes() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&config(directory.path())).unwrap();
        spool.push(b"one", 1, 10).unwrap();
        spool.push(b"two", 2, 60).unwrap();
        spool.expire(110);
        assert_eq!(spool.spans(), 3);
        spool.expire(111);
        assert_eq!((spool.spans(), spool.gone()), (2, Gone { old: 1, ..Gone::default() }));
        // A clock that was set back makes nothing old.
        spool.expire(0);
        assert_eq!(spool.spans(), 2);
        // What is being sent stays, and holds up nothing behind it.
        assert_eq!(spool.oldest(), Some((b"two".to_vec(), 2)));
        spool.push(b"three", 3, 70).unwrap();
        spool.push(b"four", 4, 300).unwrap();
        assert_eq!((spool.spans(), spool.gone()), (6, Gone { old: 3, ..Gone::default() }));
    }

    #[test]
    fn a_damaged_file_is_left_out_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut spool = Spool::open(&config).unwrap();
        for (n, text) in [b"one".repeat(50), b"two".repeat(50)].iter().enumerate() {
            spool.push(text, n as u64 + 1, 10).unwrap();
        }
        let first = &files(&config)[0];
        let mut bytes = fs::read(first).unwrap();
        let last = bytes.len() - 6;
        bytes[last] ^= 1;
        fs::write(first, bytes).unwrap();
        fs::write(config.directory.join("7.part"), "x").unwrap();
        fs::write(config.directory.join("note.txt"), "not ours").unwrap();
        drop(spool);
        let mut spool = Spool::open(&config).unwrap();
        assert_eq!(spool.oldest(), Some((b"two".repeat(50), 2)));
        assert_eq!(spool.gone(), Gone { damaged: 1, ..Gone::default() });
        assert!(!config.directory.join("7.part").exists());
        assert!(config.directory.join("note.txt").exists());
    }

    #[test]
    fn a_full_disk_is_told_and_nothing_is_left_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut spool = Spool::open(&config).unwrap();
        fs::remove_dir_all(&config.directory).unwrap();
        assert!(spool.push(b"one", 1, 10).is_err());
        assert!(spool.is_empty());
        assert_eq!(spool.gone(), Gone::default());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

        /// Whatever happens in whatever order, a restart included: nothing is larger than it may be, and each span is
        /// there, sent, or counted as gone.
        #[test]
        fn no_span_is_ever_uncounted(steps in proptest::collection::vec((0u8..6, 1u64..400), 1..40)) {
            let directory = tempfile::tempdir().unwrap();
            let config = SpoolConfig { max_bytes: 600, ..config(directory.path()) };
            let mut spool = Spool::open(&config).unwrap();
            let (mut pushed, mut sent, mut gone, mut now) = (0, 0, 0, 1_000);
            for (step, n) in steps {
                match step {
                    0..=2 => {
                        // Of any size: noise does not compress.
                        let noise: Vec<u8> = (0..n / 4)
                            .flat_map(|at| abi::id::span([n, 7], at, now).to_le_bytes())
                            .collect();
                        if spool.push(&noise, n, now).is_ok() {
                            pushed += n;
                        }
                    }
                    3 => {
                        if let Some((_, spans)) = spool.oldest() {
                            spool.sent();
                            sent += spans;
                        }
                    }
                    4 => {
                        now += n;
                        spool.expire(now);
                    }
                    _ => {
                        gone += sum(spool.gone());
                        drop(spool);
                        spool = Spool::open(&config).unwrap();
                    }
                }
                proptest::prop_assert!(spool.bytes <= config.max_bytes);
            }
            gone += sum(spool.gone());
            proptest::prop_assert_eq!(pushed, sent + gone + spool.spans());
        }
    }

    fn sum(gone: Gone) -> u64 {
        gone.full + gone.old + gone.damaged
    }
}
