//! Finds out what a process is before the first event that needs it: at once when it begins a program, because a
//! short-lived one is gone a moment later.

use crate::{
    hash::Map,
    input::Input,
    service::{ProcessFacts, Reader},
};

/// Most processes remembered; beyond it the memory starts anew, and facts are read again.
const MOST: usize = 65_536;
/// Most ancestors looked at: a service's leader is near.
const ANCESTORS: usize = 8;

/// Remembers who has been looked at.
#[derive(Default)]
pub(super) struct Facts {
    known: Map<u32, ()>,
    reader: Reader,
}

impl Facts {
    /// Facts that must be known before this input: of its process and of ancestors that are not known yet, the oldest
    /// first.
    pub(super) fn before(&mut self, input: &Input) -> Vec<ProcessFacts> {
        let mut parent = 0;
        let mut comm = String::new();
        let pid = match input {
            Input::Opened(event) => {
                parent = event.parent;
                event.tgid
            }
            Input::Data(header, _) => header.tgid,
            Input::Exec(event) => {
                self.known.remove(&event.tgid);
                let name = event.comm.split(|byte| *byte == 0).next().unwrap_or_default();
                comm = String::from_utf8_lossy(name).into_owned();
                event.tgid
            }
            Input::Exit(event) => {
                self.known.remove(&event.tgid);
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        if self.known.contains_key(&pid) {
            return Vec::new();
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let mut line = Vec::new();
        let mut next = pid;
        while next > 1 && line.len() < ANCESTORS && !self.known.contains_key(&next) {
            // Remembered even when it cannot be read: it is gone, and will not come back.
            self.known.insert(next, ());
            // A process that is gone already was what its parent is, if it ran no program of its own.
            let mut facts = self.reader.read(next).unwrap_or_else(|| ProcessFacts {
                pid: next,
                parent: if next == pid { parent } else { 0 },
                ..ProcessFacts::default()
            });
            if next == pid {
                name_by_task(&mut facts, std::mem::take(&mut comm));
            }
            next = facts.parent;
            line.push(facts);
        }
        line.reverse();
        line
    }
}

/// A process that began a program and is gone before anything of it can be read, or has nothing left but its place in the
/// table of processes: the kernel has told what the task was called then.
fn name_by_task(facts: &mut ProcessFacts, comm: String) {
    if facts.exe.is_empty() && facts.arguments.is_empty() && !comm.is_empty() {
        facts.arguments.push(comm.clone());
        facts.comm = comm;
    }
}

#[cfg(test)]
mod tests {
    use abi::{Opened, ProcessEvent};

    use super::*;

    #[test]
    fn a_program_that_is_gone_already_has_its_name() {
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"curl");
        // No process has this number.
        let event = ProcessEvent { tgid: u32::MAX, comm, ..ProcessEvent::default() };
        let read = Facts::default().before(&Input::Exec(event));
        let gone = ProcessFacts {
            pid: u32::MAX,
            comm: "curl".into(),
            arguments: vec!["curl".into()],
            ..ProcessFacts::default()
        };
        assert_eq!(read, [gone]);
        // Who began no program is what its parent is.
        let event = Opened { tgid: u32::MAX, parent: 7, ..Opened::default() };
        let read = Facts::default().before(&Input::Opened(event));
        let child = ProcessFacts { pid: u32::MAX, parent: 7, ..ProcessFacts::default() };
        assert_eq!(read.last(), Some(&child));
    }

    #[test]
    fn a_program_of_which_only_the_exit_code_is_left_has_its_name() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let is_dead = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
        };
        while !is_dead() {
            std::thread::yield_now();
        }
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"true");
        let event = ProcessEvent { tgid: pid, comm, ..ProcessEvent::default() };
        let read = Facts::default().before(&Input::Exec(event));
        child.wait().unwrap();
        let dead = read.last().unwrap();
        assert_eq!((dead.pid, dead.parent), (pid, std::process::id()));
        assert_eq!(dead.arguments, ["true"], "and not what its parent is called");
    }
}
