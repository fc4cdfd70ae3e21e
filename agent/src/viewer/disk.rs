//! `--store PATH`: traces in a file, so that they survive a restart.
//!
//! An embedded database of one file (redb): traces by id, as OTLP's protobuf with the start before it, and their ids by
//! start; and the services' colours, which stay after a restart. Oldest out first, beyond a number of bytes and of days.
//! Written a second behind. What cannot be written is counted, and never holds up what comes in.

use std::fs::File;
use std::io;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::outgoing::otlp;
use super::span::TraceId;
use super::store::Trace;

const TRACES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("traces");
const BY_START: TableDefinition<'_, (u64, u128), u64> = TableDefinition::new("by_start");
const SIZE: TableDefinition<'_, &str, u64> = TableDefinition::new("size");
/// Colour slots by service: no more than the store keeps.
const SLOTS: TableDefinition<'_, &str, u64> = TableDefinition::new("slots");
/// The one key of [`SIZE`]: bytes of all traces.
const BYTES: &str = "bytes";

/// The database's own memory: it reads little.
const CACHE: usize = 8 << 20;

/// How much to keep in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskLimits {
    /// Bytes of all traces; the file itself is about a third larger.
    pub(crate) bytes: u64,
    /// ns.
    pub(crate) age: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, age: 7 * 86_400 * 1_000_000_000 }
    }
}

/// The file.
pub(crate) struct Disk {
    database: Database,
    limits: DiskLimits,
}

impl Disk {
    /// Opens it; an empty file becomes a database.
    ///
    /// # Errors
    /// It is none, it is broken, or another agent has it.
    pub(crate) fn open(file: File, limits: DiskLimits) -> io::Result<Self> {
        let database = FileBackend::new(file)
            .and_then(|file| Database::builder().set_cache_size(CACHE).create_with_backend(file));
        let database = database.map_err(|error| io::Error::other(format!("the store: {error}")))?;
        let disk = Self { database, limits };
        // The tables are there from now on.
        disk.write(|_, _, _| Ok(())).map_err(io::Error::other)?;
        Ok(disk)
    }

    /// Keeps these traces, as they are now, and lets go of the oldest.
    ///
    /// # Errors
    /// What the file says; nothing of it was kept then.
    pub(crate) fn save(&self, traces: &[Arc<Trace>], now: u64) -> Result<(), redb::Error> {
        let limits = self.limits;
        self.write(|table, by_start, bytes| {
            for trace in traces {
                let mut value = trace.start.to_le_bytes().to_vec();
                otlp(trace).encode(&mut value).map_err(io::Error::other)?;
                *bytes += value.len() as u64;
                if let Some(old) = table.insert(trace.id, value.as_slice())? {
                    *bytes = bytes.saturating_sub(old.value().len() as u64);
                    by_start.remove((start(old.value()), trace.id))?;
                }
                by_start.insert((trace.start, trace.id), value.len() as u64)?;
            }
            let oldest = now.saturating_sub(limits.age);
            loop {
                let first = by_start.first()?.map(|(key, length)| (key.value(), length.value()));
                let Some((key, length)) = first else { break };
                if *bytes <= limits.bytes && key.0 >= oldest {
                    break;
                }
                by_start.remove(key)?;
                table.remove(key.1)?;
                *bytes = bytes.saturating_sub(length);
            }
            Ok(())
        })
    }

    /// One trace, if it is there.
    pub(crate) fn trace(&self, id: TraceId) -> Option<ExportTraceServiceRequest> {
        let read = self.database.begin_read().ok()?;
        let table = read.open_table(TRACES).ok()?;
        let found = table.get(id).ok()??;
        decode(found.value())
    }

    /// The newest traces, the oldest of them first, of at most so many bytes.
    pub(crate) fn newest(&self, most: u64) -> Result<Vec<ExportTraceServiceRequest>, redb::Error> {
        let read = self.database.begin_read()?;
        let (table, by_start) = (read.open_table(TRACES)?, read.open_table(BY_START)?);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entry in by_start.iter()?.rev() {
            let (key, length) = entry?;
            bytes += length.value();
            if bytes > most {
                break;
            }
            if let Some(value) = table.get(key.value().1)? {
                found.extend(decode(value.value()));
            }
        }
        found.reverse();
        Ok(found)
    }

    /// Keeps the services' colours.
    ///
    /// # Errors
    /// What the file says.
    pub(crate) fn save_slots(&self, slots: &[(Arc<str>, usize)]) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(SLOTS)?;
            for (service, slot) in slots {
                table.insert(&**service, *slot as u64)?;
            }
        }
        Ok(write.commit()?)
    }

    /// The services' colours, as they were kept.
    ///
    /// # Errors
    /// What the file says.
    pub(crate) fn slots(&self) -> Result<Vec<(Arc<str>, usize)>, redb::Error> {
        let table = match self.database.begin_read()?.open_table(SLOTS) {
            Ok(table) => table,
            // A file from before they were kept.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let slot = |entry: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, u64>), _>| {
            entry.map(|(service, slot)| (service.value().into(), slot.value() as usize))
        };
        Ok(table.iter()?.map(slot).collect::<Result<_, redb::StorageError>>()?)
    }

    fn write(
        &self,
        change: impl FnOnce(
            &mut redb::Table<'_, u128, &[u8]>,
            &mut redb::Table<'_, (u64, u128), u64>,
            &mut u64,
        ) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(TRACES)?;
            let mut by_start = write.open_table(BY_START)?;
            let mut size = write.open_table(SIZE)?;
            let mut bytes = size.get(BYTES)?.map_or(0, |bytes| bytes.value());
            change(&mut table, &mut by_start, &mut bytes)?;
            size.insert(BYTES, bytes)?;
        }
        Ok(write.commit()?)
    }
}

