//! Processes whose requests become no spans: nothing is to be said of them on the wire either.
//!
//! Who reads a context looks for the span that it names. The kernel half is told of such a process once it is known, so that
//! its first request may go with one.

use crate::hash::Map;

/// Processes remembered. Beyond it they are no longer told: the kernel half keeps no more either.
const KEPT: usize = 8192;

/// What is known of them, and what is still to be told.
#[derive(Debug, Default)]
pub(in crate::trace) struct Quiet {
    known: Map<u32, ()>,
    news: Vec<(u32, bool)>,
}

impl Quiet {
    /// Nothing is to be said of the process.
    pub(in crate::trace) fn add(&mut self, pid: u32) {
        if self.known.len() < KEPT && self.known.insert(pid, ()).is_none() {
            self.news.push((pid, true));
        }
    }

    /// It is another program now, or gone.
    pub(in crate::trace) fn remove(&mut self, pid: u32) {
        if self.known.remove(&pid).is_some() {
            self.news.push((pid, false));
        }
    }

    /// The rules are others.
    pub(in crate::trace) fn clear(&mut self) {
        self.news.extend(self.known.drain().map(|(pid, ())| (pid, false)));
    }

    /// What has changed since this was last asked: a process, and whether it is quiet.
    pub(in crate::trace) fn news(&mut self) -> Vec<(u32, bool)> {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once() {
        let mut quiet = Quiet::default();
        for pid in [7, 7, 9] {
            quiet.add(pid);
        }
        assert_eq!(quiet.news(), [(7, true), (9, true)]);
        quiet.remove(8);
        quiet.remove(7);
        assert_eq!(quiet.news(), [(7, false)]);
        quiet.clear();
        assert_eq!(quiet.news(), [(9, false)]);
        assert_eq!(quiet.news(), []);
    }

    #[test]
    fn they_are_bounded() {
        let mut quiet = Quiet::default();
        (0..20_000).for_each(|pid| quiet.add(pid));
        assert_eq!((quiet.known.len(), quiet.news().len()), (KEPT, KEPT));
    }
}
