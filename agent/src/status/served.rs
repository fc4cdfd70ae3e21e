//! What all connections to the child share: who may ask, what is known, and what time it is.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::request::Access;
use crate::viewer::{Limits, Viewer};

/// Pages that are told news at a time.
const MOST_LIVE: usize = 16;
/// Time between two updates of a page: more than two a second nobody can read.
pub(super) const PACE: Duration = Duration::from_millis(500);
/// After so long any trace has settled, ns.
pub(super) const SETTLED: u64 = 3_000_000_000;

/// What every connection needs.
pub(super) struct Served {
    access: Access,
    viewer: Viewer,
    live: Arc<Semaphore>,
    /// Time between two updates of a page.
    pub(super) pace: Duration,
}

impl Served {
    pub(super) fn new(port: u16, token: String, limits: Limits) -> Self {
        Self {
            access: Access { port, token },
            viewer: Viewer::new(limits),
            live: Arc::new(Semaphore::new(MOST_LIVE)),
            pace: PACE,
        }
    }

    pub(super) const fn access(&self) -> &Access {
        &self.access
    }

    pub(super) const fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// A place among the pages that listen.
    pub(super) fn live(&self) -> Option<OwnedSemaphorePermit> {
        self.live.clone().try_acquire_owned().ok()
    }
}

/// ns since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "the child is an edge: when spans come in is its own clock's"
)]
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
