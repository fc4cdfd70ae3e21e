//! Into whose requests a header is put (D6.4): the programs that the operator names, without those that it could harm.
//!
//! Only decides on processes; the kernel half decides on sockets and on requests. [`trial`] finds out beforehand whether this
//! kernel does it without harm at all.
#![forbid(unsafe_code)]

mod harmed;
pub mod older;
pub mod trial;

use crate::{
    hash::{Map, Set},
    input::{ConnId, Input, Nanos},
    kernel::insert::Enrolment,
    selection::Pattern,
    service::{ProcessFacts, Reader},
};

pub use harmed::harmed;

/// How long the libraries of a process are looked at, ns: a runtime is loaded soon after the program began.
const WATCHED: u64 = 60_000_000_000;

/// What is to be done with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has named it.
    NotNamed,
    /// It was named, but this could harm it, for that reason.
    Harmed(&'static str),
    /// Its requests may be given a header.
    Named,
}

/// What holds for a process.
#[must_use]
pub fn verdict(facts: &ProcessFacts, programs: &[Pattern]) -> Verdict {
    let exe = facts.exe.strip_suffix(" (deleted)").unwrap_or(&facts.exe);
    let is_named = programs.iter().any(|pattern| pattern.fits_path(exe));
    if exe.is_empty() || !is_named {
        return Verdict::NotNamed;
    }
    harmed(facts).map_or(Verdict::Named, Verdict::Harmed)
}

/// The processes of named programs that run now.
fn running(programs: &[Pattern]) -> Vec<ProcessFacts> {
    let mut reader = Reader::default();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let exe = std::fs::read_link(entry.path().join("exe")).ok()?;
        let exe = exe.to_string_lossy();
        let exe = exe.strip_suffix(" (deleted)").unwrap_or(&exe);
        let is_named = programs.iter().any(|pattern| pattern.fits_path(exe));
        if is_named { reader.read(pid) } else { None }
    });
    named.collect()
}

/// Keeps the kernel told.
pub struct Insertion {
    enrolment: Enrolment,
    programs: Vec<Pattern>,
    /// Processes that are named, with what is known of them and since when.
    named: Map<u32, (ProcessFacts, Nanos)>,
    /// Connections of which the kernel was told where they go on.
    told: Set<ConnId>,
    now: Nanos,
}

impl Insertion {
    /// These programs are named from the beginning.
    #[must_use]
    pub fn new(enrolment: Enrolment, programs: Vec<Pattern>) -> Self {
        let mut new = Self {
            enrolment,
            programs,
            named: Map::default(),
            told: Set::default(),
            now: Nanos(0),
        };
        new.look_around();
        new
    }

    /// Who runs already.
    fn look_around(&mut self) {
        for facts in running(&self.programs) {
            self.is(&facts);
        }
    }

    /// Something happened: a process may be known now, or be gone.
    pub fn note(&mut self, input: &Input) {
        match input {
            Input::Process(facts) => self.is(facts),
            // That it began another program is told by what it is then.
            Input::Exit(event) => self.forget(event.tgid),
            Input::Closed(event) if self.told.remove(&ConnId(event.connection)) => {
                self.enrolment.ends(event.connection);
            }
            _ => {}
        }
    }

    /// It is known what a process is.
    pub fn is(&mut self, facts: &ProcessFacts) {
        match verdict(facts, &self.programs) {
            Verdict::Named => {
                self.enrolment.name(facts.pid);
                log::debug!("headers are put into requests of process {} from now on", facts.pid);
                self.named.insert(facts.pid, (facts.clone(), self.now));
            }
            Verdict::Harmed(why) => {
                log::warn!("no header is put into requests of process {}: {why}", facts.pid);
                self.forget(facts.pid);
            }
            Verdict::NotNamed => self.forget(facts.pid),
        }
    }

    /// Time went on: whoever has come to be one that it could harm since is taken out, and all sockets with it.
    pub fn look(&mut self, now: Nanos) {
        self.now = now;
        let young = self.named.values().filter(|(_, since)| now.since(*since) < WATCHED);
        let mut late = Vec::new();
        for (facts, _) in young {
            if let Some(why) = harmed(facts) {
                late.push((facts.pid, why));
            }
        }
        for (pid, why) in late {
            log::warn!("no header is put into requests of process {pid} any more: {why}");
            self.forget(pid);
            self.enrolment.release();
        }
    }

    /// On these connections the next request begins at that position.
    pub fn begin(&mut self, boundaries: Vec<(ConnId, u64)>) {
        for (connection, position) in boundaries {
            self.enrolment.begins(connection.0, position);
            self.told.insert(connection);
        }
    }

    /// Other programs are named from now on. Every socket is released, whosever it is: who wants it to end wants it now.
    pub fn select(&mut self, programs: Vec<Pattern>) {
        if programs == self.programs {
            return;
        }
        self.programs = programs;
        let named: Vec<ProcessFacts> =
            std::mem::take(&mut self.named).into_values().map(|(facts, _)| facts).collect();
        for facts in &named {
            self.enrolment.forget(facts.pid);
        }
        let released = self.enrolment.release();
        log::info!("headers are put into requests of other programs; sockets released: {released}");
        for facts in &named {
            self.is(facts);
        }
        self.look_around();
    }

    /// How many sockets are enrolled now.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.enrolment.len()
    }

    fn forget(&mut self, pid: u32) {
        if self.named.remove(&pid).is_some() {
            self.enrolment.forget(pid);
        }
    }
}
