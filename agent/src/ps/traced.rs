//! Whether a process is traced, or why not.

use std::fmt;

use crate::selection::{Selection, Verdict};
use crate::service::{ProcessFacts, Services};

/// The name of our own processes.
const OURSELVES: &str = "spanwire";

/// What becomes of a process's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Traced {
    /// They are traced.
    Yes,
    /// Some of them are.
    Share,
    /// Rules decide by the port.
    ByPort,
    /// They are not: it is the agent, or its child.
    Ourselves,
    /// They are not: its own SDK exports them.
    BySdk,
    /// They are not: by the rule of this name.
    LeftOut(String),
}

impl Traced {
    pub(super) fn of(facts: &ProcessFacts, services: &mut Services, selection: &Selection) -> Self {
        if facts.comm == OURSELVES {
            return Self::Ourselves;
        }
        if services.loads_sdk(facts.pid) {
            return Self::BySdk;
        }
        match services.verdict(facts.pid, selection) {
            Verdict::Traced(None) => Self::Yes,
            Verdict::Traced(Some(_)) => Self::Share,
            Verdict::ByPort => Self::ByPort,
            Verdict::LeftOut(rule) => {
                let rule = selection.rules().get(rule);
                Self::LeftOut(rule.map_or_else(String::new, |rule| rule.name.clone()))
            }
        }
    }

    /// Anything of it is traced.
    pub(crate) const fn is_traced(&self) -> bool {
        matches!(self, Self::Yes | Self::Share | Self::ByPort)
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::Share => f.write_str("a share"),
            Self::ByPort => f.write_str("by port"),
            Self::Ourselves => f.write_str("no: it is spanwire"),
            Self::BySdk => f.write_str("no: its own OpenTelemetry SDK traces it"),
            Self::LeftOut(rule) => write!(f, "no: by the rule {rule}"),
        }
    }
}
