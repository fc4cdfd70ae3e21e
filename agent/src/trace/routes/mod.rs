//! `http.route` of servers that nobody instrumented: from a rule that the user wrote, else learned from what is seen.
//!
//! A learned route is beyond the conventions, which want a framework's own, so it is marked as such. What it must never
//! do: put a value into a name that stands for one thing (an id, a person, a file), or give one path two names. So a
//! path has no route until each of its segments is certain, and what is certain stays so:
//!
//! | a segment | becomes |
//! |---|---|
//! | is no word: a number, a UUID, a hash, … (`segment.rs`) | `{id}` at once |
//! | is a word that programs use and things are not called by (`words.rs`) | itself at once |
//! | is a word of few, none new for long, by its place a part of the program and unlike its neighbours (`tree.rs`) | itself |
//! | stands where more than a few dozen others were seen | `{id}` |
//! | anything else | not certain: the request has no route, its span the name of the method alone |
//!
//! Only answers below 400 teach: whoever tries what is not there changes nothing. Bounded: services, nodes of a service
//! and values at a node; what does not fit has no route, and is counted.

mod rules;
mod segment;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use crate::hash::Map;
use crate::trace::{Count, Counts};
use tree::{Found, Tree};

pub use rules::RouteRule;

/// Services whose routes are learned. They are never forgotten, for that could change a name; a host has tens.
const SERVICES: usize = 256;

/// How routes are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// Learn them from what is seen.
    pub learn: bool,
    /// What the user says, which beats what was learned. The first rule that matches holds.
    pub rules: Vec<RouteRule>,
}

impl Default for RouteSettings {
    fn default() -> Self {
        Self { learn: true, rules: Vec::new() }
    }
}

/// A route and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Route {
    /// Such as `/orders/{id}`.
    pub template: String,
    /// By whom.
    pub source: Source,
}

/// Who knows a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) enum Source {
    /// We, from what was seen.
    Learned,
    /// The user.
    Rule,
}

impl Source {
    /// As the attribute `spanwire.http.route.source` has it.
    pub(in crate::trace) const fn name(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Rule => "rule",
        }
    }
}

/// The routes of all services.
#[derive(Debug)]
pub(in crate::trace) struct Routes {
    settings: RouteSettings,
    services: Map<String, Tree>,
}

impl Routes {
    /// Nothing is learned yet.
    pub(in crate::trace) fn new(settings: RouteSettings) -> Self {
        Self { settings, services: Map::default() }
    }

    /// The route of a request that a service answered with `status`, and what is learned from it.
    pub(in crate::trace) fn of(
        &mut self,
        service: &str,
        path: &str,
        status: Option<u16>,
        counts: &mut Counts,
    ) -> Option<Route> {
        if let Some(rule) = self.settings.rules.iter().find(|rule| rule.matches(service, path)) {
            let template = rule.route().to_owned();
            return (!template.is_empty()).then_some(Route { template, source: Source::Rule });
        }
        if !self.settings.learn {
            return None;
        }
        if !self.services.contains_key(service) {
            if self.services.len() >= SERVICES {
                counts.add(Count::RoutesFull);
                return None;
            }
            self.services.insert(service.to_owned(), Tree::default());
        }
        let tree = self.services.get_mut(service)?;
        let teaches = status.is_some_and(|status| (200..400).contains(&status));
        match tree.visit(path, teaches) {
            Found::Route(template) => Some(Route { template, source: Source::Learned }),
            Found::Uncertain => None,
            Found::Full => {
                counts.add(Count::RoutesFull);
                None
            }
        }
    }
}