fn start(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |start| u64::from_le_bytes(*start))
}

fn decode(value: &[u8]) -> Option<ExportTraceServiceRequest> {
    ExportTraceServiceRequest::decode(value.get(size_of::<u64>()..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sample::{BEGIN, MS, Sample, checkout, store};
    use crate::viewer::span::Kind::Server;
    use crate::viewer::store::{Limits, Store};

    fn one(id: u64) -> Arc<Trace> {
        let path = "x".repeat(1_000);
        let at = ("a", "GET /");
        Sample::new(id.into())
            .span((1, 0), Server, at, (0, 5), &[("url.path", &path)])
            .later(id * MS)
            .trace()
    }

    fn ids(disk: &Disk, most: u64) -> Vec<u64> {
        let id = |request: ExportTraceServiceRequest| {
            let id = &request.resource_spans[0].scope_spans[0].spans[0].trace_id;
            u128::from_be_bytes(id.as_slice().try_into().unwrap()) as u64
        };
        disk.newest(most).unwrap().into_iter().map(id).collect()
    }

    #[test]
    fn traces_are_there_when_it_is_opened_again() {
        let file = tempfile::tempfile().unwrap();
        let open = || Disk::open(file.try_clone().unwrap(), DiskLimits::default());
        let disk = open().unwrap();
        let before = checkout(7).trace();
        disk.save(&[before.clone(), one(1), one(2)], BEGIN).unwrap();
        // It grows, and is still one trace.
        let late = Sample::new(1).span((2, 1), Server, ("b", "late"), (1, 2), &[]);
        let grown = store([Sample::new(1).span((1, 0), Server, ("a", "GET /"), (0, 5), &[]), late]);
        disk.save(&[grown.trace(1).unwrap()], BEGIN).unwrap();
        drop(disk);
        let disk = open().unwrap();
        assert_eq!(disk.trace(7), Some(otlp(&before)));
        assert_eq!(disk.trace(1).unwrap().resource_spans.len(), 2);
        assert_eq!(disk.trace(9), None);
        assert_eq!(ids(&disk, u64::MAX).len(), 3);
    }

    #[test]
    fn colours_stay_after_a_restart() {
        let file = tempfile::tempfile().unwrap();
        let open = || Disk::open(file.try_clone().unwrap(), DiskLimits::default());
        let disk = open().unwrap();
        assert_eq!(disk.slots().unwrap(), []);
        // Two that share a colour by their names: whoever comes first has it.
        let mut before = Store::new(Limits::default());
        let names: Vec<String> = (0..20).map(|number| format!("service-{number}")).collect();
        before.expect(names.iter().map(String::as_str));
        let slots = |store: &Store| {
            let mut all: Vec<_> = store.slots().map(|(name, slot)| (name.clone(), slot)).collect();
            all.sort();
            all
        };
        disk.save_slots(&slots(&before)).unwrap();
        drop(disk);
        let mut after = Store::new(Limits::default());
        after.restore_slots(open().unwrap().slots().unwrap());
        after.expect(names.iter().rev().map(String::as_str));
        assert_eq!(slots(&after), slots(&before));
        // A file may say anything.
        let mut odd = Store::new(Limits::default());
        odd.restore_slots(vec![("a".into(), usize::MAX), ("b".into(), 3), ("c".into(), 3)]);
        assert_eq!(slots(&odd), [("b".into(), 3)]);
    }

    #[test]
    fn the_oldest_go_by_size_and_by_age() {
        let limits = DiskLimits { bytes: 20_000, age: 1_000_000 * MS };
        let disk = Disk::open(tempfile::tempfile().unwrap(), limits).unwrap();
        for id in 1..=100 {
            disk.save(&[one(id)], BEGIN + id * MS).unwrap();
        }
        let left = ids(&disk, u64::MAX);
        assert!((10..20).contains(&left.len()), "{left:?}");
        assert_eq!(left.last(), Some(&100));
        assert_eq!(left, (left[0]..=100).collect::<Vec<_>>());
        let some = ids(&disk, 5_000);
        assert!((3..5).contains(&some.len()) && some.last() == Some(&100), "{some:?}");
        disk.save(&[], BEGIN + 1_000_098 * MS).unwrap();
        assert_eq!(ids(&disk, u64::MAX), [98, 99, 100]);
    }

    #[test]
    fn what_is_no_store_is_refused() {
        use std::io::Write as _;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"a letter that nobody wants to lose").unwrap();
        let error = Disk::open(file, DiskLimits::default()).err().expect("it is none");
        assert!(error.to_string().starts_with("the store: "), "{error}");
    }
}
