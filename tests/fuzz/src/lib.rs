//! What the fuzz targets have in common: the invariants that hold whatever comes.
//!
//! Each target feeds one stage and asserts; a target that only looks for panics finds too little.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::sync::Arc;

use spanwire::conn::{Address, Connection, Losses};
use spanwire::exchange::{ExchangeId, Report};
use spanwire::input::ConnId;
use spanwire::protocols::Outlet;

/// What was reported, checked as it comes: every exchange is started once, then finished once.
#[derive(Debug, Default)]
pub struct Told {
    open: HashSet<ExchangeId>,
    known: HashSet<ExchangeId>,
}

impl Told {
    /// Takes more reports.
    pub fn check(&mut self, reports: &mut Vec<Report>) {
        for report in reports.drain(..) {
            match report {
                Report::Started(started) => {
                    assert!(self.known.insert(started.id), "started twice: {started:?}");
                    self.open.insert(started.id);
                }
                Report::Finished(finished) => {
                    assert!(self.open.remove(&finished.id), "finished unasked: {finished:?}");
                }
            }
        }
    }

    /// Takes more reports, of connections that may live again: an exchange may be started anew once it is finished.
    pub fn check_lives(&mut self, reports: &mut Vec<Report>) {
        self.known.clone_from(&self.open);
        for report in reports.drain(..) {
            if let Report::Finished(finished) = &report {
                self.known.remove(&finished.id);
            }
            self.check(&mut vec![report]);
        }
    }

    /// Nothing more comes.
    pub fn finish(self) {
        assert!(self.open.is_empty(), "never finished: {:?}", self.open);
    }
}

/// An outlet's parts.
#[derive(Debug)]
pub struct Stage {
    /// The connection that is read.
    pub conn: Arc<Connection>,
    /// What is reported.
    pub reports: Vec<Report>,
    /// What is lost.
    pub losses: Losses,
}

impl Stage {
    /// For a connection nobody announced.
    #[must_use]
    pub fn new() -> Self {
        let conn = Connection {
            id: ConnId(1),
            local: Address::Unknown,
            remote: Address::Unknown,
            socket: 0,
            peer_socket: 0,
            inode: 0,
            netns: 0,
            origins: [0; 2],
            pid: 1,
        };
        Self { conn: Arc::new(conn), reports: Vec::new(), losses: Losses::default() }
    }

    /// Where a reader puts what it finds.
    pub fn outlet(&mut self) -> Outlet<'_> {
        Outlet { conn: &self.conn, reports: &mut self.reports, losses: &mut self.losses }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}
