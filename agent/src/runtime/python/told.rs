//! What the probes are told of a process with pools, and what they remember of it.
//!
//! That all of its probes are in is told once they are, and that they are out before the first of them is: what they learn in between is of one
//! epoch, and nothing of another is believed. What is left of it in the kernel's maps goes with it, so that these hold nobody's for ever.

use std::collections::HashMap;

use abi::runtime::{POOL_ITEM_WORDS, POOL_THREAD_WORDS, PythonProcess};
use aya::maps::{HashMap as KernelMap, MapData};
use zerocopy::IntoBytes as _;

/// The kernel's maps of pools.
pub(crate) struct Maps {
    /// By process: the words of a [`PythonProcess`].
    pub(crate) processes: KernelMap<MapData, u32, [u64; PythonProcess::WORDS]>,
    /// Threads that ask queues for work, by their key.
    pub(crate) threads: KernelMap<MapData, u64, [u64; POOL_THREAD_WORDS]>,
    /// Work in queues, by process and address.
    pub(crate) items: KernelMap<MapData, [u64; 2], [u64; POOL_ITEM_WORDS]>,
}

/// Which processes the probes are told of.
pub(in crate::runtime) struct Told {
    maps: Maps,
    /// The epoch that began last.
    epoch: u64,
    /// Those processes, and whether their probes are in.
    known: HashMap<u32, bool>,
}

impl Told {
    pub(in crate::runtime) fn new(maps: Maps) -> Self {
        Self { maps, epoch: 0, known: HashMap::new() }
    }

    /// All probes of that process are in.
    pub(in crate::runtime) fn begin(
        &mut self,
        pid: u32,
        process: PythonProcess,
    ) -> Result<(), String> {
        if self.known.get(&pid) == Some(&true) {
            return Ok(());
        }
        self.epoch += 1;
        self.tell(pid, PythonProcess { epoch: self.epoch, uses: 0, ..process })?;
        self.known.insert(pid, true);
        // From here on, and not from when the last probe was in.
        log::debug!("process {pid}: its pools are followed");
        Ok(())
    }

    /// They are not in, or are about to be taken out.
    pub(in crate::runtime) fn out(
        &mut self,
        pid: u32,
        process: PythonProcess,
    ) -> Result<(), String> {
        let before = self.known.insert(pid, false);
        if before == Some(false) {
            return Ok(());
        }
        let told = self.tell(pid, PythonProcess { epoch: 0, uses: 0, ..process });
        if before == Some(true) {
            self.sweep(pid);
        }
        told
    }

    /// The process is gone, or another one, or has no probes.
    pub(in crate::runtime) fn forget(&mut self, pid: u32) {
        let _ = self.maps.processes.remove(&pid);
        if self.known.remove(&pid) == Some(true) {
            self.sweep(pid);
        }
    }

    /// How often its queues were used since the probes are in; 0 while they are not.
    pub(in crate::runtime) fn uses(&self, pid: u32) -> Option<u64> {
        let [.., uses] = self.maps.processes.get(&pid, 0).ok()?;
        Some(uses)
    }

    fn tell(&mut self, pid: u32, process: PythonProcess) -> Result<(), String> {
        let mut words = [0; PythonProcess::WORDS];
        words.as_mut_bytes().copy_from_slice(process.as_bytes());
        let told = self.maps.processes.insert(pid, words, 0);
        told.map_err(|error| {
            let _ = self.maps.processes.remove(&pid);
            format!("it cannot be told: {error}")
        })
    }

    /// Takes out what is left of a process.
    fn sweep(&mut self, pid: u32) {
        let is_its = |key: &u64| *key >> 32 == u64::from(pid);
        let threads: Vec<u64> = self.maps.threads.keys().flatten().filter(is_its).collect();
        for thread in threads {
            let _ = self.maps.threads.remove(&thread);
        }
        let is_its = |key: &[u64; 2]| key[0] == u64::from(pid);
        let items: Vec<[u64; 2]> = self.maps.items.keys().flatten().filter(is_its).collect();
        for item in items {
            let _ = self.maps.items.remove(&item);
        }
    }
}
