//! A host on which nothing talks: says so once, instead of showing nothing for ever.

use crate::input::Nanos;

/// After so long without a request, ns.
const AFTER: u64 = 10_000_000_000;

/// Watches for the first request.
pub(super) struct Silence {
    since: Option<Nanos>,
    hint: Option<String>,
    said: bool,
}

impl Silence {
    pub(super) const fn new(hint: Option<String>) -> Self {
        Self { since: None, hint, said: false }
    }

    pub(super) fn look(&mut self, now: Nanos, requests: u64) {
        let since = *self.since.get_or_insert(now);
        if self.said || requests > 0 || now.since(since) < AFTER {
            self.said |= requests > 0;
            return;
        }
        self.said = true;
        eprintln!(
            "spanwire: nothing on this host has spoken HTTP/1.1 for {} seconds{}",
            AFTER / 1_000_000_000,
            self.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"))
        );
    }
}
