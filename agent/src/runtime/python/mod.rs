//! Python (CPython 3.7 and later, on x86-64): threads of a `ThreadPoolExecutor` work for whoever submits. What the probes must know of a
//! process is put together here: where in the module `_queue` they are put, and how an object of this interpreter names its type. All of
//! it is read in the living process or proven there; there is no table of releases, because nothing in it differs between them.

mod module;
mod queue;
mod told;

use std::{fmt, fs::File, os::unix::fs::MetadataExt};

use abi::runtime::PythonProcess;
use thiserror::Error;

use self::module::Mapped;
pub(crate) use self::told::Maps;
pub(super) use self::told::Told;
use super::{
    memory::Memory,
    traps::{Place, Program},
};
use crate::hash::Map;

/// Modules whose code is remembered.
const MODULES: usize = 256;

/// Why a process's pools say nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It runs no Python: nothing to be told.
    #[error("it runs no Python")]
    NotPython,
    /// It runs Python, and has no `_queue` (yet), or has it in its own program.
    #[error("it has not loaded a module _queue")]
    NoQueue,
    /// It, or a file of it, cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Something is not as in any interpreter that is known.
    #[error("it is unlike the interpreters that are known: {0}")]
    Unlike(&'static str),
    /// Not this machine.
    #[error("pools are only known on x86-64")]
    Machine,
}

/// A process whose pools tell.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its Python, as the file of the module says.
    pub version: Option<Version>,
    /// What the probes are told.
    pub process: PythonProcess,
    /// Where these are put into the module's file,
    pub(crate) places: Vec<Place>,
    /// which file that is,
    pub(super) program: Program,
    /// and where it is found.
    pub(super) file: String,
}

/// A release of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// Of `_queue.cpython-311-x86_64-linux-gnu.so`.
    fn of(path: &str) -> Option<Self> {
        let (_, tag) = path.rsplit_once(".cpython-")?;
        let digits: String = tag.chars().take_while(char::is_ascii_digit).collect();
        Some(Self(digits.get(..1)?.parse().ok()?, digits.get(1..)?.parse().ok()?))
    }
}

/// Examines processes; remembers what it has found in the files of modules.
#[derive(Default)]
pub struct Examiner {
    modules: Map<Program, Result<Vec<Place>, Refusal>>,
}

impl Examiner {
    /// Finds out what the probes must know of a process.
    ///
    /// # Errors
    ///
    /// See [`Refusal`].
    pub fn examine(&mut self, pid: u32) -> Result<Found, Refusal> {
        let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
        // Gone, or a thread of the kernel.
        let mapped = Mapped::of(pid).ok_or(Refusal::NotPython)?;
        if !mapped.runs_python() {
            return Err(Refusal::NotPython);
        }
        if cfg!(not(target_arch = "x86_64")) {
            return Err(Refusal::Machine);
        }
        let queue = mapped.queue().ok_or(Refusal::NoQueue)?.to_owned();
        let memory = Memory::of(pid).map_err(unreadable)?;
        let process = types(pid, &mapped, &memory)?;
        // As the process sees it, whatever is mounted there.
        let file = format!("/proc/{pid}/root{queue}");
        let opened = File::open(&file).map_err(unreadable)?;
        let status = opened.metadata().map_err(unreadable)?;
        let time = status.mtime().wrapping_mul(1_000_000_000).wrapping_add(status.mtime_nsec());
        let program = (status.dev(), status.ino(), time, 0);
        let places = match self.modules.get(&program) {
            Some(known) => known.clone(),
            None => {
                if self.modules.len() >= MODULES {
                    self.modules.clear();
                }
                let places = queue::places(&opened, &mapped.parts(&queue), &memory);
                self.modules.insert(program, places.clone());
                places
            }
        }?;
        Ok(Found { version: Version::of(&queue), process, places, program, file })
    }
}

/// How an object names its type, and a type itself: as `None` does, whose address every interpreter exports.
fn types(pid: u32, mapped: &Mapped, memory: &Memory) -> Result<PythonProcess, Refusal> {
    /// `PyObject.ob_type`, and `PyTypeObject.tp_name` behind the head of an object that has a size: with the GIL, and in builds
    /// without one, whose objects begin with what locks them (Include/object.h).
    const LAYOUTS: [PythonProcess; 2] = [
        PythonProcess { ob_type: 8, tp_name: 24, epoch: 0, uses: 0 },
        PythonProcess { ob_type: 24, tp_name: 40, epoch: 0, uses: 0 },
    ];
    const NAME: &[u8] = b"NoneType\0";
    let none = mapped.symbol(pid, "_Py_NoneStruct").ok_or(Refusal::Unlike("it exports no None"))?;
    let holds = |layout: &&PythonProcess| {
        let of = memory.word(none.wrapping_add(layout.ob_type)).unwrap_or(0);
        let name = memory.word(of.wrapping_add(layout.tp_name)).unwrap_or(0);
        memory.bytes(name, NAME.len()).is_some_and(|bytes| bytes == NAME)
    };
    LAYOUTS.iter().find(holds).copied().ok_or(Refusal::Unlike("None has no type of that name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let of = |name: &str| Version::of(name).map(|version| version.to_string());
        let path = "/usr/lib/python3.11/lib-dynload/_queue.cpython-311-x86_64-linux-gnu.so";
        assert_eq!(of(path).as_deref(), Some("3.11"));
        assert_eq!(of("/x/_queue.cpython-37m-x86_64-linux-gnu.so").as_deref(), Some("3.7"));
        assert_eq!(of("/x/_queue.so"), None);
        assert_eq!(of("/x/_queue.cpython-"), None);
    }

    #[test]
    fn what_runs_no_python_is_told_from_what_does() {
        let found = Examiner::default().examine(std::process::id());
        assert_eq!(found.unwrap_err(), Refusal::NotPython);
    }
}
