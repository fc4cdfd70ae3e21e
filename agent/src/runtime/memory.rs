//! Reading another process's memory, through /proc: nothing stops, and nothing can be written (the file is opened for reading
//! only).

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    os::unix::fs::FileExt,
};

/// A process's memory. Stays that of the process it was opened for, whoever gets its pid later.
pub(super) struct Memory(File);

impl Memory {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self(File::open(format!("/proc/{pid}/mem"))?))
    }

    /// The word at an address; `None` where nothing is mapped, or when the process is gone.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// So many bytes from an address on.
    pub(super) fn bytes(&self, address: u64, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    /// So many words from an address on.
    pub(super) fn words(&self, address: u64, count: usize) -> Option<Vec<u64>> {
        let mut bytes = vec![0; count.checked_mul(8)?];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        Some(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }
}

/// Where the beginning of its executable's file is mapped, and where in memory that file is written to: address and length.
pub(super) struct Mapped {
    pub(super) base: u64,
    pub(super) writable: Vec<(u64, u64)>,
}

/// Where a process has its executable; `None` when that cannot be told.
pub(super) fn mapped(pid: u32) -> Option<Mapped> {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let exe = exe.to_str()?;
    let maps = BufReader::new(File::open(format!("/proc/{pid}/maps")).ok()?);
    let mut base = None;
    let mut writable = Vec::new();
    for line in maps.lines() {
        let line = line.ok()?;
        // 00400000-0065c000 r-xp 00000000 fe:00 1234    /path
        let mut parts = line.splitn(6, ' ');
        let (range, rights, offset) = (parts.next()?, parts.next()?, parts.next()?);
        let path = parts.nth(2).map(str::trim_start);
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        if path != Some(exe) {
            continue;
        }
        if u64::from_str_radix(offset, 16).ok()? == 0 {
            base.get_or_insert(from);
        }
        if rights.starts_with("rw") {
            writable.push((from, to - from));
        }
    }
    Some(Mapped { base: base?, writable })
}
