//! The table of what is run: which runtimes stand in which graph, and what is promised of each.
//!
//! A new case is one line here. Never wrong is promised of all of them.

use super::graph::Graph;
use super::services::{self, Runtime};

/// What is promised beyond that nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// At least 99.9 % of the calls inside services have their true parent.
    Exact,
    /// Nothing: where a call's request cannot be known it has no parent.
    Honest,
}

impl Promise {
    /// The least share of exact calls inside services, percent.
    #[must_use]
    pub fn floor(self) -> f64 {
        match self {
            Self::Exact => 99.9,
            Self::Honest => 0.0,
        }
    }
}

/// A graph of services of certain runtimes.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it is, for the table.
    pub about: &'static str,
    /// The runtime of each level, the client's first.
    pub levels: &'static [Runtime],
    /// What is promised.
    pub promise: Promise,
}

/// Calls that a service makes for each request.
pub const FAN_OUT: usize = 3;

/// All cases.
pub const ALL: &[Case] = &[
    Case {
        name: "python-threads",
        about: "Python ThreadingHTTPServer",
        levels: &[services::PYTHON_THREADS; 4],
        promise: Promise::Exact,
    },
    Case {
        name: "python-pool",
        about: "the same, calls by a ThreadPoolExecutor",
        levels: &[services::PYTHON_POOL; 4],
        promise: Promise::Honest,
    },
    Case {
        name: "python-asyncio",
        about: "Python asyncio",
        levels: &[services::PYTHON_ASYNCIO; 4],
        promise: Promise::Honest,
    },
    Case {
        name: "node",
        about: "Node http",
        levels: &[services::NODE; 4],
        promise: Promise::Honest,
    },
];

impl Case {
    /// The case of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|case| case.name == name)
    }

    /// The name of the service at a level.
    #[must_use]
    pub fn service(&self, level: usize) -> String {
        format!("{}-{level}", self.levels[level].name)
    }

    /// Its graph, asked by the client of that name. `names` are those of its services.
    #[must_use]
    pub fn graph(&self, client: &str, names: &[String], fan_out: usize) -> Graph {
        let levels: Vec<(&str, bool)> =
            names.iter().zip(self.levels).map(|(name, it)| (&**name, it.proxies)).collect();
        Graph::levels(client, &levels, fan_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_case_each() {
        for case in ALL {
            let found = Case::named(case.name).unwrap();
            assert_eq!(found.about, case.about);
            assert!(!case.levels.last().unwrap().proxies, "{}: a proxy of nothing", case.name);
        }
    }
}
